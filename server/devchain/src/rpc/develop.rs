//! Methods that no real chain has, under the names that anvil and hardhat gave them.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    params::{Params, invalid},
    shape,
};
use crate::{
    chain::{Chain, Replacement},
    error::ChainError,
    pool::{Pool, Pooled},
};

pub(crate) fn answer(chain: &Chain, method: &str, params: &Params) -> Result<Value, ChainError> {
    let name = method.strip_prefix("anvil_").or_else(|| method.strip_prefix("hardhat_"));
    match (method, name) {
        ("evm_increaseTime", _) | (_, Some("increaseTime")) => {
            let seconds = params.required_quantity(0, "seconds")?;
            Ok(json!(chain.increase_time(seconds)?))
        }
        ("evm_setNextBlockTimestamp", _) | (_, Some("setNextBlockTimestamp")) => {
            chain.set_next_timestamp(params.required_quantity(0, "timestamp")?)?;
            Ok(Value::Null)
        }
        ("evm_mine", _) => {
            // anvil's long form is an object; the short one is the timestamp alone.
            let options = match params.value(0) {
                Some(Value::Object(options)) => {
                    let option = |name| options.get(name).cloned().unwrap_or_default();
                    Params::new(json!([option("timestamp"), option("blocks")]))?
                }
                timestamp => Params::new(json!([timestamp]))?,
            };
            let blocks = options.quantity(1, "blocks")?.unwrap_or(1);
            chain.mine(blocks, None, options.quantity(0, "timestamp")?)?;
            Ok(json!("0x0"))
        }
        (_, Some("mine")) => {
            let count = params.quantity(0, "blocks")?.unwrap_or(1);
            chain.mine(count, params.quantity(1, "interval")?, None)?;
            Ok(Value::Null)
        }
        ("evm_snapshot", _) | (_, Some("snapshot")) => Ok(shape::quantity(chain.snapshot()?)),
        ("evm_revert", _) | (_, Some("revert")) => {
            let id = params.required_quantity(0, "snapshot")?;
            Ok(json!(chain.revert(id)?))
        }
        ("evm_setAutomine", _) | (_, Some("setAutomine")) => {
            chain.set_automine(params.required(0, "automine")?)?;
            Ok(Value::Null)
        }
        (_, Some("getAutomine")) => Ok(json!(chain.view()?.meta.automine)),
        (_, Some("setBalance")) => {
            let address: Address = params.required(0, "address")?;
            chain.set_balance(address, params.number(1, "balance")?)?;
            Ok(Value::Null)
        }
        (_, Some("setNonce")) => {
            let address: Address = params.required(0, "address")?;
            chain.set_nonce(address, params.required_quantity(1, "nonce")?)?;
            Ok(Value::Null)
        }
        (_, Some("setCode")) => {
            let address: Address = params.required(0, "address")?;
            let code: Bytes = params.required(1, "code")?;
            if code.starts_with(&[0xef]) {
                return Err(invalid("code must not start with 0xef (EIP-3541)"));
            }
            chain.set_code(address, code)?;
            Ok(Value::Null)
        }
        (_, Some("setStorageAt")) => {
            let address: Address = params.required(0, "address")?;
            let slot = params.number(1, "slot")?;
            let value: U256 = params.number(2, "value")?;
            chain.set_slot(address, slot, value)?;
            Ok(json!(true))
        }
        (_, Some("setNextBlockBaseFeePerGas")) => {
            chain.set_next_base_fee(params.required_quantity(0, "base fee")?)?;
            Ok(Value::Null)
        }
        (_, Some("dropTransaction")) => {
            let hash: B256 = params.required(0, "transaction hash")?;
            match chain.drop_transaction(hash) {
                Ok(()) => Ok(json!(hash)),
                Err(ChainError::NotPending(_)) => Ok(Value::Null),
                Err(error) => Err(error),
            }
        }
        (_, Some("reorg" | "reorganize")) => reorg(chain, params),
        ("txpool_status", _) => status(chain),
        ("txpool_content", _) => content(chain),
        _ => Err(ChainError::UnknownMethod(method.to_owned())),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReorgOptions {
    depth: u64,
    #[serde(default, alias = "tx_block_pairs")]
    tx_block_pairs: Vec<(Value, u64)>,
}

/// `(depth, [[transaction, block], ...])`, or the same as one object.
fn reorg(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let options = match params.value(0) {
        Some(Value::Object(_)) => params.required(0, "options")?,
        _ => ReorgOptions {
            depth: params.required_quantity(0, "depth")?,
            tx_block_pairs: params.optional(1, "transactions")?.unwrap_or_default(),
        },
    };
    let replacements = options
        .tx_block_pairs
        .into_iter()
        .map(|(transaction, place)| {
            let transaction = Params::new(json!([transaction]))?;
            let replacement = match transaction.value(0) {
                Some(Value::String(_)) => Replacement::Raw(transaction.required(0, "raw transaction")?),
                _ => {
                    let request = transaction.call_request(chain.rules.chain_id)?;
                    Replacement::Request(Box::new(request))
                }
            };
            Ok((replacement, place))
        })
        .collect::<Result<Vec<_>, ChainError>>()?;
    chain.reorg(options.depth, &replacements)?;
    Ok(Value::Null)
}

fn status(chain: &Chain) -> Result<Value, ChainError> {
    let (pending, queued) = sorted(chain)?;
    Ok(json!({
        "pending": shape::quantity(pending.len() as u64),
        "queued": shape::quantity(queued.len() as u64),
    }))
}

fn content(chain: &Chain) -> Result<Value, ChainError> {
    let (pending, queued) = sorted(chain)?;
    let group = |waiting: Vec<std::sync::Arc<Pooled>>| {
        let mut object = json!({});
        for pooled in waiting {
            let signed = &pooled.signed;
            object[signed.sender.to_checksum(None)][signed.nonce().to_string()] =
                shape::transaction(&signed.envelope, signed.sender);
        }
        object
    };
    Ok(json!({ "pending": group(pending), "queued": group(queued) }))
}

type Waiting = Vec<std::sync::Arc<Pooled>>;

/// The waiting transactions: those whose turn can come, and those behind a gap.
fn sorted(chain: &Chain) -> Result<(Waiting, Waiting), ChainError> {
    let pool = chain.look_at_pool(Pool::clone);
    let view = chain.view()?;
    let (mut pending, mut queued) = (Vec::new(), Vec::new());
    for (sender, waiting) in pool.senders() {
        let nonce = view.account(*sender)?.map_or(0, |account| account.nonce);
        let next = pool.pending_nonce(*sender, nonce);
        for (nonce, pooled) in waiting {
            let group = if *nonce < next { &mut pending } else { &mut queued };
            group.push(pooled.clone());
        }
    }
    Ok((pending, queued))
}
