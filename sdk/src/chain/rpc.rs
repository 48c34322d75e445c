//! The few requests that are needed, typed.

use std::{
    borrow::ToOwned,
    string::{String, ToString},
    vec::Vec,
};

use alloy_primitives::{Address, B256, Bytes, Log, LogData, U64, U256};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Provider, ProviderError};

/// A provider's answers, typed.
#[derive(Clone, Debug)]
pub struct Rpc<P>(pub P);

/// Which block's state, or which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockId {
    /// The newest.
    Latest,
    /// The newest, and what waits to be mined.
    Pending,
    /// By number.
    Number(u64),
}

impl BlockId {
    fn value(self) -> Value {
        match self {
            BlockId::Latest => json!("latest"),
            BlockId::Pending => json!("pending"),
            BlockId::Number(number) => json!(U64::from(number)),
        }
    }
}

/// A block's header, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Its number.
    pub number: U64,
    /// Its hash.
    pub hash: B256,
    /// Its time, in Unix seconds.
    pub timestamp: U64,
}

/// A mined transaction's receipt, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The transaction.
    pub transaction_hash: B256,
    /// Its block.
    pub block_number: U64,
    /// Its block's hash.
    pub block_hash: B256,
    /// 1 unless it reverted.
    pub status: U64,
    /// Gas it took.
    pub gas_used: U64,
    /// Wei per gas that it paid.
    pub effective_gas_price: U256,
    /// The contract that it made.
    pub contract_address: Option<Address>,
    /// What it logged.
    pub logs: Vec<LogEntry>,
}

impl Receipt {
    /// Whether it did what it was to do.
    pub fn succeeded(&self) -> bool {
        self.status == U64::from(1)
    }

    /// Wei per gas that it paid.
    pub fn price(&self) -> u128 {
        self.effective_gas_price.saturating_to()
    }
}

/// A log and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    /// Who logged.
    pub address: Address,
    /// Its topics.
    pub topics: Vec<B256>,
    /// Its data.
    pub data: Bytes,
    /// The transaction.
    pub transaction_hash: B256,
    /// Its block's hash.
    pub block_hash: B256,
    /// Its block.
    pub block_number: U64,
}

impl LogEntry {
    /// The log alone.
    pub fn log(&self) -> Log {
        Log { address: self.address, data: LogData::new_unchecked(self.topics.clone(), self.data.clone()) }
    }
}

/// A transaction that a node has, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentTransaction {
    /// The contract; `None` makes one.
    pub to: Option<Address>,
    /// The call.
    pub input: Bytes,
    /// Its sender.
    pub from: Address,
    /// Its block; `None` while it waits.
    pub block_number: Option<U64>,
}

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// By whom.
    pub from: Option<Address>,
    /// The contract; `None` makes one.
    pub to: Option<Address>,
    /// The call.
    pub data: Bytes,
    /// Wei to send along.
    pub value: U256,
}

impl Call {
    /// A look at a contract.
    pub fn view(to: Address, data: Vec<u8>) -> Call {
        Call { to: Some(to), data: data.into(), ..Call::default() }
    }

    /// As JSON-RPC has it.
    pub fn value(&self) -> Value {
        // geth and anvil prefer `input`, older nodes know only `data`; equal ones are taken by all.
        let mut call = json!({ "data": self.data, "input": self.data });
        if let Some(from) = self.from {
            call["from"] = json!(from);
        }
        if let Some(to) = self.to {
            call["to"] = json!(to);
        }
        if !self.value.is_zero() {
            call["value"] = json!(self.value);
        }
        call
    }
}

/// What a transaction has to pay to be mined soon, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// The next block's base fee.
    pub base: u128,
    /// What others pay on top.
    pub tip: u128,
}

/// geth's miners leave out transactions with a smaller tip.
const LEAST_TIP: u128 = 1_000_000;
/// Blocks to look at for tips.
const FEE_BLOCKS: u64 = 10;

impl Fees {
    /// What the next block asks.
    pub fn least(&self) -> u128 {
        self.base.saturating_add(self.tip)
    }

    /// A cap that holds while the base fee doubles: six full blocks.
    pub fn cap(&self) -> u128 {
        self.base.saturating_mul(2).saturating_add(self.tip)
    }
}

impl<P: Provider> Rpc<P> {
    /// Asks anything, and reads the answer as `T`.
    ///
    /// # Errors
    /// As [`Provider::request`]; an answer that is no `T`.
    pub async fn ask<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, ProviderError> {
        let answer = self.0.request(method, params).await?;
        serde_json::from_value(answer).map_err(|error| malformed(method, error.to_string()))
    }

    async fn quantity(&self, method: &str, params: Value) -> Result<u64, ProviderError> {
        self.ask::<U64>(method, params).await.map(|quantity| quantity.to())
    }

