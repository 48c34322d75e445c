//! The chain as the server sees it: what is confirmed on it, and transactions that get there.
//!
//! [`Chain::connect`] checks that the node, the arena and the operator's key belong together; [`Chain::join`] takes any key, for those who
//! act beside the operator. [`Chain::watch`] follows
//! the arena's logs at the configured depth, [`Chain::sender`] gets transactions mined whatever happens to the process,
//! the node or the fees. Both keep what they must remember in an [`Outbox`].

mod connect;
mod deploy;
mod error;
mod outbox;
mod send;
#[cfg(test)]
mod tests;
mod watch;

use std::time::{Duration, SystemTime};

use alloy_primitives::{Address, B256, Bytes, U256};
use matchlock::{abi::MatchId, account::AccountId, dispute::Testimony, game::Amount, sign::Key};
use serde::{Deserialize, Serialize};

pub use connect::Chain;
pub use deploy::{CourtConfig, DeployConfig, Deployment, deploy, deploy_through};
pub use error::{ChainError, OutboxError, SubmitError};
/// What an arena says of itself, of an account, of its pool and of a dispute, and why it refuses a call.
pub use matchlock::chain::{ArenaInfo, ChainAccount, DisputeUpdate, Pool, Revert};
pub use outbox::{MemoryOutbox, Outbox};
pub(crate) use send::Queue;
pub use send::{Outcomes, Sender};
pub use watch::Watch;
pub(crate) use watch::{Done, Look, Watcher};

/// How to reach the chain and how to treat it.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// The node's JSON-RPC endpoint.
    pub rpc_url: String,
    /// The chain that the node must be on; `None` takes any.
    pub chain_id: Option<u64>,
    /// The arena.
    pub arena: Address,
    /// The key whose wallet pays: the operator's for a server, a tower's or an arbiter's own for these.
    pub key: Key,
    /// A block counts when this many are on top of it; 0 on a development chain.
    pub depth: u64,
    /// How often to look for new blocks.
    pub poll_interval: Duration,
    /// How long to wait for one answer of the node.
    pub request_timeout: Duration,
    /// Blocks per request for logs. Halved by itself where the node finds it too many.
    pub log_range: u64,
    /// The first block to look at when nothing is remembered: the arena's.
    pub from_block: u64,
    /// Wei per gas that a transaction may cost at most; above it, it waits.
    pub max_fee_per_gas: u128,
    /// After so long without being mined a transaction is replaced by one with a higher fee.
    pub replace_after: Duration,
}

impl ChainConfig {
    /// A development chain's settings: depth 0, fast polls, no fee ceiling worth the name.
    pub fn new(rpc_url: impl Into<String>, arena: Address, key: Key) -> ChainConfig {
        ChainConfig {
            rpc_url: rpc_url.into(),
            chain_id: None,
            arena,
            key,
            depth: 0,
            poll_interval: Duration::from_millis(250),
            request_timeout: Duration::from_secs(10),
            log_range: 2_000,
            from_block: 0,
            max_fee_per_gas: 1_000_000_000_000,
            replace_after: Duration::from_secs(45),
        }
    }
}

/// Which state of the chain to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The newest block's. May be undone.
    Latest,
    /// The newest confirmed block's: what money decisions rest on (R5.1).
    Confirmed,
    /// This block's, if the node still has it.
    Block(u64),
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its number.
    pub height: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time, in Unix seconds.
    pub time: u64,
}

/// What the watcher says. Hand each to [`Watch::done`] once its consequences are durable; what was not handed there
/// comes again after a restart, so consequences must be idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainEvent {
    /// More of the chain is confirmed.
    Update(ChainUpdate),
    /// Blocks that were confirmed are not part of the chain any more.
    Resync(Resync),
}

/// What the blocks up to `height` did to the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainUpdate {
    /// The last of the blocks.
    pub height: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time, in Unix seconds.
    pub time: u64,
    /// The accounts that changed, with what the chain says of them now: at `height`, or later while catching up.
    pub touched: Vec<(AccountId, ChainAccount)>,
    /// Accounts may have changed that nothing names (a contract called the arena): read again all that you know.
    pub reread_all: bool,
    /// Batches that were settled.
    pub settled: Vec<SettledBatch>,
    /// Matches with an outcome that the chain applied (R6.10).
    pub concluded: Vec<Concluded>,
    /// Exits that opened, or opened anew.
    pub exits: Vec<ExitOpened>,
    /// Money that came in.
    pub deposits: Vec<Deposit>,
    /// Disputes that were opened or moved on, with their dockets; without one: ended.
    pub disputes: Vec<DisputeUpdate>,
    /// What arbiters said of headers that are before them.
    pub testimonies: Vec<Testimony>,
    /// The newest announcement of a withdrawal from the pool, or that it is done.
    pub pool_notice: Option<PoolNotice>,
}

