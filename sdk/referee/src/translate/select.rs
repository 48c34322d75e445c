//! EVM code for each instruction of the program.
//!
//! Values are kept lazily. A constant is not written to its register while nobody has to find it there, and a result stays on top of the stack
//! until the next instruction has had a chance to take it.

mod memory;

use alloc::vec::Vec;

use super::{
    assembler::{Assembler, Label, op::*},
    flow::{Facts, Registers, falls_through, jump},
    frame::Routines,
    layout::Layout,
};
use crate::machine::{Instruction, Op, Program, host, register};

/// Writes the program's blocks, in the order of its text.
pub(super) struct Selector<'a> {
    asm: &'a mut Assembler,
    program: &'a Program,
    facts: &'a [Facts],
    layout: &'a Layout,
    routines: Routines,
    dispatch: u64,
    labels: Vec<Option<Label>>,
    known: Known,
    /// The register whose value is on top of the stack and nowhere else.
    top: Option<u8>,
}

/// What is known about registers at one place.
struct Known {
    values: [Option<u32>; 32],
    /// Of these the register itself does not hold the value.
    unwritten: Registers,
}

impl Known {
    /// Of x0 alone.
    fn new() -> Known {
        let mut values = [None; 32];
        values[0] = Some(0);
        Known { values, unwritten: Registers::default() }
    }

    /// Nothing is known of this register any more but that it holds its value; of x0 everything is.
    fn forget(&mut self, register: u8) {
        self.values[usize::from(register)] = (register == 0).then_some(0);
        self.unwritten = self.unwritten.without(register);
    }
}

/// Bits of a guest's word.
const BITS: u32 = 32;
/// Bits of the EVM's.
const WIDE: u32 = 256;

