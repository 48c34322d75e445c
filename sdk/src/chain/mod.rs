//! Access to a chain, in the shape of EIP-1193: a browser's wallet, an RPC endpoint and the embedded chain are the same
//! thing, a [`Provider`].
//!
//! ```no_run
//! # async fn example(key: matchlock::sign::Key, arena: alloy_primitives::Address, account: matchlock::account::AccountId)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use matchlock::{chain::{ArenaChain, HttpProvider, LocalWallet}, game::Amount};
//!
//! let wallet = LocalWallet::new(HttpProvider::new("http://127.0.0.1:8545")?, key);
//! let arena = ArenaChain::connect(wallet, arena).await?;
//! arena.deposit(account, Amount::from_u64(1_000_000)).await?;
//! println!("{}", arena.account(account).await?.equity());
//! # Ok(()) }
//! ```

mod arena;
mod court;
mod http;
mod provider;
mod revert;
mod rpc;
mod wallet;

pub use arena::{
    ArenaChain, ArenaError, ArenaInfo, CONCLUDED, CallError, ChainAccount, DISPUTED, PATIENCE, Pool, SignedWithdrawal,
    TxOutcome, is_concluded, read_arena, read_contract,
};
pub use court::{DisputeUpdate, read_disputes, read_testimonies};
pub use http::{ANSWER_LIMIT, HttpProvider, REQUEST_TIMEOUT};
pub(crate) use http::{cause, endpoint};
pub use provider::{Answer, Provider, ProviderError};
pub use revert::{ArenaRefusal, ContractError, CourtError, CourtRefusal, Revert};
pub use rpc::{Block, BlockId, Call, Fees, LogEntry, Receipt, Rpc, SentTransaction};
pub use wallet::{GAS_CAP, LocalWallet, SignedTransaction, with_margin};
