//! Matchlock's demo games, as rules with bots and nothing else: no window, no network, no standard library.
//!
//! - [`tictactoe`]: the smallest game there is, to read first.
//! - [`broadside`]: hidden fleets behind Merkle commitments.
//! - [`connectfour`]: a board of bits, which the chain judges cheaply.
//! - [`pig`]: dice that nobody can foresee, for 2 to 8.
//!
//! [`games`] lists them for a server; [`bots::player`] finds a bot for one of them by its name.
//!
//! ```
//! use matchlock::{game::{Amount, Seat}, local::Local};
//! use matchlock_demo::{Strength, broadside::{Broadside, Captain}};
//!
//! let mut table = Local::new(Broadside, &[Amount::from_u64(100); 2], 7)?;
//! table.play_out(&mut [
//!     Box::new(Captain::new(Strength::Easy, 1)),
//!     Box::new(Captain::new(Strength::Strong, 2)),
//! ])?;
//! assert_eq!(table.mover(), None);
//! # Ok::<(), matchlock::rules::RulesError>(())
//! ```
#![cfg_attr(not(test), no_std)]

extern crate alloc;

use alloc::{sync::Arc, vec, vec::Vec};

use matchlock::{
    game::BasisPoints,
    rules::{GameRules, Rules},
};

pub mod bots;
pub mod broadside;
pub mod connectfour;
pub mod pig;
#[cfg(feature = "referee")]
pub mod refereed;
pub mod tictactoe;

pub use bots::Strength;

/// Every demo game at its default parameters, with the operator's fee.
pub fn games(fee: BasisPoints) -> Vec<Arc<dyn Rules>> {
    vec![
        GameRules::shared(tictactoe::TicTacToe, fee),
        GameRules::shared(broadside::Broadside, fee),
        GameRules::shared(pig::Pig::default(), fee),
        GameRules::shared(connectfour::ConnectFour, fee),
    ]
}
