//! What is to be done about a match in court, by whoever speaks for it.

use alloc::{format, string::String, vec::Vec};
use core::{fmt, iter};

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall;
use serde::{Deserialize, Serialize};

use super::{Contest, Docket, Judgment, Phase, Replay, Shown, Signed, Testimony, ruling::Testimonies};
use crate::{
    abi::{Arena, Court, MatchId, MatchTerms, State, StateHash},
    game::{BasisPoints, Seat},
    rules::Rules,
    sign::Signature,
    wire::Turn,
};

/// An open dispute as its events told it. Whoever may have to answer keeps it, because no view of a court tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    docket: Docket,
    /// A base, and the headers from there to the docket's top, as far as they could be read.
    shown: Option<(State, Vec<Shown>)>,
    /// How the header before the arbiters was contested, if that can be read.
    contest: Option<Contest>,
    /// What arbiters have said.
    testimonies: Testimonies,
}

impl Dispute {
    /// A dispute with this docket, and what was shown for it: a base, and the headers above it.
    pub fn new(docket: Docket, shown: Option<(State, Vec<Shown>)>) -> Dispute {
        Dispute { docket, shown, contest: None, testimonies: Testimonies::default() }
    }

    /// The dispute after its docket changed. `more` is what was shown then, on top of what was shown before or in its place; `None`
    /// where nothing was.
    pub fn moved(self, docket: Docket, more: Option<(State, Vec<Shown>)>) -> Dispute {
        let shown = match (self.shown, more) {
            (known, None) => known,
            (Some((first, mut all)), Some((base, headers)))
                if all.last().map_or(&first, |last| &last.state) == &base =>
            {
                all.extend(headers);
                Some((first, all))
            }
            (_, more) => more,
        };
        let contest = self.contest.filter(|_| docket.phase() == Phase::Contested);
        Dispute { docket, shown, contest, testimonies: self.testimonies }
    }

    /// The same with how a header was brought before the arbiters.
    pub fn contested_by(self, contest: Contest) -> Dispute {
        Dispute { contest: Some(contest), ..self }
    }

    /// Takes what an arbiter said of this match; whether it is new.
    pub fn hear(&mut self, testimony: Testimony) -> bool {
        self.testimonies.add(testimony)
    }

    /// What arbiters have said.
    pub fn testimonies(&self) -> impl Iterator<Item = &Testimony> {
        self.testimonies.iter()
    }

    /// How the header before the arbiters was contested, if that can be read.
    pub fn contest(&self) -> Option<&Contest> {
        self.contest.as_ref()
    }

    /// The header that is before the arbiters; `None` if none is, or it was never seen here.
    pub fn accused(&self, id: MatchId) -> Option<StateHash> {
        let turn = self.docket.contested()?;
        let trail = self.contest.as_ref().and_then(|contest| contest.trail(id, &self.docket));
        let shown = || self.headers().find(|state| state.turn == turn);
        trail.map(|trail| &trail[1]).or_else(shown).map(|state| state.hash(id))
    }

    /// The signatures of exactly the quorum, ascending by signer, with this arbiter's own added to what others have said on the chain;
    /// `None`: there are not as many yet.
    pub fn quorum(&self, judgment: &Judgment, own: (Address, Signature), quorum: usize) -> Option<Vec<Signature>> {
        self.testimonies.on(&judgment.ruling, Some(own), quorum)
    }

    /// What the quorum of arbiters has said of the header before them, with their signatures: whoever sees it may bring it to the
    /// court. `None`: nothing yet, or no contest that can be read; [`Counsel::verdict`] knows more headers.
    pub fn verdict(&self, id: MatchId, quorum: usize) -> Option<(Judgment, Vec<Signature>)> {
        self.verdict_on(id, self.contest.as_ref()?.trail(id, &self.docket)?.to_vec(), quorum)
    }

    fn verdict_on(&self, id: MatchId, trail: Vec<State>, quorum: usize) -> Option<(Judgment, Vec<Signature>)> {
        let (legal, signatures) = self.testimonies.verdict(id, trail[1].hash(id), quorum)?;
        Some((Judgment::new(id, trail, legal), signatures))
    }

    /// What the court knows.
    pub fn docket(&self) -> &Docket {
        &self.docket
    }

    /// The headers that were shown, oldest first, without the base.
    pub fn shown(&self) -> &[Shown] {
        self.shown.as_ref().map_or(&[], |(_, headers)| headers)
    }