    /// The chain's EIP-155 id.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn chain_id(&self) -> Result<u64, ProviderError> {
        self.quantity("eth_chainId", json!([])).await
    }

    /// A block's header; `None` if there is no such block.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn block(&self, block: BlockId) -> Result<Option<Block>, ProviderError> {
        self.ask("eth_getBlockByNumber", json!([block.value(), false])).await
    }

    /// The newest block's header.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn head(&self) -> Result<Block, ProviderError> {
        let head = self.block(BlockId::Latest).await?;
        head.ok_or_else(|| malformed("eth_getBlockByNumber", "there is no newest block".to_owned()))
    }

    /// How many transactions of `address` the chain has: its next nonce.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn nonce(&self, address: Address, at: BlockId) -> Result<u64, ProviderError> {
        self.quantity("eth_getTransactionCount", json!([address, at.value()])).await
    }

    /// Wei in a wallet.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn balance(&self, address: Address) -> Result<U256, ProviderError> {
        self.ask("eth_getBalance", json!([address, "latest"])).await
    }

    /// The code at an address; empty if there is none.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn code(&self, address: Address) -> Result<Bytes, ProviderError> {
        self.ask("eth_getCode", json!([address, "latest"])).await
    }

    /// What a call returns; nothing changes.
    ///
    /// # Errors
    /// As [`Rpc::ask`]; the call reverts ([`Revert::of`](super::Revert::of)).
    pub async fn call(&self, call: &Call, at: BlockId) -> Result<Bytes, ProviderError> {
        self.ask("eth_call", json!([call.value(), at.value()])).await
    }

    /// Gas that a transaction would take now.
    ///
    /// # Errors
    /// As [`Rpc::ask`]; the call reverts ([`Revert::of`](super::Revert::of)).
    pub async fn estimate_gas(&self, call: &Call) -> Result<u64, ProviderError> {
        self.quantity("eth_estimateGas", json!([call.value()])).await
    }

    /// The receipt of a mined transaction; `None` while it is not.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, ProviderError> {
        self.ask("eth_getTransactionReceipt", json!([hash])).await
    }

    /// A transaction that is mined or waits; `None` if the node does not know it.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn transaction(&self, hash: B256) -> Result<Option<SentTransaction>, ProviderError> {
        self.ask("eth_getTransactionByHash", json!([hash])).await
    }

    /// Sends a signed transaction.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn send_raw(&self, raw: &Bytes) -> Result<B256, ProviderError> {
        self.ask("eth_sendRawTransaction", json!([raw])).await
    }

    /// The logs of a contract in a range of blocks, both ends included.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn logs(&self, of: &[Address], from: u64, to: u64) -> Result<Vec<LogEntry>, ProviderError> {
        let filter = json!({ "address": of, "fromBlock": U64::from(from), "toBlock": U64::from(to) });
        self.ask("eth_getLogs", json!([filter])).await
    }

    /// The logs of a contract whose first indexed argument is this, in a range of blocks, both ends included.
    ///
    /// # Errors
    /// As [`Rpc::ask`].
    pub async fn logs_about(
        &self,
        of: Address,
        what: B256,
        from: u64,
        to: u64,
    ) -> Result<Vec<LogEntry>, ProviderError> {
        let topics = json!([Value::Null, what]);
        let filter = json!({ "address": of, "topics": topics, "fromBlock": U64::from(from), "toBlock": U64::from(to) });
        self.ask("eth_getLogs", json!([filter])).await
    }

    /// What to pay.
    ///
    /// # Errors
    /// As [`Rpc::ask`]; a chain without EIP-1559.
    pub async fn fees(&self) -> Result<Fees, ProviderError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct History {
            base_fee_per_gas: Vec<U256>,
            #[serde(default)]
            reward: Option<Vec<Vec<U256>>>,
        }
        const METHOD: &str = "eth_feeHistory";
        let history: History = self.ask(METHOD, json!([U64::from(FEE_BLOCKS), "latest", [50]])).await?;
        // One more than the blocks: the next one's.
        let base = history.base_fee_per_gas.last();
        let base = base.ok_or_else(|| malformed(METHOD, "the chain has no base fee (EIP-1559)".to_owned()))?;
        let mut tips: Vec<u128> = history
            .reward
            .iter()
            .flatten()
            .filter_map(|block| block.first())
            .map(|tip| tip.saturating_to())
            .filter(|tip| *tip > 0)
            .collect();
        tips.sort_unstable();
        let tip = tips.get(tips.len() / 2).copied().unwrap_or_default().max(LEAST_TIP);
        Ok(Fees { base: base.saturating_to(), tip })
    }
}

pub(crate) fn malformed(method: &str, reason: String) -> ProviderError {
    ProviderError::Malformed { method: method.to_owned(), reason }
}
