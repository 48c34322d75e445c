//! One arena on one chain.

mod error;

use core::time::Duration;
use std::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};

use alloy_primitives::{
    Address, B256, U256,
    aliases::{I96, U96},
};
use alloy_sol_types::{SolCall, sol};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use error::{ArenaError, CallError};

use super::{
    Call, LogEntry, Provider, ProviderError, Receipt, Revert, Rpc,
    rpc::{BlockId, malformed},
};
use crate::{
    abi::{self, Domain, MatchId, MatchTerms, State, Statement, Withdrawal},
    account::{AccountId, Player, SettledSet},
    game::{Amount, Seat},
    settle,
    sign::Signature,
    wire::{Pair, ResultLeaf},
};

sol! {
    interface Erc20 {
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external;
        function balanceOf(address owner) external view returns (uint256);
    }
}

/// How long a sent transaction may take to be mined before a call gives up on it, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What an arena is; none of it ever changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaInfo {
    /// Where its signatures count.
    pub domain: Domain,
    /// Signs guarantees and receipts (R2.4).
    pub operator: Address,
    /// The asset: an ERC-20, or zero for the native coin.
    pub token: Address,
    /// Applies what disputes decide; zero for none.
    pub court: Address,
    /// Judges by the rules that a contest brings along (R7.8); zero where there is no court.
    pub referee: Address,
    /// How long an exit takes, in seconds.
    pub exit_window: u32,
}

impl ArenaInfo {
    /// Whether the asset is the chain's own coin.
    pub fn is_native(&self) -> bool {
        self.token.is_zero()
    }
}

/// What the chain says of an account (section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainAccount {
    /// Deposits less withdrawals, and outcomes that no statement has absorbed.
    pub funds: i128,
    /// The newest settled statement's word.
    pub net: i128,
    /// The matches that it settled.
    pub set: SettledSet,
    /// Outcomes that no statement has absorbed (R6.10).
    pub claims: u8,
    /// Whether there is a lock or an exit.
    pub special: bool,
    /// All withdrawals ever.
    pub withdrawn: Amount,
    /// Stakes locked in an exit.
    pub locked: Amount,
    /// When the exit window ends, in Unix seconds; zero without an exit.
    pub exit_at: u64,
    /// Exits so far.
    pub nonce: u64,
}

impl ChainAccount {
    /// What it is worth; negative for a debt to the pool (R3.1).
    pub fn equity(&self) -> i128 {
        self.funds + self.net
    }

    /// What could be paid out (R3.2).
    pub fn payable(&self) -> Amount {
        Amount::new(self.equity().max(0).unsigned_abs()).unwrap_or(Amount::MAX)
    }

    /// What could be paid out that is not locked.
    pub fn free(&self) -> Amount {
        self.payable().checked_sub(self.locked).unwrap_or_default()
    }

    /// The settled statement.
    pub fn statement(&self) -> Statement {
        Statement { net: self.net, set: self.set }
    }

    /// Whether an exit was opened: the account plays no more.
    pub fn is_leaving(&self) -> bool {
        self.exit_at != 0
    }
}

/// The operator's own money in the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// What it has.
    pub equity: Amount,
    /// What it owes to players (R3.5).
    pub owed: u128,
    /// Batches settled so far.
    pub batches: u32,
}

/// A transaction that was mined and did what it was to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutcome {
    /// Its hash.
    pub hash: B256,
    /// Gas it took.
    pub gas_used: u64,
    /// Wei per gas that it paid.
    pub effective_gas_price: u128,
    /// Its block.
    pub block: u64,
    /// What it logged.
    pub logs: Vec<LogEntry>,
}

impl TxOutcome {
    pub(crate) fn of(receipt: Receipt) -> TxOutcome {
        TxOutcome {
            hash: receipt.transaction_hash,
            gas_used: receipt.gas_used.to(),
            effective_gas_price: receipt.price(),
            block: receipt.block_number.to(),
            logs: receipt.logs,
        }
    }
}

/// A withdrawal that both parties signed; anybody may submit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedWithdrawal {
    /// Whose.
    pub player: Player,
    /// What was signed.
    pub withdrawal: Withdrawal,
    /// By the account.
    pub account: Signature,
    /// By the operator.
    pub operator: Signature,
}

