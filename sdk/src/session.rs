//! A player's side of everything, without I/O: lobby, matches, statements (sections 5, 6 and 8).
//!
//! Like a [`Channel`]: [`Session::decide`] says what an input leads to, the driver stores the step's records durably, and
//! [`Session::commit`] makes it happen and hands out effects. The native client, a browser and a test drive the same session.

mod error;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

pub use error::SessionError;

use crate::{
    abi::{Domain, Login, MatchId, MatchTerms, Receipt, Statement, Withdrawal},
    account::{AccountId, MAX_THROUGH, Player, SettledSet},
    channel::{self, Channel, Effect as ChannelEffect, Input, Proposal, Status, Step},
    game::Amount,
    rules::{Rules, RulesId},
    sign::{self, Signature, Signer, SignerError},
    wire::{
        About, AccountView, Due, Have, Offer, Pair, Refusal, ResultLeaf, TableId, TableInfo, TableSpec, ToClient,
        ToServer, Welcome,
    },
};

/// A player at a server.
pub struct Session {
    player: Player,
    account: AccountId,
    signer: Arc<dyn Signer>,
    /// What every match's dice grow from: nobody without the account key can know it.
    seed: B256,
    rules: BTreeMap<RulesId, Arc<dyn Rules>>,
    server: Option<Server>,
    /// The newest statement that this account signed.
    signed: Signed,
    /// The newest one that the operator signed too.
    receipted: Option<(Statement, Signature)>,
    channels: BTreeMap<MatchId, Channel>,
    opponents: BTreeMap<AccountId, Pair>,
    waiting: BTreeMap<u32, Waiting>,
    /// Indexes below were used by an earlier life of this account, whose records are lost.
    floor: u32,
    view: AccountView,
}

/// The server that an account is bound to: it never signs for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Where it settles.
    pub domain: Domain,
    /// Who guarantees.
    pub operator: Address,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Signed {
    statement: Statement,
    signature: Option<Signature>,
}

/// A seat taken at a table that has no match yet.
#[derive(Clone, Debug)]
struct Waiting {
    table: Option<TableId>,
    offer: Offer,
    wanted: Wanted,
}

/// What a player agreed to when it sat down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// These rules.
    pub rules: RulesId,
    /// This stake.
    pub stake: Amount,
}

/// What happens to a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum SessionInput {
    /// A frame from the server.
    Frame(ToClient),
    /// Open a table.
    Create { tag: u32, spec: TableSpec },
    /// Sit down at a table.
    Join { tag: u32, table: TableId, wanted: Wanted },
    /// Sit down wherever this is played.
    Quick { tag: u32, spec: TableSpec },
    /// Leave a table.
    Leave { tag: u32, table: TableId },
    /// List tables.
    List { tag: u32, rules: Option<RulesId> },
    /// Move.
    Play { match_id: MatchId, play: Vec<u8> },
    /// Take money out.
    Withdraw { tag: u32, amount: Amount },
    /// See the account.
    Account { tag: u32 },
    /// Prove a settled result.
    Prove { tag: u32, match_id: MatchId },
}

/// What a session remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Record {
    /// The server it is bound to.
    Server(Server),
    /// Something happened in a match.
    Channel { match_id: MatchId, event: channel::Event },
    /// The account signed a statement.
    Statement { statement: Statement, signature: Signature },
    /// The operator signed it too.
    Receipt { statement: Statement, signature: Signature },
    /// An opponent's pair (R6.5).
    Opponent(Pair),
    /// A match is settled on the chain at depth: its records may be dropped.
    Settled { match_id: MatchId },
}

/// What to do once a step is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEffect {
    /// To be sent.
    Send(ToServer),
    /// To be shown.
    Notify(SessionNotice),
}

