//! What a server's frames lead to.

use alloc::{collections::BTreeSet, vec::Vec};

use alloy_primitives::{B256, keccak256};

use super::{
    LONGEST_MATCH, Record, Session, SessionError, SessionNotice, SessionStep, Signed, Waiting, Wanted,
    clock::Hearing,
    event::{Change, ChannelChange},
};
use crate::{
    abi::{MatchId, MatchTerms, Statement, Trial},
    account::{MAX_THROUGH, Player},
    channel::{self, Channel, Input, Proposal, Status},
    game::Amount,
    sign,
    wire::{About, AccountView, Due, Offer, Refusal, TableId, ToClient, ToServer, Turn},
};

impl Session {
    pub(super) fn frame(&self, frame: ToClient) -> Result<SessionStep, SessionError> {
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
                step.changes.push(Change::Connected);
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
                let Some(channel) = self.channels.get(&match_id) else {
                    step.notify(SessionNotice::Refused { about: About::Match(match_id), refusal: reason });
                    return Ok(step);
                };
                let opening = channel.status() == Status::Opening || channel.status() == Status::Cancelled;
                let input = if opening { Input::Cancelled } else { Input::Expired { now: self.now } };
                return self.channel_step(match_id, input);
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
            ToClient::Disputed { match_id, turn, mover, until } => {
                self.hear(match_id, Some(Hearing { turn, mover, until, phase: None }), &mut step);
            }
            ToClient::Ruled { match_id, payouts } => return self.ruled(match_id, payouts),
            // Of a match that is settled by now they are of no use any more.
            ToClient::Arrivals { match_id, arrivals, .. } if self.channels.contains_key(&match_id) => {
                return self.channel_step(match_id, Input::Arrivals(arrivals));
            }
            ToClient::Arrivals { .. } => {}
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
    pub(super) fn wait(
        &self,
        step: &mut SessionStep,
        tag: u32,
        table: Option<TableId>,
        wanted: Wanted,
    ) -> Result<Offer, SessionError> {
        let rules = self.rules.get(&wanted.rules).ok_or(SessionError::UnknownRules(wanted.rules))?;
        let (exposure, limit) = (self.exposure(), self.exposure_limit);
        if exposure >= limit {
            return Err(SessionError::Exposed { exposure, limit });
        }
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
            // Until then the stake may stay held; without a clock, the server's word is taken.
            (self.now == 0 || terms.expiry <= self.now + LONGEST_MATCH, "expiry"),
            (!self.signed.statement.set.contains(waiting.offer.index), "index"),
            (self.channels.values().all(|channel| channel.index() != waiting.offer.index), "index"),
        ];
        if let Some((_, field)) = wanted.iter().find(|(fine, _)| !fine) {
            return Err(SessionError::OtherTerms(field));
        }
        let rules = self.rules.get(&terms.rules).ok_or(SessionError::UnknownRules(terms.rules))?.clone();
        let (expected, found) = (Trial::of(&*rules, self.referee), terms.trial());
        if found != expected {
            return Err(SessionError::OtherReferee { expected, found });
        }
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
        step.remember_events(id, &channel_step, self.now);
        step.changes.push(Change::Gone(*tag));
        step.notify(SessionNotice::Matched { tag: *tag, match_id: id });
        step.channel = Some(ChannelChange::New(channel, channel_step));
        Ok(step)
    }

    /// The server says that the chain has decided a match. Believed without a look at the chain only where it is what the newest
    /// state says and another seat did not move on: nobody can do worse by it than by the state that it signed.
    fn ruled(&self, match_id: MatchId, payouts: Vec<Amount>) -> Result<SessionStep, SessionError> {
        let channel = self.channels.get(&match_id).ok_or(SessionError::UnknownMatch(match_id))?;
        let state = channel.state();
        let known = matches!(channel.status(), Status::Ruled | Status::Concluded);
        if !known && (state.payouts != payouts || state.mover() == Some(channel.seat())) {
            return Err(SessionError::Unproved(match_id));
        }
        self.channel_step(match_id, Input::Ruled { payouts })
    }

    pub(super) fn channel_step(&self, match_id: MatchId, input: Input) -> Result<SessionStep, SessionError> {
        let channel = self.channels.get(&match_id).ok_or(SessionError::UnknownMatch(match_id))?;
        let channel_step = channel.decide(input, &*self.signer)?;
        let mut step = SessionStep::default();
        step.remember_events(match_id, &channel_step, self.now);
        step.channel = Some(ChannelChange::Step(match_id, channel_step));
        Ok(step)
    }

    /// Several turns at once, after a gap.
    fn turns(&self, match_id: MatchId, turns: Vec<Turn>) -> Result<SessionStep, SessionError> {
        let channel = self.channels.get(&match_id).ok_or(SessionError::UnknownMatch(match_id))?;
        let (mut ahead, mut step, mut effects) = (channel.clone(), SessionStep::default(), Vec::new());
        for turn in turns {
            let channel_step = ahead.decide(Input::Turn(turn), &*self.signer)?;
            step.remember_events(match_id, &channel_step, self.now);
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
}