/// One arena, through a provider that may hold a wallet.
#[derive(Clone, Debug)]
pub struct ArenaChain<P> {
    rpc: Rpc<P>,
    info: ArenaInfo,
    patience: Duration,
}

/// Reads what the arena at this address is, and checks that it is one.
///
/// # Errors
/// No node, no code, or no arena.
pub async fn read_arena<P: Provider>(rpc: &Rpc<P>, arena: Address) -> Result<ArenaInfo, ArenaError> {
    let chain_id = rpc.chain_id().await?;
    if rpc.code(arena).await?.is_empty() {
        return Err(ArenaError::NoCode { arena, chain_id });
    }
    let other = |reason: String| ArenaError::NotAnArena { arena, reason };
    let unless_other = |error: ProviderError| match Revert::of(&error) {
        Some(_) => other("it refuses an arena's calls".to_owned()),
        None if matches!(error, ProviderError::Malformed { .. }) => {
            other("it answers an arena's calls otherwise".to_owned())
        }
        None => ArenaError::Provider(error),
    };
    let at = BlockId::Latest;
    let domain = read_contract(rpc, arena, &abi::Arena::eip712DomainCall {}, at).await.map_err(unless_other)?;
    if domain.name != "Matchlock" || domain.version != "1" {
        return Err(other(format!("it calls itself {:?}, version {:?}", domain.name, domain.version)));
    }
    if domain.verifyingContract != arena || domain.chainId != U256::from(chain_id) {
        return Err(other(format!(
            "it says that it is {} on chain {}; a proxy is no arena",
            domain.verifyingContract, domain.chainId
        )));
    }
    let domain = Domain { chain_id, arena, salt: domain.salt };
    let separator = read_contract(rpc, arena, &abi::Arena::domainSeparatorCall {}, at).await.map_err(unless_other)?;
    if separator != domain.separator() {
        return Err(other("its signatures are of another domain".to_owned()));
    }
    let court = read_contract(rpc, arena, &abi::Arena::courtCall {}, at).await.map_err(unless_other)?;
    // An arena works without its court, but for disputes.
    let referee = match read_contract(rpc, court, &abi::Court::REFEREECall {}, at).await {
        Ok(referee) => referee,
        Err(error) if Revert::of(&error).is_some() || matches!(error, ProviderError::Malformed { .. }) => Address::ZERO,
        Err(error) => return Err(ArenaError::Provider(error)),
    };
    Ok(ArenaInfo {
        domain,
        operator: read_contract(rpc, arena, &abi::Arena::operatorCall {}, at).await.map_err(unless_other)?,
        token: read_contract(rpc, arena, &abi::Arena::tokenCall {}, at).await.map_err(unless_other)?,
        court,
        referee,
        exit_window: read_contract(rpc, arena, &abi::Arena::exitWindowCall {}, at).await.map_err(unless_other)?,
    })
}

/// What a view of a contract returns, at a block.
///
/// # Errors
/// No node; the call reverts; an answer that is not of the call's type.
pub async fn read_contract<P: Provider, C: SolCall>(
    rpc: &Rpc<P>,
    contract: Address,
    call: &C,
    at: BlockId,
) -> Result<C::Return, ProviderError> {
    let answer = rpc.call(&Call::view(contract, call.abi_encode()), at).await?;
    C::abi_decode_returns_validate(&answer).map_err(|error| malformed(C::SIGNATURE, error.to_string()))
}

impl ChainAccount {
    /// Reads an account at a block.
    ///
    /// # Errors
    /// As [`read_contract`].
    pub async fn read<P: Provider>(
        rpc: &Rpc<P>,
        arena: Address,
        account: AccountId,
        at: BlockId,
    ) -> Result<ChainAccount, ProviderError> {
        Ok(read_contract(rpc, arena, &abi::Arena::accountOfCall { account: account.0 }, at).await?.into())
    }
}

impl From<abi::Arena::accountOfReturn> for ChainAccount {
    fn from(read: abi::Arena::accountOfReturn) -> ChainAccount {
        ChainAccount {
            funds: signed(read.funds),
            net: signed(read.net),
            set: SettledSet { through: read.through, pending: read.pending },
            claims: read.claims,
            special: read.special,
            withdrawn: amount(read.withdrawn),
            locked: amount(read.locked),
            exit_at: read.exitAt.to(),
            nonce: read.nonce.to(),
        }
    }
}

