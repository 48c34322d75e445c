//! Disputes, without I/O: what the signed turns of a match show a court, and what a court's docket says (section 7).

use alloc::vec::Vec;

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{
    abi::{Arena, Court, MatchId, MatchTerms, State, StateHash},
    channel::{self, ChannelError, Fault},
    game::Seat,
    rules::Rules,
    sign::Signature,
    transcript::{Cursor, Transcript},
    wire::Turn,
};

/// Headers above the agreed one that a court takes at once (R7.2).
pub const MAX_HEADERS: usize = 32;

/// What was signed of an open match, as evidence is drawn from it. All lists but `turns` have one entry for each seat.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The match.
    pub id: MatchId,
    /// State 0.
    pub start: &'a State,
    /// The owner of each seat's account.
    pub owners: &'a [Address],
    /// Each seat's signature on State 0.
    pub opening: &'a [Signature],
    /// The turns, from the first on.
    pub turns: &'a [Turn],
}

/// A match to be taken to the court: its transcript, and what follows from it and the rules.
#[derive(Clone, Debug)]
pub struct Case {
    transcript: Transcript,
    start: State,
    owners: Vec<Address>,
}

impl Case {
    /// The case of a match of these rules.
    ///
    /// # Errors
    /// The terms do not start these rules.
    pub fn new(transcript: Transcript, rules: &dyn Rules) -> Result<Case, ChannelError> {
        let (start, _) = channel::start(&transcript.terms, rules)?;
        let owners = transcript.players.iter().map(|player| player.owner).collect();
        Ok(Case { transcript, start, owners })
    }

    /// Everything signed.
    pub fn signed(&self) -> Signed<'_> {
        self.up_to(self.transcript.turns.len())
    }

    /// What was signed up to a turn.
    pub fn up_to(&self, turns: usize) -> Signed<'_> {
        Signed {
            id: self.transcript.terms.id(&self.transcript.domain),
            start: &self.start,
            owners: &self.owners,
            opening: &self.transcript.opening,
            turns: &self.transcript.turns[..turns],
        }
    }

    /// The terms.
    pub fn terms(&self) -> &MatchTerms {
        &self.transcript.terms
    }

    /// The operator's signature on the terms; `None` in a transcript that lacks it.
    pub fn guarantee(&self) -> Option<&Signature> {
        self.transcript.guarantee.get(self.owners.len())
    }
}

/// The newest header that a seat signed.
#[derive(Clone, Copy)]
struct Newest {
    turn: u32,
    signature: Signature,
}

impl Signed<'_> {
    /// The newest agreed header and everything above it, with all seats' signatures (R7.3): what opens a dispute, and
    /// what answers any that is older.
    pub fn evidence(&self) -> Court::Evidence {
        let mut top = self.top();
        loop {
            let newest = self.newest_up_to(top);
            let base = newest.iter().map(|newest| newest.turn).min().unwrap_or(0);
            if top - base <= MAX_HEADERS as u32 {
                return self.between(base, top, newest.into_iter().map(Some));
            }
            // What is left out is not cited either, and may have been what made the base agreed.
            top = base + MAX_HEADERS as u32;
        }
    }

    /// What goes on from the docket's top, with its authors' signatures (R7.4 a); `None` if nothing does, or the docket's
    /// top is on another branch.
    pub fn answer(&self, docket: &Docket) -> Option<Court::Evidence> {
        let base = docket.turn();
        if self.top() <= base || self.header(base)?.hash(self.id) != docket.top() {
            return None;
        }
        let top = self.top().min(base + MAX_HEADERS as u32);
        let newest = self.newest_up_to(top).into_iter().map(|newest| Some(newest).filter(|newest| newest.turn > base));
        Some(self.between(base, top, newest))
    }

    /// A header by its turn.
    pub fn header(&self, turn: u32) -> Option<&State> {
        match turn.checked_sub(1) {
            None => Some(self.start),
            Some(at) => self.turns.get(at as usize).map(|turn| &turn.state),
        }
    }

    /// The newest agreed turn: every seat has signed it, or one above it (R5.8).
    pub fn agreed(&self) -> u32 {
        self.newest_up_to(self.top()).iter().map(|newest| newest.turn).min().unwrap_or(0)
    }

    /// The newest turn.
    pub fn top(&self) -> u32 {
        self.turns.len() as u32
    }

    fn newest_up_to(&self, top: u32) -> Vec<Newest> {
        let opening = self.opening.iter().map(|signature| Newest { turn: 0, signature: *signature });
        let mut newest: Vec<Newest> = opening.collect();
        let mut author = self.start.mover();
        for turn in self.turns.iter().take(top as usize) {
            if let Some(newest) = author.and_then(|seat| newest.get_mut(seat.index())) {
                *newest = Newest { turn: turn.state.turn, signature: turn.signature };
            }
            author = turn.state.mover();
        }
        newest
    }

    fn between(&self, base: u32, top: u32, newest: impl Iterator<Item = Option<Newest>>) -> Court::Evidence {
        let shown = &self.turns[base as usize..top as usize];
        let (mut places, mut owners, mut signatures) = (0u64, Vec::new(), Vec::new());
        for (seat, newest) in newest.enumerate() {
            let Some(newest) = newest else { continue };
            places |= u64::from(newest.turn - base + 1) << (8 * seat);
            owners.push(self.owners[seat]);
            signatures.extend_from_slice(&newest.signature.0);
        }
        Court::Evidence {
            base: self.header(base).unwrap_or(self.start).into(),
            headers: shown.iter().map(|turn| Arena::State::from(&turn.state)).collect(),
            moves: shown.iter().map(|turn| turn.action.clone().into()).collect(),
            places,
            owners,
            signatures: signatures.into(),
        }
    }
}

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

    /// Goes on to this header if it is what the rules make of its move; signatures are not looked at.
    ///
    /// # Errors
    /// What its author broke; the replay stays where it is.
    pub fn follow(&mut self, state: &State, action: &[u8]) -> Result<(), Fault> {
        let turn = Turn { state: state.clone(), action: action.to_vec(), signature: Signature([0; 64]) };
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

    fn bits(&self, from: usize, count: usize) -> u64 {
        // Fields are whole bytes, counted from the low end of a big-endian word.
        let end = 32 - from / 8;
        self.brief[end - count / 8..end].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
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
