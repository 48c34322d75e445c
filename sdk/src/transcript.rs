//! A whole match as evidence: everything signed, in order. Replay it, have it judged, keep it in a file.
//!
//! [`judge`] says who won, who broke which rule, or who holds the match; [`diff`] says where two clients' boards part.

mod cursor;
mod diff;
mod file;
mod judge;
mod recording;

use alloc::vec::Vec;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

pub(crate) use cursor::Cursor;
pub use diff::{Comparison, DiffError, Divergence, Right, Side, diff};
pub use file::{File, FileError, MAX_FILE};
pub use judge::{Guilt, Held, TranscriptError, Verdict, judge};
pub use recording::Recording;

use crate::{
    abi::{Domain, MatchId, MatchTerms},
    account::Player,
    sign::Signature,
    wire::{Arrived, Turn},
};

/// Everything that was signed in one match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// Where it was played.
    pub domain: Domain,
    /// Who guaranteed it.
    pub operator: Address,
    /// What was agreed.
    pub terms: MatchTerms,
    /// Who sat at each seat.
    pub players: Vec<Player>,
    /// Each seat's signature on the terms, then the operator's.
    pub guarantee: Vec<Signature>,
    /// Each seat's signature on State 0.
    pub opening: Vec<Signature>,
    /// The turns.
    pub turns: Vec<Turn>,
    /// A second, different header for one of these turns by the same author (R5.9), if there is one.
    pub fork: Option<Turn>,
    /// Each seat's signature on the final state, then the operator's; empty before the end.
    pub conclusion: Vec<Signature>,
    /// The operator's receipts of some of these turns, by turn: who held the match, and since when.
    pub arrivals: Vec<Arrived>,
}

/// BLAKE3 id of a transcript: of the match and of all its turns, in order.
pub fn id<'a>(match_id: MatchId, turns: impl IntoIterator<Item = &'a Turn>) -> B256 {
    let mut hash = blake3::Hasher::new();
    hash.update(b"matchlock transcript 1\0");
    hash.update(match_id.0.as_slice());
    for turn in turns {
        hash.update(turn.state.hash(match_id).0.as_slice());
        hash.update(&(turn.action.len() as u64).to_le_bytes());
        hash.update(&turn.action);
        hash.update(&turn.signature.0);
    }
    B256::from(*hash.finalize().as_bytes())
}