impl Pool {
    /// Reads the pool at a block.
    ///
    /// # Errors
    /// As [`read_contract`].
    pub async fn read<P: Provider>(rpc: &Rpc<P>, arena: Address, at: BlockId) -> Result<Pool, ProviderError> {
        let read = read_contract(rpc, arena, &abi::Arena::poolCall {}, at).await?;
        Ok(Pool { equity: amount(read.equity), owed: read.owed, batches: read.batches })
    }
}

fn signed(units: I96) -> i128 {
    units.try_into().expect("96 bits")
}

fn amount(units: U96) -> Amount {
    Amount::new(units.to()).expect("96 bits")
}

impl<P: Provider> ArenaChain<P> {
    /// Checks that there is an arena at this address of the provider's chain.
    ///
    /// # Errors
    /// No node, no code, or no arena.
    pub async fn connect(provider: P, arena: Address) -> Result<ArenaChain<P>, ArenaError> {
        let rpc = Rpc(provider);
        let info = read_arena(&rpc, arena).await?;
        Ok(ArenaChain { rpc, info, patience: PATIENCE })
    }

    /// Waits so long for each transaction to be mined.
    pub fn with_patience(mut self, patience: Duration) -> ArenaChain<P> {
        self.patience = patience;
        self
    }

    /// What the arena is.
    pub fn info(&self) -> &ArenaInfo {
        &self.info
    }

    /// Where its signatures count.
    pub fn domain(&self) -> Domain {
        self.info.domain
    }

    /// The provider's answers, typed.
    pub fn rpc(&self) -> &Rpc<P> {
        &self.rpc
    }

