//! A program: text that nothing can read, entries that code pointers can name, and the memory that it starts with (M2).

use alloc::{vec, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{GROUP, Instruction, MAX_TEXT, MEMORY, MEMORY_UNIT, Op, register};

/// What a program is made of, unchecked: as a blob stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// The instructions, as words.
    pub text: Vec<u32>,
    /// Index of the first instruction that runs.
    pub start: u32,
    /// Indexes of the instructions that code pointers name, ascending: functions and the targets of jump tables.
    pub entries: Vec<u32>,
    /// What is in memory at the start, ascending and apart; all else is zero.
    pub data: Vec<Segment>,
    /// Size of the memory, in bytes.
    pub memory: u32,
    /// The first byte behind all data: no input reaches below it.
    pub floor: u32,
    /// Registers that the translation keeps on the EVM's stack, the hottest first. It changes what a program costs, not what it does.
    pub hot: Vec<u8>,
}

/// Bytes of the memory at the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Address of the first byte.
    pub address: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A program that keeps to the limits, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    parts: Parts,
    instructions: Vec<Instruction>,
    /// All entries by number: those named and those behind links (M6).
    entries: Vec<u32>,
}

/// Most registers that can be [hot](Parts::hot): what `DUP16` and `SWAP16` reach, beside a translation's temporaries.
pub const MAX_HOT: usize = 12;

impl Program {
    /// # Errors
    /// A limit is broken, or the parts contradict each other.
    pub fn new(parts: Parts) -> Result<Program, ProgramError> {
        let Parts { text, start, entries, data, memory, floor, hot } = &parts;
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(ProgramError::Text { instructions: text.len() });
        }
        let ascending = |list: &[u32]| list.is_sorted_by(|a, b| a < b);
        if *start as usize >= text.len() {
            return Err(ProgramError::NoInstruction { index: *start });
        }
        if !ascending(entries) || entries.last().is_some_and(|last| *last as usize >= text.len()) {
            return Err(ProgramError::Entries);
        }
        if !MEMORY.contains(memory) || !memory.is_multiple_of(MEMORY_UNIT) || *floor > memory - GROUP {
            return Err(ProgramError::Memory { memory: *memory, floor: *floor });
        }
        let mut free = 0u64;
        for segment in data {
            let end = u64::from(segment.address) + segment.bytes.len() as u64;
            if u64::from(segment.address) < free || segment.bytes.is_empty() || end > u64::from(*floor) {
                return Err(ProgramError::Data { address: segment.address });
            }
            free = end;
        }
        let mut seen = 0u32;
        for register in hot {
            let bit = 1u32.checked_shl(u32::from(*register)).unwrap_or(1);
            if bit == 1 || seen & bit != 0 || hot.len() > MAX_HOT {
                return Err(ProgramError::Hot);
            }
            seen |= bit;
        }

        let instructions: Vec<Instruction> = text.iter().map(|word| Instruction::decode(*word)).collect();
        let mut is_entry = vec![false; text.len() + 1];
        for entry in entries {
            is_entry[*entry as usize] = true;
        }
        for (index, instruction) in instructions.iter().enumerate() {
            is_entry[index + 1] |= instruction.links();
        }
        let entries = (0..).zip(is_entry).filter(|(_, is)| *is).map(|(index, _)| index).collect();
        Ok(Program { parts, instructions, entries })
    }

    /// What it is made of.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Its instructions. The one after the last, where a program can run off its end, traps.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Indexes of all entries, ascending: the first has the number 4, the second 8 (M6).
    pub fn entries(&self) -> &[u32] {
        &self.entries
    }

    /// Which call to the host the `ecall` at `index` is: the number that the instruction before it, `addi a7, x0, NUMBER`, has (M7).
    pub fn host_call(&self, index: usize) -> Option<u32> {
        let before = self.instructions.get(index.checked_sub(1)?)?;
        let names = before.op == Op::Addi && before.rd == register::A7 && before.rs1 == 0;
        names.then_some(before.imm as u32)
    }

    /// The number of the entry at `index`, which is what a code pointer to it is.
    pub fn number(&self, index: usize) -> Option<u32> {
        self.entries.binary_search(&u32::try_from(index).ok()?).ok().map(|rank| (rank as u32 + 1) * 4)
    }

    /// The index of the instruction that a code pointer names; its two lowest bits count for nothing (M6).
    pub fn named(&self, number: u32) -> Option<usize> {
        let rank = (number >> 2).checked_sub(1)?;
        self.entries.get(rank as usize).map(|index| *index as usize)
    }
}

