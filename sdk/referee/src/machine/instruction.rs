//! Instructions of the machine (M3): riscv32im without `auipc`, decoded strictly.

/// What an instruction does. Named as the RISC-V manual names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the RISC-V manual describes them; the machine's differences are in docs/MACHINE.md")]
#[repr(u8)]
pub enum Op {
    Lui,
    Jal,
    Jalr,
    Beq,
    Bne,
    Blt,
    Bge,
    Bltu,
    Bgeu,
    Lb,
    Lh,
    Lw,
    Lbu,
    Lhu,
    Sb,
    Sh,
    Sw,
    Addi,
    Slti,
    Sltiu,
    Xori,
    Ori,
    Andi,
    Slli,
    Srli,
    Srai,
    Add,
    Sub,
    Sll,
    Slt,
    Sltu,
    Xor,
    Srl,
    Sra,
    Or,
    And,
    Mul,
    Mulh,
    Mulhsu,
    Mulhu,
    Div,
    Divu,
    Rem,
    Remu,
    Ecall,
    Fence,
    /// Whatever is no instruction of this machine: it traps where it is executed.
    Illegal,
}

/// One decoded instruction; fields that it does not have are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub op: Op,
    /// The register written.
    pub rd: u8,
    /// The first register read.
    pub rs1: u8,
    /// The second register read.
    pub rs2: u8,
    /// The immediate, sign-extended; in bytes for branches, jumps, loads and stores, and shifted already for `lui`.
    pub imm: i32,
}

impl Instruction {
    /// What `word` stands for.
    pub fn decode(word: u32) -> Instruction {
        use Op::*;
        let field = |at: u32| (word >> at & 31) as u8;
        let (rd, rs1, rs2) = (field(7), field(15), field(20));
        let (f3, f7) = (word >> 12 & 7, word >> 25);
        let signed = word as i32;
        let imm_i = signed >> 20;
        let imm_s = (signed >> 25 << 5) | i32::from(rd);
        let imm_b = (signed >> 31 << 12)
            | ((word << 4) & 0x800) as i32
            | ((word >> 20) & 0x7e0) as i32
            | ((word >> 7) & 0x1e) as i32;
        let imm_j = (signed >> 31 << 20)
            | (word & 0xf_f000) as i32
            | ((word >> 9) & 0x800) as i32
            | ((word >> 20) & 0x7fe) as i32;

        let illegal = Instruction { op: Illegal, rd: 0, rs1: 0, rs2: 0, imm: 0 };
        let u = |op, imm| Instruction { op, rd, imm, ..illegal };
        let i = |op| Instruction { op, rd, rs1, imm: imm_i, ..illegal };
        let shift = |op| Instruction { op, rd, rs1, imm: i32::from(rs2), ..illegal };
        let r = |op| Instruction { op, rd, rs1, rs2, imm: 0 };
        let s = |op| Instruction { op, rs1, rs2, imm: imm_s, ..illegal };
        let b = |op| Instruction { op, rs1, rs2, imm: imm_b, ..illegal };

        match word & 0x7f {
            0x37 => u(Lui, (word & 0xffff_f000) as i32),
            0x6f => u(Jal, imm_j),
            0x67 if f3 == 0 => i(Jalr),
            0x63 => match f3 {
                0 => b(Beq),
                1 => b(Bne),
                4 => b(Blt),
                5 => b(Bge),
                6 => b(Bltu),
                7 => b(Bgeu),
                _ => illegal,
            },
            0x03 => match f3 {
                0 => i(Lb),
                1 => i(Lh),
                2 => i(Lw),
                4 => i(Lbu),
                5 => i(Lhu),
                _ => illegal,
            },
            0x23 => match f3 {
                0 => s(Sb),
                1 => s(Sh),
                2 => s(Sw),
                _ => illegal,
            },
            0x13 => match (f3, f7) {
                (0, _) => i(Addi),
                (2, _) => i(Slti),
                (3, _) => i(Sltiu),
                (4, _) => i(Xori),
                (6, _) => i(Ori),
                (7, _) => i(Andi),
                (1, 0) => shift(Slli),
                (5, 0) => shift(Srli),
                (5, 0x20) => shift(Srai),
                _ => illegal,
            },
            0x33 => match (f7, f3) {
                (0, 0) => r(Add),
                (0x20, 0) => r(Sub),
                (0, 1) => r(Sll),
                (0, 2) => r(Slt),
                (0, 3) => r(Sltu),
                (0, 4) => r(Xor),
                (0, 5) => r(Srl),
                (0x20, 5) => r(Sra),
                (0, 6) => r(Or),
                (0, 7) => r(And),
                (1, 0) => r(Mul),
                (1, 1) => r(Mulh),
                (1, 2) => r(Mulhsu),
                (1, 3) => r(Mulhu),
                (1, 4) => r(Div),
                (1, 5) => r(Divu),
                (1, 6) => r(Rem),
                (1, 7) => r(Remu),
                _ => illegal,
            },
            0x73 if word == 0x73 => Instruction { op: Ecall, ..illegal },
            0x0f if f3 == 0 => Instruction { op: Fence, ..illegal },
            _ => illegal,
        }
    }

