//! Golden vectors: what is signed, packed and sent, byte by byte, in `tests/vectors/*.json` for every implementation.
//!
//! These tests compare the files with what the SDK makes today, and with what the contract says. A change of the
//! protocol changes them: `MATCHLOCK_BLESS=1 cargo test -p matchlock-tests --test vectors` writes them anew, and the
//! difference is reviewed like code.

mod batch;
mod chain;
mod eip712;
mod frames;
mod golden;