/// What a player wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum SessionNotice {
    /// Logged in.
    Ready(AccountView),
    /// Tables in the lobby.
    Tables { tag: u32, tables: Vec<TableInfo> },
    /// Sat down.
    Seated { tag: u32, table: TableId },
    /// Left a table.
    Left { tag: u32, table: TableId },
    /// The seat taken under this tag is gone: its player left, or the connection did.
    Unseated { tag: u32 },
    /// A match was proposed for the seat taken under this tag, and agreed to.
    Matched { tag: u32, match_id: MatchId },
    /// Something happened in a match.
    Match { match_id: MatchId, notice: channel::Notice },
    /// Both parties signed a statement.
    Receipted(Statement),
    /// A statement is on the chain.
    Settled { statement: Statement, batch: u32, matches: Vec<MatchId> },
    /// A withdrawal that both parties signed: to be submitted.
    Withdrawal { tag: u32, withdrawal: Withdrawal, account: Signature, operator: Signature },
    /// The account.
    Account { tag: u32, account: AccountView },
    /// A settled result.
    Proof { tag: u32, batch: u32, result: ResultLeaf, path: Vec<B256> },
    /// The server said no.
    Refused { about: About, refusal: Refusal },
}

/// A decided change that has not happened yet.
#[derive(Debug, Default)]
#[must_use = "a step has no effect until it is stored and committed"]
pub struct SessionStep {
    records: Vec<Record>,
    channel: Option<ChannelChange>,
    changes: Vec<Change>,
    effects: Vec<SessionEffect>,
}

#[derive(Debug)]
enum ChannelChange {
    New(Channel, Step),
    Step(MatchId, Step),
    Several(MatchId, Channel, Vec<ChannelEffect>),
}

/// What changes without having to be durable.
#[derive(Debug)]
enum Change {
    Waiting(u32, Waiting),
    Seated(u32, TableId),
    Gone(u32),
    View(AccountView),
    Floor(u32),
}

