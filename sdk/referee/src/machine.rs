//! The machine that rules run on, as `docs/MACHINE.md` specifies it: riscv32im with its code out of reach.
//!
//! A [`Program`] is what it runs; [`emulate`](crate::emulate) runs it, [`translate`](crate::translate()) makes EVM code of it that does
//! the same. Rules of the specification are cited as M4 and the like.

mod instruction;
mod program;

use matchlock::{game::MAX_SEATS, rules::MAX_POSITION};

pub use instruction::{Instruction, Op, UNIMP};
pub use program::{MAX_HOT, Parts, Program, ProgramError, Segment};

/// The first address below the memory's zero that can be reached (M4): the most negative offset of a load or store.
pub const GUARD: u32 = 2048;
/// Smallest and largest memory, in bytes (M4).
pub const MEMORY: core::ops::RangeInclusive<u32> = 4096..=256 * 1024;
/// Memory is a multiple of this, in bytes (M4).
pub const MEMORY_UNIT: u32 = 1024;
/// Most instructions of a program (M2): numbers of entries fit two bytes.
pub const MAX_TEXT: usize = 16_383;
/// Most bytes that one call may hash (M7).
pub const MAX_KECCAK: u32 = 2048;
/// Most bytes of output (M7): what the court's referee takes, an answer for all seats with the largest position (M10).
pub const MAX_OUTPUT: u32 = 2 + 12 * MAX_SEATS as u32 + MAX_POSITION as u32;
/// Bytes come in and go out in groups of this many (M5, M7).
pub const GROUP: u32 = 32;

/// Numbers of the calls to the host (M7): `addi a7, x0, NUMBER` stands right before the `ecall`.
pub mod host {
    /// Ends the run: `a0` is the output's address, `a1` its length in bytes; no bytes mean "illegal".
    pub const HALT: u32 = 0;
    /// keccak256 of `a1` bytes at `a0` into 32 bytes at `a2`.
    pub const KECCAK256: u32 = 1;
}

/// Registers by the names of the calling convention, as far as the machine knows them.
pub mod register {
    /// First argument: where the input is, where a host call reads.
    pub const A0: u8 = 10;
    /// Second argument: the input's length, a host call's length.
    pub const A1: u8 = 11;
    /// Third argument: where a host call writes.
    pub const A2: u8 = 12;
    /// What is written right before a host call.
    pub const A7: u8 = 17;
}

/// Where an input of `length` bytes lies in a memory of `memory` bytes (M5). `None` where it does not fit above `floor`.
pub fn input_address(memory: u32, floor: u32, length: usize) -> Option<u32> {
    let groups = u32::try_from(length).ok()?.div_ceil(GROUP);
    let below_top = groups.checked_mul(GROUP)?.checked_add(GROUP)?;
    memory.checked_sub(below_top).filter(|address| *address >= floor)
}
