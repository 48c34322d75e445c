//! What Matchlock's tests, benches and `cargo xtask play` share.

pub mod audit;
pub mod bench;
pub mod compare;
pub mod court;
pub mod fuzz;
pub mod model;
pub mod play;
pub mod refereed;
pub mod scene;
pub mod sim;
pub mod table;
pub mod tap;
pub mod trying;
pub mod world;
