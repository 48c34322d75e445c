//! Running transactions and calls by Osaka's rules.

use alloy_consensus::{Header, Transaction as _, TxEnvelope, Typed2718};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use revm::{
    Context, ExecuteEvm, MainBuilder, MainContext,
    context::{
        BlockEnv, CfgEnv, TxEnv,
        either::Either,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, ResultAndState},
    },
    database_interface::WrapDatabaseRef,
    primitives::{eip7825, hardfork::SpecId},
};

use crate::{
    error::{ChainError, Refusal},
    request::CallRequest,
    state::State,
    store::StoreError,
};

/// EIP-7825: the most gas one transaction may ask for.
pub(crate) const TRANSACTION_GAS_CAP: u64 = eip7825::TX_GAS_LIMIT_CAP;

/// What a transaction costs before it does anything.
const TRANSFER_GAS: u64 = 21_000;

/// What a call with value hands its callee for free; a frame that relies on it needs that much more up front.
const CALL_STIPEND: u64 = 2_300;

/// The rules of the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) chain_id: u64,
    pub(crate) block_gas_limit: u64,
}

/// Why a transaction did not even start.
pub(crate) enum RunError {
    Invalid(InvalidTransaction),
    Store(StoreError),
    Evm(String),
}

impl From<RunError> for ChainError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Invalid(invalid) => Self::Refused(refusal(invalid)),
            RunError::Store(error) => Self::Store(error),
            RunError::Evm(text) => Self::Halted(text),
        }
    }
}

/// The block a header describes, as the EVM sees it.
pub(crate) fn block_env(header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        prevrandao: Some(header.mix_hash),
        ..BlockEnv::default()
    }
}

/// Runs a signed transaction with every check on. `state` is not changed; the result carries the changes.
pub(crate) fn transact(
    state: &State,
    rules: Rules,
    block: &BlockEnv,
    transaction: &TxEnvelope,
    sender: Address,
) -> Result<ResultAndState, RunError> {
    let tx = TxEnv {
        tx_type: transaction.ty(),
        caller: sender,
        gas_limit: transaction.gas_limit(),
        gas_price: transaction.max_fee_per_gas(),
        kind: transaction.kind(),
        value: transaction.value(),
        data: transaction.input().clone(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        access_list: transaction.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: transaction.max_priority_fee_per_gas(),
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: transaction
            .authorization_list()
            .unwrap_or_default()
            .iter()
            .cloned()
            .map(Either::Left)
            .collect(),
    };
    run(state, cfg(rules), block, tx)
}

/// Runs a call that no one signed: no nonce, no fee unless one is given, more gas than a transaction may have.
pub(crate) fn call(state: &State, rules: Rules, block: &BlockEnv, request: &CallRequest) -> Result<Bytes, ChainError> {
    let mut cfg = call_cfg(rules);
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    let gas = request.gas().unwrap_or(rules.block_gas_limit).min(rules.block_gas_limit);
    let tx = call_env(state, rules, request, gas)?;
    match run(state, cfg, block, tx)?.result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(ChainError::Reverted(output)),
        ExecutionResult::Halt { reason, .. } => Err(ChainError::Halted(reason.to_string())),
    }
}

