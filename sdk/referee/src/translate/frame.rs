//! What surrounds the program: the start, the table of entries, and the routines that everything shares.
//!
//! Stack at every block of the program, from the bottom: the input's length, its length in whole groups, a mask of the low 28 bytes, a mask of
//! the low 4 bytes, and the hot registers.

use super::{
    assembler::{Assembler, Label, op::*},
    layout::Layout,
};
use crate::{
    emulate::{Linear, Meter},
    machine::{GROUP, MAX_KECCAK, MAX_OUTPUT, Program, register},
};

/// Routines that the program jumps to.
#[derive(Clone, Copy)]
pub(super) struct Routines {
    /// The end of every run that breaks a rule.
    pub(super) trap: Label,
    /// `[number] -> []`: goes to the entry of this number.
    pub(super) dispatch: Label,
    /// `[length, address] -> `: the end.
    pub(super) halt: Label,
    /// `[return, to, length, address] -> []`: keccak256.
    pub(super) keccak256: Label,
    /// `[return, word] -> [reversed word]`.
    reverse: Label,
    /// `[return, length, offset of the group before the first, to] -> []`: copies from the mirrored memory in the order of addresses.
    gather: Label,
}

/// What the parts cost beside the program's blocks.
pub(super) struct Costs {
    pub(super) start: Linear,
    pub(super) keccak256: Linear,
    pub(super) halt: Linear,
    /// Of going to an entry.
    pub(super) dispatch: u64,
}

/// Labels of what is bound when all code is written.
pub(super) struct Ends {
    pub(super) table: Label,
    pub(super) data: Label,
    pub(super) end: Label,
    pub(super) start: Label,
}

/// Writes the start and the routines, before the program.
pub(super) fn write(asm: &mut Assembler, program: &Program, layout: &Layout, budget: u32) -> (Routines, Ends, Costs) {
    let routines = Routines {
        trap: asm.label(),
        dispatch: asm.label(),
        halt: asm.label(),
        keccak256: asm.label(),
        reverse: asm.label(),
        gather: asm.label(),
    };
    let ends = Ends { table: asm.label(), data: asm.label(), end: asm.label(), start: asm.label() };
    let mut start = prologue(asm, program, layout, &routines, &ends);
    let dispatch = write_dispatch(asm, layout, routines.dispatch);
    asm.land(routines.trap).ops(&[PUSH0, PUSH0, REVERT]);
    let reverse = write_reverse(asm, routines.reverse);
    let gather = write_gather(asm, &routines, reverse);
    let halt = write_halt(asm, layout, &routines, budget, gather);
    let keccak256 = match layout.hashes {
        true => write_keccak256(asm, layout, &routines, gather, reverse),
        false => Linear::default(),
    };
    start.group += reverse;
    (routines, ends, Costs { start, keccak256, halt, dispatch })
}

/// Gas for each word copied.
const COPY: u64 = 3;
/// Gas for each word hashed.
const HASH: u64 = 6;

/// Gas of what is written by `write`, without its loops' bodies being run.
fn cost(asm: &mut Assembler, write: impl FnOnce(&mut Assembler)) -> u64 {
    let before = asm.gas();
    write(asm);
    asm.gas() - before
}

