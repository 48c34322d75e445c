//! What Matchlock's tests, benches and `cargo xtask play` share.

pub mod bench;
pub mod table;
pub mod world;
