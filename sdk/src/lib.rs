//! Layer-2 state channels for games: players stake money on matches, every move is signed and final at once, and one
//! transaction settles any number of matches.
//!
//! ```
//! # use matchlock::doc::TicTacToe;
//! use matchlock::{game::{Amount, Seat}, local::Local};
//!
//! // `TicTacToe` implements `Game` in 50 lines; the same rules play here, online for stakes, and before a judge.
//! let mut table = Local::new(TicTacToe, &[Amount::from_u64(100); 2], 7)?;
//! for (seat, cell) in [(0, 4), (1, 0), (0, 2), (1, 6), (0, 3), (1, 8), (0, 5)] {
//!     table.play(Seat(seat), &cell)?;
//! }
//! assert_eq!(table.payouts(), [200, 0].map(Amount::from_u64));
//! # Ok::<(), matchlock::rules::RulesError>(())
//! ```
//!
//! # Where to begin
//!
//! - **Writing a game**: implement [`game::Game`], call [`check::check`] and [`budget::budget`] in a test, play it with
//!   [`local::Local`]. Dice are [`game::Next::Roll`], secrets are in [`hidden`].
//! - **Playing it online**: `client::Client` (feature `client`); money goes in and out through `chain::ArenaChain`.
//! - **Proving what happened**: [`transcript::judge`] replays everything that was signed; [`settle::proves`] checks a
//!   settled result against the chain. **Finding out why two clients disagree**: [`transcript::diff`].
//! - **A client of another kind** (a browser, an engine's own loop): drive [`session::Session`]. It has no I/O: it decides,
//!   its driver makes the records durable and commits, and only then does anything leave.
//!
//! # Layers
//!
//! [`game`] is what a developer writes; [`rules`] puts it into the protocol's bytes; [`channel`] is one match, [`session`]
//! one player at one server; [`wire`] is what is sent, [`abi`] what is signed and what the contract is called with.
//! Everything but the features below is `no_std` with `alloc`, and has no threads, clock, sockets, files or randomness.
//!
//! # Features
//!
//! - `std` (default): the dependencies' own `std`. Leave it out for `wasm32-unknown-unknown`.
//! - `client`: the native client and access to a chain, on tokio.
//! - `tls`: `https://` RPC endpoints and `wss://` servers.
//!
//! # What it does not do
//!
//! It does not watch while it does not run: an opponent's answer in court has a window, and somebody has to be there in it, this
//! player's client, the server or a watchtower. The repository's `docs/SECURITY.md` says exactly what that means,
//! `docs/PROTOCOL.md` states the rules that are cited as R5.10 and the like.
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod abi;
pub mod account;
pub mod budget;
#[cfg(feature = "client")]
pub mod chain;
pub mod chance;
pub mod channel;
pub mod check;
#[cfg(feature = "client")]
pub mod client;
pub mod describe;
pub mod dispute;
pub mod doc;
pub mod entrust;
pub mod game;
pub mod hidden;
pub mod local;
pub mod rules;
pub mod session;
pub mod settle;
pub mod sign;
pub mod transcript;
pub mod wire;

/// The README's and the guides' examples, compiled and run with the rest of the documentation.
#[cfg(all(doctest, feature = "client"))]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/SECURITY.md")]
    struct Security;
}