/// From the first instruction of the EVM to the first of the program. The gas of `reverse` for each group is not in it.
fn prologue(asm: &mut Assembler, program: &Program, layout: &Layout, routines: &Routines, ends: &Ends) -> Linear {
    let parts = program.parts();
    asm.op(GAS);
    let before = asm.gas();
    let mut copied = 0;
    asm.push(layout.gas().into()).op(MSTORE);

    // The data lie in the code mirrored already, one behind the other.
    let mut offset = 0u32;
    for segment in &parts.data {
        let length = segment.bytes.len() as u32;
        asm.push(length.into()).push_label(ends.data);
        if offset > 0 {
            asm.push(offset.into()).op(ADD);
        }
        asm.push((layout.memory - segment.address - length).into()).op(CODECOPY);
        copied += COPY * u64::from(length.div_ceil(32));
        offset += length;
    }
    let table = layout.table_length();
    asm.push(table.into()).push_label(ends.table).push(layout.first_entry().into()).op(CODECOPY);
    copied += COPY * u64::from(table.div_ceil(32));

    // The input is what stands behind the code.
    let most = (parts.memory - GROUP - parts.floor) / GROUP * GROUP;
    asm.push_label(ends.end).ops(&[CODESIZE, SUB]);
    asm.dup(0).push(most.into()).op(LT).push_label(routines.trap).op(JUMPI);
    asm.dup(0).push(31).op(ADD).push(31).ops(&[NOT, AND]);

    // [length, whole, left]: the group that ends `left` bytes before the end goes to `left`, since the lowest 32 bytes stay free.
    let (next, done) = (asm.label(), asm.label());
    asm.dup(0);
    let head = cost(asm, |asm| {
        asm.land(next).dup(0).op(ISZERO).push_label(done).op(JUMPI);
    });
    let body = cost(asm, |asm| {
        let back = asm.label();
        asm.push_label(back); // where `reverse` returns to
        asm.push(GROUP.into())
            .dup(2)
            .dup(4)
            .op(SUB)
            .push_label(ends.end)
            .op(ADD)
            .push(layout.scratch().into())
            .op(CODECOPY);
        asm.push(layout.scratch().into()).op(MLOAD).push_label(routines.reverse).op(JUMP).land(back);
        asm.dup(1).op(MSTORE);
        asm.push(GROUP.into()).swap(1).op(SUB).push_label(next).op(JUMP);
    });
    asm.land(done).op(POP);

    asm.ops(&[PUSH0, NOT]).push(32).op(SHR).push(0xffff_ffff);
    let mut above = 2;
    for (depth, hot) in layout.hot.iter().enumerate().rev() {
        initial(asm, parts.memory, *hot, above);
        above += 1;
        debug_assert_eq!(above, 2 + layout.hot.len() - depth);
    }
    for cold in [register::A0, register::A1] {
        if let Some(slot) = layout.in_memory(cold) {
            initial(asm, parts.memory, cold, above);
            asm.push(slot.into()).op(MSTORE);
        }
    }
    asm.push_label(ends.start).op(JUMP);
    let base = asm.gas() - before - body + copied + Meter::memory(layout.words().into());
    Linear { base, group: head + body + COPY }
}

/// Pushes what a register holds at the start, with so many items above `[length, whole]`.
fn initial(asm: &mut Assembler, memory: u32, register: u8, above: usize) {
    match register {
        register::A0 => asm.dup(above).push((memory - GROUP).into()).op(SUB),
        register::A1 => asm.dup(above + 1),
        _ => asm.op(PUSH0),
    };
}

fn write_dispatch(asm: &mut Assembler, layout: &Layout, label: Label) -> u64 {
    cost(asm, |asm| {
        asm.land(label).push(2).op(SHR).push(1).op(SHL).push(layout.table().into()).op(ADD).op(MLOAD);
        asm.push(0xffff).ops(&[AND, JUMP]);
    })
}

/// Reverses the order of 32 bytes: neighbours change places, then pairs of them, and so on. A mask for every second 2^k bits is
/// (2^256 - 1) / (2^2^k + 1).
fn write_reverse(asm: &mut Assembler, label: Label) -> u64 {
    cost(asm, |asm| {
        asm.land(label);
        for shift in [8u32, 16, 32, 64] {
            asm.push((1u128 << shift) + 1).ops(&[PUSH0, NOT, DIV]);
            asm.dup(1).push(shift.into()).op(SHR).dup(1).op(AND);
            asm.swap(2).op(AND).push(shift.into()).ops(&[SHL, OR]);
        }
        asm.dup(0).push(128).op(SHL).swap(1).push(128).ops(&[SHR, OR]);
        asm.swap(1).op(JUMP);
    })
}

