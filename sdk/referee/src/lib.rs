//! Rules on the chain: one Rust crate decides in every client and, in a dispute, before the court.
//!
//! A [`Program`](machine::Program) of the machine that `docs/MACHINE.md` specifies is what a game's crate compiles to (feature `build`, or
//! the program `matchlock-rules`). A [`Blob`] is such a program as a file; its hash, that of its translation to EVM code, is what a
//! match commits to. [`Refereed`] plays by it:
//!
//! ```
//! use matchlock::{game::{Amount, BasisPoints, Seat}, rules::{GameRules, Rules}};
//! use matchlock_referee::{Blob, Refereed};
//!
//! // Translated again by whoever reads it, and its hash compared.
//! let blob = Blob::decode(include_bytes!("../../../demo-game/rules/tictactoe.rules"))?;
//! let native = GameRules::shared(matchlock_demo::tictactoe::TicTacToe, BasisPoints::ZERO);
//! let rules = Refereed::new(native, blob);
//!
//! let start = rules.start(&[Amount::from_u64(100); 2], &[Default::default(); 2])?;
//! let (action, placed) = rules.compose(&start.position, Seat(0), vec![4], &|_| None)?;
//! assert_eq!(placed.mover, Some(Seat(1)));
//! // What it takes on the chain, to the unit of gas, and what the match allows.
//! let run = rules.run(&start.position, Seat(0), &action.encode());
//! assert!(run.gas < rules.blob().budget().into());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Without features this is `no_std` with `alloc`, and runs in browsers.
#![cfg_attr(not(any(feature = "build", feature = "evm")), no_std)]

extern crate alloc;

pub mod blob;
#[cfg(feature = "build")]
pub mod build;
pub mod emulate;
#[cfg(feature = "build")]
pub mod link;
pub mod machine;
pub mod measure;
pub mod refereed;
#[cfg(feature = "evm")]
pub mod run;
pub mod translate;

pub use blob::Blob;
pub use refereed::Refereed;
pub use translate::translate;
