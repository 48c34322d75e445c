//! What happens to a channel, what it remembers of it, and what follows.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{Cursor, Proposal};
use crate::{
    dispute::Shown,
    game::{Amount, Seat},
    sign::Signature,
    wire::{Arrived, ToServer, Turn},
};

/// A signed turn that the rules forbid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Who signed it.
    pub seat: Seat,
    /// What it signed.
    pub turn: Turn,
    /// What it broke.
    pub fault: Fault,
}

/// What a signed turn breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The game or the dice say no.
    #[error("{reason}")]
    Illegal {
        /// In the rules' words.
        reason: String,
    },
    /// The header does not follow the state before.
    #[error("the header does not follow the state before")]
    Unlinked,
    /// The header claims something else than the action leads to.
    #[error("the header's {field} is not what the move leads to")]
    Header {
        /// Which field.
        field: HeaderField,
    },
    /// Two different headers for one turn (R5.9).
    #[error("two different headers for one turn")]
    Equivocation,
    /// The match goes on at its last turn (R5.12).
    #[error("the match goes on at its last turn")]
    TooLong,
    /// A turn of a finished match.
    #[error("a turn after the end")]
    AfterTheEnd,
}

/// A field of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HeaderField {
    /// The action's hash.
    Move,
    /// The position's hash.
    Board,
    /// Who acts next.
    Mover,
    /// Who gets what.
    Payouts,
}

impl core::fmt::Display for HeaderField {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            HeaderField::Move => "move",
            HeaderField::Board => "board",
            HeaderField::Mover => "mover",
            HeaderField::Payouts => "payouts",
        })
    }
}

/// What happens to a channel.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// This seat's player moves; an encoded move of the game.
    Play(Vec<u8>),
    /// All seats and the operator have signed the terms.
    Guarantee {
        /// The seats', in order.
        signatures: Vec<Signature>,
        /// The operator's.
        operator: Signature,
    },
    /// All seats have signed State 0.
    Opened(Vec<Signature>),
    /// Another seat's turn.
    Turn(Turn),
    /// Headers that a court was shown, oldest first, with what is signed of them (R7.3). That the court has a dispute of this match
    /// the caller has seen on the chain: it opens one that was guaranteed.
    Shown(Vec<Shown>),
    /// All seats and the operator have signed the final state.
    Final {
        /// The seats', in order.
        signatures: Vec<Signature>,
        /// The operator's.
        operator: Signature,
    },
    /// The proposal came to nothing.
    Cancelled,
    /// The operator has given the match up because it is past its expiry (R5.11).
    Expired {
        /// Unix seconds, as this client knows them.
        now: u64,
    },
    /// The chain has applied an outcome, which the caller has seen there.
    Ruled {
        /// What each seat gets.
        payouts: Vec<Amount>,
    },
    /// The operator's receipts of turns that this client holds.
    Arrivals(Vec<Arrived>),
}

/// What a channel remembers; replaying its events restores it.
#[allow(missing_docs, reason = "the variants say what their fields are")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// This seat agreed, and signed the terms.
    Proposed { proposal: Proposal, signature: Signature },
    /// The guarantee is complete; `start` is this seat's signature on State 0.
    Guaranteed { guarantee: Vec<Signature>, start: Signature },
    /// The match is open. [`Signature::NONE`] for a seat whose signature on State 0 is not here: a court has seen it, or a later one.
    Opened { opening: Vec<Signature> },
    /// A turn, this seat's own or another's.
    Turned(Turn),
    /// This seat signed the final state.
    Acked(Signature),
    /// Everyone did; the operator's signature is the last.
    Concluded { conclusion: Vec<Signature> },
    /// A seat cheated.
    Faulted(Evidence),
    /// It was never opened.
    Cancelled,
    /// It passed its expiry without a result.
    Expired,
    /// The chain has applied an outcome.
    Ruled { payouts: Vec<Amount> },
    /// The operator signed for when these turns came.
    Arrived(Vec<Arrived>),
}

/// What to do once a step is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// To be sent.
    Send(ToServer),
    /// To be shown.
    Notify(Notice),
}

/// What a user wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The match is open.
    Opened,
    /// A turn was made.
    Turned {
        /// By whom.
        seat: Seat,
        /// Its number.
        turn: u32,
    },
    /// The match is over, with this result.
    Over {
        /// What each seat gets.
        payouts: Vec<Amount>,
    },
    /// The result is signed by everyone: nobody can take it back.
    Concluded,
    /// A seat cheated; here is the proof.
    Faulted(Evidence),
    /// The match was never opened; stakes are back.
    Cancelled,
    /// The match passed its expiry without a result: it is void, stakes are back.
    Void,
    /// A dispute has ended on the chain, with this outcome.
    Ruled {
        /// What each seat gets.
        payouts: Vec<Amount>,
    },
    /// The operator signed for when a turn came: who is to act has held the match since then.
    Arrived(Arrived),
}

/// A decided change that has not happened yet.
#[derive(Clone, Debug)]
#[must_use = "a step has no effect until it is stored and committed"]
pub struct Step {
    pub(super) version: u64,
    pub(super) events: Vec<Event>,
    pub(super) at: Option<Cursor>,
    pub(super) effects: Vec<Effect>,
}

impl Step {
    /// What must be durable before the step is committed.
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

impl Fault {
    pub(super) fn as_rule(&self) -> &'static str {
        match self {
            Fault::TooLong => "a match outlasts max_turns",
            _ => "a move leads to a position that the rules refuse",
        }
    }
}
