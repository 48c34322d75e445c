//! The Matchlock server: lobby, relay, operator and settler of one arena.
//!
//! A developer's own server is this library with the developer's rules:
//!
//! ```no_run
//! use matchlock::{doc::TicTacToe, game::BasisPoints, rules::GameRules};
//! use matchlock_server::{Config, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let games = vec![GameRules::shared(TicTacToe, BasisPoints::default())];
//! let server = Server::start(Config::new("data"), games).await?;
//! println!("players connect to {}", server.url());
//! tokio::signal::ctrl_c().await?;
//! server.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! # How it is built
//!
//! - [`chain`]: what is confirmed on the chain, and transactions that get there.
//! - `hub`: what all connections share; `lobby`, `opening`, `relay`, `conclude`, `withdraw` and `settler` are its parts, one
//!   for each stretch of a match's life, `resume` and `boot` put things back after a lost connection or a lost process.
//! - `court`: disputes as the chain tells them, for everybody who acts in one. `post` is what a tower and an arbiter have in
//!   common.
//! - `account` and `operator`: what the operator may promise (R5.1, R6.6).
//! - `store`: one redb file with one writer. **Nothing that the operator signed leaves before it is durable.**
//!
//! # What it does not do
//!
//! It does not judge moves that it relays (R8.6), hold anybody's money, or know a player's wallet key.
//!
//! # Who else is needed
//!
//! [`tower`] speaks for players who are away when the server is, too; [`arbiter`] rules on contested moves. Both are modes of the
//! binary, and a few lines with games of one's own.

mod account;
pub mod arbiter;
mod arrivals;
mod boot;
pub mod chain;
pub mod cli;
mod conclude;
mod config;
mod connection;
#[doc(hidden)]
pub mod core;
mod court;
mod dispute;
mod embedded;
mod follow;
mod http;
mod hub;
mod leave;
mod ledger;
mod limiter;
mod lobby;
mod machine;
mod matches;
mod opening;
mod operator;
mod peer;
mod post;
mod relay;
mod resume;
mod server;
mod settings;
mod settler;
mod shards;
mod store;
mod sync;
pub mod tower;
mod withdraw;

pub use config::{Options, OptionsError, PostOptions};
pub use machine::Machine;
pub use operator::PoolBook;
pub use server::{ChainChoice, Config, Server, StartError, read_key};
pub use settings::Settings;
pub use store::StoreError;