impl<'a> Selector<'a> {
    pub(super) fn new(
        asm: &'a mut Assembler,
        program: &'a Program,
        facts: &'a [Facts],
        layout: &'a Layout,
        routines: Routines,
        dispatch: u64,
    ) -> Selector<'a> {
        let labels = facts.iter().map(|fact| (fact.reachable && fact.landing).then(|| asm.label())).collect();
        let known = Known::new();
        Selector { asm, program, facts, layout, routines, dispatch, labels, known, top: None }
    }

    /// The labels of all instructions that something jumps to, and the gas of every block.
    pub(super) fn write(mut self) -> (Vec<Option<Label>>, Vec<u64>) {
        let end = self.program.instructions().len();
        let mut blocks = alloc::vec![0; end + 1];
        let (mut index, mut block) = (0, 0);
        while index <= end {
            let fact = self.facts[index];
            if !fact.reachable {
                index += 1;
                continue;
            }
            if fact.block {
                block = index;
            }
            let before = self.asm.gas();
            if fact.landing {
                let label = self.labels[index].expect("made for every landing");
                self.asm.land(label);
                self.known = Known::new();
            }
            let mut dispatched = 0;
            let next = if index == end {
                self.trap();
                index + 1
            } else {
                if self.program.instructions()[index].op == Op::Jalr {
                    dispatched = self.dispatch;
                }
                self.instruction(index)
            };
            if next <= end && self.facts[next].landing && falls_through(self.program, next - 1) {
                self.settle();
                self.write_constants(self.facts[next].live_before);
            }
            blocks[block] += self.asm.gas() - before + dispatched;
            index = next;
        }
        (self.labels, blocks)
    }

    /// Writes one instruction, or a run of them, and tells what comes next.
    fn instruction(&mut self, index: usize) -> usize {
        use Op::*;
        let instruction = self.program.instructions()[index];
        let Instruction { op, rd, rs1, rs2, imm } = instruction;
        let fact = self.facts[index];
        if fact.run > 1 {
            self.settle();
            match op {
                Sw => self.store_run(index, fact.run),
                _ if self.copies(index, fact.run) => {
                    self.copy_run(index, fact.run);
                    return index + 2 * fact.run;
                }
                _ => self.load_run(index, fact.run),
            }
            return index + fact.run;
        }
        if let Some(value) = self.constant(instruction) {
            self.set_constant(index, rd, value);
            return index + 1;
        }
        if instruction.computes() && (rd == 0 || !fact.live_after.contains(rd)) {
            return index + 1;
        }
        match op {
            Lui => unreachable!("a constant"),
            Addi | Xori | Ori | Andi | Slli | Srli | Srai | Slti | Sltiu => self.immediate(index, instruction),
            Add => self.binary(index, rs1, rs2, false, true, ADD),
            Sub => self.binary(index, rs1, rs2, false, false, SUB),
            Mul => self.binary(index, rs1, rs2, false, true, MUL),
            Xor => self.binary(index, rs1, rs2, false, true, XOR),
            Or => self.binary(index, rs1, rs2, false, true, OR),
            And => self.binary(index, rs1, rs2, false, true, AND),
            Slt => self.binary(index, rs1, rs2, true, false, SLT),
            Sltu if rs1 == 0 => {
                self.first(index, rs2);
                self.asm.ops(&[ISZERO, ISZERO]);
            }
            Sltu => self.binary(index, rs1, rs2, false, false, LT),
            Mulhu => {
                self.binary(index, rs1, rs2, false, true, MUL);
                self.asm.push(BITS.into()).op(SHR);
            }
            Mulh | Mulhsu => {
                self.first(index, rs2);
                if op == Mulh {
                    self.extend_sign();
                }
                self.read(rs1, 1);
                self.extend_sign();
                self.asm.op(MUL).push(BITS.into()).op(SHR);
            }
            Sll | Srl | Sra => {
                self.first(index, rs1);
                if op == Sra {
                    self.extend_sign();
                }
                match self.known.values[usize::from(rs2)] {
                    Some(value) => self.asm.push((value & 31).into()),
                    None => {
                        self.read(rs2, 1);
                        self.asm.push(31).op(AND)
                    }
                };
                self.asm.op(match op {
                    Sll => SHL,
                    Srl => SHR,
                    _ => SAR,
                });
            }
            Div | Divu | Rem | Remu => self.divide(op, rs1, rs2),
            Lb | Lbu | Lh | Lhu | Lw => {
                self.address(index, instruction, 0);
                let shift = WIDE - 8 * instruction.width();
                self.asm.op(MLOAD).push(shift.into()).op(if matches!(op, Lb | Lh) { SAR } else { SHR });
            }
            Sb => self.store_byte(index, instruction),
            Sh | Sw => self.store(index, instruction),
            Beq | Bne | Blt | Bge | Bltu | Bgeu => self.branch(index, instruction),
            Jal => {
                self.settle();
                self.leave_link(index, rd, 0);
                match jump(self.program, index) {
                    None => self.trap(),
                    Some(target) => {
                        self.write_constants(self.facts[target].live_before);
                        let follows = (index + 1..target).all(|between| !self.facts[between].reachable);
                        if target <= index || !follows {
                            self.asm.push_label(self.labels[target].expect("a landing")).op(JUMP);
                        }
                    }
                }
            }
            Jalr => {
                self.first(index, rs1);
                if imm != 0 {
                    self.asm.push((imm as u32).into()).op(ADD);
                    self.mask(1);
                }
                // What is jumped to stays on the stack, so all that is written has one more above it.
                self.known.forget(rd);
                for constant in (self.known.unwritten & fact.live_after).iter() {
                    self.write_constant(constant, 1);
                }
                self.leave_link(index, rd, 1);
                self.asm.push_label(self.routines.dispatch).op(JUMP);
            }
            Ecall => self.host_call(index),
            Fence => {}
            Illegal => self.trap(),
        }
        // What can have more than 32 bits after the operation.
        let wide = match op {
            Addi => !instruction.is_move(),
            Divu => self.known.values[usize::from(rs2)].is_none_or(|divisor| divisor == 0),
            Add | Sub | Mul | Slli | Sll | Mulh | Mulhsu | Div | Rem => true,
            Sra | Srai | Lb | Lh => true,
            _ => false,
        };
        if instruction.computes() || instruction.width() > 0 && !matches!(op, Sb | Sh | Sw) {
            if wide && fact.clean_after.contains(rd) {
                self.mask(1);
            }
            self.define(index, rd);
        }
        index + 1
    }

    // ----------------------------------------------------------------------------------------------------- values

    /// The value, where it is known now.
    fn constant(&self, instruction: Instruction) -> Option<u32> {
        let Instruction { op, rs1, rs2, imm, .. } = instruction;
        // Both registers are x0 where an instruction has fewer, and x0 is known.
        let [a, b] = [rs1, rs2].map(|register| self.known.values[usize::from(register)]);
        Instruction::value(op, a?, b?, imm)
    }

    fn set_constant(&mut self, index: usize, rd: u8, value: u32) {
        if rd == 0 || !self.facts[index].live_after.contains(rd) {
            return;
        }
        if value > 0xff && self.is_read_often(index, rd) {
            self.settle();
            self.asm.push(value.into());
            self.define(index, rd);
            self.known.values[usize::from(rd)] = Some(value);
            return;
        }
        if self.top == Some(rd) {
            self.top = None;
            self.asm.op(POP);
        }
        self.known.values[usize::from(rd)] = Some(value);
        self.known.unwritten = self.known.unwritten.with(rd);
    }

    /// Whether pushing a constant wherever it is read in its block takes more than writing it once.
    fn is_read_often(&self, index: usize, register: u8) -> bool {
        let mut reads = 0;
        for (later, instruction) in self.program.instructions().iter().enumerate().skip(index + 1) {
            if self.facts[later].landing || !self.facts[later].reachable {
                break;
            }
            // Addresses are pushed as they are.
            let addresses = usize::from(instruction.width() > 0 && instruction.rs1 == register);
            let read = [instruction.rs1, instruction.rs2].iter().filter(|read| **read == register).count();
            reads += read - addresses;
            if instruction.rd == register {
                break;
            }
        }
        reads > 1
    }

    /// Pushes a register's value above `above` others.
    fn read(&mut self, register: u8, above: usize) {
        if let Some(value) = self.known.values[usize::from(register)]
            && (value == 0
                || self.known.unwritten.contains(register)
                || value <= 0xffff && self.layout.on_stack(register).is_none())
        {
            self.asm.push(value.into());
            return;
        }
        match (self.layout.on_stack(register), self.layout.in_memory(register)) {
            (Some(depth), _) => self.asm.dup(above + depth),
            (None, Some(slot)) => self.asm.push(slot.into()).op(MLOAD),
            // Nobody ever writes it.
            (None, None) => self.asm.op(PUSH0),
        };
    }

    /// Takes a register's value from the top, which has `above` others between it and the registers.
    fn write_to(&mut self, register: u8, above: usize) {
        match (self.layout.on_stack(register), self.layout.in_memory(register)) {
            (Some(depth), _) => self.asm.swap(above + depth + 1).op(POP),
            (None, Some(slot)) => self.asm.push(slot.into()).op(MSTORE),
            (None, None) => self.asm.op(POP),
        };
    }

    /// The value on top of the stack is that of `rd`, from now on.
    fn define(&mut self, index: usize, rd: u8) {
        debug_assert!(self.top.is_none());
        self.known.forget(rd);
        match rd != 0 && self.facts[index].live_after.contains(rd) {
            true => self.top = Some(rd),
            false => drop(self.asm.op(POP)),
        }
    }

    /// Writes the value on top to its register.
    fn settle(&mut self) {
        if let Some(register) = self.top.take() {
            self.write_to(register, 0);
        }
    }

    fn write_constant(&mut self, register: u8, above: usize) {
        let value = self.known.values[usize::from(register)].expect("only known values are unwritten");
        self.asm.push(value.into());
        self.write_to(register, above);
        self.known.unwritten = self.known.unwritten.without(register);
    }

    /// Writes the constants that somebody will look for.
    fn write_constants(&mut self, needed: Registers) {
        let above = usize::from(self.top.is_some());
        for register in (self.known.unwritten & needed).iter() {
            self.write_constant(register, above);
        }
    }

    /// Whether the value on top is that of `register`, and nobody else needs it after this instruction.
    fn can_take(&self, index: usize, register: u8) -> bool {
        let instruction = self.program.instructions()[index];
        let overwrites = instruction.rd == register && !instruction.links();
        let is_last = !self.facts[index].live_after.contains(register) || overwrites;
        self.top == Some(register) && is_last
    }

    /// Pushes the operand that is needed first: it may be there already.
    fn first(&mut self, index: usize, register: u8) {
        let instruction = self.program.instructions()[index];
        if self.can_take(index, register) && instruction.rs1 != instruction.rs2 {
            self.top = None;
        } else {
            self.settle();
            self.read(register, 0);
        }
    }

    /// Leaves only the low 32 bits of the top, with `above` others, itself among them, above the registers.
    fn mask(&mut self, above: usize) {
        self.asm.dup(above + self.layout.hot.len()).op(AND);
    }

    fn extend_sign(&mut self) {
        self.asm.push(3).op(SIGNEXTEND);
    }

    fn trap(&mut self) {
        self.top = None;
        self.asm.push_label(self.routines.trap).op(JUMP);
    }

    // ------------------------------------------------------------------------------------------------- arithmetic

    fn immediate(&mut self, index: usize, instruction: Instruction) {
        use Op::*;
        let Instruction { op, rs1, imm, .. } = instruction;
        let unsigned = u128::from(imm as u32);
        match op {
            Addi if imm < 0 && !self.can_take(index, rs1) => {
                self.settle();
                self.asm.push(imm.unsigned_abs().into());
                self.read(rs1, 1);
                self.asm.op(SUB);
                return;
            }
            Slti | Sltiu if imm != 1 || op == Slti => {
                // The register is what is compared, so it is pushed last.
                match self.can_take(index, rs1) {
                    true => self.top = None,
                    false => {
                        self.settle();
                        self.push_compared(op, imm);
                        self.read(rs1, 1);
                        return self.compare(op);
                    }
                }
                self.push_compared(op, imm);
                self.asm.swap(1);
                return self.compare(op);
            }
            _ => self.first(index, rs1),
        }
        match op {
            Addi if imm == 0 => {}
            Addi if imm < 0 => drop(self.asm.push(imm.unsigned_abs().into()).swap(1).op(SUB)),
            Addi => drop(self.asm.push(unsigned).op(ADD)),
            Sltiu => drop(self.asm.op(ISZERO)),
            Xori => drop(self.asm.push(unsigned).op(XOR)),
            Ori => drop(self.asm.push(unsigned).op(OR)),
            Andi => drop(self.asm.push(unsigned).op(AND)),
            Slli => drop(self.asm.push(unsigned).op(SHL)),
            Srli => drop(self.asm.push(unsigned).op(SHR)),
            _ => {
                self.extend_sign();
                self.asm.push(unsigned).op(SAR);
            }
        }
    }

    fn push_compared(&mut self, op: Op, imm: i32) {
        match op {
            Op::Slti => self.asm.push_signed(imm),
            _ => self.asm.push((imm as u32).into()),
        };
    }

    fn compare(&mut self, op: Op) {
        match op {
            Op::Slti => {
                self.extend_sign();
                self.asm.op(SLT);
            }
            _ => drop(self.asm.op(LT)),
        }
    }

    /// `a OPCODE b`, with `a` on top as the EVM wants it.
    fn binary(&mut self, index: usize, a: u8, b: u8, signed: bool, commutes: bool, opcode: u8) {
        let extend = |this: &mut Self| {
            if signed {
                this.extend_sign();
            }
        };
        if self.can_take(index, a) && a != b {
            self.top = None;
            extend(self);
            self.read(b, 1);
            extend(self);
            if !commutes {
                self.asm.swap(1);
            }
        } else {
            self.first(index, b);
            extend(self);
            self.read(a, 1);
            extend(self);
        }
        self.asm.op(opcode);
    }

    /// Division as RISC-V has it: by zero the quotient is all ones, and the remainder what was divided.
    fn divide(&mut self, op: Op, a: u8, b: u8) {
        use Op::*;
        self.settle();
        let signed = matches!(op, Div | Rem);
        for (register, above) in [(b, 0), (a, 1)] {
            self.read(register, above);
            if signed {
                self.extend_sign();
            }
        }
        self.asm.op(match op {
            Div => SDIV,
            Divu => DIV,
            Rem => SMOD,
            _ => MOD,
        });
        if self.known.values[usize::from(b)].is_some_and(|divisor| divisor != 0) {
            return;
        }
        self.read(b, 1);
        self.asm.op(ISZERO);
        if matches!(op, Div | Divu) {
            self.asm.ops(&[PUSH0, SUB, OR]);
        } else {
            self.read(a, 2);
            self.asm.ops(&[MUL, ADD]);
        }
    }

    // ---------------------------------------------------------------------------------------------------- control

    fn branch(&mut self, index: usize, instruction: Instruction) {
        use Op::*;
        let Instruction { op, rs1, rs2, .. } = instruction;
        let target = jump(self.program, index);
        let takes = self.can_take(index, rs1) || self.can_take(index, rs2);
        if !takes {
            self.settle();
        }
        // Whatever is paid for here is paid for on both ways.
        let next = self.facts[index + 1].landing.then_some(index + 1);
        for landing in [target, next].into_iter().flatten() {
            self.write_constants(self.facts[landing].live_before);
        }
        match op {
            Beq | Bne if rs1 == 0 || rs2 == 0 => {
                self.first(index, rs1.max(rs2));
                if op == Beq {
                    self.asm.op(ISZERO);
                }
            }
            Beq => self.binary(index, rs1, rs2, false, true, EQ),
            Bne => self.binary(index, rs1, rs2, false, true, XOR),
            Bltu if rs1 == 0 => self.first(index, rs2),
            Bgeu if rs1 == 0 => {
                self.first(index, rs2);
                self.asm.op(ISZERO);
            }
            Bltu | Bgeu => self.binary(index, rs1, rs2, false, false, LT),
            Blt | Bge if rs2 == 0 => {
                self.first(index, rs1);
                self.asm.push((BITS - 1).into()).op(SHR);
            }
            _ => self.binary(index, rs1, rs2, true, false, SLT),
        }
        if matches!(op, Bge | Bgeu) && !(op == Bgeu && rs1 == 0) {
            self.asm.op(ISZERO);
        }
        let label = target.map_or(self.routines.trap, |target| self.labels[target].expect("a landing"));
        self.asm.push_label(label).op(JUMPI);
    }

    /// Leaves the number of the next instruction in `rd`.
    fn leave_link(&mut self, index: usize, rd: u8, above: usize) {
        if rd == 0 {
            return;
        }
        let number = self.program.number(index + 1).expect("what is behind a link is an entry");
        self.asm.push(number.into());
        self.write_to(rd, above);
        self.known.forget(rd);
    }

    fn host_call(&mut self, index: usize) {
        self.settle();
        match self.program.host_call(index) {
            Some(host::HALT) => {
                self.read(register::A1, 0);
                self.read(register::A0, 1);
                self.asm.push_label(self.routines.halt).op(JUMP);
            }
            Some(host::KECCAK256) => {
                let back = self.asm.label();
                self.asm.push_label(back);
                for (above, argument) in [(1, register::A2), (2, register::A1), (3, register::A0)] {
                    self.read(argument, above);
                }
                self.asm.push_label(self.routines.keccak256).op(JUMP).land(back);
            }
            _ => self.trap(),
        }
    }
}
