//! `GAME.rules`: a program with its budget and the hash of what becomes of it, as one file.

use alloc::{string::String, vec::Vec};

use alloy_primitives::{B256, keccak256};
use matchlock::abi;
use serde::{Deserialize, Serialize};

use crate::{
    emulate::Meter,
    machine::{Op, Parts, Program, ProgramError, Segment},
    translate::{TranslateError, Translation, translate},
};

/// What every file begins with; the last byte is the format's version.
pub const MAGIC: [u8; 8] = *b"MLRULES\x01";
/// Raised whenever the translation makes other code of the same program: an older file has to be built again, since the hash that
/// matches commit to would be another (M9).
pub const TRANSLATOR: u32 = 1;
/// Largest file, in bytes.
pub const MAX_BLOB: usize = 256 * 1024;
/// Most gas that a move may take (R7.8): what the court promises a referee at most.
pub const MAX_BUDGET: u32 = abi::MAX_BUDGET as u32;
/// Most instructions that a block may have beside [`PER_GAS`] for each gas that it takes: constants and values that nobody reads are
/// translated to nothing, which costs nothing in the EVM, but takes time in every client that emulates it. A budget buys at most 180
/// million instructions like this, about half a second.
const IDLE: u64 = 16;
/// Instructions for each gas of a block, at most; of what compilers write, one takes about 16 gas.
const PER_GAS: u64 = 2;
/// Longest name of a game or toolchain, in bytes.
const MAX_NAME: usize = 128;

/// A game's rules for the chain, checked: what it translates to has the hash that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    name: String,
    version: u32,
    toolchain: String,
    budget: u32,
    hash: B256,
    program: Program,
    translation: Translation,
}

/// The file behind its magic bytes, in postcard.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    version: u32,
    translator: u32,
    toolchain: String,
    budget: u32,
    hash: [u8; 32],
    /// Words, little-endian.
    text: Vec<u8>,
    start: u32,
    entries: Vec<u32>,
    data: Vec<Segment>,
    memory: u32,
    floor: u32,
    hot: Vec<u8>,
}

impl Blob {
    /// Rules that may take `budget` gas for a move, by the game's name and version, as `toolchain` compiled them.
    ///
    /// # Errors
    /// The budget or a name is beyond its limit, or the program has no translation.
    pub fn new(name: &str, version: u32, toolchain: &str, budget: u32, program: Program) -> Result<Blob, BlobError> {
        if budget > MAX_BUDGET {
            return Err(BlobError::Budget { budget });
        }
        if name.is_empty() || name.len().max(toolchain.len()) > MAX_NAME {
            return Err(BlobError::Name);
        }
        let translation = translate(&program, budget)?;
        if let Some(index) = idle(&program, &translation.meter) {
            return Err(BlobError::Idle { index });
        }
        let hash = keccak256(&translation.code);
        Ok(Blob { name: name.into(), version, toolchain: toolchain.into(), budget, hash, program, translation })
    }

    /// The game's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of its rules.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What compiled it: others get these bytes with the same.
    pub fn toolchain(&self) -> &str {
        &self.toolchain
    }

    /// Gas that a move may take.
    pub fn budget(&self) -> u32 {
        self.budget
    }

    /// keccak256 of the EVM code: `Match.rules`.
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// What every client runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What the court runs, and what it costs.
    pub fn translation(&self) -> &Translation {
        &self.translation
    }

