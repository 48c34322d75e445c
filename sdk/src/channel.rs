//! One match as a pure state machine: decide, make durable, commit (R5.2 to R5.10, R6.1).
//!
//! ```text
//! let step = channel.decide(input, &key)?;   // nothing has changed, nothing has left
//! store(step.events());                      // durable
//! let effects = channel.commit(step)?;       // now it has changed, and this may be sent
//! ```
//!
//! Nothing signed leaves before it is durable, and replaying the events gives the same channel: that is what forbids two
//! states for one turn across crashes. A frame that makes no sense is an `Err`; a frame that its author *signed* and that
//! breaks the rules is a step that keeps it as evidence.

mod draft;
mod error;
mod event;

use alloc::{sync::Arc, vec::Vec};

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use draft::Draft;
pub use error::{ChannelError, RestoreError};
pub use event::{Effect, Event, Evidence, Fault, HeaderField, Input, Notice, Step};

use crate::{
    abi::{Domain, MatchId, MatchTerms, State, StateHash},
    account::Player,
    chance::{Link, LinkChain},
    dispute::agreed,
    game::{Amount, Seat},
    rules::{Placed, Rules},
    sign::{Signature, Signer},
    transcript::{Cursor, Recording, Transcript},
    wire::{Arrived, MAX_ARRIVALS, ToServer, Turn},
};

/// One match from one seat.
#[derive(Clone, Debug)]
pub struct Channel {
    proposal: Proposal,
    id: MatchId,
    separator: B256,
    rules: Arc<dyn Rules>,
    chain: Chain,
    /// Where the match stands; State 0 until it is open.
    at: Cursor,
    turns: Vec<Turn>,
    /// The operator's receipts of some of them, by turn.
    arrivals: Vec<Arrived>,
    /// What ended the match for this client; it is kept whatever comes of the match.
    refused: Option<Evidence>,
    phase: Phase,
    /// How many steps were committed: a step only fits the channel that it was decided on.
    version: u64,
}

/// What a server proposed and this seat agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Where it counts.
    pub domain: Domain,
    /// Who guarantees.
    pub operator: Address,
    /// What is agreed.
    pub terms: MatchTerms,
    /// Who sits at each seat.
    pub players: Vec<Player>,
    /// This client's seat.
    pub seat: Seat,
    /// What this seat's hash chain grows from.
    pub secret: B256,
}

#[derive(Clone, Debug)]
enum Phase {
    /// This seat has signed the terms.
    Proposed { signature: Signature },
    /// All have, and the operator; this seat has signed State 0.
    Guaranteed { guarantee: Vec<Signature>, start: Signature },
    /// Open until the position is final; then this seat has acknowledged it.
    Open { guarantee: Vec<Signature>, opening: Vec<Signature>, ack: Option<Signature> },
    /// The operator has signed the final state too.
    Concluded { guarantee: Vec<Signature>, opening: Vec<Signature>, conclusion: Vec<Signature> },
    /// A seat signed what the rules forbid; the match waits for a dispute or its expiry.
    Faulted { guarantee: Vec<Signature>, opening: Vec<Signature>, evidence: Evidence },
    /// It passed its expiry without a result: stakes back.
    Void { guarantee: Vec<Signature>, opening: Vec<Signature> },
    /// The chain has applied an outcome (R7.11).
    Ruled { guarantee: Vec<Signature>, opening: Vec<Signature>, payouts: Vec<Amount> },
    /// It was never opened: stakes back.
    Cancelled,
}

/// Where a channel stands, for its user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Waiting for the other seats and the operator.
    Opening,
    /// In play; this seat is to act.
    Open {
        /// Who acts.
        mover: Seat,
    },
    /// Over; waiting for everyone's signature.
    Over,
    /// Over, and signed by everyone.
    Concluded,
    /// Somebody cheated.
    Faulted(Evidence),
    /// Past its expiry without a result: stakes back.
    Void,
    /// Ended by the chain, after a dispute.
    Ruled,
    /// Never opened.
    Cancelled,
}

impl Channel {
    /// Checks a proposal and signs its terms.
    ///
    /// The caller checks what it wanted (stake, opponents, its own index); this checks that the terms are sound and start these
    /// rules. The channel counts once the step's events are durable.
    ///
    /// # Errors
    /// Terms that no honest seat signs.
    pub fn propose(
        proposal: Proposal,
        rules: Arc<dyn Rules>,
        signer: &dyn Signer,
    ) -> Result<(Channel, Step), ChannelError> {
        let mut channel = Channel::new(proposal, rules)?;
        if channel.key(channel.seat()) != signer.address() {
            return Err(ChannelError::NotYourSeat { seat: channel.seat() });
        }
        let signature = signer.sign(channel.id.0)?;
        channel.phase = Phase::Proposed { signature };
        let event = Event::Proposed { proposal: channel.proposal.clone(), signature };
        let effect = Effect::Send(ToServer::Sign { match_id: channel.id, signature });
        let step =
            Step { version: channel.version, events: Vec::from([event]), at: None, effects: Vec::from([effect]) };
        Ok((channel, step))
    }

