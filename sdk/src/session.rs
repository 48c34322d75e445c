//! A player's side of everything, without I/O: lobby, matches, statements (sections 5, 6 and 8).
//!
//! Like a [`Channel`]: [`Session::decide`] says what an input leads to, the driver stores the step's records durably, and
//! [`Session::commit`] makes it happen and hands out effects. The native client, a browser and a test drive the same session.

mod clock;
mod error;
mod event;
mod frames;

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use clock::{Clock, Stage};
pub use clock::{Countdown, Hearing};
pub use error::SessionError;
use event::{Change, ChannelChange};
pub use event::{Record, SessionEffect, SessionInput, SessionNotice, SessionStep};

use crate::{
    abi::{Domain, Login, MatchId, Receipt, Statement},
    account::{AccountId, Player, SettledSet},
    channel::{self, Channel, Effect as ChannelEffect, Input, Notice, Status},
    game::Amount,
    rules::{Rules, RulesId},
    sign::{self, Signature, Signer},
    wire::{AccountView, Have, Offer, Pair, TableId, ToServer, Welcome},
};

/// The longest time, in seconds from now, for which a proposal may hold a stake (R5.11): 30 days.
pub const LONGEST_MATCH: u64 = 30 * 24 * 60 * 60;

/// A player at a server.
pub struct Session {
    player: Player,
    account: AccountId,
    signer: Arc<dyn Signer>,
    /// What every match's dice grow from: nobody without the account key can know it.
    seed: B256,
    rules: BTreeMap<RulesId, Arc<dyn Rules>>,
    server: Option<Server>,
    /// The court's referee, as its server said, and a chain that the player trusts does not deny.
    referee: Address,
    /// The newest statement that this account signed.
    signed: Signed,
    /// The newest one that the operator signed too.
    receipted: Option<(Statement, Signature)>,
    channels: BTreeMap<MatchId, Channel>,
    opponents: BTreeMap<AccountId, Pair>,
    clocks: BTreeMap<MatchId, Clock>,
    /// Matches in dispute, as far as was heard.
    hearings: BTreeMap<MatchId, Hearing>,
    waiting: BTreeMap<u32, Waiting>,
    /// Indexes below were used by an earlier life of this account, whose records are lost.
    floor: u32,
    view: AccountView,
    /// Unix seconds, as the driver told last; 0 before it did.
    now: u64,
    /// What a chain that the player trusts said last.
    on_chain: Option<Statement>,
    /// The most that the operator may owe when a seat is taken.
    exposure_limit: Amount,
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
            referee: Address::ZERO,
            signed: Signed::default(),
            receipted: None,
            channels: BTreeMap::new(),
            opponents: BTreeMap::new(),
            clocks: BTreeMap::new(),
            hearings: BTreeMap::new(),
            waiting: BTreeMap::new(),
            floor: 0,
            view: AccountView::default(),
            now: 0,
            on_chain: None,
            exposure_limit: Amount::MAX,
        };
        let mut events: BTreeMap<MatchId, Vec<channel::Event>> = BTreeMap::new();
        for record in records {
            match record {
                Record::Channel { match_id, event } => events.entry(match_id).or_default().push(event),
                Record::Settled { match_id } => {
                    events.remove(&match_id);
                    session.clocks.remove(&match_id);
                }
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
        self.referee = welcome.referee;
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
            SessionInput::Time(now) => {
                step.changes.push(Change::Now(now));
                self.call_clocks(now.max(self.now), &mut step);
            }
            SessionInput::Docket { match_id, docket } => {
                self.hear(match_id, docket.as_ref().map(Hearing::from), &mut step);
            }
            SessionInput::Shown { match_id, shown } => return self.channel_step(match_id, Input::Shown(shown)),
            SessionInput::Silence => self.ask_the_silent(&mut step),
            SessionInput::OnChain(statement) => step.changes.push(Change::OnChain(statement)),
            SessionInput::Outcome { match_id, payouts } => {
                return self.channel_step(match_id, Input::Ruled { payouts });
            }
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
        if let Some((id, effects)) = &committed {
            // Who is to blame is worth keeping, and the server does not keep it for ever.
            let blamed = |effect: &ChannelEffect| {
                matches!(effect, ChannelEffect::Notify(Notice::Faulted(_) | Notice::Ruled { .. }))
            };
            if let (true, Some(channel)) = (effects.iter().any(blamed), self.channels.get(id)) {
                all.extend(self.ask_arrivals(channel).map(SessionEffect::Send));
            }
        }
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
                // Answers that were under way are lost.
                Change::Connected => self.clocks.values_mut().for_each(|clock| clock.asked = false),
                Change::View(view) => self.view = view,
                Change::Floor(floor) => self.floor = floor,
                Change::OnChain(statement) => self.on_chain = Some(statement),
                // Clocks are set back now and then; what has expired stays expired.
                Change::Now(now) => self.now = self.now.max(now),
                Change::Clock(match_id, clock) => drop(self.clocks.insert(match_id, clock)),
                Change::Heard(match_id, Some(hearing)) => drop(self.hearings.insert(match_id, hearing)),
                Change::Heard(match_id, None) => drop(self.hearings.remove(&match_id)),
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
            Record::Settled { match_id } => {
                self.channels.remove(&match_id);
                self.clocks.remove(&match_id);
                self.hearings.remove(&match_id);
            }
            Record::Clock { match_id, turn, since } => {
                self.clocks.insert(match_id, Clock { turn, since, told: Stage::Fresh, asked: false });
            }
            Record::Channel { .. } => {}
        }
    }

    fn digest(&self, struct_hash: B256) -> Result<B256, SessionError> {
        Ok(self.server.ok_or(SessionError::NotLoggedIn)?.domain.digest(struct_hash))
    }

    fn check_operator(&self, struct_hash: B256, signature: &Signature) -> Result<(), SessionError> {
        let operator = self.server.ok_or(SessionError::NotLoggedIn)?.operator;
        Ok(sign::verify(self.digest(struct_hash)?, signature, operator)?)
    }

    /// The server that the account is bound to; `None` before the first login.
    pub fn server(&self) -> Option<Server> {
        self.server
    }

    /// Whose session it is.
    pub fn player(&self) -> Player {
        self.player
    }

    /// The player's account.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Takes no seat from now on while the operator owes so much or more.
    pub fn limit_exposure(&mut self, limit: Amount) {
        self.exposure_limit = limit;
    }

    /// What the operator owes: winnings that both signed for and no batch has settled.
    pub fn exposure(&self) -> Amount {
        let settled = self.on_chain.unwrap_or(self.view.settled);
        let owed = u128::try_from(self.signed.statement.net - settled.net).unwrap_or(0);
        Amount::new(owed).unwrap_or(Amount::MAX)
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