/// The least gas limit, within 1.5%, with which the call succeeds.
///
/// What a call uses is not what it needs: refunds come after the fact, and every subcall withholds a 64th. So the
/// limit is searched for, starting from a guess that covers one level of both.
pub(crate) fn estimate(
    state: &State,
    rules: Rules,
    block: &BlockEnv,
    request: &CallRequest,
) -> Result<u64, ChainError> {
    let cap = TRANSACTION_GAS_CAP.min(rules.block_gas_limit);
    let mut enough = request.gas().map_or(cap, |gas| gas.min(cap));
    let price = request.price_cap();
    if price > 0 {
        let balance = state.balance(request.from())?;
        let left = balance
            .checked_sub(request.value())
            .ok_or(Refusal::InsufficientFunds { balance, cost: request.value() })?;
        let affordable = left / U256::from(price);
        enough = affordable.try_into().map_or(enough, |gas: u64| enough.min(gas));
    }
    let attempt = |gas: u64| -> Result<ExecutionResult, RunError> {
        let tx = call_env(state, rules, request, gas).map_err(RunError::Store)?;
        Ok(run(state, call_cfg(rules), block, tx)?.result)
    };
    let succeeds = |gas: u64| match attempt(gas) {
        Ok(result) => Ok(result.is_success()),
        Err(RunError::Invalid(
            InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
            | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
        )) => Ok(false),
        Err(error) => Err(ChainError::from(error)),
    };

    if let TxKind::Call(to) = request.kind()
        && request.data().is_empty()
        && state.code(to)?.is_empty()
        && enough >= TRANSFER_GAS
        && succeeds(TRANSFER_GAS)?
    {
        return Ok(TRANSFER_GAS);
    }
    let gas = match attempt(enough) {
        Ok(ExecutionResult::Success { gas, .. }) => gas,
        Ok(ExecutionResult::Revert { output, .. }) => return Err(ChainError::Reverted(output)),
        Ok(ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. })
        | Err(RunError::Invalid(
            InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
            | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
        )) => return Err(ChainError::GasAllowance(enough)),
        Ok(ExecutionResult::Halt { reason, .. }) => {
            return Err(ChainError::Halted(reason.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    let mut short = gas.tx_gas_used().saturating_sub(1);
    let guess = (gas.total_gas_spent() + CALL_STIPEND) * 64 / 63;
    if guess < enough {
        if succeeds(guess)? {
            enough = guess;
        } else {
            short = guess;
        }
    }
    while short + 1 < enough && (enough - short) * 1_000 > enough * 15 {
        // The answer is mostly near the low end, so the step up is at most a doubling.
        let middle = (short + (enough - short) / 2).min(short.saturating_mul(2));
        if succeeds(middle)? {
            enough = middle;
        } else {
            short = middle;
        }
    }
    Ok(enough)
}

fn cfg(rules: Rules) -> CfgEnv {
    CfgEnv::new_with_spec(SpecId::OSAKA).with_chain_id(rules.chain_id)
}

fn call_cfg(rules: Rules) -> CfgEnv {
    let mut cfg = cfg(rules);
    cfg.disable_nonce_check = true;
    cfg.disable_eip3607 = true;
    cfg.disable_base_fee = true;
    cfg
}

fn call_env(state: &State, rules: Rules, request: &CallRequest, gas_limit: u64) -> Result<TxEnv, StoreError> {
    let gas_priority_fee = request.tip();
    let access_list = request.access_list();
    Ok(TxEnv {
        tx_type: match gas_priority_fee {
            Some(_) => 2,
            None => u8::from(!access_list.is_empty()),
        },
        caller: request.from(),
        gas_limit,
        gas_price: request.price_cap(),
        kind: request.kind(),
        value: request.value(),
        data: request.data(),
        nonce: state.nonce(request.from())?,
        chain_id: Some(rules.chain_id),
        access_list,
        gas_priority_fee,
        ..TxEnv::default()
    })
}

fn run(state: &State, cfg: CfgEnv, block: &BlockEnv, tx: TxEnv) -> Result<ResultAndState, RunError> {
    let mut evm =
        Context::mainnet().with_db(WrapDatabaseRef(state)).with_cfg(cfg).with_block(block.clone()).build_mainnet();
    evm.transact(tx).map_err(|error| match error {
        EVMError::Transaction(invalid) => RunError::Invalid(invalid),
        EVMError::Database(error) => RunError::Store(error),
        other => RunError::Evm(format!("{other:?}")),
    })
}

/// The EVM's refusal in the words that clients know.
pub(crate) fn refusal(invalid: InvalidTransaction) -> Refusal {
    match invalid {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            Refusal::InsufficientFunds { balance: *balance, cost: *fee }
        }
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas: needed, gas_limit: gas }
        | InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor: needed, gas_limit: gas } => {
            Refusal::IntrinsicGas { gas, needed }
        }
        InvalidTransaction::TxGasLimitGreaterThanCap { gas_limit, cap } => Refusal::GasAboveCap { gas: gas_limit, cap },
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => Refusal::TipAboveFee,
        InvalidTransaction::NonceTooLow { tx, state } => Refusal::NonceTooLow { next: state, nonce: tx },
        other => Refusal::Rule(other.to_string()),
    }
}
