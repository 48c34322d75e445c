//! A third opinion: what the instructions do, by an emulator that others wrote (rrs-lib), and by vectors from the manual's definitions.

mod common;

use common::{dice::Dice, program};
use matchlock_referee::{
    emulate::{Emulator, Meter},
    machine::{Instruction, Op, Parts, Program, UNIMP, host},
    run, translate,
};
use rrs_lib::{HartState, MemAccessSize, Memory, instruction_executor::InstructionExecutor};

/// Where the other machine has its code.
const TEXT: u32 = 0x10_0000;

/// Memory as the other emulator wants it: data from 0, code that can be read.
struct Flat {
    data: Vec<u8>,
    text: Vec<u32>,
}

impl Flat {
    fn width(size: MemAccessSize) -> usize {
        match size {
            MemAccessSize::Byte => 1,
            MemAccessSize::HalfWord => 2,
            MemAccessSize::Word => 4,
        }
    }
}

impl Memory for Flat {
    fn read_mem(&mut self, address: u32, size: MemAccessSize) -> Option<u32> {
        if let Some(offset) = address.checked_sub(TEXT) {
            return self.text.get(offset as usize / 4).copied();
        }
        let at = address as usize;
        let bytes = self.data.get(at..at + Flat::width(size))?;
        Some(bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)))
    }

    fn write_mem(&mut self, address: u32, size: MemAccessSize, value: u32) -> bool {
        let (at, width) = (address as usize, Flat::width(size));
        let Some(bytes) = self.data.get_mut(at..at + width) else { return false };
        bytes.copy_from_slice(&value.to_le_bytes()[..width]);
        true
    }
}

/// The output of a program that ends within so many steps, by the other emulator; `None` where the two machines differ on purpose or
/// the program does not end.
fn opinion(program: &Program, input: &[u8], steps: usize) -> Option<Vec<u8>> {
    let parts = program.parts();
    let mut memory = Flat { data: vec![0; parts.memory as usize], text: parts.text.clone() };
    for segment in &parts.data {
        memory.data[segment.address as usize..][..segment.bytes.len()].copy_from_slice(&segment.bytes);
    }
    let address = matchlock_referee::machine::input_address(parts.memory, parts.floor, input.len())?;
    memory.data[address as usize..][..input.len()].copy_from_slice(input);
    let mut hart = HartState::new();
    hart.pc = TEXT + 4 * parts.start;
    (hart.registers[10], hart.registers[11]) = (address, input.len() as u32);
    for _ in 0..steps {
        let index = hart.pc.wrapping_sub(TEXT) / 4;
        let instruction = *program.instructions().get(index as usize)?;
        if instruction.op == Op::Ecall {
            let halts = program.host_call(index as usize) == Some(host::HALT);
            let (at, length) = (hart.registers[10] as usize, hart.registers[11] as usize);
            return memory.data.get(at..at + length).filter(|_| halts).map(<[u8]>::to_vec);
        }
        // Code pointers are numbers here, and addresses do not wrap: those below zero are a guard.
        let base = hart.registers[usize::from(instruction.rs1)];
        let address = i64::from(base) + i64::from(instruction.imm);
        let wraps = instruction.width() > 0 && u32::try_from(address).is_err();
        // It goes to the middle of instructions, where this machine traps.
        let misaligned = (instruction.branches() || instruction.op == Op::Jal) && instruction.imm & 3 != 0;
        if matches!(instruction.op, Op::Jalr | Op::Illegal) || instruction.links() || wraps || misaligned {
            return None;
        }
        InstructionExecutor { mem: &mut memory, hart_state: &mut hart }.step().ok()?;
    }
    None
}

