//! EVM code with labels, and what it costs: static gas is counted as instructions are written.

use alloc::vec::Vec;

/// Opcodes, by their names in the Yellow Paper.
#[allow(missing_docs)]
pub(super) mod op {
    pub(crate) const ADD: u8 = 0x01;
    pub(crate) const MUL: u8 = 0x02;
    pub(crate) const SUB: u8 = 0x03;
    pub(crate) const DIV: u8 = 0x04;
    pub(crate) const SDIV: u8 = 0x05;
    pub(crate) const MOD: u8 = 0x06;
    pub(crate) const SMOD: u8 = 0x07;
    pub(crate) const SIGNEXTEND: u8 = 0x0b;
    pub(crate) const LT: u8 = 0x10;
    pub(crate) const SLT: u8 = 0x12;
    pub(crate) const EQ: u8 = 0x14;
    pub(crate) const ISZERO: u8 = 0x15;
    pub(crate) const AND: u8 = 0x16;
    pub(crate) const OR: u8 = 0x17;
    pub(crate) const XOR: u8 = 0x18;
    pub(crate) const NOT: u8 = 0x19;
    pub(crate) const SHL: u8 = 0x1b;
    pub(crate) const SHR: u8 = 0x1c;
    pub(crate) const SAR: u8 = 0x1d;
    pub(crate) const KECCAK256: u8 = 0x20;
    pub(crate) const CODESIZE: u8 = 0x38;
    pub(crate) const CODECOPY: u8 = 0x39;
    pub(crate) const POP: u8 = 0x50;
    pub(crate) const MLOAD: u8 = 0x51;
    pub(crate) const MSTORE: u8 = 0x52;
    pub(crate) const MSTORE8: u8 = 0x53;
    pub(crate) const JUMP: u8 = 0x56;
    pub(crate) const JUMPI: u8 = 0x57;
    pub(crate) const GAS: u8 = 0x5a;
    pub(crate) const JUMPDEST: u8 = 0x5b;
    pub(crate) const PUSH0: u8 = 0x5f;
    pub(crate) const DUP1: u8 = 0x80;
    pub(crate) const SWAP1: u8 = 0x90;
    pub(crate) const REVERT: u8 = 0xfd;
}
use op::*;

/// Static gas of an opcode, by the schedule of Osaka; what grows with lengths is the writer's to add.
fn gas(opcode: u8) -> u64 {
    match opcode {
        JUMPDEST => 1,
        PUSH0 | POP | CODESIZE | GAS => 2,
        MUL | DIV | SDIV | MOD | SMOD | SIGNEXTEND => 5,
        JUMP => 8,
        JUMPI => 10,
        KECCAK256 => 30,
        REVERT => 0,
        _ => 3,
    }
}

/// A place in the code, to be bound once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Code under construction.
#[derive(Default)]
pub(super) struct Assembler {
    code: Vec<u8>,
    gas: u64,
    labels: Vec<Option<usize>>,
    /// Where two bytes wait for a label's place.
    fixes: Vec<(usize, Label)>,
}

impl Assembler {
    /// Gas of everything that was written so far, each once.
    pub(super) fn gas(&self) -> u64 {
        self.gas
    }

    /// How long the code is so far, in bytes.
    pub(super) fn len(&self) -> usize {
        self.code.len()
    }

    pub(super) fn op(&mut self, opcode: u8) -> &mut Self {
        self.gas += gas(opcode);
        self.code.push(opcode);
        self
    }

    /// Opcodes in order, none of which pushes bytes.
    pub(super) fn ops(&mut self, opcodes: &[u8]) -> &mut Self {
        for opcode in opcodes {
            self.op(*opcode);
        }
        self
    }

    /// The shortest push of a number.
    pub(super) fn push(&mut self, value: u128) -> &mut Self {
        let bytes = value.to_be_bytes();
        self.push_bytes(&bytes[value.leading_zeros() as usize / 8..])
    }

