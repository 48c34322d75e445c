//! The one question that a program is asked, and its answer, in bytes.
//!
//! Question: seat (1 byte), length of the position (2, big-endian), position, action. Answer: mover (1 byte), number of
//! payouts (1), payouts (12 each, big-endian), position.

extern crate alloc;

use alloc::{vec, vec::Vec};
use core::slice;

use crate::{heap::HEAP, host};

/// Bytes of a payout.
const PAYOUT: usize = 12;
/// The mover of an answer whose match is over.
pub const OVER: u8 = 255;

/// Whether `seat`'s action is legal on this position.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Who acts, 0-based.
    pub seat: u8,
    /// The encoded position.
    pub position: &'static [u8],
    /// The encoded action.
    pub action: &'static [u8],
}

/// The question at these addresses; a malformed one is refused. Also gives the heap its end.
///
/// # Safety
/// `length` readable bytes at `start`, above all other memory of the program, that nothing writes to.
pub unsafe fn question(start: *const u8, length: usize) -> Question {
    HEAP.ends_at(start as usize);
    // SAFETY: as this function's caller promised.
    match unsafe { slice::from_raw_parts(start, length) } {
        [seat, high, low, rest @ ..] => match rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))) {
            Some((position, action)) => Question { seat: *seat, position, action },
            None => host::halt(&[]),
        },
        _ => host::halt(&[]),
    }
}

/// What comes of a legal action.
#[derive(Clone, Debug)]
pub struct Answer {
    bytes: Vec<u8>,
    written: usize,
}

impl Answer {
    /// Begins with who acts next, or [`OVER`], and for how many payouts; then come those and the position, which has so
    /// many bytes.
    pub fn new(mover: u8, payouts: u8, position: usize) -> Answer {
        let mut answer = Answer { bytes: vec![0; 2 + PAYOUT * usize::from(payouts) + position], written: 0 };
        answer.write(&[mover, payouts]);
        answer
    }

    /// The next seat's payout: at most 96 bits.
    pub fn payout(&mut self, units: u128) {
        let digits = units.to_le_bytes();
        for digit in digits[..PAYOUT].iter().rev() {
            self.write(slice::from_ref(digit));
        }
    }

    /// Ends the program with this answer.
    pub fn halt(mut self, position: &[u8]) -> ! {
        self.write(position);
        host::halt(&self.bytes)
    }

    fn write(&mut self, bytes: &[u8]) {
        let end = self.written + bytes.len();
        self.bytes[self.written..end].copy_from_slice(bytes);
        self.written = end;
    }
}