    /// The channel that these events, in order, lead to.
    ///
    /// # Errors
    /// Not a channel's events, or not of these rules.
    pub fn restore(
        events: impl IntoIterator<Item = Event>,
        rules: impl FnOnce(&MatchTerms) -> Option<Arc<dyn Rules>>,
    ) -> Result<Channel, RestoreError> {
        let mut events = events.into_iter();
        let Some(Event::Proposed { proposal, signature }) = events.next() else {
            return Err(RestoreError::NoProposal);
        };
        let rules = rules(&proposal.terms).ok_or(RestoreError::UnknownRules(proposal.terms.rules))?;
        let mut channel = Channel::new(proposal, rules)?;
        channel.phase = Phase::Proposed { signature };
        for event in events {
            let at = match &event {
                Event::Turned(turn) => Some(
                    channel
                        .at
                        .follow(channel.id, channel.terms(), &*channel.rules, turn)
                        .map_err(|fault| RestoreError::Fault { turn: turn.state.turn, fault })?,
                ),
                _ => None,
            };
            channel.apply(event, at);
        }
        Ok(channel)
    }

    fn new(proposal: Proposal, rules: Arc<dyn Rules>) -> Result<Channel, ChannelError> {
        let terms = &proposal.terms;
        terms.check()?;
        if rules.id() != terms.rules {
            return Err(ChannelError::OtherRules);
        }
        let (state, placed) = start(terms, &*rules)?;
        let players = proposal.players.iter().map(Player::account);
        if proposal.players.len() != terms.seats.len() || !players.eq(terms.seats.iter().copied()) {
            return Err(ChannelError::Players);
        }
        let Some(anchor) = terms.seeds.get(proposal.seat.index()) else {
            return Err(ChannelError::NotYourSeat { seat: proposal.seat });
        };
        let chain = Chain::new(proposal.secret, terms.max_turns, rules.chance());
        if chain.anchor() != *anchor {
            return Err(ChannelError::OtherAnchor);
        }
        let id = terms.id(&proposal.domain);
        let at = Cursor { hash: state.hash(id), state, placed };
        Ok(Channel {
            id,
            separator: proposal.domain.separator(),
            rules,
            chain,
            at,
            turns: Vec::new(),
            arrivals: Vec::new(),
            refused: None,
            phase: Phase::Cancelled,
            version: 0,
            proposal,
        })
    }

    /// What an input leads to. Changes nothing.
    ///
    /// # Errors
    /// The input makes no sense here. Provable misbehaviour is no error but a step.
    pub fn decide(&self, input: Input, signer: &dyn Signer) -> Result<Step, ChannelError> {
        let mut draft = Draft { channel: self, signer, at: None, events: Vec::new(), effects: Vec::new() };
        match (input, &self.phase) {
            (Input::Guarantee { signatures, operator }, Phase::Proposed { .. }) => {
                draft.guarantee(signatures, operator)?
            }
            (Input::Opened(opening), Phase::Guaranteed { .. }) => draft.open(opening)?,
            (Input::Cancelled, Phase::Proposed { .. } | Phase::Guaranteed { .. }) => {
                draft.events.push(Event::Cancelled);
                draft.notify(Notice::Cancelled);
            }
            (Input::Play(play), Phase::Open { .. }) => draft.play(play)?,
            (Input::Turn(turn), Phase::Open { .. }) => draft.turn(turn)?,
            (Input::Shown(shown), Phase::Open { .. }) => draft.shown(&shown)?,
            (Input::Shown(shown), Phase::Guaranteed { start, .. }) => {
                draft.open_in_court(*start);
                draft.shown(&shown)?;
            }
            (Input::Ruled { payouts }, Phase::Guaranteed { start, .. }) => {
                draft.open_in_court(*start);
                draft.events.push(Event::Ruled { payouts: payouts.clone() });
                draft.notify(Notice::Ruled { payouts });
            }
            (Input::Final { signatures, operator }, Phase::Open { ack: Some(_), .. }) => {
                draft.conclude(signatures, operator)?;
            }
            (Input::Expired { now }, Phase::Open { .. } | Phase::Faulted { .. }) => {
                let expiry = self.terms().expiry;
                if now <= expiry {
                    return Err(ChannelError::NotExpired { expiry, now });
                }
                draft.events.push(Event::Expired);
                draft.notify(Notice::Void);
            }
            (Input::Ruled { payouts }, Phase::Open { .. } | Phase::Faulted { .. }) => {
                draft.events.push(Event::Ruled { payouts: payouts.clone() });
                draft.notify(Notice::Ruled { payouts });
            }
            (Input::Arrivals(arrivals), _) if self.have().is_some() => draft.arrivals(arrivals)?,
            // A server repeats itself after a lost connection; what is known already changes nothing.
            (Input::Guarantee { .. }, Phase::Guaranteed { .. } | Phase::Open { .. } | Phase::Concluded { .. }) => {}
            (Input::Opened(_), Phase::Open { .. } | Phase::Concluded { .. }) => {}
            (Input::Final { .. }, Phase::Concluded { .. }) => {}
            (Input::Ruled { .. }, Phase::Ruled { .. } | Phase::Concluded { .. }) => {}
            (Input::Cancelled, Phase::Cancelled) | (Input::Expired { .. }, Phase::Void { .. }) => {}
            // What a court is shown of a match that goes on no more here is the court's business.
            (Input::Shown(_), _) => {}
            (Input::Turn(turn), Phase::Concluded { .. }) if self.holds(&turn) => {}
            (Input::Play(_), Phase::Concluded { .. }) => return Err(ChannelError::Over),
            _ => return Err(ChannelError::WrongPhase { status: self.status() }),
        }
        Ok(Step { version: self.version, events: draft.events, at: draft.at, effects: draft.effects })
    }

