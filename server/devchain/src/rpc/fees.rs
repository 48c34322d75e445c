//! What to pay.

use alloy_consensus::Transaction as _;
use serde_json::{Value, json};

use super::{
    params::{BlockTag, Params, invalid},
    read, shape,
};
use crate::{
    chain::{Chain, SUGGESTED_TIP},
    draft,
    error::ChainError,
    store::{Block, View},
};

/// How many blocks one request may ask about, as in geth.
const HISTORY: u64 = 1_024;

/// How many percentiles one request may ask for, as in geth.
const PERCENTILES: usize = 100;

/// The next block's base fee and the suggested tip together.
pub(crate) fn gas_price(chain: &Chain) -> Result<Value, ChainError> {
    let view = chain.view()?;
    let base_fee = next_base_fee(&view)?;
    Ok(shape::quantity(u128::from(base_fee) + SUGGESTED_TIP))
}

pub(crate) fn tip() -> Value {
    shape::quantity(SUGGESTED_TIP)
}

pub(crate) fn history(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let count = params.required_quantity(0, "block count")?.min(HISTORY);
    let tag = params.block(1, BlockTag::Latest)?;
    let percentiles: Vec<f64> = params.optional(2, "percentiles")?.unwrap_or_default();
    let ordered = percentiles.is_sorted() && percentiles.iter().all(|p| (0.0..=100.0).contains(p));
    if !ordered || percentiles.len() > PERCENTILES {
        return Err(invalid("percentiles must be at most 100 numbers from 0 to 100, in ascending order"));
    }
    let view = chain.view()?;
    let newest =
        read::number(chain, &view, tag)?.filter(|number| *number <= view.meta.head).ok_or(ChainError::UnknownBlock)?;
    let oldest = (newest + 1).saturating_sub(count);

    let mut base_fees = Vec::new();
    let mut ratios = Vec::new();
    let mut rewards = Vec::new();
    for number in oldest..=newest {
        if count == 0 {
            break;
        }
        let block = view.block(number)?.ok_or(ChainError::UnknownBlock)?;
        base_fees.push(shape::quantity(block.header.base_fee_per_gas.unwrap_or_default()));
        ratios.push(block.header.gas_used as f64 / block.header.gas_limit.max(1) as f64);
        if !percentiles.is_empty() {
            rewards.push(block_rewards(&block, &percentiles));
        }
    }
    let after = match view.header(newest + 1)? {
        Some((_, header)) => header.base_fee_per_gas.unwrap_or_default(),
        None => next_base_fee(&view)?,
    };
    base_fees.push(shape::quantity(after));

    let blocks = ratios.len();
    let mut answer = json!({
        "oldestBlock": shape::quantity(oldest),
        "baseFeePerGas": base_fees,
        "gasUsedRatio": ratios,
        "baseFeePerBlobGas": vec!["0x1"; blocks + 1],
        "blobGasUsedRatio": vec![0.0; blocks],
    });
    if !percentiles.is_empty() {
        answer["reward"] = json!(rewards);
    }
    Ok(answer)
}

fn next_base_fee(view: &View) -> Result<u64, ChainError> {
    let (_, header) = view.header(view.meta.head)?.ok_or(ChainError::UnknownBlock)?;
    let set = view.meta.next_base_fee;
    Ok(set.unwrap_or_else(|| draft::base_fee_after(&header)))
}

/// The tips at each percentile of the block's gas.
fn block_rewards(block: &Block, percentiles: &[f64]) -> Vec<Value> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let mut before = 0;
    let mut tips: Vec<(u128, u64)> = block
        .entries
        .iter()
        .map(|entry| {
            let cumulative = entry.receipt.cumulative_gas_used();
            let gas = cumulative - before;
            before = cumulative;
            let tip = entry.transaction.effective_tip_per_gas(base_fee);
            (tip.unwrap_or_default(), gas)
        })
        .collect();
    tips.sort_unstable();
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = block.header.gas_used as f64 * percentile / 100.0;
            let mut sum = 0;
            let tip = tips.iter().find(|(_, gas)| {
                sum += gas;
                sum as f64 >= threshold
            });
            shape::quantity(tip.or(tips.last()).map_or(0, |(tip, _)| *tip))
        })
        .collect()
}
