//! Rules on the chain: one Rust crate decides in every client and, in a dispute, before the court.
#![cfg_attr(not(any(test, feature = "build", feature = "evm")), no_std)]

#[cfg(feature = "build")]
pub mod build;