    /// A push of up to 32 bytes.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.op(PUSH0 + bytes.len() as u8);
        self.code.extend_from_slice(bytes);
        self
    }

    /// The shortest push of a number's two's complement of 256 bits.
    pub(super) fn push_signed(&mut self, value: i32) -> &mut Self {
        match value {
            0.. => self.push(value as u128),
            _ => self.push(!value as u128).op(NOT),
        }
    }

    /// A push of four bytes, whatever the value: code whose length does not depend on it.
    pub(super) fn push_u32(&mut self, value: u32) -> &mut Self {
        self.push_bytes(&value.to_be_bytes())
    }

    /// Copies the item that has `above` others above it.
    ///
    /// # Panics
    /// Beyond what `DUP16` reaches.
    pub(super) fn dup(&mut self, above: usize) -> &mut Self {
        assert!(above < 16, "the stack is reached no deeper than 16");
        self.op(DUP1 + above as u8)
    }

    /// Swaps the top with the item that has `above` others above it.
    ///
    /// # Panics
    /// Beyond what `SWAP16` reaches.
    pub(super) fn swap(&mut self, above: usize) -> &mut Self {
        assert!((1..=16).contains(&above), "the stack is reached no deeper than 17");
        self.op(SWAP1 + above as u8 - 1)
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Pushes a label's place: in one byte where it is known to fit, else in two.
    pub(super) fn push_label(&mut self, label: Label) -> &mut Self {
        if let Some(at @ 0..256) = self.labels[label.0] {
            return self.push(at as u128);
        }
        self.fixes.push((self.code.len() + 1, label));
        self.push_bytes(&[0, 0])
    }

    /// Binds a label here, with the `JUMPDEST` that it needs.
    pub(super) fn land(&mut self, label: Label) -> &mut Self {
        self.bind(label);
        self.op(JUMPDEST)
    }

    /// Binds a label here, for data and lengths.
    pub(super) fn bind(&mut self, label: Label) {
        debug_assert!(self.labels[label.0].is_none(), "a label is bound once");
        self.labels[label.0] = Some(self.code.len());
    }

    /// Lets a label stand where another is bound.
    pub(super) fn alias(&mut self, label: Label, other: Label) {
        self.labels[label.0] = self.labels[other.0];
    }

    /// Bytes that are no code.
    pub(super) fn data(&mut self, bytes: &[u8]) {
        self.code.extend_from_slice(bytes);
    }

    /// Two bytes that are a label's place.
    pub(super) fn place(&mut self, label: Label) {
        self.fixes.push((self.code.len(), label));
        self.data(&[0, 0]);
    }

    /// The code, with all labels in their places.
    ///
    /// # Panics
    /// A label that is used was not bound, or lies beyond 65,535.
    pub(super) fn finish(mut self) -> Vec<u8> {
        for (at, label) in self.fixes {
            let place = self.labels[label.0].expect("every label is bound");
            let place = u16::try_from(place).expect("checked by the translation");
            self.code[at..at + 2].copy_from_slice(&place.to_be_bytes());
        }
        self.code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_as_short_as_can_be() {
        let mut asm = Assembler::default();
        asm.push(0).push(1).push(255).push(256).push(0xffff_ffff);
        assert_eq!(asm.finish(), [0x5f, 0x60, 1, 0x60, 255, 0x61, 1, 0, 0x63, 255, 255, 255, 255]);
    }

    #[test]
    fn labels_are_bound_before_or_after() {
        let mut asm = Assembler::default();
        let (early, late) = (asm.label(), asm.label());
        asm.land(early).push_label(early).push_label(late).op(JUMP).land(late);
        assert_eq!(asm.gas(), 1 + 2 + 3 + 8 + 1);
        assert_eq!(asm.finish(), [0x5b, 0x5f, 0x61, 0, 6, 0x56, 0x5b]);
    }
}
