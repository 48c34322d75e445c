//! Why a channel refuses an input, or cannot be restored.

use super::{Fault, Status};
use crate::{
    abi::TermsError,
    game::Seat,
    rules::{RulesError, RulesId},
    sign::{SignatureError, SignerError},
};

/// Why an input is refused. The channel has not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// Another seat is to act.
    #[error("{seat} cannot play turn {turn}: {mover} is to act")]
    NotYourTurn {
        /// Who tried.
        seat: Seat,
        /// Who is to act.
        mover: Seat,
        /// The turn that is due.
        turn: u32,
    },
    /// The match has ended.
    #[error("the match is over")]
    Over,
    /// Not now.
    #[error("not while the match is {status:?}")]
    WrongPhase {
        /// Where it stands.
        status: Status,
    },
    /// The game refuses the move, or the proposal's stakes.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Not who should have signed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// This seat's own signer failed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Not one signature for each seat.
    #[error("{got} signatures, but {expected} seats")]
    Signatures {
        /// Seats.
        expected: usize,
        /// Signatures.
        got: usize,
    },
    /// Turns are missing in between; ask for them.
    #[error("turn {turn} came, but only turns up to {have} are known")]
    Gap {
        /// What came.
        turn: u32,
        /// What is there.
        have: u32,
    },
    /// Its author builds on another turn than the one that is here: two headers were signed for that one, or this is made up.
    #[error("turn {turn} does not follow the turn that is known before it")]
    Unlinked {
        /// What came.
        turn: u32,
    },
    /// Somebody on the way has put another move under the header.
    #[error("turn {turn} came with another move than its author signed")]
    OtherMove {
        /// What came.
        turn: u32,
    },
    /// Terms that no honest seat signs.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// Not the rules that the terms name.
    #[error("the terms name other rules")]
    OtherRules,
    /// Not the position that these rules start with.
    #[error("the terms start from another position than the rules")]
    OtherStart,
    /// Another bound on the match's length than the rules'.
    #[error("the terms allow {proposed} turns, the rules {rules}")]
    MaxTurns {
        /// The terms'.
        proposed: u32,
        /// The rules'.
        rules: u32,
    },
    /// The players are not the accounts in the terms.
    #[error("the players are not the accounts in the terms")]
    Players,
    /// Somebody else's seat.
    #[error("{seat} is not this signer's")]
    NotYourSeat {
        /// The seat.
        seat: Seat,
    },
    /// The terms do not have the anchor that this seat offered.
    #[error("the terms have another anchor for this seat")]
    OtherAnchor,
    /// The match can still have a result.
    #[error("the match can have a result until {expiry}, and it is {now} (Unix seconds): check this machine's clock")]
    NotExpired {
        /// Unix seconds.
        expiry: u64,
        /// Unix seconds.
        now: u64,
    },
    /// A receipt of arrival for what this client does not hold.
    #[error("a receipt for turn {turn}, which is not here, or is another header here")]
    OtherArrival {
        /// The turn.
        turn: u32,
    },
    /// Another step came first.
    #[error("another step was committed since this one was decided; decide again")]
    StaleStep,
}

impl From<Fault> for ChannelError {
    /// Only this seat's own action comes to this: what it may sign is checked like anybody's.
    fn from(fault: Fault) -> ChannelError {
        ChannelError::Rules(RulesError::Broken { game: "this game", why: fault.as_rule() })
    }
}

/// Why stored events are no channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The first event is missing.
    #[error("the events do not begin with a proposal")]
    NoProposal,
    /// The game is not there any more, or changed.
    #[error("a match of rules {} is open, but no such rules are registered", .0.0)]
    UnknownRules(RulesId),
    /// The proposal does not fit.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A stored turn is not legal by these rules.
    #[error("stored turn {turn} is refused: {fault}; the rules changed without a new version")]
    Fault {
        /// The turn.
        turn: u32,
        /// What it breaks.
        fault: Fault,
    },
}
