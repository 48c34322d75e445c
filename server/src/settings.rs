//! How a server treats its players: times and limits.

use std::time::Duration;

use matchlock::game::Amount;
use serde::{Deserialize, Serialize};

/// Times and limits. [`Settings::default`] suits a public server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settings {
    /// Seconds that a proposal waits for all signatures (R5.3).
    pub open_for: u32,
    /// Seconds from the proposal to the last moment of a dispute (R5.11).
    pub expire_after: u64,
    /// Seconds beyond the minimum that a seat may use in disputes altogether.
    pub chain_time: u32,
    /// Longest clock of a table, in seconds.
    pub max_clock: u32,
    /// Seconds beyond its clock that a seat has before it is challenged on the chain.
    pub clock_grace: u64,
    /// Matches whose stakes together are below this are not worth a dispute's gas: they are void at their expiry instead.
    pub challenge_from: Amount,
    /// Seconds that an account may go on opening matches while a statement waits for its signature (R6.12).
    ///
    /// A statement is under way for a moment after every match. Its matches' stakes stay held until it is signed, so
    /// waiting costs the operator nothing; a loser who will not sign plays no more after this time.
    pub statement_grace: u64,
    /// Seconds that a co-signed withdrawal can be used.
    pub withdraw_for: u64,
    /// A batch is sent when this many accounts wait for one.
    pub settle_count: usize,
    /// A batch is sent when an account has waited for this many seconds.
    pub settle_age: u64,
    /// Most accounts in one batch. An entry costs some 16,000 gas, and a transaction has at most 16,777,216.
    pub settle_limit: usize,
    /// Whether a graceful shutdown settles what is co-signed first.
    pub settle_on_shutdown: bool,
    /// Connections at once.
    pub max_connections: usize,
    /// How long a connection may take to log in.
    pub login_timeout: Duration,
    /// A connection that is silent for so long is closed; it is pinged before.
    pub idle_timeout: Duration,
    /// How long one write to a connection may take.
    pub write_timeout: Duration,
    /// Lobby and account requests per second of one connection; twice as many at once.
    pub requests_per_second: u32,
    /// Frames per second of one connection; above it, the server reads more slowly.
    pub frames_per_second: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            open_for: 15,
            expire_after: 24 * 60 * 60,
            chain_time: 600,
            max_clock: 60 * 60,
            clock_grace: 10,
            challenge_from: Amount::from_u64(1),
            statement_grace: 10,
            withdraw_for: 600,
            settle_count: 32,
            settle_age: 60,
            settle_limit: 400,
            settle_on_shutdown: false,
            max_connections: 50_000,
            login_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(20),
            requests_per_second: 100,
            frames_per_second: 2_000,
        }
    }
}
