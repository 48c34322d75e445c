//! `eth_getLogs`.

use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};
use serde::Deserialize;
use serde_json::Value;

use super::{
    params::{BlockTag, Params, block_tag, invalid},
    read, shape,
};
use crate::{chain::Chain, error::ChainError, store::View};

/// How many blocks one request may look through.
const RANGE_BLOCKS: u64 = 100_000;

/// How many logs one answer may hold.
const ANSWER_LOGS: usize = 10_000;

/// How many addresses or topics a filter may list in one place.
const ALTERNATIVES: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    from_block: Option<Value>,
    to_block: Option<Value>,
    block_hash: Option<B256>,
    address: Option<OneOrMany<Address>>,
    #[serde(default)]
    topics: Option<Vec<Option<OneOrMany<B256>>>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    /// An entry of null means "anything", as a null in its place does.
    Many(Vec<Option<T>>),
}

/// What a log must have; an empty list means anything.
struct Wanted {
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
}

pub(crate) fn logs(chain: &Chain, params: &Params) -> Result<Value, ChainError> {
    let filter: Filter = params.required(0, "filter")?;
    let view = chain.view()?;
    let numbers = filter.numbers(chain, &view)?;
    find(&view, &Wanted::new(filter)?, numbers)
}

/// The logs of the blocks from `first` on that the filter covers; what a polled filter has not reported yet.
pub(crate) fn logs_from(chain: &Chain, params: &Params, view: &View, first: u64) -> Result<Value, ChainError> {
    let filter: Filter = params.required(0, "filter")?;
    let numbers = filter.numbers(chain, view)?;
    // Only an end that was named ends the filter; `latest` moves on.
    let (begin, end) = match filter.block_hash {
        Some(_) => (*numbers.start(), *numbers.end()),
        None => (Filter::named(&filter.from_block)?.unwrap_or(0), Filter::named(&filter.to_block)?.unwrap_or(u64::MAX)),
    };
    find(view, &Wanted::new(filter)?, first.max(begin)..=end.min(view.meta.head))
}

fn find(view: &View, wanted: &Wanted, numbers: RangeInclusive<u64>) -> Result<Value, ChainError> {
    if numbers.end().saturating_sub(*numbers.start()) >= RANGE_BLOCKS {
        return Err(ChainError::Limit { what: "the block range of eth_getLogs", limit: RANGE_BLOCKS });
    }
    let mut found = Vec::new();
    for number in numbers {
        let Some((_, header)) = view.header(number)? else {
            continue;
        };
        if !wanted.may_be_in(&header.logs_bloom) {
            continue;
        }
        let Some(block) = view.block(number)? else {
            continue;
        };
        let mut log_index = 0;
        for (index, entry) in block.entries.iter().enumerate() {
            for log in entry.receipt.logs() {
                if wanted.matches(log) {
                    if found.len() >= ANSWER_LOGS {
                        return Err(ChainError::Limit { what: "the answer of eth_getLogs", limit: ANSWER_LOGS as u64 });
                    }
                    found.push(shape::log(&block, index, log_index, log));
                }
                log_index += 1;
            }
        }
    }
    Ok(Value::Array(found))
}

impl Filter {
    /// The blocks it asks about; empty when it begins after it ends.
    fn numbers(&self, chain: &Chain, view: &View) -> Result<RangeInclusive<u64>, ChainError> {
        if let Some(hash) = self.block_hash {
            if self.from_block.is_some() || self.to_block.is_some() {
                return Err(invalid("`blockHash` and `fromBlock`/`toBlock` exclude each other"));
            }
            let number = view.number_of(hash)?.ok_or(ChainError::UnknownBlock)?;
            return Ok(number..=number);
        }
        let end = |tag: &Option<Value>| -> Result<u64, ChainError> {
            let tag = tag.as_ref().filter(|tag| !tag.is_null());
            let tag = tag.map_or(Ok(BlockTag::Latest), block_tag)?;
            read::number(chain, view, tag)?.ok_or(ChainError::UnknownBlock)
        };
        Ok(end(&self.from_block)?..=end(&self.to_block)?.min(view.meta.head))
    }

    /// The number an end of the range was given as, unless it is a tag that moves.
    fn named(end: &Option<Value>) -> Result<Option<u64>, ChainError> {
        match end.as_ref().filter(|tag| !tag.is_null()).map(block_tag).transpose()? {
            Some(BlockTag::Number(number)) => Ok(Some(number)),
            _ => Ok(None),
        }
    }
}

impl Wanted {
    fn new(filter: Filter) -> Result<Self, ChainError> {
        let topics = filter.topics.unwrap_or_default();
        if topics.len() > 4 {
            return Err(invalid("a log has at most 4 topics"));
        }
        Ok(Self {
            addresses: alternatives(filter.address)?,
            topics: topics.into_iter().map(alternatives).collect::<Result<_, _>>()?,
        })
    }

    fn may_be_in(&self, bloom: &Bloom) -> bool {
        let has = |input: &[u8]| bloom.contains_input(BloomInput::Raw(input));
        let any_of = |topics: &Vec<B256>| topics.iter().any(|topic| has(topic.as_slice()));
        let address = self.addresses.is_empty() || self.addresses.iter().any(|address| has(address.as_slice()));
        let topics = &self.topics;
        address && topics.iter().all(|topic| topic.is_empty() || any_of(topic))
    }

    fn matches(&self, log: &Log) -> bool {
        let topics = log.topics();
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= topics.len()
            && self.topics.iter().zip(topics).all(|(wanted, topic)| wanted.is_empty() || wanted.contains(topic))
    }
}

fn alternatives<T>(value: Option<OneOrMany<T>>) -> Result<Vec<T>, ChainError> {
    match value {
        None => Ok(Vec::new()),
        Some(OneOrMany::One(one)) => Ok(vec![one]),
        Some(OneOrMany::Many(many)) if many.len() > ALTERNATIVES => {
            Err(ChainError::Limit { what: "the alternatives in one place of a filter", limit: ALTERNATIVES as u64 })
        }
        Some(OneOrMany::Many(many)) => {
            // A null among the alternatives matches anything, so the others do not matter.
            Ok(many.into_iter().collect::<Option<Vec<T>>>().unwrap_or_default())
        }
    }
}