    /// What the chain says of an account.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn account(&self, account: AccountId) -> Result<ChainAccount, ProviderError> {
        ChainAccount::read(&self.rpc, self.info.domain.arena, account, BlockId::Latest).await
    }

    /// The operator's pool.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn pool(&self) -> Result<Pool, ProviderError> {
        Pool::read(&self.rpc, self.info.domain.arena, BlockId::Latest).await
    }

    /// What `owner` has of the arena's asset outside of it.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn balance(&self, owner: Address) -> Result<U256, ProviderError> {
        if self.info.is_native() {
            return self.rpc.balance(owner).await;
        }
        read_contract(&self.rpc, self.info.token, &Erc20::balanceOfCall { owner }, BlockId::Latest).await
    }

    /// Whether the chain has applied an outcome of this match.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn is_concluded(&self, id: MatchId) -> Result<bool, ProviderError> {
        is_concluded(&self.rpc, self.info.domain.arena, id, BlockId::Latest).await
    }

    /// Whether a result is under a batch's root (R6.9).
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn prove_result(&self, batch: u32, leaf: &ResultLeaf, proof: &[B256]) -> Result<bool, ProviderError> {
        self.read(&abi::Arena::proveResultCall { batch, result: leaf.into(), proof: proof.to_vec() }).await
    }

    /// Adds the wallet's money to an account. A token is approved first where needed, which is a second transaction.
    ///
    /// # Errors
    /// The wallet or the contract refuses, or the chain cannot be reached.
    pub async fn deposit(&self, account: AccountId, amount: Amount) -> Result<TxOutcome, CallError> {
        if self.info.is_native() {
            let value = U256::from(amount.units());
            return self.transact(&abi::Arena::depositCall { account: account.0 }, value).await;
        }
        self.approve(amount).await?;
        self.transact(&abi::Arena::depositTokenCall { account: account.0, amount: amount.into() }, U256::ZERO).await
    }

    /// Adds the wallet's money to the pool.
    ///
    /// # Errors
    /// As [`ArenaChain::deposit`].
    pub async fn fund(&self, amount: Amount) -> Result<TxOutcome, CallError> {
        if self.info.is_native() {
            return self.transact(&abi::Arena::fundCall {}, U256::from(amount.units())).await;
        }
        self.approve(amount).await?;
        self.transact(&abi::Arena::fundTokenCall { amount: amount.into() }, U256::ZERO).await
    }

    async fn approve(&self, amount: Amount) -> Result<(), CallError> {
        let (token, spender, amount) = (self.info.token, self.info.domain.arena, U256::from(amount.units()));
        let owner = self.sender().await?;
        let at = BlockId::Latest;
        let allowed = read_contract(&self.rpc, token, &Erc20::allowanceCall { owner, spender }, at).await?;
        if allowed >= amount {
            return Ok(());
        }
        // Some tokens refuse to change an allowance that is neither zero nor becomes zero.
        if !allowed.is_zero() {
            let call = Erc20::approveCall { spender, amount: U256::ZERO };
            self.send(token, call.abi_encode(), U256::ZERO).await?;
        }
        self.send(token, Erc20::approveCall { spender, amount }.abi_encode(), U256::ZERO).await?;
        Ok(())
    }

    /// Pays a withdrawal that account and operator signed to the account's owner, whoever submits it.
    ///
    /// # Errors
    /// As [`ArenaChain::deposit`]. Refused once its deadline is over or another statement was settled since: ask the client
    /// for a new one.
    pub async fn withdraw(&self, signed: &SignedWithdrawal) -> Result<TxOutcome, CallError> {
        let SignedWithdrawal { player, withdrawal, account, operator } = signed;
        let call = abi::Arena::withdrawCall {
            owner: player.owner,
            key: player.key,
            total: withdrawal.total.into(),
            deadline: withdrawal.deadline,
            accountSig: account.0.into(),
            operatorSig: operator.0.into(),
        };
        self.transact(&call, U256::ZERO).await
    }

    /// Opens an account's exit, with the newest receipt or without one. The owner needs no signature as sender; anyone
    /// else gives the account key's on [`Exit`](crate::abi::Exit).
    ///
    /// # Errors
    /// As [`ArenaChain::deposit`].
    pub async fn exit(
        &self,
        player: Player,
        receipt: Option<(&Statement, &Signature)>,
        signature: Option<&Signature>,
    ) -> Result<TxOutcome, CallError> {
        let entry = receipt.map(|(statement, receipt)| settle::exit_entry(statement, receipt)).unwrap_or_default();
        let call = abi::Arena::exitCall {
            owner: player.owner,
            key: player.key,
            entry: entry.into(),
            exitSig: signature.map(|signature| signature.0.into()).unwrap_or_default(),
        };
        self.transact(&call, U256::ZERO).await
    }

    /// Pays what an exit whose window has passed leaves to the owner.
    ///
    /// # Errors
    /// As [`ArenaChain::deposit`].
    pub async fn finish_exit(&self, player: Player) -> Result<TxOutcome, CallError> {
        let call = abi::Arena::finishExitCall { owner: player.owner, key: player.key };
        self.transact(&call, U256::ZERO).await
    }

    /// Applies a final state. `owners` are the seats' owners; `signatures` are on the state: the seats' in order, then
    /// the operator's.
    ///
    /// # Errors
    /// As [`ArenaChain::deposit`].
    pub async fn conclude(
        &self,
        terms: &MatchTerms,
        last: &State,
        owners: &[Address],
        signatures: &[Signature],
    ) -> Result<TxOutcome, CallError> {
        let call = abi::Arena::concludeCall::of(terms, last, owners, signatures);
        self.transact(&call, U256::ZERO).await
    }

    /// Settles statements that both parties signed. Those that cannot be applied are left out, with a log that says why.
    ///
    /// # Errors
    /// As [`ArenaChain::deposit`].
    pub async fn settle_signed(&self, pairs: &[Pair]) -> Result<TxOutcome, CallError> {
        let entries: Vec<u8> = pairs.iter().flat_map(settle::signed_entry).collect();
        self.transact(&abi::Arena::settleSignedCall { entries: entries.into() }, U256::ZERO).await
    }

    /// Keeps a seat's stake of an open match back from its account's exit. `signatures` are on the terms: the seats' in
    /// order, then the operator's.
    ///
    /// # Errors
    /// As [`ArenaChain::deposit`].
    pub async fn lock(
        &self,
        terms: &MatchTerms,
        seat: Seat,
        owners: &[Address],
        signatures: &[Signature],
    ) -> Result<TxOutcome, CallError> {
        let call = abi::Arena::lockCall::of(terms, seat, owners, signatures);
        self.transact(&call, U256::ZERO).await
    }

    /// Frees a locked stake whose match is over.
    ///
    /// # Errors
    /// As [`ArenaChain::deposit`].
    pub async fn release(&self, terms: &MatchTerms, seat: Seat) -> Result<TxOutcome, CallError> {
        self.transact(&abi::Arena::releaseCall { terms: terms.into(), seat: seat.0 }, U256::ZERO).await
    }

    /// What any view of the arena returns.
    ///
    /// # Errors
    /// As [`read_contract`].
    pub async fn read<C: SolCall>(&self, call: &C) -> Result<C::Return, ProviderError> {
        read_contract(&self.rpc, self.info.domain.arena, call, BlockId::Latest).await
    }

    /// Sends any call of the arena from the wallet's first account, and waits until it is mined.
    ///
    /// # Errors
    /// As [`ArenaChain::deposit`].
    pub async fn transact<C: SolCall>(&self, call: &C, value: U256) -> Result<TxOutcome, CallError> {
        self.send(self.info.domain.arena, call.abi_encode(), value).await
    }

    /// The wallet's first account; a browser's wallet may ask its user.
    ///
    /// # Errors
    /// There is none, or the user says no.
    pub async fn sender(&self) -> Result<Address, CallError> {
        let accounts: Vec<Address> = self.rpc.ask("eth_requestAccounts", json!([])).await?;
        accounts.first().copied().ok_or(CallError::NoAccount)
    }

    pub(crate) async fn send(&self, to: Address, data: Vec<u8>, value: U256) -> Result<TxOutcome, CallError> {
        let call = Call { from: Some(self.sender().await?), to: Some(to), data: data.into(), value };
        // A wallet would estimate too, but say less of why it reverts.
        let refused = |error: ProviderError| match Revert::of(&error) {
            Some(revert) => CallError::Refused(revert),
            None => CallError::Provider(error),
        };
        self.rpc.call(&call, BlockId::Latest).await.map_err(refused)?;
        let hash: B256 = self.rpc.ask("eth_sendTransaction", json!([call.value()])).await.map_err(refused)?;
        let receipt = self.rpc.mined(hash, self.patience).await?;
        let receipt = receipt.ok_or(CallError::Pending { hash, seconds: self.patience.as_secs() })?;
        if receipt.succeeded() {
            return Ok(TxOutcome::of(receipt));
        }
        let revert = self.rpc.why_reverted(&call, receipt.block_number.to()).await;
        Err(CallError::Reverted { hash, revert })
    }
}