    /// Makes a step happen; call it once the step's events are durable.
    ///
    /// # Errors
    /// Another step was committed since this one was decided; decide again.
    pub fn commit(&mut self, step: Step) -> Result<Vec<Effect>, ChannelError> {
        if step.version != self.version {
            return Err(ChannelError::StaleStep);
        }
        let last = step.events.iter().rposition(|event| matches!(event, Event::Turned(_)));
        let mut at = step.at;
        for (i, event) in step.events.into_iter().enumerate() {
            let at = if Some(i) == last { at.take() } else { None };
            self.apply(event, at);
        }
        Ok(step.effects)
    }

    fn apply(&mut self, event: Event, at: Option<Cursor>) {
        self.version += 1;
        if let Some(at) = at {
            self.at = at;
        }
        let phase = core::mem::replace(&mut self.phase, Phase::Cancelled);
        self.phase = match (phase, event) {
            (Phase::Proposed { .. }, Event::Guaranteed { guarantee, start }) => Phase::Guaranteed { guarantee, start },
            (Phase::Guaranteed { guarantee, .. }, Event::Opened { opening }) => {
                Phase::Open { guarantee, opening, ack: None }
            }
            (phase @ Phase::Open { .. }, Event::Turned(turn)) => {
                self.turns.push(turn);
                phase
            }
            (Phase::Open { guarantee, opening, .. }, Event::Acked(ack)) => {
                Phase::Open { guarantee, opening, ack: Some(ack) }
            }
            (Phase::Open { guarantee, opening, .. }, Event::Concluded { conclusion }) => {
                Phase::Concluded { guarantee, opening, conclusion }
            }
            (Phase::Open { guarantee, opening, .. }, Event::Faulted(evidence)) => {
                self.refused = Some(evidence.clone());
                Phase::Faulted { guarantee, opening, evidence }
            }
            (Phase::Open { guarantee, opening, .. } | Phase::Faulted { guarantee, opening, .. }, Event::Expired) => {
                Phase::Void { guarantee, opening }
            }
            (
                Phase::Open { guarantee, opening, .. } | Phase::Faulted { guarantee, opening, .. },
                Event::Ruled { payouts },
            ) => Phase::Ruled { guarantee, opening, payouts },
            (phase, Event::Arrived(arrivals)) => {
                self.arrivals.extend(arrivals);
                self.arrivals.sort_by_key(|arrived| arrived.turn);
                phase
            }
            (_, Event::Cancelled) => Phase::Cancelled,
            (phase, _) => phase,
        };
    }

