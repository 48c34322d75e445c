//! A real EVM behind real JSON-RPC, in your process.
//!
//! The chain of a developer's machine: Osaka's rules run by [revm], blocks and state in one file, and an endpoint
//! that wallets, viem and alloy take for a node. Nothing is mocked; what works here works against a node, apart from
//! the absences below.
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! use matchlock_devchain::{Config, DevChain, dev_accounts};
//! use serde_json::json;
//!
//! let chain = DevChain::open(Config::default())?;
//! let [alice, bob, ..] = dev_accounts() else { unreachable!() };
//! let transfer = json!([{ "from": alice.address, "to": bob.address, "value": "0x1" }]);
//! let hash = chain.request("eth_sendTransaction", transfer).await?;
//! let receipt = chain.request("eth_getTransactionReceipt", json!([hash])).await?;
//! assert_eq!(receipt["status"], "0x1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//!
//! - With automine on, which is the default, a transaction is in a block of its own before the request returns.
//! - A block is on disk before anyone hears of it, and so is a pending transaction. Killing the process at any moment
//!   leaves the chain at its last acknowledged change or one after it.
//! - History for [`HISTORY_BLOCKS`] blocks is kept: so deep can a reorg or a revert go, and so far back can state be
//!   read. Blocks, transactions and receipts are kept for good.
//! - Block times strictly increase. Many blocks within one second run ahead of the clock by a second each;
//!   `evm_increaseTime` then counts from the newest block.
//!
//! # Methods
//!
//! - Reading: `eth_chainId`, `net_version`, `net_listening`, `web3_clientVersion`, `eth_syncing`, `eth_accounts`,
//!   `eth_requestAccounts`, `eth_blockNumber`, `eth_getBlockByNumber`, `eth_getBlockByHash`, `eth_getBlockReceipts`,
//!   `eth_getTransactionByHash`, `eth_getTransactionReceipt`, `eth_getBalance`, `eth_getTransactionCount`,
//!   `eth_getCode`, `eth_getStorageAt`, `eth_call`, `eth_estimateGas`, `eth_getLogs`, `txpool_status`,
//!   `txpool_content`.
//! - Polling: `eth_newFilter`, `eth_newBlockFilter`, `eth_getFilterChanges`, `eth_getFilterLogs`,
//!   `eth_uninstallFilter`.
//! - Fees: `eth_gasPrice`, `eth_maxPriorityFeePerGas`, `eth_feeHistory`.
//! - Sending: `eth_sendRawTransaction`; `eth_sendTransaction` for the development accounts.
//! - Developing: `evm_increaseTime`, `evm_setNextBlockTimestamp`, `evm_mine`, `evm_snapshot`, `evm_revert`,
//!   `evm_setAutomine`; and as `anvil_` or `hardhat_`: `mine`, `reorg`, `setBalance`, `setNonce`, `setCode`,
//!   `setStorageAt`, `setNextBlockBaseFeePerGas`, `dropTransaction`, `getAutomine`.
//!
//! # What is absent
//!
//! - There is no state trie. A header's state root is a hash chain over what changed; `eth_getProof` does not exist.
//! - No blob transactions, no withdrawals, no system contracts of the beacon chain (EIP-4788, EIP-2935).
//! - No subscriptions; poll. No state overrides in calls; they are refused, not ignored.
//! - The endpoint has no access control, and the development keys are public. Do not put it on the internet with
//!   anything of value behind it.
//!
//! [revm]: https://docs.rs/revm

mod accounts;
mod chain;
mod draft;
mod error;
mod evm;
mod http;
mod pool;
mod request;
mod rpc;
mod state;
mod store;
mod transaction;

use std::{
    fmt,
    future::Future,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Address, U256};
use serde_json::Value;

pub use accounts::{DevAccount, dev_accounts};
pub use draft::HISTORY_BLOCKS;
pub use error::{ChainError, Refusal, RpcError};
pub use http::{BATCH_REQUESTS, BODY_BYTES};
pub use store::StoreError;