/// A withdrawal from the pool that the operator has announced (R6.6); of nothing, once it is done or taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolNotice {
    /// How much.
    pub amount: Amount,
    /// When it lapses, in Unix seconds.
    pub until: u64,
}

/// Confirmed blocks were undone: whatever was read from them is void. Read again every account that you know, with
/// [`Chain::records`]. Updates go on from `fork`, and what happened after it on the new branch is told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resync {
    /// The newest block that is known to have stayed.
    pub fork: u64,
    /// The newest confirmed block now.
    pub height: u64,
    /// Its time, in Unix seconds.
    pub time: u64,
}

/// A settled batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledBatch {
    /// Its number; 0 stands for `settleSigned` and `settleClaimed`.
    pub batch: u32,
    /// The transaction that settled it.
    pub tx: B256,
    /// Root of its results.
    pub results_root: B256,
    /// Matches it was said to hold.
    pub matches: u32,
    /// Statements that were applied.
    pub applied: u32,
    /// Fees it took.
    pub fees: Amount,
    /// Statements that were left out, and the contract's reason (`Skip` in IArena.sol).
    pub skipped: Vec<(AccountId, u8)>,
}

/// A match with an outcome that the chain applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concluded {
    /// The match.
    pub match_id: MatchId,
    /// Who got what.
    pub payouts: Vec<Amount>,
    /// The transaction.
    pub tx: B256,
}

/// An account is leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitOpened {
    /// Which.
    pub account: AccountId,
    /// When its window ends, in Unix seconds.
    pub exit_at: u64,
}

/// Money that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// The account.
    pub account: AccountId,
    /// Who paid.
    pub from: Address,
    /// How much.
    pub amount: Amount,
    /// The transaction.
    pub tx: B256,
}

/// Whether the node answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The newest block seen.
    pub head: u64,
    /// The newest confirmed block seen.
    pub confirmed: u64,
    /// Since when the node does not answer, and how it last failed. `None`: it answers.
    pub unreachable: Option<(SystemTime, String)>,
}

/// A transaction to get mined, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Names it: the same key is the same transaction, however often it is submitted.
    pub key: String,
    /// The contract.
    pub to: Address,
    /// The call.
    pub calldata: Bytes,
    /// Wei to send along.
    pub value: U256,
    /// Gas to allow; `None` estimates it, which refuses a call that would revert.
    pub gas_limit: Option<u64>,
}

/// Where a submission stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Not sent yet: others are before it, or the fees are above the ceiling.
    Queued,
    /// Sent under this nonce, as the last of these transactions.
    Sent {
        /// The nonce.
        nonce: u64,
        /// Every transaction tried under it; at most one of them is ever mined.
        hashes: Vec<B256>,
    },
    /// Over.
    Done(Outcome),
}

/// How a submission ended, at depth. Comes again after a restart until [`Sender::forget`] is told of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Mined, and did what it was to do.
    Confirmed(Mined),
    /// Mined, and reverted: it cost gas and changed nothing.
    Reverted(Mined, Revert),
    /// Never sent, because it would revert.
    Refused(String, Revert),
}

impl Outcome {
    /// The submission's key.
    pub fn key(&self) -> &str {
        match self {
            Outcome::Confirmed(mined) | Outcome::Reverted(mined, _) => &mined.key,
            Outcome::Refused(key, _) => key,
        }
    }
}

/// A mined transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mined {
    /// The submission's key.
    pub key: String,
    /// The transaction that was mined, of all that were tried.
    pub hash: B256,
    /// The block's number.
    pub block: u64,
    /// Gas it took.
    pub gas_used: u64,
    /// Wei per gas that it paid.
    pub effective_gas_price: u128,
    /// What it logged.
    pub logs: Vec<alloy_primitives::Log>,
}

/// The sender at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderStatus {
    /// Submissions that were not sent yet.
    pub queued: usize,
    /// Submissions that were sent and are not confirmed.
    pub in_flight: usize,
    /// Why nothing moves, if nothing does.
    pub waiting: Option<Waiting>,
}

/// Why the sender waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// Fees are above the ceiling.
    FeeCeiling {
        /// Wei per gas that a transaction needs now.
        needed: u128,
        /// [`ChainConfig::max_fee_per_gas`].
        ceiling: u128,
    },
    /// The wallet cannot pay: send coins to it.
    Funds {
        /// Its address.
        wallet: Address,
        /// What it has, in wei.
        balance: U256,
    },
    /// The node does not answer.
    Unreachable {
        /// Since when.
        since: SystemTime,
        /// How it last failed.
        error: String,
    },
    /// The node refuses the transaction.
    Refused {
        /// In its words.
        reason: String,
    },
    /// The outbox failed: nothing is sent that is not durable.
    Outbox {
        /// How.
        error: String,
    },
}
