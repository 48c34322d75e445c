//! Parameters as clients write them.

use alloy_primitives::{B256, U64, U256};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{error::ChainError, request::CallRequest};

/// The parameters of one request. Trailing ones may be missing or null.
pub(crate) struct Params {
    values: Vec<Value>,
}

/// Which block a client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockTag {
    Latest,
    Pending,
    Safe,
    Finalized,
    Number(u64),
    Hash(B256),
}

impl Params {
    pub(crate) fn new(params: Value) -> Result<Self, ChainError> {
        let values = match params {
            Value::Null => Vec::new(),
            Value::Array(values) => values,
            // A few development methods are called with one object.
            object @ Value::Object(_) => vec![object],
            _ => return Err(invalid("`params` must be an array")),
        };
        Ok(Self { values })
    }

    pub(crate) fn value(&self, index: usize) -> Option<&Value> {
        self.values.get(index).filter(|value| !value.is_null())
    }

    pub(crate) fn required<T: DeserializeOwned>(&self, index: usize, name: &str) -> Result<T, ChainError> {
        self.optional(index, name)?.ok_or_else(|| invalid(&format!("missing parameter {index} ({name})")))
    }

    pub(crate) fn optional<T: DeserializeOwned>(&self, index: usize, name: &str) -> Result<Option<T>, ChainError> {
        self.value(index)
            .map(|value| {
                T::deserialize(value).map_err(|error| invalid(&format!("parameter {index} ({name}): {error}")))
            })
            .transpose()
    }

    /// A quantity: hex, decimal string or number; all three are about.
    pub(crate) fn quantity(&self, index: usize, name: &str) -> Result<Option<u64>, ChainError> {
        Ok(self.optional::<U64>(index, name)?.map(|number| number.to()))
    }

    pub(crate) fn required_quantity(&self, index: usize, name: &str) -> Result<u64, ChainError> {
        Ok(self.required::<U64>(index, name)?.to())
    }

    pub(crate) fn number(&self, index: usize, name: &str) -> Result<U256, ChainError> {
        self.required(index, name)
    }

    pub(crate) fn block(&self, index: usize, default: BlockTag) -> Result<BlockTag, ChainError> {
        self.value(index).map_or(Ok(default), block_tag)
    }

    /// The transaction object, which is always the first parameter.
    pub(crate) fn call_request(&self, chain_id: u64) -> Result<CallRequest, ChainError> {
        let request: CallRequest = self.required(0, "transaction")?;
        match request.contradiction(chain_id) {
            None => Ok(request),
            Some(contradiction) => Err(invalid(contradiction)),
        }
    }
}

pub(crate) fn invalid(message: &str) -> ChainError {
    ChainError::InvalidParams(message.to_owned())
}

/// Parses a block tag, number, hash, or EIP-1898 object.
pub(crate) fn block_tag(value: &Value) -> Result<BlockTag, ChainError> {
    let unknown = || {
        invalid(
            "block must be latest, pending, safe, finalized, earliest, a hex number, a block hash, or an object \
             with `blockHash` or `blockNumber`",
        )
    };
    if let Value::Object(object) = value {
        if let Some(hash) = object.get("blockHash").filter(|hash| !hash.is_null()) {
            let hash = hash.as_str().and_then(|hash| hash.parse().ok());
            return Ok(BlockTag::Hash(hash.ok_or_else(unknown)?));
        }
        return match object.get("blockNumber") {
            Some(number @ Value::String(_)) => block_tag(number),
            _ => Err(unknown()),
        };
    }
    match value.as_str().ok_or_else(unknown)? {
        "latest" => Ok(BlockTag::Latest),
        "pending" => Ok(BlockTag::Pending),
        "safe" => Ok(BlockTag::Safe),
        "finalized" => Ok(BlockTag::Finalized),
        "earliest" => Ok(BlockTag::Number(0)),
        hash if hash.len() == 66 => Ok(BlockTag::Hash(hash.parse().map_err(|_| unknown())?)),
        number => {
            let digits = number.strip_prefix("0x").ok_or_else(unknown)?;
            u64::from_str_radix(digits, 16).map(BlockTag::Number).map_err(|_| unknown())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn block_tags_come_in_many_forms() {
        let hash = B256::repeat_byte(7);
        let good = [
            (json!("latest"), BlockTag::Latest),
            (json!("earliest"), BlockTag::Number(0)),
            (json!("0x10"), BlockTag::Number(16)),
            (json!(hash), BlockTag::Hash(hash)),
            (json!({ "blockNumber": "0x2" }), BlockTag::Number(2)),
            (json!({ "blockHash": hash, "requireCanonical": true }), BlockTag::Hash(hash)),
        ];
        for (value, tag) in good {
            assert_eq!(block_tag(&value).unwrap(), tag);
        }
        for value in [json!("16"), json!("0xzz"), json!({}), json!(3), json!("")] {
            assert!(block_tag(&value).is_err(), "{value}");
        }
    }
}
