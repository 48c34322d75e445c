//! What can go wrong, and how it looks over JSON-RPC.
//!
//! Codes and the leading words of messages are those of geth and anvil: wallets and client libraries recognise a
//! refusal by them.

use alloy_primitives::{B256, Bytes, U256, hex};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::StoreError;

/// Why a transaction was not accepted. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are not a transaction.
    #[error("transaction does not decode: {0}")]
    Malformed(String),
    /// More bytes than a transaction may have.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// The transaction's size in bytes.
        size: usize,
        /// The most a transaction may have.
        limit: usize,
    },
    /// A kind of transaction this chain does not run.
    #[error("transaction type not supported: {0}; use type 0, 1, 2 or 4")]
    UnsupportedType(&'static str),
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    WrongChain {
        /// The transaction's chain id.
        have: u64,
        /// This chain's id.
        want: u64,
    },
    /// Without a chain id it could be replayed on any chain.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// The signature does not recover, or its `s` is in the upper half (EIP-2).
    #[error("invalid sender: the signature does not recover or its s value is too high (EIP-2)")]
    BadSignature,
    /// The sender's account has already used this nonce.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The account's next nonce.
        next: u64,
        /// The transaction's nonce.
        nonce: u64,
    },
    /// Too far beyond the account's nonce to queue.
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}; at most {limit} may be queued")]
    NonceTooHigh {
        /// The account's next nonce.
        next: u64,
        /// The transaction's nonce.
        nonce: u64,
        /// How far ahead a nonce may be.
        limit: u64,
    },
    /// The sender cannot pay the most this could cost.
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")]
    InsufficientFunds {
        /// What the sender has.
        balance: U256,
        /// What the transaction could cost.
        cost: U256,
    },
    /// The fee cap is under the next block's base fee.
    #[error("max fee per gas less than block base fee: maxFeePerGas: {max_fee}, baseFee: {base_fee}")]
    Underpriced {
        /// The transaction's fee cap.
        max_fee: u128,
        /// The next block's base fee.
        base_fee: u64,
    },
    /// The tip is more than the whole fee.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    /// EIP-7825.
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasAboveCap {
        /// The transaction's gas limit.
        gas: u64,
        /// The most a transaction may ask for.
        cap: u64,
    },
    /// No block could hold it.
    #[error("exceeds block gas limit: {limit}, tx: {gas}")]
    GasAboveBlock {
        /// The transaction's gas limit.
        gas: u64,
        /// The block's.
        limit: u64,
    },
    /// Less gas than the transaction costs before its first instruction.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas {
        /// The transaction's gas limit.
        gas: u64,
        /// The least it needs.
        needed: u64,
    },
    /// This very transaction is waiting already.
    #[error("already known")]
    AlreadyKnown,
    /// Another transaction waits with this nonce and pays too much to be replaced for this one's fee.
    #[error("replacement transaction underpriced: needs maxFeePerGas {max_fee} and a tip of {tip}")]
    ReplacementUnderpriced {
        /// The least fee cap that replaces.
        max_fee: u128,
        /// The least tip that replaces.
        tip: u128,
    },
    /// The pool, or the sender's part of it, is full.
    #[error("txpool is full ({limit} transactions): mine a block or drop some")]
    PoolFull {
        /// The limit that was hit.
        limit: usize,
    },
    /// Another rule of the EVM.
    #[error("{0}")]
    Rule(String),
}

