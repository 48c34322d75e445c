//! Random programs, biased towards what compilers write and towards the edges of the machine.

use matchlock_referee::machine::{Instruction, MAX_HOT, Op, Parts, Program, Segment, UNIMP, host};

use super::dice::Dice;

/// Registers that most instructions use, so that they meet: ra, sp, t0, s0, s1, a0 to a7 and others.
const LIKELY: [u8; 14] = [0, 1, 2, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17];
const MEMORY: u32 = 8 * 1024;

const COMPUTING: [Op; 28] = {
    use Op::*;
    [
        Lui, Addi, Slti, Sltiu, Xori, Ori, Andi, Slli, Srli, Srai, Add, Sub, Sll, Slt, Sltu, Xor, Srl, Sra, Or, And,
        Mul, Mulh, Mulhsu, Mulhu, Div, Divu, Rem, Remu,
    ]
};

/// A program and an input for it.
pub(crate) fn random(dice: &mut Dice) -> (Program, Vec<u8>) {
    let length = 4 + dice.below(60);
    let mut text = Vec::new();
    while text.len() < length {
        fragment(dice, length, &mut text);
    }
    // The end: registers, or a part of the memory, as the output.
    let address = dice.below(MEMORY as usize - 300) as u32;
    for register in 1..32 {
        if dice.one_in(3) {
            text.push(Instruction { op: Op::Sw, rd: 0, rs1: 0, rs2: register, imm: 4 * i32::from(register) }.encode());
        }
    }
    let out = if dice.one_in(2) { 0 } else { address };
    load(&mut text, 10, out);
    load(&mut text, 11, 1 + dice.below(260) as u32);
    call(&mut text, host::HALT);

    let count = text.len();
    let mut entries: Vec<u32> = (0..dice.below(6)).map(|_| dice.below(count) as u32).collect();
    entries.sort_unstable();
    entries.dedup();
    let mut data = Vec::new();
    let mut free = 0;
    for _ in 0..dice.below(4) {
        let address = free + dice.below(900) as u32;
        let bytes: Vec<u8> = (0..1 + dice.below(70)).map(|_| dice.value() as u8).collect();
        free = address + bytes.len() as u32;
        data.push(Segment { address, bytes });
    }
    let hot = hot(dice);
    let floor = free + dice.below(64) as u32;
    let parts = Parts { text, start: 0, entries, data, memory: MEMORY, floor, hot };
    let input = (0..dice.below(100)).map(|_| dice.word() as u8).collect();
    (Program::new(parts).expect("within the limits"), input)
}

fn hot(dice: &mut Dice) -> Vec<u8> {
    let mut all: Vec<u8> = (1..32).collect();
    for at in (1..all.len()).rev() {
        all.swap(at, dice.below(at + 1));
    }
    all.truncate(dice.below(MAX_HOT + 1));
    all
}

fn register(dice: &mut Dice) -> u8 {
    if dice.one_in(8) { dice.below(32) as u8 } else { dice.pick(&LIKELY) }
}

