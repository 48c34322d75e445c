//! From a full table to an open match (R5.2): terms, everyone's signature, the guarantee, State 0.

use std::sync::{Arc, atomic::Ordering};

use matchlock::{
    abi::{MatchId, MatchTerms, State, Trial},
    rules::RulesError,
    sign::{Signature, SignerError},
    wire::{Refusal, TableId, ToClient},
};

use crate::{
    account::{Account, lock_books},
    hub::Hub,
    lobby::Table,
    matches::{Match, Open, Phase, complete},
    operator::largest_gain,
    peer::Peer,
    store::{Change, Ending, MatchRow},
    sync::lock,
};

impl Hub {
    /// Composes the terms of a full table and proposes them once they are durable: an index is never forgotten (R5.4).
    ///
    /// The caller holds the lobby's lock and nobody's book.
    pub(crate) fn propose(self: &Arc<Self>, table_id: TableId, table: &Table) -> Result<(), Refusal> {
        let rules = self.games.get(&table.spec.rules).ok_or(Refusal::UnknownRules)?;
        let stakes = vec![table.spec.stake; table.seated.len()];
        let seeds: Vec<_> = table.seated.iter().map(|seated| seated.offer.anchor).collect();
        let start = State::start(&rules.start(&stakes, &seeds).map_err(unplayable)?);
        let now = self.now();
        let Trial { referee, budget } = Trial::of(&**rules, self.referee);
        let terms = MatchTerms {
            seats: table.seated.iter().map(|seated| seated.account.id).collect(),
            indexes: table.seated.iter().map(|seated| seated.offer.index).collect(),
            stakes,
            rules: table.spec.rules,
            budget,
            referee,
            clock: table.spec.clock,
            max_turns: rules.max_turns(),
            chain_time: self.settings.chain_time,
            open_by: now + u64::from(self.settings.open_for),
            expiry: self.chain_now() + self.settings.expire_after,
            seeds,
            start: start.start_commitment(),
            salt: self.machine.random(),
        };
        let id = terms.id(self.operator.domain());
        self.operator.promise(largest_gain(&terms))?;

        let accounts: Vec<Arc<Account>> = table.seated.iter().map(|seated| seated.account.clone()).collect();
        let seq = self.next_match.fetch_add(1, Ordering::Relaxed);
        let phase = Phase::Drafted(Box::new(start.clone()));
        let drafted = Arc::new(Match::new(seq, id, table_id, terms, accounts, phase));
        let row = drafted.row(start, Vec::new(), Vec::new());
        self.matches.insert(id, drafted.clone());

        let mut books = lock_books(&drafted.accounts);
        let mut changes = vec![Change::new_match(seq, &row)];
        for book in &mut books {
            book.promote(table_id, id);
            changes.push(Change::account(&book.row));
        }
        let (hub, proposed) = (self.clone(), drafted.clone());
        self.store.write(changes, move || hub.proposed(&proposed));
        Ok(())
    }

    fn proposed(&self, drafted: &Match) {
        let mut live = drafted.lock();
        let Phase::Drafted(start) = std::mem::replace(&mut live.phase, Phase::Over) else { return };
        live.phase = Phase::Proposed { start, signatures: vec![None; drafted.accounts.len()] };
        live.peers = drafted.accounts.iter().map(|account| account.peer()).collect();
        live.tell(&proposal(drafted));
        lock(&self.deadlines).insert((drafted.terms.open_by, drafted.id));
    }

    /// A seat signs the terms.
    pub(crate) fn sign(self: &Arc<Self>, peer: &Peer, match_id: MatchId, signature: Signature) -> Result<(), Refusal> {
        self.accepting()?;
        let (found, seat) = self.seat(match_id, peer.account())?;
        self.operator.verify(match_id.0, &signature, found.accounts[seat.index()].player.key)?;
        let mut live = found.lock();
        let busy = live.busy;
        let Phase::Proposed { start, signatures } = &mut live.phase else {
            // A repeat: what it led to was sent since, or is when the client logs in.
            return if matches!(live.phase, Phase::Over) { Err(Refusal::NotOpen) } else { Ok(()) };
        };
        signatures[seat.index()] = Some(signature);
        let Some(mut guarantee) = complete(signatures).filter(|_| !busy) else { return Ok(()) };
        if found.accounts.iter().any(|account| lock(&account.book).is_leaving()) {
            drop(live);
            self.cancel(&found, Refusal::Exiting);
            return Ok(());
        }
        let start = start.clone();
        // The operator signs last: it never stands for a match that not everyone wants.
        guarantee.push(self.operator.sign(match_id.0).map_err(signer)?);
        live.busy = true;
        drop(live);
        let row = found.row((*start).clone(), guarantee.clone(), Vec::new());
        let changes = vec![Change::matched(found.seq, &row)];
        self.store.write(changes, move || {
            let mut live = found.lock();
            live.tell(&guarantee_frame(match_id, &guarantee));
            live.phase = Phase::Guaranteed { start, guarantee, starts: vec![None; found.accounts.len()] };
            live.busy = false;
        });
        Ok(())
    }

