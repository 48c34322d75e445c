//! Loads and stores: mirrored, at the top of a word, and runs of them as one.

use alloc::vec::Vec;

use super::{BITS, Selector, WIDE};
use crate::{
    machine::{Instruction, Op},
    translate::assembler::op::*,
};

impl Selector<'_> {
    /// Pushes where an access lies in the EVM's memory. What lies beyond the guest's becomes an offset below zero.
    pub(super) fn address(&mut self, index: usize, instruction: Instruction, above: usize) {
        let Instruction { rs1, imm, .. } = instruction;
        let end = i64::from(self.layout.memory) - i64::from(instruction.width()) - i64::from(imm);
        if let Some(base) = self.known.values[usize::from(rs1)] {
            if above == 0 {
                self.settle();
            }
            match u64::try_from(end - i64::from(base)) {
                Ok(offset) => self.asm.push(offset.into()),
                Err(_) => self.asm.ops(&[PUSH0, NOT]),
            };
            return;
        }
        match above {
            0 => self.first(index, rs1),
            _ => self.read(rs1, above),
        }
        self.asm.push(end as u128).op(SUB);
    }

    pub(super) fn store_byte(&mut self, index: usize, instruction: Instruction) {
        let Instruction { rs1, rs2, .. } = instruction;
        if self.can_take(index, rs1) && rs1 != rs2 && self.known.values[usize::from(rs1)].is_none() {
            self.address(index, instruction, 0);
            self.read(rs2, 1);
            self.asm.swap(1);
        } else {
            self.first(index, rs2);
            self.address(index, instruction, 1);
        }
        self.asm.op(MSTORE8);
    }

    /// Stores into the top of a word of the EVM, and keeps the rest of it.
    pub(super) fn store(&mut self, index: usize, instruction: Instruction) {
        if !self.can_take(index, instruction.rs1) {
            self.settle();
        }
        let bits = 8 * instruction.width();
        self.address(index, instruction, 0);
        self.keep_below(bits);
        if self.known.values[usize::from(instruction.rs2)] != Some(0) {
            self.read(instruction.rs2, 2);
            self.asm.push((WIDE - bits).into()).ops(&[SHL, OR]);
        }
        self.asm.swap(1).op(MSTORE);
    }

    /// `[offset] -> [offset, the word there without its top bits]`.
    fn keep_below(&mut self, bits: u32) {
        self.asm.dup(0).op(MLOAD);
        if bits == BITS {
            self.asm.dup(2 + self.layout.hot.len() + 1).op(AND);
        } else {
            self.asm.push(bits.into()).op(SHL).push(bits.into()).op(SHR);
        }
    }

    /// The instructions of a run, from the lowest address, and the bytes between the first two.
    fn run(&self, index: usize, length: usize) -> Vec<Instruction> {
        let mut run = self.program.instructions()[index..index + length].to_vec();
        run.sort_by_key(|instruction| instruction.imm);
        run
    }

    pub(super) fn store_run(&mut self, index: usize, length: usize) {
        let run = self.run(index, length);
        let highest = *run.last().expect("a run is not empty");
        let bits = BITS * length as u32;
        self.address(index, highest, 0);
        let mut above = 1;
        if bits < WIDE {
            self.keep_below(bits);
            above = 2;
        }
        let mut is_empty = true;
        for instruction in run.iter().rev() {
            let is_zero = self.known.values[usize::from(instruction.rs2)] == Some(0);
            if !is_empty {
                self.asm.push(BITS.into()).op(SHL);
            }
            if is_zero {
                continue;
            }
            self.read(instruction.rs2, above + usize::from(!is_empty));
            if !is_empty {
                self.asm.op(OR);
            }
            is_empty = false;
        }
        match (is_empty, bits < WIDE) {
            (false, true) => drop(self.asm.push((WIDE - bits).into()).ops(&[SHL, OR])),
            (true, false) => drop(self.asm.op(PUSH0)),
            _ => {}
        }
        self.asm.swap(1).op(MSTORE);
    }

    pub(super) fn load_run(&mut self, index: usize, length: usize) {
        let run = self.run(index, length);
        let highest = *run.last().expect("a run is not empty");
        self.address(index, highest, 0);
        self.asm.op(MLOAD);
        let live = self.facts[index + length - 1].live_after;
        let wanted: Vec<_> = run.iter().enumerate().filter(|(_, load)| live.contains(load.rd)).collect();
        if wanted.is_empty() {
            self.asm.op(POP);
        }
        for (at, (place, load)) in wanted.iter().enumerate() {
            let last = at + 1 == wanted.len();
            if !last {
                self.asm.dup(0);
            }
            self.load_part(load.rd, length, *place, usize::from(!last));
        }
        run.iter().for_each(|load| self.known.forget(load.rd));
    }

    /// Takes a run's words from the top, and writes the one at `place` to its register, with `above` others between.
    fn load_part(&mut self, rd: u8, length: usize, place: usize, above: usize) {
        let shift = WIDE - BITS * (length - place) as u32;
        if shift > 0 {
            self.asm.push(shift.into()).op(SHR);
        }
        if place + 1 < length {
            self.mask(above + 1);
        }
        self.write_to(rd, above);
    }

    /// Whether the words of this run of loads are stored by the run behind it, in the same order.
    pub(super) fn copies(&self, index: usize, length: usize) -> bool {
        let behind = index + length;
        let stores = self.program.instructions().get(behind).is_some_and(|store| store.op == Op::Sw);
        if !stores || self.facts[behind].run != length || self.facts[behind].landing {
            return false;
        }
        let (loads, stores) = (self.run(index, length), self.run(behind, length));
        let base = stores[0].rs1;
        loads.iter().zip(&stores).all(|(load, store)| load.rd == store.rs2 && load.rd != base)
    }

    /// Loads a run and stores it: one access each, and of the registers between them only those are written that are read later.
    pub(super) fn copy_run(&mut self, index: usize, length: usize) {
        let (loads, stores) = (self.run(index, length), self.run(index + length, length));
        let [from, to] = [&loads, &stores].map(|run| *run.last().expect("a run is not empty"));
        self.address(index + length, to, 0);
        self.address(index, from, 1);
        self.asm.op(MLOAD);
        let live = self.facts[index + 2 * length - 1].live_after;
        for (place, load) in loads.iter().enumerate().filter(|(_, load)| live.contains(load.rd)) {
            self.asm.dup(0);
            self.load_part(load.rd, length, place, 2);
        }
        let below = WIDE - BITS * length as u32;
        if below > 0 {
            // [to, new] -> [to, old with the top bits of new]: old, changed in those bits in which the two differ there.
            self.asm.dup(1).op(MLOAD).swap(1).dup(1).op(XOR);
            self.asm.push(below.into()).op(SHR).push(below.into()).ops(&[SHL, XOR]);
        }
        self.asm.swap(1).op(MSTORE);
        loads.iter().for_each(|load| self.known.forget(load.rd));
    }
}
