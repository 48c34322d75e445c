//! How each record looks on disk: fixed-width bytes for state, RLP for everything with lists.

use alloy_consensus::{Header, ReceiptEnvelope, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// Everything about the chain that is neither state nor a block; one row, rewritten with every change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Which layout the tables have.
    pub(crate) format: u32,
    /// The chain the data belongs to; a directory is never reused for another.
    pub(crate) chain_id: u64,
    /// The newest block.
    pub(crate) head: u64,
    /// How many undo entries were ever pushed and not popped; the newest has this key.
    pub(crate) undo_seq: u64,
    /// The lowest block that can still be rolled back to.
    pub(crate) undo_floor: u64,
    /// Seconds between the injected clock and chain time.
    pub(crate) time_offset: i64,
    /// The exact timestamp asked for the next block.
    pub(crate) next_timestamp: Option<u64>,
    /// The base fee asked for the next block.
    pub(crate) next_base_fee: Option<u64>,
    /// Whether a transaction is mined as it arrives.
    pub(crate) automine: bool,
    /// How many reorgs happened. Goes into `prevrandao`, so that a replaced block has another hash.
    pub(crate) reorgs: u64,
}

/// An account without its code.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) code_hash: B256,
}

impl Account {
    pub(crate) fn to_bytes(&self) -> [u8; 72] {
        let mut bytes = [0; 72];
        bytes[..8].copy_from_slice(&self.nonce.to_be_bytes());
        bytes[8..40].copy_from_slice(&self.balance.to_be_bytes::<32>());
        bytes[40..].copy_from_slice(self.code_hash.as_slice());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; 72]) -> Self {
        let mut nonce = [0; 8];
        nonce.copy_from_slice(&bytes[..8]);
        Self {
            nonce: u64::from_be_bytes(nonce),
            balance: U256::from_be_slice(&bytes[8..40]),
            code_hash: B256::from_slice(&bytes[40..]),
        }
    }
}

/// What one change to the state replaced, enough to take it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Undo {
    /// The block that made the change, or the newest block when a development method made it.
    pub(crate) number: u64,
    pub(crate) accounts: Vec<UndoAccount>,
    pub(crate) slots: Vec<UndoSlot>,
}

/// An account before the change; an empty list when it did not exist.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct UndoAccount {
    pub(crate) address: Address,
    pub(crate) before: Vec<Account>,
}

/// A storage slot before the change.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct UndoSlot {
    pub(crate) address: Address,
    pub(crate) slot: U256,
    pub(crate) before: U256,
}

/// A mined block: the header under its hash, and what happened in it.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) hash: B256,
    pub(crate) header: Header,
    pub(crate) entries: Vec<Entry>,
}

/// One transaction of a block with its receipt.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) transaction: TxEnvelope,
    pub(crate) sender: Address,
    pub(crate) receipt: ReceiptEnvelope,
}

#[derive(RlpEncodable, RlpDecodable)]
struct RawEntry {
    transaction: Bytes,
    sender: Address,
    receipt: Bytes,
}

pub(crate) fn encode_header(hash: B256, header: &Header) -> Vec<u8> {
    let mut bytes = hash.to_vec();
    header.encode(&mut bytes);
    bytes
}

pub(crate) fn decode_header(bytes: &[u8]) -> Result<(B256, Header), StoreError> {
    let (hash, mut rest) = bytes.split_at_checked(32).ok_or(StoreError::Corrupt("header"))?;
    let header = Header::decode(&mut rest).map_err(|_| StoreError::Corrupt("header"))?;
    Ok((B256::from_slice(hash), header))
}

pub(crate) fn encode_body(entries: &[Entry]) -> Vec<u8> {
    let raw: Vec<RawEntry> = entries
        .iter()
        .map(|entry| RawEntry {
            transaction: entry.transaction.encoded_2718().into(),
            sender: entry.sender,
            receipt: entry.receipt.encoded_2718().into(),
        })
        .collect();
    alloy_rlp::encode(raw)
}

pub(crate) fn decode_body(mut bytes: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let corrupt = |_| StoreError::Corrupt("block body");
    Vec::<RawEntry>::decode(&mut bytes)
        .map_err(corrupt)?
        .into_iter()
        .map(|raw| {
            Ok(Entry {
                transaction: TxEnvelope::decode_2718_exact(&raw.transaction)
                    .map_err(|_| StoreError::Corrupt("transaction"))?,
                sender: raw.sender,
                receipt: ReceiptEnvelope::decode_2718_exact(&raw.receipt)
                    .map_err(|_| StoreError::Corrupt("receipt"))?,
            })
        })
        .collect()
}
