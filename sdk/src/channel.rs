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

mod error;

use alloc::{string::String, sync::Arc, vec::Vec};

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

pub use error::{ChannelError, RestoreError};

use crate::{
    abi::{self, Domain, MatchId, MatchTerms, State},
    account::Player,
    chance::{Link, LinkChain},
    game::{Amount, Seat},
    rules::{Placed, Rules, RulesError},
    sign::{self, Signature, Signer},
    transcript::{Cursor, Transcript},
    wire::{ToServer, Turn},
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
    /// Never opened.
    Cancelled,
}

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
    /// All seats and the operator have signed the final state.
    Final {
        /// The seats', in order.
        signatures: Vec<Signature>,
        /// The operator's.
        operator: Signature,
    },
    /// The proposal came to nothing.
    Cancelled,
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
    /// The match is open.
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
}

/// A decided change that has not happened yet.
#[derive(Clone, Debug)]
#[must_use = "a step has no effect until it is stored and committed"]
pub struct Step {
    version: u64,
    events: Vec<Event>,
    at: Option<Cursor>,
    effects: Vec<Effect>,
}

impl Step {
    /// What must be durable before the step is committed.
    pub fn events(&self) -> &[Event] {
        &self.events
    }
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
            (Input::Final { signatures, operator }, Phase::Open { ack: Some(_), .. }) => {
                draft.conclude(signatures, operator)?;
            }
            // A server repeats itself after a lost connection; what is known already changes nothing.
            (Input::Guarantee { .. }, Phase::Guaranteed { .. } | Phase::Open { .. } | Phase::Concluded { .. }) => {}
            (Input::Opened(_), Phase::Open { .. } | Phase::Concluded { .. }) => {}
            (Input::Final { .. }, Phase::Concluded { .. }) => {}
            (Input::Cancelled, Phase::Cancelled) => {}
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
                Phase::Faulted { guarantee, opening, evidence }
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
            Phase::Cancelled => Status::Cancelled,
        }
    }

    /// The newest turn that this client holds; `None` before State 0 was complete.
    pub fn have(&self) -> Option<u32> {
        (!matches!(self.phase, Phase::Proposed { .. } | Phase::Guaranteed { .. })).then_some(self.at.state.turn)
    }

    /// What the match did to this seat's account, once that is certain.
    pub fn delta(&self) -> Option<i128> {
        match self.phase {
            Phase::Concluded { .. } => Some(self.terms().delta(self.seat(), &self.at.state.payouts)),
            Phase::Cancelled => Some(0),
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
            Phase::Open { guarantee, opening, .. } | Phase::Faulted { guarantee, opening, .. } => {
                (guarantee, opening, &[][..])
            }
            Phase::Concluded { guarantee, opening, conclusion } => (guarantee, opening, &conclusion[..]),
            _ => return None,
        };
        let mut turns = self.turns.clone();
        if let Phase::Faulted { evidence, .. } = &self.phase
            && evidence.turn.state.turn as usize == turns.len() + 1
        {
            turns.push(evidence.turn.clone());
        }
        Some(Transcript {
            domain: self.proposal.domain,
            operator: self.proposal.operator,
            terms: self.terms().clone(),
            players: self.players().to_vec(),
            guarantee: guarantee.clone(),
            opening: opening.clone(),
            turns,
            conclusion: conclusion.to_vec(),
        })
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

/// A step in the making.
struct Draft<'a> {
    channel: &'a Channel,
    signer: &'a dyn Signer,
    at: Option<Cursor>,
    events: Vec<Event>,
    effects: Vec<Effect>,
}

