//! What was signed of a match, and the evidence that is drawn from it.

use alloc::{sync::Arc, vec::Vec};

use alloy_primitives::Address;

use super::{Counsel, Docket, MAX_HEADERS, Replay};
use crate::{
    abi::{Arena, Court, MatchId, MatchTerms, State},
    channel::ChannelError,
    game::Seat,
    rules::Rules,
    sign::Signature,
    transcript::Transcript,
    wire::Turn,
};

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
    rules: Arc<dyn Rules>,
    start: State,
    owners: Vec<Address>,
    /// Turns before the first that the rules forbid.
    legal: usize,
}

impl Case {
    /// The case of a match of these rules.
    ///
    /// # Errors
    /// The terms do not start these rules.
    pub fn new(transcript: Transcript, rules: &Arc<dyn Rules>) -> Result<Case, ChannelError> {
        let terms = &transcript.terms;
        let mut replay = Replay::new(terms.id(&transcript.domain), terms, &**rules)?;
        let start = replay.state().clone();
        let owners = transcript.players.iter().map(|player| player.owner).collect();
        let legal = transcript.turns.iter().take_while(|turn| replay.follow(&turn.state, &turn.action).is_ok()).count();
        Ok(Case { transcript, rules: rules.clone(), start, owners, legal })
    }

    /// Everything signed, up to the first turn that the rules forbid.
    pub fn signed(&self) -> Signed<'_> {
        self.up_to(self.legal)
    }

    /// What was signed up to a turn, whatever it is.
    pub fn up_to(&self, turns: usize) -> Signed<'_> {
        Signed {
            id: self.transcript.terms.id(&self.transcript.domain),
            start: &self.start,
            owners: &self.owners,
            opening: &self.transcript.opening,
            turns: &self.transcript.turns[..turns],
        }
    }

    /// Who speaks for everybody in this match.
    pub fn counsel(&self) -> Counsel<'_> {
        let Transcript { terms, guarantee, conclusion, .. } = &self.transcript;
        Counsel { conclusion, ..Counsel::new(terms, guarantee, self.signed(), Some(&*self.rules)) }
    }

    /// The terms.
    pub fn terms(&self) -> &MatchTerms {
        &self.transcript.terms
    }

    /// Everything signed.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
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
        let mut top = self.whole(self.top());
        loop {
            let newest = self.newest_up_to(top);
            let base = newest.iter().map(|newest| newest.turn).min().unwrap_or(0);
            if top - base <= MAX_HEADERS as u32 {
                return self.between(base, top, newest.into_iter().map(Some));
            }
            // What is left out is not cited either, and may have been what made the base agreed.
            top = self.whole(base + MAX_HEADERS as u32);
        }
    }

    /// What goes on from the docket's top, with its authors' signatures (R7.4 a); `None` if nothing does, or the docket's
    /// top is on another branch.
    pub fn answer(&self, docket: &Docket) -> Option<Court::Evidence> {
        let base = docket.turn();
        if self.reach(base) <= base || self.header(base)?.hash(self.id) != docket.top() {
            return None;
        }
        Some(self.above(base))
    }

    /// The headers above this turn, with their authors' signatures.
    pub(crate) fn above(&self, base: u32) -> Court::Evidence {
        let top = self.reach(base).max(base);
        let newest = self.newest_up_to(top).into_iter().map(|newest| Some(newest).filter(|newest| newest.turn > base));
        self.between(base, top, newest)
    }

    /// The newest turn that can be shown on top of this one.
    fn reach(&self, base: u32) -> u32 {
        self.whole(self.top().min(base + MAX_HEADERS as u32))
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
        agreed(self.opening.len(), self.start.mover(), self.turns)
    }

    /// The newest turn.
    pub fn top(&self) -> u32 {
        self.turns.len() as u32
    }

    fn whole(&self, top: u32) -> u32 {
        whole(self.opening.len(), self.start.mover(), &self.turns[..top as usize])
    }

    fn newest_up_to(&self, top: u32) -> Vec<Newest> {
        let opening = self.opening.iter().map(|signature| Newest { turn: 0, signature: *signature });
        let mut newest: Vec<Newest> = opening.collect();
        let mut author = self.start.mover();
        for turn in self.turns.iter().take(top as usize) {
            if let Some(newest) = author.and_then(|seat| newest.get_mut(seat.index()))
                && turn.signature != Signature::NONE
            {
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

/// The newest turn that each of `seats` has signed, or one above it (R5.8), where `first` makes the first turn.
pub(crate) fn agreed(seats: usize, first: Option<Seat>, turns: &[Turn]) -> u32 {
    let (mut newest, mut author) = (alloc::vec![0; seats], first);
    for turn in &turns[..whole(seats, first, turns) as usize] {
        if let Some(newest) = author.and_then(|seat| newest.get_mut(seat.index()))
            && turn.signature != Signature::NONE
        {
            *newest = turn.state.turn;
        }
        author = turn.state.mover();
    }
    newest.into_iter().min().unwrap_or(0)
}

/// The newest turn with which every header is its author's, by a signature on it or on a later one (R7.3): turns that a court was
/// shown may lack their own.
fn whole(seats: usize, first: Option<Seat>, turns: &[Turn]) -> u32 {
    let mut top = turns.len();
    loop {
        let mut unsigned: Vec<Option<usize>> = alloc::vec![None; seats];
        let mut author = first;
        for (below, turn) in turns[..top].iter().enumerate() {
            if let Some(first) = author.and_then(|seat| unsigned.get_mut(seat.index())) {
                *first = if turn.signature == Signature::NONE { first.or(Some(below)) } else { None };
            }
            author = turn.state.mover();
        }
        match unsigned.into_iter().flatten().min() {
            None => return top as u32,
            Some(below) => top = below,
        }
    }
}
