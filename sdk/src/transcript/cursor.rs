//! Replaying a match turn by turn: what a channel moves with, and a judge.

use alloy_primitives::keccak256;

use crate::{
    abi::{MatchId, MatchTerms, State, StateHash},
    channel::{Fault, HeaderField},
    rules::{Placed, Rules},
    wire::Turn,
};

/// A place in a match: the newest state, its hash and its position.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) state: State,
    pub(crate) hash: StateHash,
    pub(crate) placed: Placed,
}

impl Cursor {
    /// The place after a turn whose signature was checked, or what its author broke. An unlinked header, or one with another
    /// move, is no proof against its author: who brings it may have left out turns, or put other bytes under the header.
    pub(crate) fn follow(
        &self,
        id: MatchId,
        terms: &MatchTerms,
        rules: &dyn Rules,
        turn: &Turn,
    ) -> Result<Cursor, Fault> {
        let seat = self.state.mover().ok_or(Fault::AfterTheEnd)?;
        if turn.state.turn != self.state.turn + 1 || turn.state.prev != self.hash {
            return Err(Fault::Unlinked);
        }
        if keccak256(&turn.action) != turn.state.action {
            return Err(Fault::Header { field: HeaderField::Move });
        }
        let placed = rules
            .apply(&self.placed.position, seat, &turn.action)
            .map_err(|error| Fault::Illegal { reason: alloc::format!("{error}") })?;
        self.step(id, terms, &turn.action, placed, Some(&turn.state))
    }

    /// The place after an action, with the header checked against the one that its author signed.
    pub(crate) fn step(
        &self,
        id: MatchId,
        terms: &MatchTerms,
        action: &[u8],
        placed: Placed,
        signed: Option<&State>,
    ) -> Result<Cursor, Fault> {
        let state = State::after(self.state.turn + 1, self.hash, keccak256(action), &placed);
        if !state.is_final() && state.turn >= terms.max_turns {
            return Err(Fault::TooLong);
        }
        match signed {
            Some(signed) if signed.board != state.board => return Err(Fault::Header { field: HeaderField::Board }),
            Some(signed) if signed.mover != state.mover => return Err(Fault::Header { field: HeaderField::Mover }),
            Some(signed) if signed.payouts != state.payouts => {
                return Err(Fault::Header { field: HeaderField::Payouts });
            }
            _ => {}
        }
        let hash = state.hash(id);
        Ok(Cursor { state, hash, placed })
    }
}