impl Draft<'_> {
    fn at(&self) -> &Cursor {
        self.at.as_ref().unwrap_or(&self.channel.at)
    }

    fn notify(&mut self, notice: Notice) {
        self.effects.push(Effect::Notify(notice));
    }

    fn send(&mut self, frame: ToServer) {
        self.effects.push(Effect::Send(frame));
    }

    fn state_digest(&self) -> B256 {
        abi::digest(&self.channel.separator, self.at().hash.0)
    }

    fn guarantee(&mut self, mut signatures: Vec<Signature>, operator: Signature) -> Result<(), ChannelError> {
        let id = self.channel.id;
        self.all_seats(id.0, &signatures)?;
        sign::verify(id.0, &operator, self.channel.proposal.operator)?;
        let start = self.signer.sign(self.state_digest())?;
        signatures.push(operator);
        self.events.push(Event::Guaranteed { guarantee: signatures, start });
        self.send(ToServer::Start { match_id: id, signature: start });
        Ok(())
    }

    fn open(&mut self, opening: Vec<Signature>) -> Result<(), ChannelError> {
        self.all_seats(self.state_digest(), &opening)?;
        self.events.push(Event::Opened { opening });
        self.notify(Notice::Opened);
        self.go_on()
    }

    fn play(&mut self, play: Vec<u8>) -> Result<(), ChannelError> {
        let (channel, at) = (self.channel, self.at());
        let seat = channel.seat();
        let mover = at.state.mover().ok_or(ChannelError::Over)?;
        if mover != seat {
            return Err(ChannelError::NotYourTurn { seat, mover, turn: at.state.turn + 1 });
        }
        let composed = channel.rules.compose(&at.placed.position, seat, play, &|tip| channel.chain.after(tip))?;
        self.act(composed.0.encode(), composed.1)?;
        self.go_on()
    }

    /// Signs and sends this seat's own turn.
    fn act(&mut self, action: Vec<u8>, placed: Placed) -> Result<(), ChannelError> {
        let channel = self.channel;
        let at = self.at().step(channel.id, channel.terms(), &action, placed, None)?;
        let signature = self.signer.sign(abi::digest(&channel.separator, at.hash.0))?;
        let turn = Turn { state: at.state.clone(), action, signature };
        self.events.push(Event::Turned(turn.clone()));
        self.send(ToServer::Turn { match_id: channel.id, turn });
        self.turned(channel.seat(), at);
        Ok(())
    }

    fn turn(&mut self, turn: Turn) -> Result<(), ChannelError> {
        let channel = self.channel;
        let at = self.at();
        let number = turn.state.turn;
        if number > at.state.turn + 1 {
            return Err(ChannelError::Gap { turn: number, have: at.state.turn });
        }
        if channel.holds(&turn) {
            return Ok(());
        }
        let author = if number <= at.state.turn { channel.author(number) } else { at.state.mover() };
        let author = author.ok_or(ChannelError::Over)?;
        let digest = abi::digest(&channel.separator, turn.state.hash(channel.id).0);
        sign::verify(digest, &turn.signature, channel.key(author))?;
        // From here on the author's signature stands: whatever is wrong is the author's fault, and evidence.
        let followed = if number <= at.state.turn {
            Err(Fault::Equivocation)
        } else {
            at.follow(channel.id, channel.terms(), &*channel.rules, &turn)
        };
        match followed {
            Ok(next) => {
                self.events.push(Event::Turned(turn));
                self.turned(author, next);
                self.go_on()
            }
            Err(fault) => {
                let evidence = Evidence { seat: author, turn, fault };
                self.events.push(Event::Faulted(evidence.clone()));
                self.notify(Notice::Faulted(evidence));
                Ok(())
            }
        }
    }

    fn turned(&mut self, seat: Seat, at: Cursor) {
        self.notify(Notice::Turned { seat, turn: at.state.turn });
        self.at = Some(at);
    }

    /// What this seat does by itself: give its link where one is due (R5.13), acknowledge the final state (R5.7, R6.1).
    fn go_on(&mut self) -> Result<(), ChannelError> {
        let channel = self.channel;
        let seat = channel.seat();
        loop {
            let at = self.at();
            if at.state.is_final() {
                break;
            }
            if at.state.mover() != Some(seat) || !at.placed.reveal {
                return Ok(());
            }
            let revealed = channel.rules.reveal(&at.placed.position, seat, &|tip| channel.chain.after(tip))?;
            self.act(revealed.0.encode(), revealed.1)?;
        }
        let payouts = self.at().state.payouts.clone();
        let turn = self.at().state.turn;
        let signature = self.signer.sign(self.state_digest())?;
        self.events.push(Event::Acked(signature));
        // The author's signature is in its turn already.
        let own =
            matches!(self.effects.last(), Some(Effect::Notify(Notice::Turned { seat: author, .. })) if *author == seat);
        if !own {
            self.send(ToServer::Ack { match_id: channel.id, turn, signature });
        }
        self.notify(Notice::Over { payouts });
        Ok(())
    }

    fn conclude(&mut self, mut signatures: Vec<Signature>, operator: Signature) -> Result<(), ChannelError> {
        let digest = self.state_digest();
        self.all_seats(digest, &signatures)?;
        sign::verify(digest, &operator, self.channel.proposal.operator)?;
        signatures.push(operator);
        self.events.push(Event::Concluded { conclusion: signatures });
        self.notify(Notice::Concluded);
        Ok(())
    }

    fn all_seats(&self, digest: B256, signatures: &[Signature]) -> Result<(), ChannelError> {
        let players = self.channel.players();
        if signatures.len() != players.len() {
            return Err(ChannelError::Signatures { expected: players.len(), got: signatures.len() });
        }
        for (player, signature) in players.iter().zip(signatures) {
            sign::verify(digest, signature, player.key)?;
        }
        Ok(())
    }
}

impl From<Fault> for ChannelError {
    /// Only this seat's own action comes to this: what it may sign is checked like anybody's.
    fn from(fault: Fault) -> ChannelError {
        ChannelError::Rules(RulesError::Broken { game: "this game", why: fault.as_rule() })
    }
}

impl Fault {
    fn as_rule(&self) -> &'static str {
        match self {
            Fault::TooLong => "a match outlasts max_turns",
            _ => "a move leads to a position that the rules refuse",
        }
    }
}
