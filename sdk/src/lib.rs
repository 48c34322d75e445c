//! Layer-2 state channels for games.
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod abi;
pub mod account;
#[cfg(feature = "client")]
pub mod chain;
pub mod chance;
pub mod channel;
pub mod check;
#[cfg(feature = "client")]
pub mod client;
#[doc(hidden)]
pub mod doc;
pub mod game;
pub mod hidden;
pub mod local;
pub mod rules;
pub mod session;
pub mod settle;
pub mod sign;
pub mod transcript;
pub mod wire;
