//! What a player entrusts to watchtowers, so that they speak for it while it is away.
//!
//! A tower needs no trust. Everything that it gets is signed by those whom it binds, so a tower can neither make anything up nor
//! take anything; all that it can do is to show the chain what is true. One that sleeps, or lies about what it holds, costs its
//! player nothing but the watch: a player entrusts the same match to several.
//!
//! An [`Entrust`] is the body of `POST /entrust`, in the encoding of the [wire](crate::wire); the answer is JSON, a [`Held`] or an
//! [`EntrustError`]. What a tower has already is taken again without harm, and nothing is ever taken back.

use alloc::{boxed::Box, string::String, vec::Vec};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{
    abi::{MatchId, State, StateHash},
    account::AccountId,
    dispute::{Dispute, Phase},
    game::Seat,
    sign::Signature,
    transcript::Transcript,
    wire::{Pair, Turn, VERSION},
};

/// Largest request in bytes: a match of several thousand turns as it stands. What follows comes turn by turn.
pub const MAX_REQUEST: usize = 2 * 1024 * 1024;

/// What is entrusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Entrust {
    /// A match as it stands.
    Match {
        /// State 0, for a tower without the rules: the terms only commit to it.
        start: State,
        /// Everything signed so far.
        transcript: Box<Transcript>,
    },
    /// What was signed since.
    Turns {
        /// The match.
        match_id: MatchId,
        /// Turns that follow each other.
        turns: Vec<Turn>,
        /// Each seat's signature on the final state, then the operator's; empty before the end.
        conclusion: Vec<Signature>,
    },
    /// A statement that both parties signed: an opponent's, which answers its exit (R6.5), or one's own.
    Pair(Pair),
}

impl Entrust {
    /// The request's bytes.
    pub fn encode(&self) -> Vec<u8> {
        crate::wire::encode(self)
    }

    /// A request from its bytes.
    ///
    /// # Errors
    /// Too large, of another version, or not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Entrust, EntrustError> {
        if bytes.len() > MAX_REQUEST {
            return Err(EntrustError::TooLarge { limit: MAX_REQUEST as u64 });
        }
        match bytes.split_first() {
            Some((&VERSION, request)) => {
                crate::rules::decode(request, "request", MAX_REQUEST).map_err(|_| EntrustError::Malformed)
            }
            Some(_) => Err(EntrustError::Version { ours: VERSION }),
            None => Err(EntrustError::Malformed),
        }
    }
}

/// What a tower has of it now, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Held {
    /// A match.
    Match {
        /// Which.
        match_id: MatchId,
        /// The newest turn; 0 for State 0 alone.
        turn: u32,
        /// Whether it has the final that everyone signed.
        concluded: bool,
    },
    /// A statement.
    Pair {
        /// Whose.
        account: AccountId,
        /// One more than the newest match's index in it.
        through: u32,
        /// Older matches that are not in it: bit k stands for match `through - 1 - k`.
        pending: u32,
    },
}

/// A dispute that is open on the chain, as a server, a tower or an arbiter sees it: an entry of the answer to `GET /disputes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenDispute {
    /// The match.
    pub match_id: MatchId,
    /// How far it is.
    pub phase: String,
    /// The newest turn shown.
    pub turn: u32,
    /// Who has to answer it; `None` where it is final.
    pub mover: Option<Seat>,
    /// The turn of the header that is before the arbiters.
    pub contested: Option<u32>,
    /// When the running window opened, in the chain's Unix seconds.
    pub since: u64,
    /// Its last second.
    pub until: u64,
    /// The newest turn that is held here; `None`: nothing of the match is.
    pub held: Option<u32>,
    /// What was submitted here about it.
    pub submitted: Vec<Submitted>,
    /// What arbiters have said on the chain.
    pub testimonies: Vec<Said>,
    /// How this arbiter has ruled on the contested header; `None`: it has not, or is none.
    pub verdict: Option<bool>,
}

