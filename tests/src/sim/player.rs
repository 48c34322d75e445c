//! A player: the client's own session and counsel, with a simulated disk, clock and line.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, MatchId},
    account::{AccountId, Player as Pair},
    channel::{Channel, Status},
    dispute::{Case, Counsel, Docket, Moment, Motion, Phase},
    game::{Amount, BasisPoints, Seat},
    session::{Record, Session, SessionEffect, SessionInput, SessionNotice},
    settle,
    sign::{Key, Signer},
    wire::{self, TableSpec, ToClient, ToServer},
};
use matchlock_demo::{Strength, bots};

use super::{
    broken::Broken,
    chain::{BOND, wallet},
    plan::Conduct,
    world::World,
};
use crate::{table::key, world::Failure};

/// What every player brings, in wei.
pub(super) const DEPOSIT: u64 = 1_000_000;
/// What every match costs, in wei.
pub(super) const STAKE: u64 = 10_000;
/// Seconds that a seat may think.
pub(super) const CLOCK: u32 = 30;
/// Seconds beyond the clock after which a client challenges by itself: the server goes first while it is there.
const GRACE: u64 = 30;
/// The share of a window after which a client answers in place of the server.
const PATIENCE: BasisPoints = match BasisPoints::new(7_500) {
    Ok(patience) => patience,
    Err(_) => unreachable!(),
};

/// A player.
pub(super) struct Player {
    /// Its number.
    pub(super) n: usize,
    /// How it behaves.
    pub(super) conduct: Conduct,
    /// Its account's key.
    pub(super) key: Key,
    /// Its wallet's.
    pub(super) wallet: Key,
    /// What runs; `None` while it has crashed.
    pub(super) session: Option<Session>,
    /// What survives a crash.
    pub(super) disk: Vec<Record>,
    /// Its connection.
    pub(super) line: Option<usize>,
    /// Matches that it wants to begin yet.
    pub(super) wanted: u32,
    tags: u32,
    /// Since when it waits for an opponent.
    waits: Option<u64>,
    bots: BTreeMap<MatchId, Box<dyn bots::Player>>,
    /// How often its process has started.
    boots: u64,
    /// The newest turn of each match, and since when it is.
    pub(super) since: BTreeMap<MatchId, (u32, u64)>,
    /// The docket of each match that it has looked at.
    told: BTreeMap<MatchId, Option<Docket>>,
    /// What it submitted about disputes, and at which block.
    pub(super) pleaded: BTreeMap<String, u64>,
    /// When it asked for its money last.
    asked: Option<u64>,
    /// The exit that it sent, and when.
    pub(super) exit: Option<u64>,
    /// What it did about others' exits and its own.
    pub(super) done: BTreeSet<String>,
    /// It has all that it can get.
    pub(super) home: bool,
}

impl Player {
    pub(super) fn new(n: usize, conduct: Conduct, matches: u32) -> Player {
        Player {
            n,
            conduct,
            key: key("account", n as u64),
            wallet: wallet(n as u64),
            session: None,
            disk: Vec::new(),
            line: None,
            wanted: matches,
            tags: 0,
            waits: None,
            bots: BTreeMap::new(),
            boots: 0,
            since: BTreeMap::new(),
            told: BTreeMap::new(),
            pleaded: BTreeMap::new(),
            asked: None,
            exit: None,
            done: BTreeSet::new(),
            home: false,
        }
    }

    /// Owner and key.
    pub(super) fn pair(&self) -> Pair {
        Pair { owner: self.wallet.address(), key: self.key.address() }
    }

    /// The account.
    pub(super) fn account(&self) -> AccountId {
        self.pair().account()
    }

    /// The newest turn that a dishonest player still makes in this match.
    fn stops_at(&self) -> Option<u32> {
        match self.conduct {
            Conduct::Stalls { from } | Conduct::Vanishes { from } | Conduct::Forges { from } => Some(from),
            Conduct::Cheats { turn } | Conduct::Forks { turn } => Some(turn),
            _ => None,
        }
    }