#[test]
fn others_agree_on_random_programs() {
    const SEEDS: std::ops::Range<u64> = 0..50_000;
    println!("seeds {SEEDS:?}");
    let mut agreed = 0;
    for seed in SEEDS {
        let (program, input) = program::random(&mut Dice::new(seed));
        let Some(expected) = opinion(&program, &input, 5_000) else { continue };
        let run = Emulator::new(&program, Meter::instructions(&program)).run(&input, 5_001);
        assert_eq!(run.result, Ok(expected), "seed {seed}");
        agreed += 1;
    }
    println!("{agreed} programs came to an end in both");
    assert!(agreed > 2_000, "{agreed}");
}

/// What one instruction makes of two values, by the emulator and by the translation, which have to agree.
fn value(op: Op, a: u32, b: u32, imm: i32) -> u32 {
    let store = |rs2, imm| Instruction { op: Op::Sw, rd: 0, rs1: 0, rs2, imm }.encode();
    let load = |rd, imm| Instruction { op: Op::Lw, rd, rs1: 0, rs2: 0, imm }.encode();
    let li = |rd, imm| Instruction { op: Op::Addi, rd, rs1: 0, rs2: 0, imm }.encode();
    let two = !matches!(
        op,
        Op::Lui | Op::Addi | Op::Slti | Op::Sltiu | Op::Xori | Op::Ori | Op::Andi | Op::Slli | Op::Srli | Op::Srai
    );
    let (rs2, rs1) = (if two { 6 } else { 0 }, if op == Op::Lui { 0 } else { 5 });
    // The operands come out of memory, so that nothing is known about them.
    let tested = Instruction { op, rd: 7, rs1, rs2, imm }.encode();
    let text = vec![load(5, 0), load(6, 4), tested, store(7, 8), li(10, 8), li(11, 4), li(17, 0), 0x73];
    let bytes = [a.to_le_bytes(), b.to_le_bytes()].concat();
    let data = vec![matchlock_referee::machine::Segment { address: 0, bytes }];
    let hot = vec![5, 7];
    let program =
        Program::new(Parts { text, start: 0, entries: vec![], data, memory: 4096, floor: 12, hot }).expect("a program");
    let translation = translate(&program, 1_000_000).expect("a small one");
    let emulated = Emulator::new(&program, translation.meter).run(&[], 1_000_000).result.expect("no trap");
    assert_eq!(run::run(&translation.code, &[], 1_000_000).output, emulated, "{op:?} {a:#x} {b:#x} {imm}");
    u32::from_le_bytes(emulated.try_into().expect("four bytes"))
}

/// Values at every edge that an instruction can have.
const EDGES: [u32; 14] =
    [0, 1, 2, 3, 31, 32, 0x7f, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_fffe, 0xffff_ffff];