    /// What to send again after the connection was lost: the newest thing this seat signed. Servers take repeats.
    pub fn resend(&self) -> Option<ToServer> {
        let match_id = self.id;
        match &self.phase {
            Phase::Proposed { signature } => Some(ToServer::Sign { match_id, signature: *signature }),
            Phase::Guaranteed { start, .. } => Some(ToServer::Start { match_id, signature: *start }),
            Phase::Open { ack: Some(ack), .. } if self.author(self.at.state.turn) != Some(self.seat()) => {
                Some(ToServer::Ack { match_id, turn: self.at.state.turn, signature: *ack })
            }
            Phase::Open { .. } if self.author(self.at.state.turn) == Some(self.seat()) => {
                self.turns.last().map(|turn| ToServer::Turn { match_id, turn: turn.clone() })
            }
            _ => None,
        }
    }

    /// The turns held from this one on.
    pub fn turns_from(&self, from: u32) -> &[Turn] {
        self.turns.get(from.saturating_sub(1) as usize..).unwrap_or_default()
    }

    /// The match's id.
    pub fn id(&self) -> MatchId {
        self.id
    }

    /// What was agreed.
    pub fn terms(&self) -> &MatchTerms {
        &self.proposal.terms
    }

    /// Who sits at each seat.
    pub fn players(&self) -> &[Player] {
        &self.proposal.players
    }

    /// This client's seat.
    pub fn seat(&self) -> Seat {
        self.proposal.seat
    }

    /// The match's number on this seat's account.
    pub fn index(&self) -> u32 {
        self.terms().indexes[self.seat().index()]
    }

    /// The newest state.
    pub fn state(&self) -> &State {
        &self.at.state
    }

    /// The newest position.
    pub fn placed(&self) -> &Placed {
        &self.at.placed
    }

    /// The rules it is played by.
    pub fn rules(&self) -> &Arc<dyn Rules> {
        &self.rules
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        match &self.phase {
            Phase::Proposed { .. } | Phase::Guaranteed { .. } => Status::Opening,
            Phase::Open { .. } => self.at.state.mover().map_or(Status::Over, |mover| Status::Open { mover }),
            Phase::Concluded { .. } => Status::Concluded,
            Phase::Faulted { evidence, .. } => Status::Faulted(evidence.clone()),
            Phase::Void { .. } => Status::Void,
            Phase::Ruled { .. } => Status::Ruled,
            Phase::Cancelled => Status::Cancelled,
        }
    }

    /// The newest turn that this client holds; `None` before State 0 was complete.
    pub fn have(&self) -> Option<u32> {
        (!matches!(self.phase, Phase::Proposed { .. } | Phase::Guaranteed { .. })).then_some(self.at.state.turn)
    }

    /// What the match did to this seat's account, once that is certain.
    pub fn delta(&self) -> Option<i128> {
        match &self.phase {
            Phase::Concluded { .. } => Some(self.terms().delta(self.seat(), &self.at.state.payouts)),
            Phase::Ruled { payouts, .. } => Some(self.terms().delta(self.seat(), payouts)),
            Phase::Void { .. } | Phase::Cancelled => Some(0),
            _ => None,
        }
    }

    /// What each seat gets, once that is certain; `None` where the stakes went back as well.
    pub fn outcome(&self) -> Option<&[Amount]> {
        match &self.phase {
            Phase::Concluded { .. } => Some(&self.at.state.payouts),
            Phase::Ruled { payouts, .. } => Some(payouts),
            _ => None,
        }
    }

    /// The signatures that let anybody conclude the match on the chain: all seats', then the operator's.
    pub fn conclusion(&self) -> Option<&[Signature]> {
        match &self.phase {
            Phase::Concluded { conclusion, .. } => Some(conclusion),
            _ => None,
        }
    }

    /// Everything signed so far; `None` before the match was open.
    pub fn transcript(&self) -> Option<Transcript> {
        let (guarantee, opening, conclusion) = match &self.phase {
            Phase::Open { guarantee, opening, .. }
            | Phase::Faulted { guarantee, opening, .. }
            | Phase::Ruled { guarantee, opening, .. }
            | Phase::Void { guarantee, opening } => (guarantee, opening, &[][..]),
            Phase::Concluded { guarantee, opening, conclusion } => (guarantee, opening, &conclusion[..]),
            _ => return None,
        };
        let (mut turns, mut fork) = (self.turns.clone(), None);
        if let Some(evidence) = self.refused() {
            let Turn { state, action, .. } = &evidence.turn;
            if state.turn > self.at.state.turn {
                // What proves nothing against its author to others is left out: the author has stalled.
                if state.prev == self.at.hash && state.action == keccak256(action) {
                    turns.push(evidence.turn.clone());
                }
            } else if state.turn > agreed(opening.len(), start_mover(self.terms(), &*self.rules), &turns) {
                fork = Some(evidence.turn.clone());
            }
        }
        let held = turns.len() as u32;
        Some(Transcript {
            domain: self.proposal.domain,
            operator: self.proposal.operator,
            terms: self.terms().clone(),
            players: self.players().to_vec(),
            guarantee: guarantee.clone(),
            opening: opening.clone(),
            turns,
            fork,
            conclusion: conclusion.to_vec(),
            arrivals: self.arrivals.iter().copied().filter(|arrived| arrived.turn <= held).collect(),
        })
    }