/// Why the chain could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A transaction was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A call reverted.
    #[error("execution reverted{}", revert_reason(.0).map(|reason| format!(": {reason}")).unwrap_or_default())]
    Reverted(Bytes),
    /// A call failed without revert data.
    #[error("{0}")]
    Halted(String),
    /// No amount of gas a transaction may carry is enough.
    #[error("gas required exceeds allowance ({0})")]
    GasAllowance(u64),
    /// A block that is not on this chain.
    #[error("unknown block")]
    UnknownBlock,
    /// A block whose state is no longer kept.
    #[error("state of block {number} is no longer kept; the oldest kept is {oldest}")]
    StateGone {
        /// The block asked for.
        number: u64,
        /// The oldest that can be answered.
        oldest: u64,
    },
    /// A reorg or revert that reaches beyond the kept history.
    #[error("cannot go back to block {number}: history is kept from block {oldest}")]
    TooDeep {
        /// The block to go back to.
        number: u64,
        /// The oldest one possible.
        oldest: u64,
    },
    /// A reorg deeper than the chain.
    #[error("reorg of {depth} blocks, but the chain has only {head} after its first")]
    DeeperThanChain {
        /// The depth asked for.
        depth: u64,
        /// The newest block's number.
        head: u64,
    },
    /// Time only moves forward.
    #[error("timestamp {timestamp} is not after the newest block's {newest}")]
    TimestampNotLater {
        /// The timestamp asked for.
        timestamp: u64,
        /// The newest block's.
        newest: u64,
    },
    /// A limit of this server.
    #[error("{what} is limited to {limit}; ask for less at a time")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// `eth_sendTransaction` for an account whose key is not one of the development keys.
    #[error("unknown account {0}: only development accounts sign here; use eth_sendRawTransaction")]
    UnknownAccount(alloy_primitives::Address),
    /// No such filter, or it made room for newer ones, or the server was restarted since.
    #[error("filter not found; install it again")]
    UnknownFilter,
    /// No pending transaction has this hash.
    #[error("no pending transaction {0}")]
    NotPending(B256),
    /// The method's parameters do not fit.
    #[error("invalid params: {0}")]
    InvalidParams(String),
    /// No such method.
    #[error("the method {0} does not exist/is not available; see the crate's documentation for the list")]
    UnknownMethod(String),
}

/// An error as JSON-RPC and EIP-1193 carry it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// The code: JSON-RPC's own, EIP-1474's, or 3 for a revert.
    pub code: i64,
    /// What happened, in words.
    pub message: String,
    /// For a revert, its data as a hex string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// The body is not JSON.
    pub const PARSE: i64 = -32700;
    /// The body is JSON but no request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters do not fit the method.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The server failed.
    pub const INTERNAL: i64 = -32603;
    /// The call failed.
    pub const SERVER: i64 = -32000;
    /// EIP-1474: a transaction was refused.
    pub const TRANSACTION_REJECTED: i64 = -32003;
    /// EIP-1474: a limit was exceeded.
    pub const LIMIT_EXCEEDED: i64 = -32005;
    /// A revert, as geth and anvil report it.
    pub const REVERTED: i64 = 3;

    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}

impl From<ChainError> for RpcError {
    fn from(error: ChainError) -> Self {
        let code = match &error {
            ChainError::Store(_) => Self::INTERNAL,
            ChainError::Refused(Refusal::Malformed(_)) => Self::INVALID_PARAMS,
            ChainError::Refused(_) => Self::TRANSACTION_REJECTED,
            ChainError::Reverted(_) => Self::REVERTED,
            ChainError::Limit { .. } => Self::LIMIT_EXCEEDED,
            ChainError::InvalidParams(_)
            | ChainError::UnknownAccount(_)
            | ChainError::TimestampNotLater { .. }
            | ChainError::DeeperThanChain { .. } => Self::INVALID_PARAMS,
            ChainError::UnknownMethod(_) => Self::METHOD_NOT_FOUND,
            _ => Self::SERVER,
        };
        let data = match &error {
            ChainError::Reverted(data) => Some(Value::String(hex::encode_prefixed(data))),
            _ => None,
        };
        Self { code, message: error.to_string(), data }
    }
}

/// The text in the revert data of `require(_, "text")` or of a panic.
fn revert_reason(data: &[u8]) -> Option<String> {
    const ERROR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
    const PANIC: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];
    let (selector, body) = data.split_at_checked(4)?;
    if selector == PANIC {
        let code = U256::try_from_be_slice(body.get(..32)?)?;
        return Some(format!("panic: code {code:#x}"));
    }
    if selector != ERROR {
        return None;
    }
    let length = usize::try_from(U256::try_from_be_slice(body.get(32..64)?)?).ok()?;
    let text = body.get(64..64usize.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revert_reasons_survive_hostile_lengths() {
        let mut data = vec![0x08, 0xc3, 0x79, 0xa0];
        data.extend([0u8; 31]);
        data.push(32);
        data.extend([0xff; 32]);
        assert_eq!(revert_reason(&data), None);
        assert_eq!(revert_reason(&[1, 2]), None);
        assert_eq!(RpcError::from(ChainError::Reverted(Bytes::new())).message, "execution reverted");
    }
}