/// Of the routine and, for each group, of its loop.
fn write_gather(asm: &mut Assembler, routines: &Routines, reverse: u64) -> Linear {
    // [return, left, from, to]: `left` bytes are still to come, in whole groups, the next of them at the offset `from`.
    let (next, done, back) = (asm.label(), asm.label(), asm.label());
    let entry = cost(asm, |asm| {
        asm.land(routines.gather);
    });
    let head = cost(asm, |asm| {
        asm.land(next).dup(2).op(ISZERO).push_label(done).op(JUMPI);
    });
    let body = cost(asm, |asm| {
        asm.push_label(back).dup(2).op(MLOAD).push_label(routines.reverse).op(JUMP).land(back);
        asm.dup(1).op(MSTORE).push(GROUP.into()).op(ADD); // to
        asm.swap(1).push(GROUP.into()).swap(1).op(SUB).swap(1); // from
        asm.swap(2).push(GROUP.into()).swap(1).op(SUB).swap(2); // left
        asm.push_label(next).op(JUMP);
    });
    let exit = cost(asm, |asm| {
        asm.land(done).ops(&[POP, POP, POP, JUMP]);
    });
    Linear { base: entry + head + exit, group: head + body + reverse }
}

/// Checks that `[length, address]` is a region of at most `limit` bytes within the memory, and makes
/// `[length, whole length, offset of the first group]` of it.
fn check_region(asm: &mut Assembler, layout: &Layout, trap: Label, limit: u32) {
    asm.dup(1).push(limit.into()).op(LT).push_label(trap).op(JUMPI);
    asm.dup(1).push(31).op(ADD).push(31).ops(&[NOT, AND]); // [length, address, whole]
    asm.dup(1).dup(1).op(ADD).push(layout.memory.into()).op(LT).push_label(trap).op(JUMPI);
    asm.swap(1).push((layout.memory - GROUP).into()).op(SUB);
}

fn write_halt(asm: &mut Assembler, layout: &Layout, routines: &Routines, budget: u32, gather: Linear) -> Linear {
    let base = cost(asm, |asm| {
        asm.land(routines.halt);
        check_region(asm, layout, routines.trap, MAX_OUTPUT);
        let back = asm.label();
        // [length, whole, from] -> [length, return, whole, from, to]
        asm.push_label(back)
            .swap(2)
            .swap(1)
            .push(layout.stage().into())
            .push_label(routines.gather)
            .op(JUMP)
            .land(back);
        asm.op(GAS);
    });
    asm.push(layout.gas().into()).op(MLOAD).op(SUB).push_u32(budget).op(LT).push_label(routines.trap).op(JUMPI);
    asm.push(layout.stage().into()).op(REVERT);
    Linear { base: base + gather.base, group: gather.group }
}

fn write_keccak256(asm: &mut Assembler, layout: &Layout, routines: &Routines, gather: Linear, reverse: u64) -> Linear {
    let base = cost(asm, |asm| {
        // [return, to, length, address]
        asm.land(routines.keccak256);
        asm.dup(2).push((layout.memory - GROUP).into()).op(LT).push_label(routines.trap).op(JUMPI);
        check_region(asm, layout, routines.trap, MAX_KECCAK);
        let (gathered, reversed) = (asm.label(), asm.label());
        asm.push_label(gathered)
            .swap(2)
            .swap(1)
            .push(layout.scratch().into())
            .push_label(routines.gather)
            .op(JUMP)
            .land(gathered);
        // [return, to, length]
        asm.push_label(reversed).swap(1).push(layout.scratch().into()).op(KECCAK256);
        asm.push_label(routines.reverse).op(JUMP).land(reversed);
        asm.swap(1).push((layout.memory - GROUP).into()).ops(&[SUB, MSTORE, JUMP]);
    });
    Linear { base: base + gather.base + reverse, group: gather.group + HASH }
}