    /// As a file.
    pub fn encode(&self) -> Vec<u8> {
        let Parts { text, start, entries, data, memory, floor, hot } = self.program.parts().clone();
        let stored = Stored {
            name: self.name.clone(),
            version: self.version,
            translator: TRANSLATOR,
            toolchain: self.toolchain.clone(),
            budget: self.budget,
            hash: self.hash.0,
            text: text.iter().flat_map(|word| word.to_le_bytes()).collect(),
            start,
            entries,
            data,
            memory,
            floor,
            hot,
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend(postcard::to_allocvec(&stored).expect("a blob always encodes"));
        bytes
    }

    /// Reads a file, and translates what is in it: nobody has to take its hash on trust.
    ///
    /// # Errors
    /// It is no such file, is damaged, was made by another version, or breaks a limit.
    pub fn decode(bytes: &[u8]) -> Result<Blob, BlobError> {
        if bytes.len() > MAX_BLOB {
            return Err(BlobError::TooLarge { size: bytes.len() });
        }
        let rest = bytes.strip_prefix(&MAGIC).ok_or(BlobError::Magic)?;
        let (stored, rest) = postcard::take_from_bytes::<Stored>(rest).map_err(|_| BlobError::Damaged)?;
        if !rest.is_empty() || !stored.text.len().is_multiple_of(4) {
            return Err(BlobError::Damaged);
        }
        if stored.translator != TRANSLATOR {
            return Err(BlobError::Translator { translator: stored.translator });
        }
        let words = stored.text.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
        let program = Program::new(Parts {
            text: words.collect(),
            start: stored.start,
            entries: stored.entries,
            data: stored.data,
            memory: stored.memory,
            floor: stored.floor,
            hot: stored.hot,
        })?;
        let blob = Blob::new(&stored.name, stored.version, &stored.toolchain, stored.budget, program)?;
        let named = B256::from(stored.hash);
        if blob.hash == named { Ok(blob) } else { Err(BlobError::Hash { named, made: blob.hash }) }
    }
}

/// The first instruction of a block that has too many for what it costs.
fn idle(program: &Program, meter: &Meter) -> Option<usize> {
    let (mut block, mut most, mut count) = (0, u64::MAX, 0);
    for (index, instruction) in program.instructions().iter().enumerate() {
        // What costs nothing belongs to what is before it, unless that jumps away.
        if meter.blocks[index] > 0 {
            (block, most, count) = (index, IDLE + PER_GAS * u64::from(meter.blocks[index]), 0);
        }
        count += 1;
        if count > most {
            return Some(block);
        }
        if matches!(instruction.op, Op::Jal | Op::Jalr | Op::Illegal) {
            most = u64::MAX;
        }
    }
    None
}

/// Bytes that are no rules, or rules beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// Another kind of file, or another version of this one.
    #[error("this is no .rules file of this version")]
    Magic,
    /// Cut off, or changed.
    #[error("the .rules file is damaged")]
    Damaged,
    /// Nothing that is built is as large.
    #[error("{size} bytes: a .rules file has at most {MAX_BLOB}")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// The hash that matches commit to would be another.
    #[error("built for translation {translator}, and this is {TRANSLATOR}: build it again, with `cargo xtask rules`")]
    Translator {
        /// What it was built for.
        translator: u32,
    },
    /// What is in it is not what it says.
    #[error("it names the hash {named}, but what is in it translates to {made}")]
    Hash {
        /// In the file.
        named: B256,
        /// Of the code.
        made: B256,
    },
    /// More than the court gives.
    #[error("a budget of {budget} gas: a move may take at most {MAX_BUDGET}")]
    Budget {
        /// In gas.
        budget: u32,
    },
    /// An emulator would be busy with it for longer than the budget allows for.
    #[error(
        "the block at instruction {index} has more than {IDLE} instructions that cost nothing, and {PER_GAS} for each gas"
    )]
    Idle {
        /// Its first instruction.
        index: usize,
    },
    /// None, or too long.
    #[error("a game's name has 1 to {MAX_NAME} bytes, a toolchain's at most as many")]
    Name,
    /// Beyond the machine's limits.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Too large for the chain.
    #[error(transparent)]
    Translate(#[from] TranslateError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Instruction;
    use alloc::vec;

    fn blob() -> Blob {
        let li = |rd, imm| Instruction { op: Op::Addi, rd, rs1: 0, rs2: 0, imm }.encode();
        let text = vec![li(11, 1), li(17, 0), 0x73];
        let data = vec![Segment { address: 0, bytes: vec![7] }];
        let parts = Parts { text, start: 0, entries: vec![], data, memory: 4096, floor: 4, hot: vec![11] };
        Blob::new("nim", 3, "rustc", 50_000, Program::new(parts).unwrap()).unwrap()
    }

    #[test]
    fn a_file_gives_back_what_was_stored() {
        let blob = blob();
        assert_eq!(Blob::decode(&blob.encode()), Ok(blob));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (blob, bytes) = (blob(), blob().encode());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                match Blob::decode(&changed) {
                    Err(_) => {}
                    // The name and version are said, and not committed to.
                    Ok(other) => assert_eq!((other.hash, other.budget), (blob.hash, blob.budget), "byte {at}"),
                }
            }
            assert!(Blob::decode(&bytes[..at]).is_err());
        }
        assert_eq!(Blob::decode(&[bytes, vec![0]].concat()), Err(BlobError::Damaged));
    }
}