    /// Whether it keeps a frame to itself.
    fn withholds(&self, frame: &ToServer) -> bool {
        match (self.conduct, frame) {
            (Conduct::RefusesFinals, ToServer::Ack { .. }) => true,
            (Conduct::RefusesStatements, ToServer::Statement { .. }) => true,
            (_, ToServer::Turn { turn, .. }) => self.stops_at().is_some_and(|from| turn.state.turn >= from),
            _ => false,
        }
    }
}

/// Whether everything about a match is known.
fn is_certain(channel: &Channel) -> bool {
    channel.delta().is_some()
}

impl World<'_> {
    /// Starts a player's client, or starts it again.
    pub(super) fn boot(&mut self, n: usize) -> Result<(), Failure> {
        let rules = self.rules.clone();
        let player = &mut self.players[n];
        let (owner, key, records) = (player.wallet.address(), player.key.clone(), player.disk.clone());
        let session = Session::new(owner, std::sync::Arc::new(key), [rules], records)?;
        player.session = Some(session);
        player.waits = None;
        player.bots.clear();
        player.boots += 1;
        self.log(format_args!("player {n} starts"));
        self.wake_soon(n);
        Ok(())
    }

    /// The player's process ends; what was not durable is gone.
    pub(super) fn crash(&mut self, n: usize) {
        self.log(format_args!("player {n} crashes"));
        self.tally.count("world: client crashes");
        self.players[n].session = None;
        self.players[n].told.clear();
        if let Some(line) = self.players[n].line.take() {
            self.cut(line);
        }
        let pause = 500 + u64::from(self.dice.below(10_000));
        self.at(pause, super::world::Event::Boot(n));
    }

    /// A frame from the server.
    pub(super) fn hear(&mut self, n: usize, bytes: &[u8]) -> Result<(), Failure> {
        let Ok(frame) = matchlock::wire::decode::<ToClient>(bytes) else {
            return Err(format!("player {n} cannot read what the server sent").into());
        };
        if let Err(error) = self.step(n, SessionInput::Frame(frame)) {
            self.log(format_args!("player {n} refuses a frame: {error}"));
        }
        Ok(())
    }

    /// Decide, make durable, commit, send. Crashes where the schedule says so.
    pub(super) fn step(&mut self, n: usize, input: SessionInput) -> Result<(), Failure> {
        let now = self.now();
        let Some(session) = &mut self.players[n].session else { return Ok(()) };
        let time = session.decide(SessionInput::Time(now))?;
        session.commit(time)?;
        let step = session.decide(input)?;
        let records = step.records().to_vec();
        let forgets = self.broken.forgets();
        if !records.is_empty() {
            if self.crashes_now(self.plan.client_crashes) {
                self.crash(n);
                return Ok(());
            }
            if !forgets {
                self.players[n].disk.extend(records.iter().cloned());
            }
            if !forgets && self.crashes_now(self.plan.client_crashes) {
                self.crash(n);
                return Ok(());
            }
        }
        let Some(session) = &mut self.players[n].session else { return Ok(()) };
        let effects = session.commit(step)?;
        for effect in effects {
            match effect {
                SessionEffect::Send(frame) => self.say(n, frame)?,
                SessionEffect::Notify(notice) => self.notice(n, notice)?,
                _ => return Err("a session wants something new".into()),
            }
        }
        if forgets && !records.is_empty() {
            // Sent first, stored after: a crash in between forgets what was signed.
            if self.crashes_now(self.plan.client_crashes) {
                self.crash(n);
                return Ok(());
            }
            self.players[n].disk.extend(records);
        }
        Ok(())
    }

    fn say(&mut self, n: usize, frame: ToServer) -> Result<(), Failure> {
        if self.players[n].withholds(&frame) {
            return Ok(());
        }
        if self.players[n].conduct.is_honest() {
            // Whoever called may take an error for a refusal: this is none.
            self.breach = self.breach.take().or(self.witness.signed(n, &frame).err());
        }
        if let ToServer::Turn { turn, .. } = &frame {
            self.log(format_args!("player {n} sends turn {}", turn.state.turn));
        }
        if let Some(line) = self.players[n].line {
            self.send_up(line, matchlock::wire::encode(&frame));
        }
        Ok(())
    }

    fn notice(&mut self, n: usize, notice: SessionNotice) -> Result<(), Failure> {
        match notice {
            SessionNotice::Matched { match_id, .. } => {
                let player = &mut self.players[n];
                player.waits = None;
                player.wanted = player.wanted.saturating_sub(1);
                self.log(format_args!("player {n} is matched: {match_id}"));
            }
            SessionNotice::Unseated { .. } => self.players[n].waits = None,
            SessionNotice::Match { match_id, notice } => {
                self.log(format_args!("player {n}, {match_id}: {notice:?}"));
                self.wake_soon(n);
            }
            SessionNotice::Withdrawal { withdrawal, account, operator, .. } => {
                let pair = self.players[n].pair();
                let call = Arena::withdrawCall {
                    owner: pair.owner,
                    key: pair.key,
                    total: withdrawal.total.into(),
                    deadline: withdrawal.deadline,
                    accountSig: account.0.into(),
                    operatorSig: operator.0.into(),
                };
                self.submit(n, false, U256::ZERO, call.abi_encode(), "withdraws")?;
            }
            SessionNotice::Refused { about, refusal } => {
                self.players[n].waits = None;
                self.log(format_args!("player {n} is refused, {about:?}: {refusal}"));
            }
            _ => {}
        }
        if let Some(session) = &self.players[n].session {
            self.witness.saw(n, session);
        }
        Ok(())
    }

    /// A player looks around and does what it wants to.
    pub(super) fn act(&mut self, n: usize) -> Result<(), Failure> {
        let Some(session) = self.players[n].session.as_ref().filter(|_| !self.players[n].home) else { return Ok(()) };
        self.witness.saw(n, session);
        self.watch_chain(n)?;
        if self.players[n].line.is_none() && self.is_listening() {
            self.connect(n);
        }
        self.begin(n)?;
        self.play(n)?;
        if self.draining() {
            self.go_home(n)?;
        }
        Ok(())
    }

    fn tag(&mut self, n: usize) -> u32 {
        self.players[n].tags += 1;
        self.players[n].tags
    }

    /// Sits down, if it wants to.
    fn begin(&mut self, n: usize) -> Result<(), Failure> {
        let now = self.now();
        let player = &self.players[n];
        let waits = player.waits.is_some_and(|since| now < since + 20);
        let busy = player.session.as_ref().is_some_and(|session| session.open().count() > 1);
        let online = player.line.is_some_and(|line| self.is_logged_in(line));
        if self.draining() || player.wanted == 0 || waits || busy || !online || player.exit.is_some() {
            return Ok(());
        }
        let spec = TableSpec {
            rules: self.rules.id(),
            seats: self.plan.seats as u8,
            stake: Amount::from_u64(STAKE),
            clock: CLOCK,
            private: false,
        };
        let tag = self.tag(n);
        self.players[n].waits = Some(now);
        if let Err(error) = self.step(n, SessionInput::Quick { tag, spec }) {
            self.log(format_args!("player {n} cannot sit down: {error}"));
        }
        Ok(())
    }

    /// Makes the moves that are due.
    fn play(&mut self, n: usize) -> Result<(), Failure> {
        let Some(session) = &self.players[n].session else { return Ok(()) };
        let due: Vec<(MatchId, Seat, Vec<u8>)> = session
            .open()
            .filter(|channel| channel.status() == Status::Open { mover: channel.seat() } && !channel.placed().reveal)
            .map(|channel| (channel.id(), channel.seat(), channel.placed().position.clone()))
            .collect();
        for (match_id, seat, position) in due {
            // Who comes back after a crash may want another move than before.
            let (name, seed) = (self.plan.game, self.plan.seed + 1_000 * self.players[n].boots);
            let bot = self.players[n]
                .bots
                .entry(match_id)
                .or_insert_with(|| bots::player(name, Strength::Easy, seat, seed).expect("a demo game"));
            let play = bot.choose(&position, seat)?;
            if let Err(error) = self.step(n, SessionInput::Play { match_id, play }) {
                self.log(format_args!("player {n} cannot move: {error}"));
            }
        }
        Ok(())
    }

    /// Follows its matches on the chain, and speaks for them.
    fn watch_chain(&mut self, n: usize) -> Result<(), Failure> {
        let now = self.now();
        let Some(session) = &self.players[n].session else { return Ok(()) };
        // Turns that the court has seen and the server has not passed on; outcomes that the chain has applied.
        let (mut inputs, mut told) = (Vec::new(), self.players[n].told.clone());
        for channel in session.channels() {
            let (id, view) = (channel.id(), self.chain.view());
            let news = view.disputes.get(&id).map(|dispute| *dispute.docket());
            if news.is_some() && told.insert(id, news) == Some(news) {
                continue;
            }
            if let Some(payouts) = view.concluded.get(&id).filter(|_| channel.delta().is_none()) {
                inputs.push(SessionInput::Outcome { match_id: id, payouts: payouts.clone() });
            } else if let Some(dispute) = view.disputes.get(&id)
                && matches!(channel.status(), Status::Open { .. } | Status::Opening)
                // A doubt shows nothing (R7.12).
                && dispute.docket().phase() != Phase::Doubted
            {
                inputs.push(SessionInput::Shown { match_id: id, shown: dispute.shown().to_vec() });
            }
        }
        self.players[n].told = told;
        for input in inputs {
            if let Err(error) = self.step(n, input) {
                self.log(format_args!("player {n} does not take what the chain shows: {error}"));
            }
        }
        let player = &mut self.players[n];
        let Some(session) = &player.session else { return Ok(()) };
        for channel in session.channels() {
            let turn = channel.have().unwrap_or(0);
            let since = player.since.entry(channel.id()).or_insert((turn, now));
            if since.0 != turn {
                *since = (turn, now);
            }
        }
        match self.players[n].conduct.is_honest() {
            true if self.broken == Broken::SilentClient => Ok(()),
            true => self.speak(n),
            false => self.scheme(n),
        }
    }

    /// What an honest client does about its matches by itself.
    fn speak(&mut self, n: usize) -> Result<(), Failure> {
        let now = self.now();
        let Some(session) = &self.players[n].session else { return Ok(()) };
        let mut pleas = Vec::new();
        for channel in session.channels() {
            let id = channel.id();
            let dispute = self.chain.view().disputes.get(&id);
            if self.chain.view().concluded.contains_key(&id) {
                continue;
            }
            let over = matches!(channel.status(), Status::Void | Status::Cancelled | Status::Ruled);
            let (_, since) = self.players[n].since[&id];
            let late = now > since + u64::from(channel.terms().clock) + GRACE;
            // A final that the operator has signed settles by statements; only what is disputed is concluded at once.
            let waits = match channel.status() {
                Status::Open { mover } => mover != channel.seat() && late,
                Status::Over | Status::Faulted(_) => late,
                _ => false,
            };
            if over || dispute.is_none() && !waits {
                continue;
            }
            let Some(transcript) = channel.transcript() else { continue };
            let case = Case::new(transcript, channel.rules())?;
            let moment = Moment { now, passed: now.saturating_sub(1) };
            let late = self.broken == Broken::LateClient;
            let patience = if late { BasisPoints::try_from(10_000)? } else { PATIENCE };
            let counsel = Counsel { seat: Some(channel.seat()), patience, ..case.counsel() };
            let plea = match dispute {
                Some(dispute) => counsel.plead(dispute, moment),
                None => counsel.challenge(moment),
            };
            pleas.extend(plea);
        }
        for plea in pleas {
            self.plead(n, plea)?;
        }
        Ok(())
    }

    /// Submits a plea, unless it waits for a block already or would come to nothing.
    pub(super) fn plead(&mut self, n: usize, plea: matchlock::dispute::Plea) -> Result<(), Failure> {
        let height = self.height;
        let again = self.players[n].pleaded.get(&plea.key).is_none_or(|sent| height >= sent + 3);
        if !again {
            return Ok(());
        }
        let value = if plea.motion.is_bonded() { U256::from(BOND) } else { U256::ZERO };
        let to_court = plea.motion != Motion::Conclude;
        let (from, to) = (self.players[n].wallet.address(), self.address(to_court));
        if !self.chain.would_pass(from, to, value, &plea.calldata) {
            return Ok(());
        }
        self.tally.count(&format!("client: {}", plea.key.split('-').next().unwrap_or_default()));
        self.players[n].pleaded.insert(plea.key, height);
        self.submit(n, to_court, value, plea.calldata, &plea.motion.to_string())
    }

    pub(super) fn address(&self, court: bool) -> Address {
        if court { self.chain.court } else { self.chain.domain.arena }
    }

    /// Sends a transaction from a player's wallet.
    pub(super) fn submit(
        &mut self,
        n: usize,
        court: bool,
        value: U256,
        calldata: Vec<u8>,
        what: &str,
    ) -> Result<(), Failure> {
        self.log(format_args!("player {n}: {what}"));
        let to = self.address(court);
        let wallet = self.players[n].wallet.clone();
        self.chain.send(&wallet, to, value, calldata)?;
        Ok(())
    }

    /// Takes all money home, with the operator or without it.
    fn go_home(&mut self, n: usize) -> Result<(), Failure> {
        let now = self.now();
        let account = self.players[n].account();
        let record = self.chain.account(account)?;
        let equity = record.funds + record.net;
        let Some(session) = &self.players[n].session else { return Ok(()) };
        let all_certain = session.channels().all(|channel| is_certain(channel) || self.is_void(channel));
        let set = session.receipt().map(|(statement, _)| statement.set).unwrap_or_default();
        let all_receipted = session.channels().all(|channel| set.contains(channel.index()));
        if equity <= 0 && record.locked == Amount::ZERO && (all_receipted || record.exit_at != 0 && all_certain) {
            let settled = set == record.set || record.set.exceeds(&set) || record.exit_at != 0;
            if settled {
                self.log(format_args!("player {n} is home"));
                self.players[n].home = true;
                return Ok(());
            }
        }
        let online = self.players[n].line.is_some_and(|line| self.is_logged_in(line));
        if online && all_receipted && !self.is_late() {
            let amount = session.view().available;
            if self.players[n].asked.is_none_or(|asked| now >= asked + 60) {
                self.players[n].asked = Some(now);
                let tag = self.tag(n);
                self.step(n, SessionInput::Account { tag })?;
                if amount > Amount::ZERO {
                    let tag = self.tag(n);
                    self.step(n, SessionInput::Withdraw { tag, amount })?;
                }
            }
            return Ok(());
        }
        if self.is_late() {
            self.leave_alone(n, record.exit_at, equity)?;
        }
        Ok(())
    }

    /// Whether a match is past its expiry, and neither in dispute nor concluded (R5.11).
    fn is_void(&self, channel: &Channel) -> bool {
        let (id, view) = (channel.id(), self.chain.view());
        self.now() > channel.terms().expiry && !view.disputes.contains_key(&id) && !view.concluded.contains_key(&id)
    }

    /// The way out without the operator (R3.7).
    fn leave_alone(&mut self, n: usize, exit_at: u64, equity: i128) -> Result<(), Failure> {
        let now = self.now();
        let Some(session) = &self.players[n].session else { return Ok(()) };
        let (receipt, pair) = (session.receipt(), self.players[n].pair());
        let set = receipt.map(|(statement, _)| statement.set).unwrap_or_default();
        let mut calls: Vec<(String, Vec<u8>)> = Vec::new();
        // Finals that no statement holds.
        for channel in session.channels() {
            let id = channel.id();
            if set.contains(channel.index()) || self.chain.view().concluded.contains_key(&id) {
                continue;
            }
            if let (Some(conclusion), Some(_)) = (channel.conclusion(), channel.transcript()) {
                let owners: Vec<Address> = channel.players().iter().map(|player| player.owner).collect();
                let call = Arena::concludeCall::of(channel.terms(), channel.state(), &owners, conclusion);
                calls.push((format!("conclude {id}"), call.abi_encode()));
            }
        }
        // What opponents owe.
        for pair in session.opponents() {
            let settled = self.chain.account(pair.player.account())?.set;
            if !pair.statement.set.exceeds(&settled) {
                continue;
            }
            let through = pair.statement.set.through;
            let entries = settle::signed_entry(pair);
            let call = Arena::settleSignedCall { entries: entries.into() };
            calls.push((format!("settle {} {through}", pair.player.account()), call.abi_encode()));
        }
        // What both signed, where the chain has applied outcomes that it absorbs: an exit does not take that.
        let record = self.chain.account(pair.account())?;
        if let Some((statement, receipt)) = receipt.filter(|_| record.claims != 0) {
            let mut claims = Vec::new();
            for channel in session.channels() {
                let (id, seat) = (channel.id(), channel.seat());
                if let Some(payouts) = self.chain.view().concluded.get(&id)
                    && self.chain.is_claim(id, seat)?
                {
                    let payouts = payouts.iter().map(|payout| (*payout).into()).collect();
                    claims.push((id, Arena::Claim { terms: channel.terms().into(), payouts, seat: seat.0 }));
                }
            }
            claims.sort_by_key(|(id, _)| *id);
            let digest = self.chain.domain.digest(statement.struct_hash(pair.owner));
            let signature = self.players[n].key.sign(digest)?;
            let own = wire::Pair { player: pair, statement, signature, receipt };
            let claims = claims.into_iter().map(|(_, claim)| claim).collect();
            calls.push(("claims".into(), Arena::settleClaimedCall::of(&own, claims).abi_encode()));
        }
        for channel in session.channels().filter(|channel| self.is_void(channel)) {
            // A stake that somebody locked, of a match that came to nothing.
            let call = Arena::releaseCall { terms: channel.terms().into(), seat: channel.seat().0 };
            calls.push((format!("release {}", channel.id()), call.abi_encode()));
        }
        if exit_at == 0 {
            let entry = receipt.map(|(statement, signature)| settle::exit_entry(&statement, &signature));
            let entry = entry.unwrap_or_default().into();
            let call = Arena::exitCall { owner: pair.owner, key: pair.key, entry, exitSig: Default::default() };
            calls.push(("exit".into(), call.abi_encode()));
        } else if now > exit_at && equity > 0 {
            let call = Arena::finishExitCall { owner: pair.owner, key: pair.key };
            calls.push(("finish".into(), call.abi_encode()));
        }
        for (what, calldata) in calls {
            let height = self.height;
            if self.players[n].pleaded.get(&what).is_some_and(|sent| height < sent + 3) {
                continue;
            }
            let from = self.players[n].wallet.address();
            if self.chain.would_pass(from, self.chain.domain.arena, U256::ZERO, &calldata) {
                self.players[n].pleaded.insert(what.clone(), height);
                self.submit(n, false, U256::ZERO, calldata, &what)?;
            }
        }
        Ok(())
    }
}