    /// The base and all headers above it.
    fn headers(&self) -> impl Iterator<Item = &State> {
        let all = |(base, headers)| iter::once(base).chain(<[Shown]>::iter(headers).map(|shown| &shown.state));
        self.shown.as_ref().map(|(base, headers)| (base, &headers[..])).into_iter().flat_map(all)
    }

    /// The docket's headers from a turn up to its top; `None` if one of them could not be read.
    fn from(&self, turn: u32) -> Option<Vec<State>> {
        let to_top = turn..=self.docket.turn();
        let found: Vec<State> = self.headers().filter(|state| to_top.contains(&state.turn)).cloned().collect();
        (found.len() == to_top.count()).then_some(found)
    }
}

/// A moment, in the chain's Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What the next block's time will be, as far as can be told.
    pub now: u64,
    /// What has surely passed on the chain.
    pub passed: u64,
}

/// Who speaks for a match, with what is held of it. Says what to do; does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Counsel<'a> {
    /// What was agreed.
    pub terms: &'a MatchTerms,
    /// Signatures on the terms: the seats' in order, then the operator's.
    pub guarantee: &'a [Signature],
    /// What was signed, up to the first turn that the rules forbid: that one is never shown.
    pub signed: Signed<'a>,
    /// The rules; who has none answers, and contests nothing.
    pub rules: Option<&'a dyn Rules>,
    /// Signatures on the final: the seats' in order, then the operator's; empty before.
    pub conclusion: &'a [Signature],
    /// The seat that it speaks for. Its own answers do not wait.
    pub seat: Option<Seat>,
    /// The share of a window that passes before it answers in place of somebody else: every answer costs gas, and only one counts.
    pub patience: BasisPoints,
}

/// A call that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plea {
    /// Names it: what was submitted under this key need not be submitted again.
    pub key: String,
    /// What it is.
    pub motion: Motion,
    /// The call.
    pub calldata: Vec<u8>,
}

/// What a plea is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Motion {
    /// Opens a dispute with this turn on top.
    Challenge {
        /// The newest turn shown.
        turn: u32,
    },
    /// Shows something newer.
    Respond {
        /// The newest turn shown.
        turn: u32,
    },
    /// Names a header as illegal.
    Contest {
        /// Its turn.
        turn: u32,
        /// Whether it costs the bond (R7.9): it goes before arbiters.
        bonded: bool,
    },
    /// Shows two headers of one author for one turn.
    Equivocate {
        /// The turn.
        turn: u32,
    },
    /// Says what one arbiter finds.
    Testify {
        /// The turn of the header ruled on.
        turn: u32,
        /// What it says of it.
        legal: bool,
    },
    /// Brings the arbiters' ruling.
    Rule {
        /// The turn of the header ruled on.
        turn: u32,
        /// What they say of it.
        legal: bool,
    },
    /// Applies what the dispute has come to.
    Finalize,
    /// Applies a final that everyone signed: a call of the arena, and not of its court.
    Conclude,
}

impl Motion {
    /// Whether the call is one of the arena; all others are its court's.
    pub fn is_for_arena(&self) -> bool {
        matches!(self, Motion::Conclude)
    }

    /// Whether the court wants its bond with the call (R7.9).
    pub fn is_bonded(&self) -> bool {
        matches!(self, Motion::Contest { bonded: true, .. })
    }
}

impl fmt::Display for Motion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Motion::Challenge { turn } => write!(f, "a challenge with turn {turn}"),
            Motion::Respond { turn } => write!(f, "an answer with turn {turn}"),
            Motion::Contest { turn, .. } => write!(f, "a contest of turn {turn}"),
            Motion::Equivocate { turn } => write!(f, "two headers for turn {turn}"),
            Motion::Testify { turn, legal: true } => write!(f, "the word that turn {turn} is legal"),
            Motion::Testify { turn, legal: false } => write!(f, "the word that turn {turn} is illegal"),
            Motion::Rule { turn, legal: true } => write!(f, "a ruling that turn {turn} is legal"),
            Motion::Rule { turn, legal: false } => write!(f, "a ruling that turn {turn} is illegal"),
            Motion::Finalize => f.write_str("the end of the dispute"),
            Motion::Conclude => f.write_str("the final that everyone signed"),
        }
    }
}