/// Where chain time comes from: seconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a chain is like. [`Config::default`] is a chain in memory with id 31337 and the development accounts.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The chain's id; a data directory belongs to one.
    pub chain_id: u64,
    /// Where the chain is kept; `None` keeps it in memory.
    pub data_dir: Option<PathBuf>,
    /// Who has what in a new chain's first block.
    pub accounts: Vec<(Address, U256)>,
    /// The gas of one block. A transaction's is capped at 16,777,216 by EIP-7825.
    pub block_gas_limit: u64,
    /// A new chain's first base fee, in wei.
    pub base_fee: u64,
    /// Whether a new chain mines each transaction as it arrives.
    pub automine: bool,
    /// How far behind the newest block the `safe` one is.
    pub safe_depth: u64,
    /// How far behind the newest block the `finalized` one is.
    pub finalized_depth: u64,
    /// Where time comes from; tests put virtual time here.
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chain_id: 31_337,
            data_dir: None,
            accounts: dev_accounts().iter().map(|account| (account.address, accounts::DEV_BALANCE)).collect(),
            block_gas_limit: 60_000_000,
            base_fee: 1_000_000_000,
            automine: true,
            safe_depth: 32,
            finalized_depth: 64,
            clock: Arc::new(wall_clock),
        }
    }
}

impl Config {
    /// The default chain, kept in `directory`.
    pub fn persistent(directory: impl Into<PathBuf>) -> Self {
        Self { data_dir: Some(directory.into()), ..Self::default() }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("chain_id", &self.chain_id)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

fn wall_clock() -> u64 {
    // A clock before 1970 reads as 1970; block times increase regardless.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Why a chain could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database could not be opened, or another process has it open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory belongs to a chain with another id.
    #[error("the data directory holds chain {found}, not {wanted}; use another directory or delete it")]
    OtherChain {
        /// The id in the directory.
        found: u64,
        /// The id asked for.
        wanted: u64,
    },
    /// The data directory was written by another version.
    #[error("the data directory has format {found}, this version reads {known}; delete it to start anew")]
    Format {
        /// The format in the directory.
        found: u32,
        /// The format this version reads.
        known: u32,
    },
}

/// A running chain. Clones are handles to the same chain; dropping the last one closes it, and nothing is lost.
#[derive(Clone)]
pub struct DevChain {
    chain: Arc<chain::Chain>,
}

impl DevChain {
    /// Opens the chain, making it if its directory is new.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        Ok(Self { chain: Arc::new(chain::Chain::open(config)?) })
    }

    /// Answers one request; the shape is EIP-1193's. Runs on tokio's blocking threads, so a slow call does not hold
    /// up the runtime.
    pub async fn request(&self, method: impl Into<String>, params: Value) -> Result<Value, RpcError> {
        let (this, method) = (self.clone(), method.into());
        tokio::task::spawn_blocking(move || this.request_blocking(&method, params))
            .await
            .unwrap_or_else(|error| Err(RpcError::new(RpcError::INTERNAL, error.to_string())))
    }

    /// Answers one request on this thread; for code that is not async.
    pub fn request_blocking(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        rpc::answer(&self.chain, method, params).map_err(|error| {
            if let ChainError::Store(error) = &error {
                tracing::error!(method, %error, "development chain");
            }
            error.into()
        })
    }

    /// Waits until no other handle is left, and closes the chain: its directory is free when this returns.
    pub async fn closed(self) {
        while Arc::strong_count(&self.chain) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The endpoint as a router with the one route `/`, to mount in another server.
    pub fn router(&self) -> axum::Router {
        http::router(self.clone())
    }

    /// Serves the endpoint until `shutdown` completes.
    pub async fn serve(
        &self,
        listener: tokio::net::TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        axum::serve(listener, self.router()).with_graceful_shutdown(shutdown).await
    }
}

impl fmt::Debug for DevChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevChain").field("chain_id", &self.chain.rules.chain_id).finish_non_exhaustive()
    }
}