impl<P: Provider> Rpc<P> {
    /// The receipt of a transaction, once it is mined; `None` if it is not within `patience`.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn mined(&self, hash: B256, patience: Duration) -> Result<Option<Receipt>, ProviderError> {
        const SLOWEST: Duration = Duration::from_secs(2);
        let mut pause = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        loop {
            match self.receipt(hash).await {
                Ok(Some(receipt)) => return Ok(Some(receipt)),
                Ok(None) if waited >= patience => return Ok(None),
                // It is on its way: a node that stumbles is asked again.
                Err(error) if waited >= patience => return Err(error),
                _ => {}
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 3 / 2).min(SLOWEST);
        }
    }

    /// Why a mined transaction reverted, as far as running it again in its block's state tells.
    pub async fn why_reverted(&self, call: &Call, block: u64) -> Revert {
        let again = self.call(call, BlockId::Number(block)).await;
        again.err().and_then(|error| Revert::of(&error)).unwrap_or_default()
    }
}

/// `OutcomeLib.DISPUTED` of Records.sol: the status of a match that is before the court.
pub const DISPUTED: u8 = 1;
/// `OutcomeLib.CONCLUDED` of Records.sol: the status of a match whose outcome is applied.
pub const CONCLUDED: u8 = 2;

/// Whether the chain has applied an outcome of this match, at a block.
///
/// # Errors
/// The chain cannot be read.
pub async fn is_concluded<P: Provider>(
    rpc: &Rpc<P>,
    arena: Address,
    id: MatchId,
    at: BlockId,
) -> Result<bool, ProviderError> {
    let outcome = read_contract(rpc, arena, &abi::Arena::outcomeOfCall { id: id.0 }, at).await?;
    Ok(outcome.status == CONCLUDED)
}
