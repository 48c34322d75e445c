//! What a court knows of a dispute.

use alloy_primitives::{FixedBytes, keccak256};
use serde::{Deserialize, Serialize};

use crate::{
    abi::{Court, StateHash},
    game::Seat,
};

/// What is known of a dispute (R7.1): a court's events carry it, and every call gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Docket {
    top: StateHash,
    brief: [u8; 32],
    acks: [u8; 32],
    spent: [u8; 32],
}

/// How far a dispute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Headers were shown; the mover is to answer.
    Open,
    /// A header is before the arbiters (R7.9).
    Contested,
    /// A foul was proved; only an agreed, newer state reopens (R7.7).
    Closed,
    /// Nothing was shown: stakes back, unless something is (R7.12).
    Doubted,
}

impl Docket {
    /// What the arena keeps of it in the match's own slot.
    pub fn hash(&self) -> FixedBytes<29> {
        let words = [&self.top.0[..], &self.brief, &self.acks, &self.spent].concat();
        FixedBytes::from_slice(&keccak256(words)[..29])
    }

    /// The newest header that was shown; zero while nothing was.
    pub fn top(&self) -> StateHash {
        self.top
    }

    /// Its turn.
    pub fn turn(&self) -> u32 {
        self.bits(0, 32) as u32
    }

    /// Who has to answer it; `None` where it is final.
    pub fn mover(&self) -> Option<Seat> {
        let mover = self.bits(32, 8) as u8;
        (mover != crate::abi::OVER).then_some(Seat(mover))
    }

    /// How far the dispute is.
    pub fn phase(&self) -> Phase {
        match self.bits(40, 8) {
            _ if self.contested().is_some() => Phase::Contested,
            2 => Phase::Closed,
            3 => Phase::Doubted,
            _ => Phase::Open,
        }
    }

    /// When the running window opened, in the chain's Unix seconds.
    pub fn since(&self) -> u64 {
        self.bits(48, 40)
    }

    /// Its last second.
    pub fn until(&self) -> u64 {
        self.bits(88, 40)
    }

    /// The turn of the header before the arbiters.
    pub fn contested(&self) -> Option<u32> {
        Some(self.bits(128, 32) as u32).filter(|turn| *turn != 0)
    }

    /// The newest turn that all of so many seats have signed, on the docket's chain.
    pub fn agreed(&self, seats: usize) -> u32 {
        // Four bytes for each seat, seat 0 at the low end.
        self.acks.rchunks_exact(4).take(seats).map(number).min().unwrap_or(0)
    }

    /// Whether the arbiters have found the header of this turn legal.
    pub fn is_ruled_legal(&self, turn: u32) -> bool {
        self.bits(160, 64) >> (turn % 64) & 1 == 1
    }

    fn bits(&self, from: usize, count: usize) -> u64 {
        // Fields are whole bytes, counted from the low end of a big-endian word.
        let end = 32 - from / 8;
        self.brief[end - count / 8..end].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

impl From<&Court::Docket> for Docket {
    fn from(docket: &Court::Docket) -> Docket {
        Docket {
            top: StateHash(docket.top),
            brief: docket.brief.to_be_bytes(),
            acks: docket.acks.to_be_bytes(),
            spent: docket.spent.to_be_bytes(),
        }
    }
}

impl From<&Docket> for Court::Docket {
    fn from(docket: &Docket) -> Court::Docket {
        let word = alloy_primitives::U256::from_be_bytes::<32>;
        Court::Docket {
            top: docket.top.0,
            brief: word(docket.brief),
            acks: word(docket.acks),
            spent: word(docket.spent),
        }
    }
}
