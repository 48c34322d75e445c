//! Methods that look at blocks and state.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256};
use serde_json::{Value, json};

use super::{
    params::{BlockTag, Params},
    shape,
};
use crate::{
    chain::Chain,
    error::ChainError,
    evm,
    state::State,
    store::{Block, View},
};

pub(crate) fn block_by_number(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let tag = params.block(0, BlockTag::Latest)?;
    let full: bool = params.optional(1, "full transactions")?.unwrap_or(false);
    if tag == BlockTag::Pending {
        let pending = chain.pending()?;
        return Ok(pending.mined().last().map_or(Value::Null, |block| shape::block(block, full)));
    }
    Ok(block(chain, tag)?.map_or(Value::Null, |block| shape::block(&block, full)))
}

pub(crate) fn block_by_hash(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let hash: B256 = params.required(0, "block hash")?;
    let full: bool = params.optional(1, "full transactions")?.unwrap_or(false);
    let block = block(chain, BlockTag::Hash(hash))?;
    Ok(block.map_or(Value::Null, |block| shape::block(&block, full)))
}

pub(crate) fn block_receipts(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let block = block(chain, params.block(0, BlockTag::Latest)?)?;
    Ok(block.map_or(Value::Null, |block| shape::receipts(&block).into()))
}

pub(crate) fn transaction(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let hash: B256 = params.required(0, "transaction hash")?;
    // The pool first: what leaves it in between is in the view, which is taken after.
    let waiting = chain.look_at_pool(|pool| pool.by_hash(hash).cloned());
    if let Some((block, index)) = mined(&chain.view()?, hash)? {
        return Ok(shape::mined_transaction(&block, index, &block.entries[index]));
    }
    Ok(waiting.map_or(Value::Null, |waiting| shape::transaction(&waiting.signed.envelope, waiting.signed.sender)))
}

pub(crate) fn receipt(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let hash: B256 = params.required(0, "transaction hash")?;
    Ok(match mined(&chain.view()?, hash)? {
        Some((block, index)) => shape::receipts(&block).swap_remove(index),
        None => Value::Null,
    })
}

pub(crate) fn balance(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let address: Address = params.required(0, "address")?;
    let (state, _) = scene(chain, params.block(1, BlockTag::Latest)?)?;
    Ok(json!(format!("{:#x}", state.balance(address)?)))
}

pub(crate) fn transaction_count(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let address: Address = params.required(0, "address")?;
    let tag = params.block(1, BlockTag::Latest)?;
    if tag == BlockTag::Pending {
        // By what waits, not by what would fit into the next block.
        let pool = chain.look_at_pool(crate::pool::Pool::clone);
        let state = State::newest(Arc::new(chain.view()?));
        let next = pool.pending_nonce(address, state.nonce(address)?);
        return Ok(shape::quantity(next));
    }
    let (state, _) = scene(chain, tag)?;
    Ok(shape::quantity(state.nonce(address)?))
}

pub(crate) fn code(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let address: Address = params.required(0, "address")?;
    let (state, _) = scene(chain, params.block(1, BlockTag::Latest)?)?;
    Ok(json!(state.code(address)?))
}

pub(crate) fn storage(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let address: Address = params.required(0, "address")?;
    let slot = params.number(1, "slot")?;
    let (state, _) = scene(chain, params.block(2, BlockTag::Latest)?)?;
    Ok(json!(B256::from(state.slot(address, slot)?)))
}

pub(crate) fn call(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let request = params.call_request(chain.rules.chain_id)?;
    no_overrides(params)?;
    let (state, header) = scene(chain, params.block(1, BlockTag::Latest)?)?;
    let env = evm::block_env(&header);
    Ok(json!(evm::call(&state, chain.rules, &env, &request)?))
}

/// Against the pending block unless another is asked for: the next block's time is what the transaction will see.
pub(crate) fn estimate_gas(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let request = params.call_request(chain.rules.chain_id)?;
    no_overrides(params)?;
    let (state, header) = scene(chain, params.block(1, BlockTag::Pending)?)?;
    let env = evm::block_env(&header);
    let gas = evm::estimate(&state, chain.rules, &env, &request)?;
    Ok(shape::quantity(gas))
}

/// Answering as if an override were not there would be a wrong answer.
fn no_overrides(params: &Params) -> Result<(), ChainError> {
    let empty = |value: &Value| value.as_object().is_some_and(|object| object.is_empty());
    match [2, 3].iter().find_map(|index| params.value(*index)) {
        Some(value) if !empty(value) => Err(super::params::invalid(
            "state and block overrides are not supported; change the state with anvil_setBalance, anvil_setCode or \
             anvil_setStorageAt instead",
        )),
        _ => Ok(()),
    }
}

/// The block a tag names, if it is on the chain. `pending` has no block here and reads as the newest.
fn block(chain: &Chain, tag: BlockTag) -> Result<Option<Block>, ChainError> {
    let view = chain.view()?;
    match number(chain, &view, tag)? {
        Some(number) => Ok(view.block(number)?),
        None => Ok(None),
    }
}

/// The number of the block a tag names; `None` for a hash that is not on the chain.
pub(crate) fn number(chain: &Chain, view: &View, tag: BlockTag) -> Result<Option<u64>, ChainError> {
    let head = view.meta.head;
    Ok(match tag {
        BlockTag::Latest | BlockTag::Pending => Some(head),
        BlockTag::Safe => Some(head.saturating_sub(chain.safe_depth)),
        BlockTag::Finalized => Some(head.saturating_sub(chain.finalized_depth)),
        BlockTag::Number(number) => Some(number),
        BlockTag::Hash(hash) => view.number_of(hash)?,
    })
}

/// The state and the header a call at `tag` sees.
fn scene(chain: &Chain, tag: BlockTag) -> Result<(State, Header), ChainError> {
    if tag == BlockTag::Pending {
        let pending = chain.pending()?;
        let header = pending.head().1.clone();
        return Ok((pending.state, header));
    }
    let view = chain.view()?;
    let number = number(chain, &view, tag)?.ok_or(ChainError::UnknownBlock)?;
    let (_, header) = view.header(number)?.ok_or(ChainError::UnknownBlock)?;
    if number == view.meta.head {
        return Ok((State::newest(Arc::new(view)), header));
    }
    let oldest = view.meta.undo_floor;
    let state = State::at(Arc::new(view), number)?;
    Ok((state.ok_or(ChainError::StateGone { number, oldest })?, header))
}

fn mined(view: &View, hash: B256) -> Result<Option<(Block, usize)>, ChainError> {
    let Some((number, index)) = view.place_of(hash)? else {
        return Ok(None);
    };
    let block = view.block(number)?.ok_or(ChainError::UnknownBlock)?;
    if index >= block.entries.len() {
        return Err(crate::StoreError::Corrupt("transaction index").into());
    }
    Ok(Some((block, index)))
}