/// A few instructions that belong together.
fn fragment(dice: &mut Dice, length: usize, text: &mut Vec<u32>) {
    let here = text.len();
    let (rd, rs1, rs2) = (register(dice), register(dice), register(dice));
    let encode = |op, rd, rs1, rs2, imm| Instruction { op, rd, rs1, rs2, imm }.encode();
    // Mostly forwards, so that most programs end.
    let jump = |dice: &mut Dice| {
        let target = match dice.below(12) {
            0 => dice.below(here + 1) as i32,
            1 => -1 - dice.below(4) as i32,
            2 => (length + 100 + dice.below(9)) as i32,
            _ => (here + 1 + dice.below(12)) as i32,
        };
        (target - here as i32) * 4
    };
    match dice.below(20) {
        0 | 1 => load(text, rd, dice.value()),
        2 | 3 => {
            use Op::*;
            let op = dice.pick(&[Beq, Bne, Blt, Bge, Bltu, Bgeu]);
            let (rs1, rs2) = if dice.one_in(3) { (rs1, 0) } else { (rs1, rs2) };
            let misaligned = if dice.one_in(40) { 2 } else { 0 };
            text.push(encode(op, 0, rs1, rs2, jump(dice) + misaligned));
        }
        4 => text.push(encode(Op::Jal, if dice.one_in(2) { 0 } else { rd }, 0, 0, jump(dice))),
        5 if dice.one_in(2) => {
            // Mostly to an entry.
            let number =
                if dice.one_in(5) { dice.value() } else { 4 * (1 + dice.below(5) as u32) + dice.below(4) as u32 };
            load(text, rs1, number);
            let imm = if dice.one_in(4) { 4 } else { 0 };
            text.push(encode(Op::Jalr, if dice.one_in(2) { 0 } else { rd }, rs1, 0, imm));
        }
        6..=8 => {
            // An access to memory, mostly inside of it.
            use Op::*;
            let op = dice.pick(&[Lb, Lh, Lw, Lw, Lbu, Lhu, Sb, Sh, Sw, Sw]);
            let base = match dice.below(30) {
                0 => dice.value(),
                1 => MEMORY - dice.below(8) as u32,
                2 => dice.below(8) as u32,
                _ => dice.below(MEMORY as usize - 2100) as u32,
            };
            let imm = if dice.one_in(6) { dice.below(4096) as i32 - 2048 } else { dice.below(64) as i32 };
            if !dice.one_in(4) {
                load(text, rs1, base);
            }
            let (rd, rs2) = if matches!(op, Sb | Sh | Sw) { (0, rs2) } else { (rd, 0) };
            text.push(encode(op, rd, rs1, rs2, imm));
        }
        9 if dice.one_in(2) => {
            // Words that are copied, possibly onto each other or over an address, and some of them needed later.
            let near = if dice.one_in(4) { 80 } else { MEMORY as usize - 2100 };
            let bases = [0; 2].map(|_| dice.below(near) as u32);
            load(text, 2, bases[0]);
            load(text, rs1, bases[1]);
            let (step, from, to) = (dice.pick(&[4, 4, -4]), 4 * dice.below(12) as i32, 4 * dice.below(12) as i32);
            let (length, begin) = (1 + dice.below(8) as i32, register(dice));
            let copied = (0..length).map(|at| (step * at, (begin + at as u8) % 32));
            text.extend(copied.clone().map(|(at, rd)| encode(Op::Lw, rd, 2, 0, from + at)));
            let other = dice.one_in(8).then(|| register(dice));
            text.extend(copied.map(|(at, rs2)| encode(Op::Sw, 0, rs1, other.unwrap_or(rs2), to + at)));
        }
        9 | 10 => {
            // A run of them, as functions save and restore registers.
            let op = dice.pick(&[Op::Lw, Op::Sw]);
            let base = if dice.one_in(20) { MEMORY - 4 * dice.below(10) as u32 } else { dice.below(5000) as u32 };
            load(text, 2, base);
            let (first, step) = (4 * dice.below(12) as i32, dice.pick(&[4, -4, 4, -4, 0, 2, 8]));
            for at in 0..1 + dice.below(11) as i32 {
                let register = register(dice);
                let (rd, rs2) = if op == Op::Sw { (0, register) } else { (register, 0) };
                text.push(encode(op, rd, 2, rs2, first + step * at));
            }
        }
        11 if dice.one_in(2) => {
            let at = dice.below(MEMORY as usize - 400) as u32;
            load(text, 10, if dice.one_in(8) { dice.value() } else { at });
            load(text, 11, if dice.one_in(8) { dice.value() } else { dice.below(300) as u32 });
            load(text, 12, if dice.one_in(8) { dice.value() } else { dice.below(MEMORY as usize - 40) as u32 });
            call(text, host::KECCAK256);
        }
        12 if dice.one_in(10) => match dice.below(4) {
            0 => text.push(UNIMP),
            1 => text.push(dice.word() as u32),
            2 => text.push(encode(Op::Ecall, 0, 0, 0, 0)),
            _ => call(text, dice.value() & 0x7ff),
        },
        _ => {
            let op = dice.pick(&COMPUTING);
            let imm = match op {
                Op::Lui => (dice.value() & 0xffff_f000) as i32,
                Op::Slli | Op::Srli | Op::Srai => dice.below(32) as i32,
                _ if dice.one_in(3) => dice.pick(&[0, 1, -1, 255, 2047, -2048]),
                _ => dice.below(4096) as i32 - 2048,
            };
            let full = Instruction { op, rd, rs1, rs2, imm };
            text.push(Instruction::decode(full.encode()).encode());
        }
    }
}

/// `li`.
fn load(text: &mut Vec<u32>, rd: u8, value: u32) {
    let low = (value as i32) << 20 >> 20;
    let high = value.wrapping_sub(low as u32);
    let mut rs1 = 0;
    if high != 0 {
        text.push(Instruction { op: Op::Lui, rd, rs1: 0, rs2: 0, imm: high as i32 }.encode());
        rs1 = rd;
    }
    if low != 0 || high == 0 {
        text.push(Instruction { op: Op::Addi, rd, rs1, rs2: 0, imm: low }.encode());
    }
}

fn call(text: &mut Vec<u32>, number: u32) {
    text.push(Instruction { op: Op::Addi, rd: 17, rs1: 0, rs2: 0, imm: number as i32 }.encode());
    text.push(Instruction { op: Op::Ecall, rd: 0, rs1: 0, rs2: 0, imm: 0 }.encode());
}