/// The definitions of the RISC-V manual (volume I, chapters 2.4 and 13), in 64-bit arithmetic and not as the machine computes them.
#[test]
fn computing_instructions_are_as_the_manual_defines_them() {
    let signed = |word: u32| i64::from(word as i32);
    for a in EDGES {
        for b in EDGES {
            let (ua, ub, sa, sb) = (u64::from(a), u64::from(b), signed(a), signed(b));
            let amount = b % 32;
            let expected: [(Op, u64); 18] = [
                (Op::Add, ua + ub),
                (Op::Sub, (1 << 32) + ua - ub),
                (Op::Sll, ua << amount),
                (Op::Srl, ua >> amount),
                (Op::Sra, (sa >> amount) as u64),
                (Op::Slt, (sa < sb).into()),
                (Op::Sltu, (ua < ub).into()),
                (Op::Xor, ua ^ ub),
                (Op::Or, ua | ub),
                (Op::And, ua & ub),
                (Op::Mul, ua.wrapping_mul(ub)),
                (Op::Mulh, ((sa * sb) >> 32) as u64),
                (Op::Mulhsu, ((sa * ub as i64) >> 32) as u64),
                (Op::Mulhu, ua.wrapping_mul(ub) >> 32),
                (Op::Div, if b == 0 { u64::MAX } else { (sa / sb) as u64 }),
                (Op::Divu, ua.checked_div(ub).unwrap_or(u64::MAX)),
                (Op::Rem, if b == 0 { ua } else { (sa % sb) as u64 }),
                (Op::Remu, ua.checked_rem(ub).unwrap_or(ua)),
            ];
            for (op, expected) in expected {
                assert_eq!(value(op, a, b, 0), expected as u32, "{op:?} {a:#x} {b:#x}");
            }
        }
        for imm in [0, 1, 5, 31, 2047, -1, -2, -2048] {
            let (ua, sa, si) = (u64::from(a), signed(a), i64::from(imm));
            let ui = u64::from(imm as u32);
            let expected: [(Op, u64); 6] = [
                (Op::Addi, (sa + si) as u64),
                (Op::Slti, (sa < si).into()),
                (Op::Sltiu, (ua < ui).into()),
                (Op::Xori, ua ^ ui),
                (Op::Ori, ua | ui),
                (Op::Andi, ua & ui),
            ];
            for (op, expected) in expected {
                assert_eq!(value(op, a, 0, imm), expected as u32, "{op:?} {a:#x} {imm}");
            }
        }
        for amount in [0, 1, 7, 31] {
            assert_eq!(value(Op::Slli, a, 0, amount), a << amount);
            assert_eq!(value(Op::Srli, a, 0, amount), a >> amount);
            assert_eq!(value(Op::Srai, a, 0, amount), (a as i32 >> amount) as u32);
        }
        assert_eq!(value(Op::Lui, 0, 0, (a & 0xffff_f000) as i32), a & 0xffff_f000);
    }
}

/// A program that takes the branch stores 1, else 2.
#[test]
fn branches_are_taken_when_they_should_be() {
    let word = |op, rd, rs1, rs2, imm| Instruction { op, rd, rs1, rs2, imm }.encode();
    for a in EDGES {
        for b in EDGES {
            let (sa, sb) = (a as i32, b as i32);
            let branches = [
                (Op::Beq, a == b),
                (Op::Bne, a != b),
                (Op::Blt, sa < sb),
                (Op::Bge, sa >= sb),
                (Op::Bltu, a < b),
                (Op::Bgeu, a >= b),
            ];
            for ((op, taken), zero) in branches.into_iter().flat_map(|branch| [(branch, false), (branch, true)]) {
                // With x0 as the second register where that is what is compared.
                if zero && b != 0 {
                    continue;
                }
                let text = vec![
                    word(Op::Lw, 5, 0, 0, 0),
                    word(Op::Lw, 6, 0, 0, 4),
                    word(op, 0, 5, if zero { 0 } else { 6 }, 12),
                    word(Op::Addi, 7, 0, 0, 2),
                    word(Op::Jal, 0, 0, 0, 8),
                    word(Op::Addi, 7, 0, 0, 1),
                    word(Op::Sb, 0, 0, 7, 8),
                    word(Op::Addi, 10, 0, 0, 8),
                    word(Op::Addi, 11, 0, 0, 1),
                    word(Op::Addi, 17, 0, 0, 0),
                    0x73,
                    UNIMP,
                ];
                let bytes = [a.to_le_bytes(), b.to_le_bytes()].concat();
                let data = vec![matchlock_referee::machine::Segment { address: 0, bytes }];
                let parts = Parts { text, start: 0, entries: vec![], data, memory: 4096, floor: 12, hot: vec![5, 6] };
                let program = Program::new(parts).expect("a program");
                let translation = translate(&program, 1_000_000).expect("a small one");
                let expected = vec![if taken { 1 } else { 2 }];
                assert_eq!(run::run(&translation.code, &[], 1_000_000).output, expected, "{op:?} {a:#x} {b:#x}");
                assert_eq!(Emulator::new(&program, translation.meter).run(&[], 1_000_000).result, Ok(expected));
            }
        }
    }
}
