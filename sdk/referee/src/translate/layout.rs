//! Where everything is in the EVM's memory and on its stack.
//!
//! Guest memory is mirrored: the byte at address `a` lies at `memory - 1 - a`, so that a little-endian word is a big-endian one, and an
//! address that is too large becomes an offset so large that no gas pays for it. Behind it: the guard, the registers that are not on the
//! stack, the gas at the start, the scratch pad, and the table of the entries, behind which there is nothing but zeros: a number that names
//! no entry finds a 0, and 0 is no `JUMPDEST`.

use alloc::vec::Vec;

use super::flow::Registers;
use crate::machine::{GUARD, Instruction, MAX_KECCAK, Op, Program, host};

/// Memory and stack of a translation.
pub(super) struct Layout {
    /// Size of the guest's memory, in bytes.
    pub(super) memory: u32,
    /// Registers on the stack, from the top.
    pub(super) hot: Vec<u8>,
    cold: Vec<u8>,
    /// Whether the program hashes.
    pub(super) hashes: bool,
    entries: u32,
}

const WORD: u32 = 32;

impl Layout {
    pub(super) fn of(program: &Program, used: Registers) -> Layout {
        let hot: Vec<u8> = program.parts().hot.clone();
        let cold = used.iter().filter(|register| !hot.contains(register)).collect();
        let is_hash = |(index, instruction): (usize, &Instruction)| {
            instruction.op == Op::Ecall && program.host_call(index) == Some(host::KECCAK256)
        };
        let hashes = program.instructions().iter().enumerate().any(is_hash);
        Layout { memory: program.parts().memory, hot, cold, hashes, entries: program.entries().len() as u32 }
    }

    /// Where a register is, counted from the top of the registers on the stack.
    pub(super) fn on_stack(&self, register: u8) -> Option<usize> {
        self.hot.iter().position(|hot| *hot == register)
    }

    /// Where a register that is not on the stack is in memory. `None` for one that the program does not use.
    pub(super) fn in_memory(&self, register: u8) -> Option<u32> {
        self.cold.iter().position(|cold| *cold == register).map(|at| self.memory + GUARD + WORD * at as u32)
    }

    /// Gas at the start.
    pub(super) fn gas(&self) -> u32 {
        self.memory + GUARD + WORD * self.cold.len() as u32
    }

    /// One group of bytes, or what is hashed.
    pub(super) fn scratch(&self) -> u32 {
        self.gas() + WORD
    }

    /// What an entry's number, halved, is added to: the low two bytes of the word there are the entry's place. The first number is 4, and
    /// 0 to 3 find two bytes of a word that stays zero.
    pub(super) fn table(&self) -> u32 {
        self.scratch() + if self.hashes { MAX_KECCAK } else { WORD }
    }

    /// First byte of the table.
    pub(super) fn first_entry(&self) -> u32 {
        self.table() + WORD
    }

    /// How long the table is; not empty, so that the memory always ends behind it.
    pub(super) fn table_length(&self) -> u32 {
        2 * self.entries.max(1)
    }

    /// Words of memory that every run has.
    pub(super) fn words(&self) -> u32 {
        (self.first_entry() + self.table_length()).div_ceil(WORD)
    }

    /// Where the output is put in order.
    pub(super) fn stage(&self) -> u32 {
        self.words() * WORD
    }
}
