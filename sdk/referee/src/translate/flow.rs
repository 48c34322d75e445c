//! What can run after what, and what is still needed then: basic blocks, liveness, and which values have to be clean.

use alloc::{vec, vec::Vec};

use crate::machine::{Instruction, Op, Program, host, register};

/// A set of registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Registers(u32);

impl Registers {
    /// Of these; x0 is in no set.
    pub(super) fn of(list: &[u8]) -> Registers {
        Registers(list.iter().fold(0, |set, register| set | 1 << register) & !1)
    }

    pub(super) fn contains(self, register: u8) -> bool {
        self.0 >> register & 1 != 0
    }

    pub(super) fn with(self, register: u8) -> Registers {
        self | Registers::of(&[register])
    }

    pub(super) fn without(self, register: u8) -> Registers {
        Registers(self.0 & !(1 << register))
    }

    /// Its members, ascending.
    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (1..32).filter(move |register| self.contains(*register))
    }
}

impl core::ops::BitOr for Registers {
    type Output = Registers;
    fn bitor(self, other: Registers) -> Registers {
        Registers(self.0 | other.0)
    }
}

impl core::ops::BitAnd for Registers {
    type Output = Registers;
    fn bitand(self, other: Registers) -> Registers {
        Registers(self.0 & other.0)
    }
}

/// What is known about one instruction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// Something can lead here.
    pub(super) reachable: bool,
    /// Something jumps here, so there is a `JUMPDEST`, and nothing is known about constants.
    pub(super) landing: bool,
    /// What is paid for together begins here.
    pub(super) block: bool,
    /// Registers whose values are read later, before they are written.
    pub(super) live_before: Registers,
    /// The same, after it.
    pub(super) live_after: Registers,
    /// Registers whose values have to be below 2^32 after it, since somebody reads more than their low 32 bits.
    pub(super) clean_after: Registers,
    clean_before: Registers,
    /// How many instructions, from this one on, are one access to memory; 0 and 1 for none.
    pub(super) run: usize,
    merged: bool,
}

/// Facts about every instruction, and last about running off the end.
pub(super) fn analyse(program: &Program) -> Vec<Facts> {
    let mut facts = reach(program);
    merge(program, &mut facts);
    flow_back(program, &mut facts);
    facts
}

/// Where control goes besides the next instruction and the entries; not where that is a trap.
pub(super) fn jump(program: &Program, index: usize) -> Option<usize> {
    let target = program.instructions()[index].target(index)?;
    program.instructions().get(target).filter(|instruction| instruction.op != Op::Illegal).map(|_| target)
}

/// Whether the next instruction can follow without a jump.
pub(super) fn falls_through(program: &Program, index: usize) -> bool {
    match program.instructions()[index].op {
        Op::Jal | Op::Jalr | Op::Illegal => false,
        Op::Ecall => program.host_call(index) == Some(host::KECCAK256),
        _ => true,
    }
}

fn reach(program: &Program) -> Vec<Facts> {
    let instructions = program.instructions();
    let mut facts = vec![Facts::default(); instructions.len() + 1];
    let mut open = vec![program.parts().start as usize];
    // What is behind a link is an entry as well.
    open.extend(program.entries().iter().map(|entry| *entry as usize));
    for index in &open {
        facts[*index].landing = true;
    }
    while let Some(index) = open.pop() {
        if core::mem::replace(&mut facts[index].reachable, true) || index == instructions.len() {
            continue;
        }
        let instruction = instructions[index];
        if let Some(target) = jump(program, index) {
            facts[target].landing = true;
            open.push(target);
        }
        if falls_through(program, index) {
            open.push(index + 1);
        }
        facts[index + 1].block |= instruction.branches() || instruction.op == Op::Ecall;
    }
    for fact in &mut facts {
        fact.block = fact.reachable && (fact.block || fact.landing);
    }
    facts
}

/// Finds loads and stores of adjacent words that can be one: up to eight words, all by one base, up or down.
fn merge(program: &Program, facts: &mut [Facts]) {
    let instructions = program.instructions();
    let mut index = 0;
    while index < instructions.len() {
        let length = if facts[index].reachable { run(instructions, facts, index) } else { 1 };
        if length > 1 {
            facts[index].run = length;
            facts[index..index + length].iter_mut().for_each(|fact| fact.merged = true);
        }
        index += length;
    }
}