    /// A seat signs State 0.
    pub(crate) fn start(self: &Arc<Self>, peer: &Peer, match_id: MatchId, signature: Signature) -> Result<(), Refusal> {
        self.accepting()?;
        let (found, seat) = self.seat(match_id, peer.account())?;
        let digest = match &found.lock().phase {
            Phase::Guaranteed { start, .. } => self.operator.digest(start.hash(match_id).0),
            Phase::Open(_) => return Ok(()),
            _ => return Err(Refusal::NotOpen),
        };
        self.operator.verify(digest, &signature, found.accounts[seat.index()].player.key)?;
        let mut live = found.lock();
        let busy = live.busy;
        let Phase::Guaranteed { start, guarantee, starts } = &mut live.phase else { return Ok(()) };
        starts[seat.index()] = Some(signature);
        let Some(opened) = complete(starts).filter(|_| !busy) else { return Ok(()) };
        let start = (**start).clone();
        let opened_at = self.now();
        let row = MatchRow { opened_at, ..found.row(start.clone(), guarantee.clone(), opened.clone()) };
        live.busy = true;
        drop(live);
        let (hub, changes) = (self.clone(), vec![Change::matched(found.seq, &row)]);
        self.store.write(changes, move || {
            lock(&hub.deadlines).remove(&(found.terms.open_by, match_id));
            lock(&hub.expiries).insert((found.terms.expiry, match_id));
            let mut live = found.lock();
            live.tell(&ToClient::Opened { match_id, signatures: opened });
            live.phase = Phase::Open(Open::at(match_id, start, hub.now()));
            live.busy = false;
        });
        Ok(())
    }

    /// Gives up the proposals that were not signed in time (R5.3).
    pub(crate) fn lapse(self: &Arc<Self>) {
        let now = self.now();
        let lapsed: Vec<_> = lock(&self.deadlines).iter().take_while(|(by, _)| *by < now).copied().collect();
        for (by, match_id) in lapsed {
            // One that is just being written is looked at again.
            let done = self.matches.find(&match_id).is_none_or(|found| self.cancel(&found, Refusal::TimedOut));
            if done {
                lock(&self.deadlines).remove(&(by, match_id));
            }
        }
    }

    /// Gives up a match that is not open; `false` if it cannot be told yet whether it will be.
    ///
    /// The index of every seat is given up, signed or not: a signature may be on its way, and an index that one side
    /// takes for used and the other for free would block the account's window for ever (R5.5).
    pub(crate) fn cancel(self: &Arc<Self>, found: &Arc<Match>, reason: Refusal) -> bool {
        let mut live = found.lock();
        if live.busy {
            return false;
        }
        let (start, guarantee) = match &live.phase {
            Phase::Drafted(_) => return false,
            Phase::Proposed { start, .. } => (start.clone(), Vec::new()),
            Phase::Guaranteed { start, guarantee, .. } => (start.clone(), guarantee.clone()),
            Phase::Open(_) | Phase::Over => return true,
        };
        // Before the operator signed, nothing can come of the match and the stakes are free at once. After it, seats that
        // collude might still show State 0 on the chain: the stakes stay held until the statements say "given up".
        let free = guarantee.is_empty();
        let row = found.row(*start, guarantee, Vec::new());
        live.busy = true;
        drop(live);
        self.give_up(found, row, free, reason);
        true
    }

    /// Declares the matches void that passed their expiry on the chain without a result (R5.11).
    pub(crate) fn expire(self: &Arc<Self>) {
        let passed = self.moment().passed;
        let expired: Vec<_> = lock(&self.expiries).iter().take_while(|(at, _)| *at < passed).copied().collect();
        for (at, match_id) in expired {
            let done = self.matches.find(&match_id).is_none_or(|found| self.void(&found));
            if done {
                lock(&self.expiries).remove(&(at, match_id));
            }
        }
    }

    /// Declares an open match void; `false` if its result is just being written, or it cannot be told.
    fn void(self: &Arc<Self>, found: &Arc<Match>) -> bool {
        let mut live = found.lock();
        if live.busy || self.is_disputed(&found.id) {
            return false;
        }
        match &live.phase {
            Phase::Open(open) if open.finals.is_empty() || complete(&open.finals).is_none() => {}
            // Everybody signed this result, and the disk refused it before.
            Phase::Open(_) => return self.conclude(found, live).is_ok(),
            _ => return true,
        }
        let row = match self.store.match_by_id(found.id) {
            Ok(Some((_, row))) => row,
            // Looked at again: a store that cannot be read writes nothing either.
            Ok(None) | Err(_) => return false,
        };
        live.busy = true;
        drop(live);
        self.give_up(found, row, false, Refusal::Expired);
        true
    }

    /// Ends a match without a result: every seat's index counts as settled with delta zero (R5.4).
    ///
    /// The caller has marked the match as busy. `free`: nothing can come of it, and the stakes need not be held.
    fn give_up(self: &Arc<Self>, found: &Arc<Match>, mut row: MatchRow, free: bool, reason: Refusal) {
        row.ending = Some(Ending::Cancelled(reason.clone()));
        self.end(found, &row, |_| 0, free, None, ToClient::Cancelled { match_id: found.id, reason });
    }
}

/// The proposal's frame.
pub(crate) fn proposal(found: &Match) -> ToClient {
    let players = found.accounts.iter().map(|account| account.player).collect();
    ToClient::Proposal { table: found.table, terms: found.terms.clone(), players }
}

/// The guarantee's frame, from all seats' signatures with the operator's behind them.
pub(crate) fn guarantee_frame(match_id: MatchId, guarantee: &[Signature]) -> ToClient {
    let (operator, seats) = guarantee.split_last().expect("the operator has signed");
    ToClient::Guarantee { match_id, signatures: seats.to_vec(), operator: *operator }
}

/// The operator's key does not sign: nothing has changed, and the player cannot help it.
pub(crate) fn signer(error: SignerError) -> Refusal {
    tracing::error!(%error, "the operator's key does not sign");
    Refusal::Storage
}

fn unplayable(error: RulesError) -> Refusal {
    tracing::error!(%error, "rules refuse a table that fits their own limits");
    Refusal::UnknownRules
}
