//! Translation to EVM code: init code that always reverts, with the output of a legal move, or with nothing.
//!
//! The passes: [`flow`] finds what can run and what is needed later, [`layout`] gives everything its place, [`frame`] writes the start and the
//! shared routines, [`select`] each block, [`assembler`] the bytes and what they cost.

mod assembler;
mod flow;
mod frame;
mod layout;
mod select;

use alloc::vec::Vec;

pub use matchlock::budget::MAX_INIT_CODE;

use crate::{
    emulate::Meter,
    machine::{MAX_HOT, Program, register},
};
use assembler::Assembler;
use flow::Registers;

/// A translated program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// EVM code. The input is appended to it.
    pub code: Vec<u8>,
    /// What it costs to run, by the gas schedule of Osaka.
    pub meter: Meter,
}

/// Translates a program that may take `budget` gas.
///
/// # Errors
/// The code leaves no room for an input.
pub fn translate(program: &Program, budget: u32) -> Result<Translation, TranslateError> {
    let facts = flow::analyse(program);
    let mut used = Registers::of(&[register::A0, register::A1]);
    for (instruction, fact) in program.instructions().iter().zip(&facts) {
        if fact.reachable {
            used = used | Registers::of(&[instruction.rd, instruction.rs1, instruction.rs2]);
        }
    }
    let layout = layout::Layout::of(program, used);
    let mut asm = Assembler::default();
    let (routines, ends, costs) = frame::write(&mut asm, program, &layout, budget);

    let selector = select::Selector::new(&mut asm, program, &facts, &layout, routines, costs.dispatch);
    let start = program.parts().start as usize;
    let (labels, blocks) = selector.write();
    asm.alias(ends.start, labels[start].expect("the start is landed on"));

    asm.bind(ends.data);
    for segment in &program.parts().data {
        asm.data(&segment.bytes.iter().rev().copied().collect::<Vec<_>>());
    }
    asm.bind(ends.table);
    for entry in program.entries() {
        asm.place(labels[*entry as usize].expect("every entry is landed on"));
    }
    if program.entries().is_empty() {
        asm.data(&[0, 0]);
    }
    asm.bind(ends.end);
    if asm.len() > MAX_INIT_CODE {
        return Err(TranslateError::TooLarge { code: asm.len() });
    }
    let meter = Meter {
        blocks: blocks.into_iter().map(|gas| u32::try_from(gas).unwrap_or(u32::MAX)).collect(),
        start: costs.start,
        keccak256: costs.keccak256,
        halt: costs.halt,
        words: Some(layout.words().into()),
    };
    Ok(Translation { code: asm.finish(), meter })
}

/// The registers that are read and written most, for [`hot`](crate::machine::Parts::hot): `weight` is how often an instruction counts.
pub fn hot(program: &Program, weight: impl Fn(usize) -> u64) -> Vec<u8> {
    let mut uses = [0u64; 32];
    for (index, instruction) in program.instructions().iter().enumerate() {
        for register in [instruction.rd, instruction.rs1, instruction.rs2] {
            uses[usize::from(register)] += weight(index);
        }
    }
    let mut ranked: Vec<u8> = (1..32).filter(|register| uses[usize::from(*register)] > 0).collect();
    ranked.sort_by_key(|register| core::cmp::Reverse(uses[usize::from(*register)]));
    ranked.truncate(MAX_HOT);
    ranked
}

/// A program that has no translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranslateError {
    /// More than a creation takes.
    #[error(
        "{code} bytes of code: a contest can carry {MAX_INIT_CODE} with the input; make the rules smaller, or write the game's own `IReferee`"
    )]
    TooLarge {
        /// Its size, in bytes.
        code: usize,
    },
}