    /// The instruction as a word, the inverse of [`decode`](Instruction::decode) for all but [`Op::Illegal`] (which
    /// becomes `unimp`) and the fields of a fence that nothing looks at.
    pub fn encode(self) -> u32 {
        use Op::*;
        let Instruction { op, rd, rs1, rs2, imm } = self;
        let (rd, rs1, rs2, imm) = (u32::from(rd) << 7, u32::from(rs1) << 15, u32::from(rs2) << 20, imm as u32);
        let i = |f3: u32, code: u32| imm << 20 | rs1 | f3 << 12 | rd | code;
        let s = |f3: u32| (imm >> 5) << 25 | rs2 | rs1 | f3 << 12 | (imm & 31) << 7 | 0x23;
        let b = |f3: u32| {
            (imm >> 12 & 1) << 31
                | (imm >> 5 & 63) << 25
                | rs2
                | rs1
                | f3 << 12
                | (imm >> 1 & 15) << 8
                | (imm >> 11 & 1) << 7
                | 0x63
        };
        let shift = |f7: u32, f3: u32| f7 << 25 | (imm & 31) << 20 | rs1 | f3 << 12 | rd | 0x13;
        let r = |f7: u32, f3: u32| f7 << 25 | rs2 | rs1 | f3 << 12 | rd | 0x33;
        match op {
            Lui => imm & 0xffff_f000 | rd | 0x37,
            Jal => {
                (imm >> 20 & 1) << 31 | (imm >> 1 & 0x3ff) << 21 | (imm >> 11 & 1) << 20 | imm & 0xf_f000 | rd | 0x6f
            }
            Jalr => i(0, 0x67),
            Beq => b(0),
            Bne => b(1),
            Blt => b(4),
            Bge => b(5),
            Bltu => b(6),
            Bgeu => b(7),
            Lb => i(0, 0x03),
            Lh => i(1, 0x03),
            Lw => i(2, 0x03),
            Lbu => i(4, 0x03),
            Lhu => i(5, 0x03),
            Sb => s(0),
            Sh => s(1),
            Sw => s(2),
            Addi => i(0, 0x13),
            Slti => i(2, 0x13),
            Sltiu => i(3, 0x13),
            Xori => i(4, 0x13),
            Ori => i(6, 0x13),
            Andi => i(7, 0x13),
            Slli => shift(0, 1),
            Srli => shift(0, 5),
            Srai => shift(0x20, 5),
            Add => r(0, 0),
            Sub => r(0x20, 0),
            Sll => r(0, 1),
            Slt => r(0, 2),
            Sltu => r(0, 3),
            Xor => r(0, 4),
            Srl => r(0, 5),
            Sra => r(0x20, 5),
            Or => r(0, 6),
            And => r(0, 7),
            Mul => r(1, 0),
            Mulh => r(1, 1),
            Mulhsu => r(1, 2),
            Mulhu => r(1, 3),
            Div => r(1, 4),
            Divu => r(1, 5),
            Rem => r(1, 6),
            Remu => r(1, 7),
            Ecall => 0x73,
            Fence => 0x0f,
            Illegal => UNIMP,
        }
    }

    /// What it writes to `rd`, where that depends on nothing but its operands: the registers' values and its immediate.
    #[inline(always)]
    pub fn value(op: Op, rs1: u32, rs2: u32, imm: i32) -> Option<u32> {
        use Op::*;
        let unsigned = imm as u32;
        Some(match op {
            Lui => unsigned,
            Addi => rs1.wrapping_add(unsigned),
            Slti => u32::from((rs1 as i32) < imm),
            Sltiu => u32::from(rs1 < unsigned),
            Xori => rs1 ^ unsigned,
            Ori => rs1 | unsigned,
            Andi => rs1 & unsigned,
            Slli => rs1.wrapping_shl(unsigned),
            Srli => rs1.wrapping_shr(unsigned),
            Srai => (rs1 as i32).wrapping_shr(unsigned) as u32,
            Add => rs1.wrapping_add(rs2),
            Sub => rs1.wrapping_sub(rs2),
            Sll => rs1.wrapping_shl(rs2),
            Slt => u32::from((rs1 as i32) < rs2 as i32),
            Sltu => u32::from(rs1 < rs2),
            Xor => rs1 ^ rs2,
            Srl => rs1.wrapping_shr(rs2),
            Sra => (rs1 as i32).wrapping_shr(rs2) as u32,
            Or => rs1 | rs2,
            And => rs1 & rs2,
            Mul => rs1.wrapping_mul(rs2),
            Mulh => ((i64::from(rs1 as i32) * i64::from(rs2 as i32)) >> 32) as u32,
            Mulhsu => ((i64::from(rs1 as i32) * i64::from(rs2)) >> 32) as u32,
            Mulhu => ((u64::from(rs1) * u64::from(rs2)) >> 32) as u32,
            Div if rs2 == 0 => u32::MAX,
            Div => (rs1 as i32).wrapping_div(rs2 as i32) as u32,
            Divu => rs1.checked_div(rs2).unwrap_or(u32::MAX),
            Rem if rs2 == 0 => rs1,
            Rem => (rs1 as i32).wrapping_rem(rs2 as i32) as u32,
            Remu => rs1.checked_rem(rs2).unwrap_or(rs1),
            _ => return None,
        })
    }