impl OpenDispute {
    /// What a docket says, and who said what about it; the rest is for whoever knows it to fill in.
    pub fn of(match_id: MatchId, dispute: &Dispute) -> OpenDispute {
        let docket = dispute.docket();
        let phase = match docket.phase() {
            Phase::Open => "open",
            Phase::Contested => "contested",
            Phase::Closed => "closed",
            Phase::Doubted => "doubted",
        };
        let said = dispute.testimonies().map(|said| Said {
            arbiter: said.arbiter,
            header: said.ruling.top,
            legal: said.ruling.legal,
        });
        OpenDispute {
            match_id,
            phase: phase.into(),
            turn: docket.turn(),
            mover: docket.mover(),
            contested: docket.contested(),
            since: docket.since(),
            until: docket.until(),
            held: None,
            submitted: Vec::new(),
            testimonies: said.collect(),
            verdict: None,
        }
    }
}

/// What was submitted about a dispute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// What it was.
    pub what: String,
    /// What the chain made of it: `on its way`, `done`, or why it was refused.
    pub answer: String,
}

/// What an arbiter said of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Who.
    pub arbiter: Address,
    /// Struct hash of the header.
    pub header: StateHash,
    /// Whether it is what the rules make of its parent and its move.
    pub legal: bool,
}

/// Why a tower does not take something. Nothing of the request was kept, but for turns before the one that is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EntrustError {
    /// Another version of the encoding.
    #[error("this tower speaks version {ours}; update the client")]
    Version {
        /// The tower's.
        ours: u8,
    },
    /// Not canonical, or cut short.
    #[error("not a request of this protocol")]
    Malformed,
    /// Too many bytes.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// What a tower takes at once, or of one match.
        limit: u64,
    },
    /// Too often.
    #[error("too many requests; try again in {retry_ms} ms")]
    RateLimited {
        /// When to try again.
        retry_ms: u32,
    },
    /// Signed for another arena, or under another operator.
    #[error("this tower watches arena {arena}, whose operator is {operator}")]
    OtherArena {
        /// The tower's arena.
        arena: Address,
        /// Its operator.
        operator: Address,
    },
    /// Terms that cannot be, or that do not start with this State 0.
    #[error("the terms: {reason}")]
    Terms {
        /// What is wrong.
        reason: String,
    },
    /// A list that does not fit the seats, or accounts that are not the terms'.
    #[error("{what} are not those of the seats")]
    Seats {
        /// What does not fit.
        what: String,
    },
    /// A signature that is not whose it should be.
    #[error("{what} is not signed by {signer}")]
    Signature {
        /// What should have been signed.
        what: String,
        /// By whom.
        signer: Address,
    },
    /// A turn that is not what its parent, the terms or the rules allow.
    #[error("turn {turn}: {reason}")]
    Turn {
        /// Which.
        turn: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// Another header for a turn that is held already, and no proof that everybody went on with this one.
    #[error(
        "{seat} has signed two headers for turn {turn}; send it again once every seat has signed it or one above it"
    )]
    Forked {
        /// The turn.
        turn: u32,
        /// Its author.
        seat: Seat,
    },
    /// Turns that do not follow what is held: send those in between.
    #[error("turns after {held} are missing")]
    Gap {
        /// The newest turn held.
        held: u32,
    },
    /// Nothing is held of this match: send it whole.
    #[error("nothing is held of this match; send it whole")]
    UnknownMatch,
    /// A statement that does not hold all matches of the one that is held.
    #[error("a newer statement of this account is held")]
    Older,
    /// The match is over on the chain, or was never in dispute by its expiry.
    #[error("the match is over; there is nothing to watch")]
    Over,
    /// Enough is enough.
    #[error("this tower is full: it keeps at most {limit} {what}; entrust this to another one")]
    Full {
        /// What it has too much of.
        what: String,
        /// How many.
        limit: u64,
    },
    /// The tower's disk.
    #[error("this tower cannot store anything now; nothing was kept")]
    Storage,
}