impl SessionStep {
    /// What must be durable before the step is committed.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

impl Session {
    /// A new player's session, or a known one's with what it remembers.
    ///
    /// # Errors
    /// The signer does not sign, or the records are not of these rules.
    pub fn new(
        owner: Address,
        signer: Arc<dyn Signer>,
        rules: impl IntoIterator<Item = Arc<dyn Rules>>,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Session, SessionError> {
        let player = Player { owner, key: signer.address() };
        // Deterministic signatures make it the same at every start without storing it.
        let seed = keccak256(signer.sign(keccak256("Matchlock dice 1"))?.0);
        let mut session = Session {
            player,
            account: player.account(),
            signer,
            seed,
            rules: rules.into_iter().map(|rules| (rules.id(), rules)).collect(),
            server: None,
            signed: Signed::default(),
            receipted: None,
            channels: BTreeMap::new(),
            opponents: BTreeMap::new(),
            waiting: BTreeMap::new(),
            floor: 0,
            view: AccountView::default(),
        };
        let mut events: BTreeMap<MatchId, Vec<channel::Event>> = BTreeMap::new();
        for record in records {
            match record {
                Record::Channel { match_id, event } => events.entry(match_id).or_default().push(event),
                Record::Settled { match_id } => drop(events.remove(&match_id)),
                record => session.remember(record),
            }
        }
        for (match_id, events) in events {
            let channel = Channel::restore(events, |terms| session.rules.get(&terms.rules).cloned())
                .map_err(|error| SessionError::Restore { match_id, error })?;
            session.channels.insert(match_id, channel);
        }
        Ok(session)
    }

    /// The first frame to send: proves to the server who is there, and says what is held of open matches.
    ///
    /// # Errors
    /// Another server than the one that this account is bound to.
    pub fn login(&self, welcome: &Welcome) -> Result<(ToServer, Option<Record>), SessionError> {
        let server = Server { domain: welcome.domain, operator: welcome.operator };
        if let Some(known) = self.server.filter(|known| *known != server) {
            return Err(SessionError::OtherServer { known, found: server });
        }
        let login = Login { account: self.account, nonce: welcome.nonce };
        let signature = self.signer.sign(server.domain.digest(login.struct_hash()))?;
        let resume = self.channels.values().map(|channel| Have { match_id: channel.id(), turn: channel.have() });
        let frame = ToServer::Login { player: self.player, signature, resume: resume.collect() };
        Ok((frame, self.server.is_none().then_some(Record::Server(server))))
    }

    /// Binds the session to its server, once the record that [`login`](Session::login) gave is durable.
    pub fn bind(&mut self, welcome: &Welcome) {
        self.server = Some(Server { domain: welcome.domain, operator: welcome.operator });
    }

    /// What an input leads to. Changes nothing.
    ///
    /// # Errors
    /// The wish cannot be granted, or the server's frame makes no sense.
    pub fn decide(&self, input: SessionInput) -> Result<SessionStep, SessionError> {
        let mut step = SessionStep::default();
        match input {
            SessionInput::Frame(frame) => return self.frame(frame),
            SessionInput::Create { tag, spec } => {
                let offer = self.wait(&mut step, tag, None, Wanted { rules: spec.rules, stake: spec.stake })?;
                step.send(ToServer::Create { tag, spec, offer });
            }
            SessionInput::Quick { tag, spec } => {
                let offer = self.wait(&mut step, tag, None, Wanted { rules: spec.rules, stake: spec.stake })?;
                step.send(ToServer::Quick { tag, spec, offer });
            }
            SessionInput::Join { tag, table, wanted } => {
                let offer = self.wait(&mut step, tag, Some(table), wanted)?;
                step.send(ToServer::Join { tag, table, offer });
            }
            SessionInput::Leave { tag, table } => step.send(ToServer::Leave { tag, table }),
            SessionInput::List { tag, rules } => step.send(ToServer::List { tag, rules }),
            SessionInput::Withdraw { tag, amount } => step.send(ToServer::Withdraw { tag, amount }),
            SessionInput::Account { tag } => step.send(ToServer::Account { tag }),
            SessionInput::Prove { tag, match_id } => step.send(ToServer::Prove { tag, match_id }),
            SessionInput::Play { match_id, play } => return self.channel_step(match_id, Input::Play(play)),
        }
        Ok(step)
    }

    /// Makes a step happen; call it once the step's records are durable.
    ///
    /// # Errors
    /// Another step was committed in between; decide again.
    pub fn commit(&mut self, step: SessionStep) -> Result<Vec<SessionEffect>, SessionError> {
        let SessionStep { records, channel, changes, effects } = step;
        let mut all = Vec::new();
        let committed = match channel {
            None => None,
            Some(ChannelChange::New(mut channel, step)) => {
                let effects = channel.commit(step)?;
                let id = channel.id();
                self.channels.insert(id, channel);
                Some((id, effects))
            }
            Some(ChannelChange::Step(id, step)) => {
                let channel = self.channels.get_mut(&id).ok_or(SessionError::UnknownMatch(id))?;
                Some((id, channel.commit(step)?))
            }
            Some(ChannelChange::Several(id, channel, effects)) => {
                self.channels.insert(id, channel);
                Some((id, effects))
            }
        };
        records.into_iter().for_each(|record| self.remember(record));
        for change in changes {
            match change {
                Change::Waiting(tag, waiting) => drop(self.waiting.insert(tag, waiting)),
                Change::Seated(tag, table) => {
                    if let Some(waiting) = self.waiting.get_mut(&tag) {
                        waiting.table = Some(table);
                    }
                }
                Change::Gone(tag) => drop(self.waiting.remove(&tag)),
                Change::View(view) => self.view = view,
                Change::Floor(floor) => self.floor = floor,
            }
        }
        // What a user sees first is that there is a match, then what happens in it.
        all.extend(effects);
        for effect in committed.into_iter().flat_map(|(id, effects)| effects.into_iter().map(move |e| (id, e))) {
            all.push(match effect {
                (_, ChannelEffect::Send(frame)) => SessionEffect::Send(frame),
                (match_id, ChannelEffect::Notify(notice)) => {
                    SessionEffect::Notify(SessionNotice::Match { match_id, notice })
                }
            });
        }
        Ok(all)
    }

    fn remember(&mut self, record: Record) {
        match record {
            Record::Server(server) => self.server = Some(server),
            Record::Statement { statement, signature } => {
                self.signed = Signed { statement, signature: Some(signature) };
            }
            Record::Receipt { statement, signature } => {
                self.receipted = Some((statement, signature));
                if statement != self.signed.statement {
                    self.signed = Signed { statement, signature: None };
                }
            }
            Record::Opponent(pair) => drop(self.opponents.insert(pair.player.account(), pair)),
            Record::Settled { match_id } => drop(self.channels.remove(&match_id)),
            Record::Channel { .. } => {}
        }
    }

    fn frame(&self, frame: ToClient) -> Result<SessionStep, SessionError> {
        let mut step = SessionStep::default();
        match frame {
            ToClient::Ready(view) => {
                // Whatever was on its way when the connection was lost: servers take repeats.
                for frame in self.channels.values().filter_map(Channel::resend) {
                    step.send(frame);
                }
                // A new connection sits at no table.
                for tag in self.waiting.keys() {
                    step.changes.push(Change::Gone(*tag));
                    step.notify(SessionNotice::Unseated { tag: *tag });
                }
                self.adopt(&view, &mut step)?;
                step.changes.push(Change::View(view.clone()));
                step.notify(SessionNotice::Ready(view));
            }
            ToClient::Account { tag, account } => {
                step.changes.push(Change::View(account.clone()));
                step.notify(SessionNotice::Account { tag, account });
            }
            ToClient::Tables { tag, tables } => step.notify(SessionNotice::Tables { tag, tables }),
            ToClient::Seated { tag, table } => {
                step.changes.push(Change::Seated(tag, table));
                step.notify(SessionNotice::Seated { tag, table });
            }
            ToClient::Left { tag, table } => {
                if let Some((tag, _)) = self.waiting.iter().find(|(_, waiting)| waiting.table == Some(table)) {
                    step.changes.push(Change::Gone(*tag));
                    step.notify(SessionNotice::Unseated { tag: *tag });
                }
                step.notify(SessionNotice::Left { tag, table });
            }
            ToClient::Proposal { table, terms, players } => return self.proposal(table, terms, players),
            ToClient::Cancelled { match_id, reason } => {
                if !self.channels.contains_key(&match_id) {
                    step.notify(SessionNotice::Refused { about: About::Match(match_id), refusal: reason });
                    return Ok(step);
                }
                return self.channel_step(match_id, Input::Cancelled);
            }
            ToClient::Guarantee { match_id, signatures, operator } => {
                return self.channel_step(match_id, Input::Guarantee { signatures, operator });
            }
            ToClient::Opened { match_id, signatures } => return self.channel_step(match_id, Input::Opened(signatures)),
            ToClient::Turn { match_id, turn } => match self.channel_step(match_id, Input::Turn(turn)) {
                Err(SessionError::Channel(channel::ChannelError::Gap { have, .. })) => {
                    step.send(ToServer::Turns { tag: 0, match_id, from: have + 1 });
                }
                result => return result,
            },
            ToClient::Turns { match_id, turns, .. } => return self.turns(match_id, turns),
            ToClient::Final { match_id, signatures, operator } => {
                return self.channel_step(match_id, Input::Final { signatures, operator });
            }
            ToClient::StatementDue { statement, results } => return self.statement_due(statement, &results),
            ToClient::Receipt { statement, signature } => {
                if statement != self.signed.statement {
                    return Err(SessionError::NotYourStatement);
                }
                self.check_operator(statement.receipt_hash(self.account).0, &signature)?;
                if self.receipted != Some((statement, signature)) {
                    step.records.push(Record::Receipt { statement, signature });
                    step.notify(SessionNotice::Receipted(statement));
                }
            }
            ToClient::Opponent { pair, .. } => {
                let account = pair.player.account();
                let digest = self.digest(pair.statement.struct_hash(pair.player.owner))?;
                sign::verify(digest, &pair.signature, pair.player.key)?;
                self.check_operator(pair.statement.receipt_hash(account).0, &pair.receipt)?;
                let older = self.opponents.get(&account).map(|pair| pair.statement.set).unwrap_or_default();
                // Only accounts that it plays with: a server cannot fill a client's store with strangers.
                let known = self.channels.values().any(|channel| channel.terms().seat_of(account).is_some());
                if known && pair.statement.set.exceeds(&older) {
                    step.records.push(Record::Opponent(pair));
                }
            }
            ToClient::Settled { statement, batch } => {
                let settled = self
                    .channels
                    .values()
                    .filter(|channel| channel.delta().is_some() && statement.set.contains(channel.index()));
                let matches: Vec<_> = settled.map(Channel::id).collect();
                step.records.extend(matches.iter().map(|match_id| Record::Settled { match_id: *match_id }));
                step.notify(SessionNotice::Settled { statement, batch, matches });
            }
            ToClient::Withdrawal { tag, withdrawal, signature } => {
                if withdrawal.account != self.account {
                    return Err(SessionError::NotYourStatement);
                }
                let digest = self.digest(withdrawal.struct_hash())?;
                self.check_operator(withdrawal.struct_hash(), &signature)?;
                // It moves this account's money to its owner and nowhere else, so any sum is fine to sign.
                let account = self.signer.sign(digest)?;
                step.notify(SessionNotice::Withdrawal { tag, withdrawal, account, operator: signature });
            }
            ToClient::Proof { tag, batch, result, path } => {
                step.notify(SessionNotice::Proof { tag, batch, result, path });
            }
            ToClient::Refused { about, refusal } => {
                if let About::Request(tag) = about {
                    step.changes.push(Change::Gone(tag));
                }
                if let (About::Turn(match_id, _), Refusal::OutOfTurn { turn, .. }) = (&about, &refusal) {
                    self.bring_back(*match_id, *turn, &mut step);
                }
                step.notify(SessionNotice::Refused { about, refusal });
            }
            ToClient::Stored { .. } | ToClient::Pong => {}
            ToClient::Welcome(_) => return Err(SessionError::Unexpected),
        }
        Ok(step)
    }

    /// A client that has no record of its account, but whose account has played, goes on from the newest statement that
    /// the operator signed. One that has records never does: an operator could invent losses.
    fn adopt(&self, view: &AccountView, step: &mut SessionStep) -> Result<(), SessionError> {
        let blank = self.signed == Signed::default() && self.channels.is_empty();
        if blank && view.next_index > 0 {
            step.changes.push(Change::Floor(view.next_index));
            if let Some(signature) = view.receipt {
                self.check_operator(view.statement.receipt_hash(self.account).0, &signature)?;
                step.records.push(Record::Receipt { statement: view.statement, signature });
            }
        }
        Ok(())
    }

    /// Takes an index that is not in use, and promises a chain of dice for it.
    fn wait(
        &self,
        step: &mut SessionStep,
        tag: u32,
        table: Option<TableId>,
        wanted: Wanted,
    ) -> Result<Offer, SessionError> {
        let rules = self.rules.get(&wanted.rules).ok_or(SessionError::UnknownRules(wanted.rules))?;
        // The lowest free one: an index left out would fall out of the window one day (R6.4). One that was offered and never
        // signed is free again; one that was signed is a channel's until it is settled (R5.4).
        let waiting = self.waiting.values().map(|waiting| waiting.offer.index);
        let used: BTreeSet<u32> = waiting.chain(self.channels.values().map(Channel::index)).collect();
        let set = self.signed.statement.set;
        let mut candidates = set.oldest_open().max(self.floor)..MAX_THROUGH - 1;
        let index =
            candidates.find(|index| !used.contains(index) && !set.contains(*index)).ok_or(SessionError::Exhausted)?;
        let offer = Offer { index, anchor: channel::anchor(self.secret(index), &**rules) };
        step.changes.push(Change::Waiting(tag, Waiting { table, offer, wanted }));
        Ok(offer)
    }

    fn secret(&self, index: u32) -> B256 {
        keccak256([&self.seed[..], &index.to_be_bytes()].concat())
    }

    fn proposal(&self, table: TableId, terms: MatchTerms, players: Vec<Player>) -> Result<SessionStep, SessionError> {
        let server = self.server.ok_or(SessionError::NotLoggedIn)?;
        let id = terms.id(&server.domain);
        if let Some(channel) = self.channels.get(&id) {
            // The server did not get the answer.
            let mut step = SessionStep::default();
            channel.resend().into_iter().for_each(|frame| step.send(frame));
            return Ok(step);
        }
        let (tag, waiting) = (self.waiting.iter())
            .find(|(_, waiting)| waiting.table == Some(table))
            .ok_or(SessionError::NotSeated(table))?;
        let seat = terms.seat_of(self.account).ok_or(SessionError::OtherTerms("seats"))?;
        let i = seat.index();
        let wanted = [
            (terms.rules == waiting.wanted.rules, "rules"),
            (terms.stakes.get(i) == Some(&waiting.wanted.stake), "stake"),
            (terms.indexes.get(i) == Some(&waiting.offer.index), "index"),
            (terms.seeds.get(i) == Some(&waiting.offer.anchor), "seed"),
            (terms.expiry > terms.open_by, "expiry"),
            (!self.signed.statement.set.contains(waiting.offer.index), "index"),
            (self.channels.values().all(|channel| channel.index() != waiting.offer.index), "index"),
        ];
        if let Some((_, field)) = wanted.iter().find(|(fine, _)| !fine) {
            return Err(SessionError::OtherTerms(field));
        }
        let rules = self.rules.get(&terms.rules).ok_or(SessionError::UnknownRules(terms.rules))?.clone();
        let proposal = Proposal {
            domain: server.domain,
            operator: server.operator,
            terms,
            players,
            seat,
            secret: self.secret(waiting.offer.index),
        };
        let (channel, channel_step) = Channel::propose(proposal, rules, &*self.signer)?;
        let mut step = SessionStep::default();
        step.remember_events(id, &channel_step);
        step.changes.push(Change::Gone(*tag));
        step.notify(SessionNotice::Matched { tag: *tag, match_id: id });
        step.channel = Some(ChannelChange::New(channel, channel_step));
        Ok(step)
    }

    fn channel_step(&self, match_id: MatchId, input: Input) -> Result<SessionStep, SessionError> {
        let channel = self.channels.get(&match_id).ok_or(SessionError::UnknownMatch(match_id))?;
        let channel_step = channel.decide(input, &*self.signer)?;
        let mut step = SessionStep::default();
        step.remember_events(match_id, &channel_step);
        step.channel = Some(ChannelChange::Step(match_id, channel_step));
        Ok(step)
    }

    /// Several turns at once, after a gap.
    fn turns(&self, match_id: MatchId, turns: Vec<crate::wire::Turn>) -> Result<SessionStep, SessionError> {
        let channel = self.channels.get(&match_id).ok_or(SessionError::UnknownMatch(match_id))?;
        let (mut ahead, mut step, mut effects) = (channel.clone(), SessionStep::default(), Vec::new());
        for turn in turns {
            let channel_step = ahead.decide(Input::Turn(turn), &*self.signer)?;
            step.remember_events(match_id, &channel_step);
            effects.extend(ahead.commit(channel_step)?);
        }
        step.channel = Some(ChannelChange::Several(match_id, ahead, effects));
        Ok(step)
    }

    /// The server lacks turns that it had passed on before it crashed: it gets them again, signed as they are.
    fn bring_back(&self, match_id: MatchId, from: u32, step: &mut SessionStep) {
        let Some(channel) = self.channels.get(&match_id) else { return };
        for turn in channel.turns_from(from) {
            step.send(ToServer::Turn { match_id, turn: turn.clone() });
        }
        // A final is signed by who did not write it, too; without the turn that was refused as well.
        if let Some(ack @ ToServer::Ack { .. }) = channel.resend()
            && !channel.turns_from(from).is_empty()
        {
            step.send(ack);
        }
    }

    /// Signs a statement that adds exactly the results that this account knows (R6.2, R6.4).
    fn statement_due(&self, statement: Statement, results: &[Due]) -> Result<SessionStep, SessionError> {
        let mut step = SessionStep::default();
        if let (true, Some(signature)) = (statement == self.signed.statement, self.signed.signature) {
            step.send(ToServer::Statement { statement, signature });
            return Ok(step);
        }
        let (mut net, mut set) = (self.signed.statement.net, self.signed.statement.set);
        for due in results.iter().filter(|due| !self.signed.statement.set.contains(due.index)) {
            if due.delta != self.delta_of(due)? {
                return Err(SessionError::WrongDelta { match_id: due.match_id, delta: due.delta });
            }
            set = set.with(due.index)?;
            net += due.delta;
        }
        if (Statement { net, set }) != statement || !set.exceeds(&self.signed.statement.set) {
            return Err(SessionError::WrongStatement);
        }
        let signature = self.signer.sign(self.digest(statement.struct_hash(self.player.owner))?)?;
        step.records.push(Record::Statement { statement, signature });
        step.send(ToServer::Statement { statement, signature });
        Ok(step)
    }

    fn delta_of(&self, due: &Due) -> Result<i128, SessionError> {
        let of_index = self.channels.values().find(|channel| channel.index() == due.index);
        match of_index {
            Some(channel) if channel.id() != due.match_id => Err(SessionError::UnknownMatch(due.match_id)),
            Some(channel) => channel.delta().ok_or(SessionError::StillOpen(due.match_id)),
            // An index that this account offered and never signed: nothing can have been won or lost.
            None => Ok(0),
        }
    }

    fn digest(&self, struct_hash: B256) -> Result<B256, SessionError> {
        Ok(self.server.ok_or(SessionError::NotLoggedIn)?.domain.digest(struct_hash))
    }

    fn check_operator(&self, struct_hash: B256, signature: &Signature) -> Result<(), SessionError> {
        let operator = self.server.ok_or(SessionError::NotLoggedIn)?.operator;
        Ok(sign::verify(self.digest(struct_hash)?, signature, operator)?)
    }

    /// Whose session it is.
    pub fn player(&self) -> Player {
        self.player
    }

    /// The player's account.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The account as the server last described it.
    pub fn view(&self) -> &AccountView {
        &self.view
    }

    /// A match.
    pub fn channel(&self, id: MatchId) -> Option<&Channel> {
        self.channels.get(&id)
    }

    /// All matches that are not settled on the chain yet.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// Matches in play.
    pub fn open(&self) -> impl Iterator<Item = &Channel> {
        self.channels()
            .filter(|channel| matches!(channel.status(), Status::Opening | Status::Open { .. } | Status::Over))
    }

    /// The newest statement that both parties signed: with it this account can exit alone (R3.7).
    pub fn receipt(&self) -> Option<(Statement, Signature)> {
        self.receipted
    }

    /// The pairs of opponents (R6.5).
    pub fn opponents(&self) -> impl Iterator<Item = &Pair> {
        self.opponents.values()
    }

    /// What the newest statement says is settled.
    pub fn settled(&self) -> SettledSet {
        self.signed.statement.set
    }

    /// The account's signature on an exit with its newest receipt, for somebody else to submit.
    ///
    /// # Errors
    /// No server yet, or the signer does not sign.
    pub fn sign_exit(&self, nonce: u64) -> Result<(crate::abi::Exit, Signature), SessionError> {
        let receipt = self.receipted.map_or(Receipt::default(), |(statement, _)| statement.receipt_hash(self.account));
        let exit = crate::abi::Exit { account: self.account, receipt, nonce };
        Ok((exit, self.signer.sign(self.digest(exit.struct_hash())?)?))
    }
}

impl SessionStep {
    fn send(&mut self, frame: ToServer) {
        self.effects.push(SessionEffect::Send(frame));
    }

    fn notify(&mut self, notice: SessionNotice) {
        self.effects.push(SessionEffect::Notify(notice));
    }

    fn remember_events(&mut self, match_id: MatchId, step: &Step) {
        self.records.extend(step.events().iter().map(|event| Record::Channel { match_id, event: event.clone() }));
    }
}

impl From<SignerError> for SessionError {
    fn from(error: SignerError) -> SessionError {
        SessionError::Channel(error.into())
    }
}
