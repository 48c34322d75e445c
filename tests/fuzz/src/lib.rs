//! The targets' bodies, which are files of the tests' crate: without the server that the rest of that crate needs.

#[path = "../../src/fuzz/mod.rs"]
pub mod fuzz;
#[path = "../../src/table.rs"]
pub mod table;
