//! Rules on the chain: one Rust crate decides in every client and, in a dispute, before the court.
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