    /// Whether it is a conditional branch.
    pub fn branches(self) -> bool {
        use Op::*;
        matches!(self.op, Beq | Bne | Blt | Bge | Bltu | Bgeu)
    }

    /// Whether it does nothing but write a [`value`](Instruction::value) to its register.
    pub fn computes(self) -> bool {
        Instruction::value(self.op, 0, 0, 0).is_some()
    }

    /// Whether it copies a register.
    pub fn is_move(self) -> bool {
        self.op == Op::Addi && self.imm == 0
    }

    /// Whether it jumps and leaves the number of the instruction after it in a register.
    pub fn links(self) -> bool {
        matches!(self.op, Op::Jal | Op::Jalr) && self.rd != 0
    }

    /// Where a branch or direct jump at `index` leads: an index, perhaps outside of the text. `None` for all else, and for what is
    /// not a multiple of four bytes, which traps.
    pub fn target(self, index: usize) -> Option<usize> {
        if !self.branches() && self.op != Op::Jal || self.imm & 3 != 0 {
            return None;
        }
        index.checked_add_signed((self.imm / 4) as isize)
    }

    /// How many bytes it loads or stores; 0 for all else.
    pub fn width(self) -> u32 {
        use Op::*;
        match self.op {
            Lb | Lbu | Sb => 1,
            Lh | Lhu | Sh => 2,
            Lw | Sw => 4,
            _ => 0,
        }
    }
}

/// An instruction that every assembler makes of `unimp`: it traps.
pub const UNIMP: u32 = 0xc000_1073;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every word of the 32-bit space whose fields matter: all values of opcode, funct3 and funct7, with a few registers.
    #[test]
    fn what_decodes_encodes_to_the_same_word() {
        let mut decoded = 0;
        for high in 0..1u32 << 10 {
            for low in 0..1u32 << 7 {
                for registers in [0x0010_8080u32, 0x01f0_8f80, 0x0090_0000] {
                    let word = (high >> 3) << 25
                        | registers & 0x01f0_0000
                        | registers & 0xf_8000
                        | (high & 7) << 12
                        | registers & 0xf80
                        | low;
                    let instruction = Instruction::decode(word);
                    match instruction.op {
                        Op::Illegal => assert_eq!(Instruction::decode(instruction.encode()).op, Op::Illegal),
                        Op::Fence => assert_eq!(Instruction::decode(instruction.encode()).op, Op::Fence),
                        _ => {
                            decoded += 1;
                            assert_eq!(instruction.encode(), word, "{instruction:?}");
                        }
                    }
                }
            }
        }
        assert!(decoded > 5_000);
    }

    #[test]
    fn immediates_are_as_in_the_manual() {
        let decode = Instruction::decode;
        assert_eq!(decode(0xfe01_0113), Instruction { op: Op::Addi, rd: 2, rs1: 2, rs2: 0, imm: -32 }); // addi sp, sp, -32
        assert_eq!(decode(0x0011_2e23).imm, 28); // sw ra, 28(sp)
        assert_eq!(decode(0xfe05_16e3).imm, -20); // bnez a0, -20
        assert_eq!(decode(0xffdf_f06f).imm, -4); // j -4
        assert_eq!(decode(0x0000_8067), Instruction { op: Op::Jalr, rd: 0, rs1: 1, rs2: 0, imm: 0 }); // ret
        assert_eq!(decode(0x0001_0537).imm, 0x10000); // lui a0, 16
        assert_eq!(decode(0x4025_5513), Instruction { op: Op::Srai, rd: 10, rs1: 10, rs2: 0, imm: 2 });
        assert_eq!(decode(UNIMP).op, Op::Illegal);
        assert_eq!(decode(0x0010_0073).op, Op::Illegal, "ebreak");
        assert_eq!(decode(0x0000_0097).op, Op::Illegal, "auipc");
    }
}