/// What was shown and must not stand.
enum Foul {
    /// The rules forbid the header of this turn: the position before it, and its move.
    Illegal { turn: u32, position: Vec<u8>, action: Vec<u8> },
    /// Its author signed another one for the same turn, which is held here.
    Forked { turn: u32 },
}

impl<'a> Counsel<'a> {
    /// Who speaks for everybody, and at once.
    pub fn new(
        terms: &'a MatchTerms,
        guarantee: &'a [Signature],
        signed: Signed<'a>,
        rules: Option<&'a dyn Rules>,
    ) -> Counsel<'a> {
        Counsel { terms, guarantee, signed, rules, conclusion: &[], seat: None, patience: BasisPoints::ZERO }
    }

    /// What opens a dispute: to be called where a seat's clock has run out. `None`: the court does not take it any more (R5.3, R5.11),
    /// and the match is void at its expiry; or the guarantee is not complete.
    pub fn challenge(&self, moment: Moment) -> Option<Plea> {
        if let Some(concluded) = self.conclude() {
            return Some(concluded);
        }
        let late = self.signed.agreed() == 0 && moment.now >= self.terms.open_by;
        let operator =
            self.guarantee.get(self.terms.seats.len()).filter(|_| !late && moment.now <= self.terms.expiry)?;
        let (terms, shown) = (self.terms.into(), self.signed.evidence());
        let turn = top(&shown);
        let call = Court::challengeCall { terms, guarantee: operator.0.to_vec().into(), shown };
        Some(self.plea(Motion::Challenge { turn }, format!("{turn}"), &call))
    }

    /// What is to be done about an open dispute now; `None`: nothing, or nothing yet.
    pub fn plead(&self, dispute: &Dispute, moment: Moment) -> Option<Plea> {
        let docket = &dispute.docket;
        if let Some(concluded) = self.conclude() {
            // It beats whatever is shown, in any window (R6.1).
            return Some(concluded);
        }
        if moment.passed > docket.until() {
            return self.finalize(dispute);
        }
        if let Some(accusation) = self.accuse(dispute) {
            return Some(accusation);
        }
        // What is agreed anybody can show; a move of its own that nobody has signed over yet is waited for.
        let own = self.seat.is_some() && docket.mover() == self.seat && docket.phase() == Phase::Open;
        let own = own && self.signed.agreed() <= docket.turn();
        if !own && !self.is_due(dispute, moment) {
            return None;
        }
        self.respond(dispute)
    }

    /// Whether so much of the window has passed that it acts in place of somebody else.
    fn is_due(&self, dispute: &Dispute, moment: Moment) -> bool {
        let (since, until) = (dispute.docket.since(), dispute.docket.until());
        moment.now >= since + until.saturating_sub(since) * u64::from(self.patience.points()) / 10_000
    }

    /// What is newer than what the court knows (R7.4, R7.9).
    fn respond(&self, dispute: &Dispute) -> Option<Plea> {
        let (docket, signed) = (&dispute.docket, &self.signed);
        // From what is agreed it is a few headers; from the docket's top it may be many.
        let (shown, fork) = match self.fork(dispute) {
            Some(fork) => (signed.evidence(), fork),
            None => (signed.answer(docket).filter(|_| docket.phase() == Phase::Open)?, Vec::new()),
        };
        let turn = top(&shown);
        let call = Court::respondCall {
            terms: self.terms.into(),
            docket: docket.into(),
            shown,
            fork: fork.iter().map(Into::into).collect(),
        };
        Some(self.plea(Motion::Respond { turn }, moment_of(docket), &call))
    }

    /// Whether the agreed header held here counts against the docket: the docket's headers that it takes the place of, which are
    /// none where it is above them; `None` if it does not count.
    fn fork(&self, dispute: &Dispute) -> Option<Vec<State>> {
        let (docket, agreed) = (&dispute.docket, self.signed.agreed());
        if agreed > docket.turn() {
            return Some(Vec::new());
        }
        // What is before the arbiters is agreed, on the docket's own chain (R7.9).
        let ours = self.signed.header(docket.turn()).map(|state| state.hash(self.signed.id));
        if docket.contested().is_some_and(|turn| agreed >= turn) && ours == Some(docket.top()) {
            return Some(Vec::new());
        }
        if docket.phase() == Phase::Closed || agreed <= docket.agreed(self.terms.seats.len()) {
            return None;
        }
        dispute.from(agreed).filter(|fork| self.signed.header(agreed) != fork.first())
    }

    /// Accuses who played foul in what was shown; `None` if nobody did, or it is with the arbiters already.
    fn accuse(&self, dispute: &Dispute) -> Option<Plea> {
        let docket = &dispute.docket;
        if docket.phase() == Phase::Contested {
            return None;
        }
        let foul = self.foul(dispute)?;
        let (Foul::Illegal { turn, .. } | Foul::Forked { turn }) = foul;
        if turn > docket.turn() || turn <= docket.agreed(self.terms.seats.len()) {
            return None;
        }
        if matches!(foul, Foul::Forked { .. }) && turn <= self.signed.agreed() {
            // What is agreed takes the branch's place, and the match goes on (R7.4 c).
            return None;
        }
        let trail = self.trail(dispute, turn)?;
        let (terms, docket_given) = (self.terms.into(), docket.into());
        let trail_given = trail.iter().map(Into::into).collect();
        let key = format!("{}-{turn}", moment_of(docket));
        Some(match foul {
            Foul::Illegal { position, action, .. } => {
                let bonded = self.terms.referee.is_zero();
                if bonded && docket.is_ruled_legal(turn) {
                    return None;
                }
                let (position, action) = (position.into(), action.into());
                let trail = trail_given;
                let call =
                    Court::contestCall { terms, docket: docket_given, trail, code: self.code(), position, action };
                self.plea(Motion::Contest { turn, bonded }, key, &call)
            }
            Foul::Forked { .. } => {
                let held = self.signed.turns.get(turn as usize - 1);
                let Turn { state, signature, .. } = held.filter(|held| held.signature != Signature::NONE)?;
                let call = Court::equivocateCall {
                    terms,
                    docket: docket_given,
                    other: state.into(),
                    owner: *self.signed.owners.get(trail[0].mover()?.index())?,
                    trail: trail_given,
                    signature: signature.0.to_vec().into(),
                };
                self.plea(Motion::Equivocate { turn }, key, &call)
            }
        })
    }

    /// What a referee judges by: empty before arbiters, and for a contract that knows its game.
    fn code(&self) -> Bytes {
        let on_chain = self.rules.and_then(Rules::on_chain).filter(|code| code.hash == self.terms.rules.0);
        let refereed = !self.terms.referee.is_zero();
        on_chain.filter(|_| refereed).map_or_else(Bytes::new, |on_chain| on_chain.code.to_vec().into())
    }

    /// The first header that was shown and must not stand.
    fn foul(&self, dispute: &Dispute) -> Option<Foul> {
        let (base, headers) = dispute.shown.as_ref()?;
        // Only on the chain that is held here; another one is agreed by others or by nobody.
        self.signed.header(base.turn).filter(|known| *known == base)?;
        let mut replay = self.replay(base.turn);
        for Shown { state, action, .. } in headers {
            if self.signed.header(state.turn).is_some_and(|known| known != state) {
                return Some(Foul::Forked { turn: state.turn });
            }
            let Some(replay) = &mut replay else { continue };
            if replay.follow(state, action).is_err() {
                let (turn, position, action) = (state.turn, replay.position().to_vec(), action.clone());
                return Some(Foul::Illegal { turn, position, action });
            }
        }
        None
    }

    /// The match as far as this turn; `None` without rules.
    fn replay(&self, turn: u32) -> Option<Replay<'a>> {
        let mut replay = Replay::new(self.signed.id, self.terms, self.rules?).ok()?;
        for turn in self.signed.turns.get(..turn as usize)? {
            replay.follow(&turn.state, &turn.action).ok()?;
        }
        Some(replay)
    }

    /// What the rules say of the header before the arbiters (R7.10); `None` if none is, or nothing can be said of it here.
    pub fn judgment(&self, dispute: &Dispute) -> Option<Judgment> {
        let turn = dispute.docket.contested()?;
        self.rules?;
        let legal = match self.foul(dispute) {
            Some(Foul::Illegal { turn: illegal, .. }) if illegal == turn => false,
            // What comes before the first foul is legal; of what comes after it nothing can be said.
            Some(Foul::Illegal { turn: foul, .. } | Foul::Forked { turn: foul }) if foul <= turn => return None,
            _ => true,
        };
        let trail = self.trail(dispute, turn)?;
        if legal && !self.knows(dispute, turn) {
            return None;
        }
        Some(Judgment::new(self.signed.id, trail, legal))
    }

    /// Whether the header of this turn was replayed here, in what was shown or before.
    fn knows(&self, dispute: &Dispute, turn: u32) -> bool {
        let base = dispute.shown.as_ref().map(|(base, _)| base);
        base.is_some_and(|base| self.signed.header(base.turn) == Some(base))
            || dispute.from(turn).is_some_and(|headers| self.signed.header(turn) == headers.first())
    }

    /// Brings what the quorum of arbiters has said of the header before them, which the last of these does by itself; `None`: nothing,
    /// or nothing yet.
    pub fn verdict(&self, dispute: &Dispute, quorum: usize, moment: Moment) -> Option<Plea> {
        let id = self.signed.id;
        if moment.passed > dispute.docket.until() || !self.is_due(dispute, moment) {
            return None;
        }
        let known = dispute.verdict(id, quorum);
        let (judgment, signatures) = match known {
            Some(known) => known,
            None => dispute.verdict_on(id, self.trail(dispute, dispute.docket.contested()?)?, quorum)?,
        };
        Some(judgment.rule(self.terms, &dispute.docket, &signatures))
    }

    /// The parent of a header on the docket's chain, the header, and all others up to the docket's top.
    fn trail(&self, dispute: &Dispute, turn: u32) -> Option<Vec<State>> {
        let rest = dispute.from(turn).filter(|rest| !rest.is_empty())?;
        let parent = match dispute.from(turn.checked_sub(1)?) {
            Some(from) => from.into_iter().next()?,
            None => self.signed.header(turn - 1)?.clone(),
        };
        Some(iter::once(parent).chain(rest).collect())
    }

    /// Ends a dispute whose window is over. `None`: its top was never seen here, and whoever showed it has to.
    pub fn finalize(&self, dispute: &Dispute) -> Option<Plea> {
        let (docket, id) = (&dispute.docket, self.signed.id);
        let ours = self.signed.header(docket.turn());
        let known = ours.into_iter().chain(dispute.headers()).find(|state| state.hash(id) == docket.top());
        // Where the stakes go back it is not looked at.
        let stakes_back = matches!(docket.phase(), Phase::Doubted | Phase::Contested);
        let top = known.or(stakes_back.then_some(self.signed.start))?;
        let call = Court::finalizeCall { terms: self.terms.into(), docket: docket.into(), top: top.into() };
        Some(self.plea(Motion::Finalize, moment_of(docket), &call))
    }

    /// Applies the final, if everyone has signed it.
    pub fn conclude(&self) -> Option<Plea> {
        let last = self.signed.header(self.signed.top()).filter(|last| last.is_final())?;
        if self.conclusion.len() != self.terms.seats.len() + 1 {
            return None;
        }
        let call = Arena::concludeCall::of(self.terms, last, self.signed.owners, self.conclusion);
        Some(Plea {
            key: format!("conclude-{}", self.signed.id),
            motion: Motion::Conclude,
            calldata: call.abi_encode(),
        })
    }

    fn plea(&self, motion: Motion, about: String, call: &impl SolCall) -> Plea {
        plea(self.signed.id, motion, about, call)
    }
}

/// A call of the court, under a key that names it.
pub(super) fn plea(id: MatchId, motion: Motion, about: String, call: &impl SolCall) -> Plea {
    let name = match motion {
        Motion::Challenge { .. } => "challenge",
        Motion::Respond { .. } => "respond",
        Motion::Contest { .. } => "contest",
        Motion::Equivocate { .. } => "equivocate",
        Motion::Testify { .. } => "testify",
        Motion::Rule { .. } => "rule",
        Motion::Finalize => "finalize",
        Motion::Conclude => "conclude",
    };
    Plea { key: format!("{name}-{id}-{about}"), motion, calldata: call.abi_encode() }
}

/// The newest turn that evidence shows.
fn top(shown: &Court::Evidence) -> u32 {
    shown.headers.last().map_or(shown.base.turn, |state| state.turn)
}

/// What tells one state of a docket from the next.
pub(super) fn moment_of(docket: &Docket) -> String {
    let phase = match docket.phase() {
        Phase::Open => "open",
        Phase::Contested => "contested",
        Phase::Closed => "closed",
        Phase::Doubted => "doubted",
    };
    format!("{}-{}-{phase}", docket.since(), docket.turn())
}
