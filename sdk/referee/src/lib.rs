//! Rules on the chain: one Rust crate decides in every client and, in a dispute, before the court.
#![cfg_attr(not(feature = "build"), no_std)]

extern crate alloc;
#[cfg(any(feature = "build", feature = "evm"))]
extern crate std;

pub mod blob;
#[cfg(feature = "build")]
pub mod build;
pub mod emulate;
#[cfg(feature = "build")]
pub mod link;
pub mod machine;
pub mod refereed;
#[cfg(feature = "evm")]
pub mod run;
pub mod translate;

pub use blob::Blob;
pub use refereed::Refereed;
pub use translate::translate;
