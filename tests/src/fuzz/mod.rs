//! What the fuzz targets run: each is one function of bytes that panics where something is wrong.
//!
//! `tests/fuzz` has libFuzzer call them (`cargo xtask fuzz`), `tests/tests/fuzz.rs` an ordinary test, with seeded bytes. These
//! files use the SDK, the referee, the demo games and the EVM, and nothing else of this crate but `table`: what libFuzzer watches is
//! compiled anew for it, so there should be little of it.

mod batch;
mod blob;
mod channel;
mod frames;
mod judge;
mod program;

use std::sync::{Arc, LazyLock};

use matchlock::{game::BasisPoints, rules::Rules};

pub use batch::fuzz_batch;
pub use blob::fuzz_blob;
pub use channel::fuzz_channel;
pub use frames::fuzz_frames;
pub use judge::fuzz_judge;
pub use program::fuzz_program;

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] = [
    ("frames", fuzz_frames),
    ("channel", fuzz_channel),
    ("judge", fuzz_judge),
    ("batch", fuzz_batch),
    ("blob", fuzz_blob),
    ("program", fuzz_program),
];

/// The demo games.
static GAMES: LazyLock<Vec<Arc<dyn Rules>>> =
    LazyLock::new(|| matchlock_demo::games(BasisPoints::new(250).expect("in range")));

/// Choices, from bytes: what a target does next.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Whether there is nothing left to choose by.
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; zero after the last.
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `count`, which is not zero.
    fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// Eight bytes, big-endian.
    fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// So many bytes, or as many as there are.
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
