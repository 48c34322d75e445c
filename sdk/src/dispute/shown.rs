//! What was shown to a court, and what the rules say of it.

use alloc::vec::Vec;

use alloy_primitives::keccak256;
use serde::{Deserialize, Serialize};

use crate::{
    abi::{Court, MatchId, MatchTerms, State},
    channel::{self, ChannelError, Fault, HeaderField},
    game::{Amount, Seat},
    rules::{MAX_ACTION, Rules},
    sign::Signature,
    transcript::Cursor,
    wire::Turn,
};

/// A header that was shown to a court, with its move, and with its author's signature where that is on this very header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The header.
    pub state: State,
    /// Its action.
    pub action: Vec<u8>,
    /// Signatures on this very header, with whose they are said to be.
    pub signatures: Vec<(Seat, Signature)>,
}

/// What evidence shows: its base, and the headers above it.
pub fn shown(evidence: &Court::Evidence) -> (State, Vec<Shown>) {
    let place = |seat: u8| (evidence.places >> (8 * u32::from(seat))) as u8;
    let signers = (0..8).filter(|seat| place(*seat) != 0);
    let signatures = evidence.signatures.chunks_exact(64).filter_map(|bytes| bytes.try_into().ok().map(Signature));
    let signed: Vec<(u8, Seat, Signature)> =
        signers.zip(signatures).map(|(seat, signature)| (place(seat), Seat(seat), signature)).collect();
    let headers = evidence.headers.iter().zip(&evidence.moves).enumerate().map(|(i, (state, action))| Shown {
        state: state.into(),
        action: action.to_vec(),
        signatures: (signed.iter())
            .filter(|(place, ..)| usize::from(*place) == i + 2)
            .map(|(_, seat, signature)| (*seat, *signature))
            .collect(),
    });
    ((&evidence.base).into(), headers.collect())
}

/// Whether a header may follow its parent as far as the court looks (R7.2), which knows no rules: it links, its move is this one, and
/// it is such that the arena could apply it.
///
/// # Errors
/// What is wrong with it.
pub fn follows(id: MatchId, terms: &MatchTerms, parent: &State, state: &State, action: &[u8]) -> Result<(), Fault> {
    if parent.is_final() {
        return Err(Fault::AfterTheEnd);
    }
    if state.turn != parent.turn + 1 || state.prev != parent.hash(id) {
        return Err(Fault::Unlinked);
    }
    let mover = state.mover();
    let paid = Amount::total(&state.payouts).filter(|_| state.payouts.len() == terms.seats.len());
    let field = if action.len() > MAX_ACTION || keccak256(action) != state.action {
        HeaderField::Move
    } else if mover.is_some_and(|mover| mover.index() >= terms.seats.len()) {
        HeaderField::Mover
    } else if paid.is_none_or(|paid| Amount::total(&terms.stakes).is_none_or(|pot| paid > pot)) {
        HeaderField::Payouts
    } else if mover.is_some() && state.turn >= terms.max_turns {
        return Err(Fault::TooLong);
    } else {
        return Ok(());
    };
    Err(Fault::Header { field })
}

/// A match replayed by its rules, header by header.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    id: MatchId,
    terms: &'a MatchTerms,
    rules: &'a dyn Rules,
    at: Cursor,
}

impl<'a> Replay<'a> {
    /// From State 0 on.
    ///
    /// # Errors
    /// The terms do not start these rules.
    pub fn new(id: MatchId, terms: &'a MatchTerms, rules: &'a dyn Rules) -> Result<Replay<'a>, ChannelError> {
        let (state, placed) = channel::start(terms, rules)?;
        Ok(Replay { id, terms, rules, at: Cursor { hash: state.hash(id), state, placed } })
    }

    /// From a header on, with the encoded position that it commits to; `None` if it does not, or the rules do not know the position.
    pub fn from(
        id: MatchId,
        terms: &'a MatchTerms,
        rules: &'a dyn Rules,
        state: State,
        position: &[u8],
    ) -> Option<Replay<'a>> {
        let placed = rules.place(position).ok().filter(|placed| placed.commitment() == state.board)?;
        Some(Replay { id, terms, rules, at: Cursor { hash: state.hash(id), state, placed } })
    }

    /// Goes on to this header if it is what the rules make of its move; signatures are not looked at.
    ///
    /// # Errors
    /// What its author broke; the replay stays where it is.
    pub fn follow(&mut self, state: &State, action: &[u8]) -> Result<(), Fault> {
        let turn = Turn { state: state.clone(), action: action.to_vec(), signature: Signature::NONE };
        self.at = self.at.follow(self.id, self.terms, self.rules, &turn)?;
        Ok(())
    }

    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.at.state
    }

    /// The encoded position there.
    pub fn position(&self) -> &[u8] {
        &self.at.placed.position
    }
}