/// Parts that are no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// None, or too many.
    #[error("a program has 1 to {MAX_TEXT} instructions, not {instructions}")]
    Text {
        /// How many there are.
        instructions: usize,
    },
    /// An index outside of the text.
    #[error("there is no instruction {index} to start at")]
    NoInstruction {
        /// The index.
        index: u32,
    },
    /// Not ascending, or outside of the text.
    #[error("entries have to be ascending indexes of instructions")]
    Entries,
    /// Not a size that the machine has, or no room for the input.
    #[error(
        "memory of {memory} bytes with data up to {floor}: it is 4 to 256 KiB in whole KiB, and holds 32 bytes more than the data"
    )]
    Memory {
        /// Its size.
        memory: u32,
        /// End of the data.
        floor: u32,
    },
    /// Overlapping, empty, or beyond the floor.
    #[error("the data at {address} is empty, overlaps what is before it, or ends above the floor")]
    Data {
        /// Where it starts.
        address: u32,
    },
    /// Twice the same, x0, none that there is, or too many.
    #[error("hot registers are up to {MAX_HOT} different ones of x1 to x31")]
    Hot,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        let data = vec![Segment { address: 1024, bytes: vec![1, 2, 3] }];
        Parts { text: vec![0x73; 4], start: 0, entries: vec![1], data, memory: 8192, floor: 1027, hot: vec![10, 11] }
    }

    #[test]
    fn links_are_numbered_with_the_entries_named() {
        let mut parts = parts();
        parts.text[1] = 0x0000_00ef; // jal ra, 0
        parts.text[3] = 0x0000_00ef;
        let program = Program::new(parts).unwrap();
        assert_eq!(program.entries(), [1, 2, 4], "the one behind the last instruction as well: to go there traps");
        assert_eq!((program.number(2), program.number(3)), (Some(8), None));
        assert_eq!(
            [0, 3, 4, 7, 8, 12, 16].map(|number| program.named(number)),
            [None, None, Some(1), Some(1), Some(2), Some(4), None]
        );
    }

    #[test]
    fn parts_beyond_the_limits_are_no_program() {
        assert!(Program::new(parts()).is_ok());
        let refused = |change: fn(&mut Parts)| {
            let mut parts = parts();
            change(&mut parts);
            Program::new(parts).unwrap_err()
        };
        assert_eq!(refused(|p| p.text.clear()), ProgramError::Text { instructions: 0 });
        assert_eq!(refused(|p| p.text = vec![0x73; MAX_TEXT + 1]), ProgramError::Text { instructions: MAX_TEXT + 1 });
        assert_eq!(refused(|p| p.start = 4), ProgramError::NoInstruction { index: 4 });
        assert_eq!(refused(|p| p.entries = vec![2, 2]), ProgramError::Entries);
        assert_eq!(refused(|p| p.entries = vec![4]), ProgramError::Entries);
        assert!(matches!(refused(|p| p.memory = 4095), ProgramError::Memory { .. }));
        assert!(matches!(refused(|p| p.memory = 512 * 1024), ProgramError::Memory { .. }));
        assert!(matches!(refused(|p| p.floor = 8192), ProgramError::Memory { .. }));
        assert_eq!(refused(|p| p.floor = 1026), ProgramError::Data { address: 1024 });
        assert_eq!(refused(|p| p.data.push(p.data[0].clone())), ProgramError::Data { address: 1024 });
        assert_eq!(refused(|p| p.data[0].address = u32::MAX), ProgramError::Data { address: u32::MAX });
        for hot in [vec![0], vec![32], vec![1, 1], (1..14).collect()] {
            assert_eq!(Program::new(Parts { hot, ..parts() }), Err(ProgramError::Hot));
        }
    }
}