fn run(instructions: &[Instruction], facts: &[Facts], first: usize) -> usize {
    const WORDS: usize = 8;
    let Instruction { op, rs1, imm, .. } = instructions[first];
    if op != Op::Lw && op != Op::Sw {
        return 1;
    }
    let mut written = Registers::of(&[]);
    let mut length = 0;
    let mut step = 0;
    for (index, next) in instructions.iter().enumerate().skip(first).take(WORDS) {
        let apart = next.imm.wrapping_sub(imm);
        if length == 1 {
            step = apart;
        }
        let fits =
            next.op == op && next.rs1 == rs1 && apart == step * length as i32 && step.abs() <= 4 && step % 4 == 0;
        let loads = op == Op::Lw;
        if !fits
            || length > 0 && (step == 0 || facts[index].landing)
            || loads && (next.rd == 0 || written.contains(next.rd) || written.contains(rs1))
        {
            break;
        }
        if loads {
            written = written.with(next.rd);
        }
        length += 1;
    }
    length.max(1)
}

/// What an instruction reads: all of it, and what of it by more than the low 32 bits.
fn uses(program: &Program, index: usize, merged: bool) -> (Registers, Registers) {
    use Op::*;
    let Instruction { op, rs1, rs2, .. } = program.instructions()[index];
    let read = Registers::of(&[rs1, rs2]);
    let strict = match op {
        // Sums and products, shifts to the left and stores of low bits do not look at the upper ones; whatever extends the sign
        // does away with them.
        Blt | Bge if rs2 == 0 => &[rs1][..],
        Addi | Slti | Andi | Slli | Srai | Add | Sub | Mul | Sll | Sra | Slt | Mulh | Blt | Bge => &[],
        Sw if merged => &[rs1, rs2],
        Sb | Sh | Sw | Lb | Lh | Lw | Lbu | Lhu | Sltiu | Xori | Ori | Srli | Jalr | Srl => &[rs1],
        Mulhsu | Div | Rem => &[rs2],
        Sltu | Xor | Or | And | Mulhu | Divu | Remu | Beq | Bne | Bltu | Bgeu => &[rs1, rs2],
        Lui | Jal | Fence | Illegal => &[],
        Ecall => {
            let arguments = match program.host_call(index) {
                Some(host::HALT) => &[register::A0, register::A1][..],
                Some(host::KECCAK256) => &[register::A0, register::A1, register::A2],
                _ => &[],
            };
            return (Registers::of(arguments), Registers::of(arguments));
        }
    };
    (read, Registers::of(strict))
}

/// Liveness and cleanness, from the end to the start until nothing changes. An instruction is looked at again when what follows it has
/// changed, which happens twice for every register at most: so the work grows with the text and no faster, whatever a stranger's text is.
fn flow_back(program: &Program, facts: &mut [Facts]) {
    let instructions = program.instructions();
    let reachable: Vec<usize> = (0..instructions.len()).filter(|index| facts[*index].reachable).collect();
    let next = |index| {
        let follows = falls_through(program, index).then_some(index + 1);
        [jump(program, index), follows].into_iter().flatten()
    };
    let mut before = vec![Vec::new(); facts.len()];
    for index in &reachable {
        next(*index).for_each(|next| before[next].push(*index));
    }
    let dispatches: Vec<usize> =
        reachable.iter().copied().filter(|index| instructions[*index].op == Op::Jalr).collect();
    let mut is_entry = vec![false; facts.len()];
    program.entries().iter().for_each(|entry| is_entry[*entry as usize] = true);

    // What the entries need together: one that jumps to any of them needs it all.
    let mut entered = (Registers::default(), Registers::default());
    let mut is_open: Vec<bool> = facts.iter().map(|fact| fact.reachable).collect();
    let mut open = reachable;
    while let Some(index) = open.pop() {
        is_open[index] = false;
        let instruction = instructions[index];
        let (mut live, mut clean) = match instruction.op {
            Op::Jalr => entered,
            _ => (Registers::default(), Registers::default()),
        };
        for next in next(index) {
            live = live | facts[next].live_before;
            clean = clean | facts[next].clean_before;
        }
        let (mut read, mut strict) = uses(program, index, facts[index].merged);
        if instruction.computes() && !live.contains(instruction.rd) {
            // It will not be written at all.
            (read, strict) = (Registers::default(), Registers::default());
        } else if instruction.is_move() && clean.contains(instruction.rd) {
            strict = read;
        }
        let needs = (live.without(instruction.rd) | read, clean.without(instruction.rd) | strict);
        let fact = &mut facts[index];
        (fact.live_after, fact.clean_after) = (live, clean);
        if needs == (fact.live_before, fact.clean_before) {
            continue;
        }
        (fact.live_before, fact.clean_before) = needs;
        let mut again = |indexes: &[usize]| {
            for index in indexes {
                if !core::mem::replace(&mut is_open[*index], true) {
                    open.push(*index);
                }
            }
        };
        again(&before[index]);
        let all = (entered.0 | needs.0, entered.1 | needs.1);
        if is_entry[index] && all != entered {
            entered = all;
            again(&dispatches);
        }
    }
}
