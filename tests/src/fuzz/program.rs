//! Bytes as a program of the machine that rules run on: the emulator and the translation in an EVM do the same, for the same gas.

use matchlock_referee::{
    emulate::Emulator,
    machine::{GROUP, Instruction, MAX_HOT, Op, Parts, Program, Segment, register},
    run::{self, AROUND},
    translate,
};

use super::Choices;

/// Gas for one run.
const BUDGET: u32 = 30_000;
/// Instructions of one program: more of them show nothing new.
const MAX_TEXT: usize = 1_000;

/// A program with its input, and what both ways make of it.
pub fn fuzz_program(data: &[u8]) {
    let mut choices = Choices(data);
    let memory = 4096 * (1 + choices.below(3) as u32);
    let hot = hot(&mut choices);
    let input = choices.below(120);
    let input = choices.bytes(input);
    let length = choices.below(64);
    let bytes = choices.bytes(length).to_vec();
    let address = 16 * choices.byte() as u32;
    let floor = (address + bytes.len() as u32).min(memory - GROUP);
    let fits = !bytes.is_empty() && address + bytes.len() as u32 <= floor;
    let data = if fits { vec![Segment { address, bytes }] } else { Vec::new() };
    let named = choices.below(12);
    let named = choices.bytes(named);

    let text = text(choices);
    if text.is_empty() {
        return;
    }
    let mut entries: Vec<u32> = named.iter().map(|at| u32::from(*at) % text.len() as u32).collect();
    entries.sort_unstable();
    entries.dedup();
    let parts = Parts { text, start: 0, entries, data, memory, floor, hot };
    agree(&Program::new(parts).expect("within the limits"), input);
}

/// Different registers, the hottest first.
fn hot(choices: &mut Choices) -> Vec<u8> {
    let mut hot = Vec::new();
    for _ in 0..choices.below(MAX_HOT + 1) {
        let register = 1 + choices.below(31) as u8;
        if !hot.contains(&register) {
            hot.push(register);
        }
    }
    hot
}

/// Words as they are where they may be instructions; all others are made such, or calls to the host.
fn text(mut choices: Choices) -> Vec<u32> {
    const OPCODES: [u32; 11] = [0x37, 0x6f, 0x67, 0x63, 0x03, 0x23, 0x13, 0x33, 0x33, 0x0f, 0x73];
    let mut text = Vec::new();
    while !choices.is_over() && text.len() < MAX_TEXT {
        let word = (0..4).fold(0, |word, at| word | u32::from(choices.byte()) << (8 * at));
        let opcode = OPCODES[(word & 0x7f) as usize % OPCODES.len()];
        match word & 3 {
            3 => text.push(word),
            _ if opcode == 0x73 => {
                let imm = (word >> 7 & 3) as i32;
                text.push(Instruction { op: Op::Addi, rd: register::A7, rs1: 0, rs2: 0, imm }.encode());
                text.push(opcode);
            }
            _ => text.push(word & !0x7f | opcode),
        }
    }
    text
}

/// Runs a program both ways.
///
/// # Panics
/// They differ.
pub(super) fn agree(program: &Program, input: &[u8]) {
    let Ok(translation) = translate(program, BUDGET) else { return };
    let emulated = Emulator::new(program, translation.meter).run(input, BUDGET.into());
    let ran = run::run(&translation.code, input, u64::from(BUDGET) + 2_000);
    assert_eq!(ran.output, emulated.result.clone().unwrap_or_default(), "{:?}", emulated.result);
    if emulated.result.is_ok() {
        assert_eq!(ran.gas, emulated.gas + AROUND, "the meter is exact");
    }
}
