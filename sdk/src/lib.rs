//! Layer-2 state channels for games.
#![no_std]

extern crate alloc;

pub mod abi;
pub mod account;
pub mod chance;
pub mod check;
#[doc(hidden)]
pub mod doc;
pub mod game;
pub mod hidden;
pub mod local;
pub mod rules;
pub mod settle;
pub mod sign;
pub mod wire;