    /// Everything signed, with what this client made of it; `None` before the match was open. Two of them show where two
    /// clients part: [`diff`](crate::transcript::diff).
    pub fn recording(&self) -> Option<Recording> {
        let refused = self.refused().cloned();
        Recording::new(self.transcript()?, refused, &*self.rules).ok()
    }

    /// The turn that this client refused as forbidden, if there is one.
    pub fn refused(&self) -> Option<&Evidence> {
        self.refused.as_ref()
    }

    /// The operator's receipts of turns, as far as this client asked for them.
    pub fn arrivals(&self) -> &[Arrived] {
        &self.arrivals
    }

    /// From which turn on to ask for receipts; `None` where the newest header has one. Of a long match only the last are
    /// asked for: they show who holds it.
    pub(crate) fn unreceipted(&self) -> Option<u32> {
        let ahead = self.refused().map_or(0, |evidence| evidence.turn.state.turn);
        let newest = self.have()?.max(ahead);
        let known = self.arrivals.last().map_or(0, |arrived| arrived.turn + 1);
        (known <= newest).then(|| known.max((newest + 1).saturating_sub(MAX_ARRIVALS as u32)))
    }

    /// The hash of a header that this client holds, refused ones included.
    fn header(&self, turn: u32) -> Option<StateHash> {
        if turn == self.at.state.turn {
            return Some(self.at.hash);
        }
        // A state names the one before.
        let next = self.turns.get(turn as usize).map(|next| next.state.prev);
        let refused = self.refused().filter(|evidence| evidence.turn.state.turn == turn);
        next.or_else(|| refused.map(|evidence| evidence.turn.state.hash(self.id)))
    }

    fn key(&self, seat: Seat) -> Address {
        self.proposal.players[seat.index()].key
    }

    /// Who wrote turn `turn`: the mover of the state before it.
    fn author(&self, turn: u32) -> Option<Seat> {
        match turn {
            0 => None,
            1 => start_mover(self.terms(), &*self.rules),
            turn => self.turns.get(turn as usize - 2)?.state.mover(),
        }
    }

    fn holds(&self, turn: &Turn) -> bool {
        let held = (turn.state.turn as usize).checked_sub(1).and_then(|at| self.turns.get(at));
        held.is_some_and(|held| held.state == turn.state)
    }
}

/// State 0 of these terms, if they start these rules.
pub(crate) fn start(terms: &MatchTerms, rules: &dyn Rules) -> Result<(State, Placed), ChannelError> {
    let placed = rules.start(&terms.stakes, &terms.seeds)?;
    let state = State::start(&placed);
    if state.start_commitment() != terms.start {
        return Err(ChannelError::OtherStart);
    }
    if terms.max_turns != rules.max_turns() {
        return Err(ChannelError::MaxTurns { proposed: terms.max_turns, rules: rules.max_turns() });
    }
    Ok((state, placed))
}

fn start_mover(terms: &MatchTerms, rules: &dyn Rules) -> Option<Seat> {
    rules.start(&terms.stakes, &terms.seeds).ok()?.mover
}

/// A seat's dice, as far as the game has any.
#[derive(Clone)]
enum Chain {
    Links(LinkChain),
    Unused(Link),
}

impl Chain {
    fn new(secret: B256, max_turns: u32, chance: bool) -> Chain {
        // A roll takes a turn of every seat, and there are at least two.
        if chance { Chain::Links(LinkChain::new(secret, max_turns / 2 + 1)) } else { Chain::Unused(secret) }
    }

    fn anchor(&self) -> Link {
        match self {
            Chain::Links(chain) => chain.anchor(),
            Chain::Unused(anchor) => alloy_primitives::keccak256(anchor),
        }
    }

    fn after(&self, tip: &Link) -> Option<Link> {
        match self {
            Chain::Links(chain) => chain.after(tip),
            Chain::Unused(_) => None,
        }
    }
}

/// The anchor that a seat with this secret offers for a match of these rules.
pub fn anchor(secret: B256, rules: &dyn Rules) -> Link {
    Chain::new(secret, rules.max_turns(), rules.chance()).anchor()
}

impl core::fmt::Debug for Chain {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Chain(secret)")
    }
}
