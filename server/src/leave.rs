//! An account leaves (R3.7): it pays first for what it lost, and leaves behind what it may still lose.
//!
//! Nothing of this is stored. It follows from the account and its matches, so it is found again after a crash; what was
//! submitted before is refused by the sender, which knows the key, or by the chain, which has it already.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::Address;
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, MatchId, Statement},
    account::AccountId,
    game::Amount,
    wire::{Refusal, TableId, ToClient},
};

use crate::{
    account::{Account, Hold},
    hub::Hub,
    matches::{Phase, decode_turn},
    store::{Ending, MatchRow, StoreError},
    sync::lock,
};

/// Accounts whose exit is open on the chain.
#[derive(Default)]
pub(crate) struct Leavers(BTreeMap<AccountId, Leaver>);

/// What was done about one of them.
#[derive(Clone, Default)]
struct Leaver {
    locked: BTreeSet<MatchId>,
    concluded: BTreeSet<MatchId>,
    demanded: Option<Statement>,
}

/// What hangs on an account that leaves.
struct Hanging {
    exit_at: u64,
    tables: Vec<TableId>,
    open: Vec<MatchId>,
    /// Results that a batch does not bring to the chain: it has had the time to sign for them and did not, or its signed
    /// statement frees a locked stake, which the contract takes from a conclusion only.
    results: Vec<MatchId>,
    to_settle: Option<Statement>,
}

impl Leavers {
    /// The chain says that this account's exit is open.
    pub(crate) fn add(&mut self, id: AccountId) {
        self.0.entry(id).or_default();
    }
}

impl Hub {
    /// Does what is due about accounts that leave. Called now and then.
    pub(crate) fn answer_exits(self: &Arc<Self>) {
        let leaving: Vec<AccountId> = lock(&self.leavers).0.keys().copied().collect();
        for id in leaving {
            let Some(mut leaver) = lock(&self.leavers).0.get(&id).cloned() else { continue };
            let hanging = self.accounts.find(&id).and_then(|account| Some((self.hanging(&account)?, account)));
            let Some((hanging, account)) = hanging else {
                // Gone from memory, and back with the next thing that the chain says of it.
                lock(&self.leavers).0.remove(&id);
                continue;
            };
            if let Err(error) = self.answer_exit(&account, &hanging, &mut leaver) {
                tracing::error!(%error, account = %id, "an exit cannot be answered; trying again");
            }
            lock(&self.leavers).0.insert(id, leaver);
        }
    }

    fn hanging(&self, account: &Account) -> Option<Hanging> {
        let now = self.now();
        let book = lock(&account.book);
        let exit_at = book.chain.as_ref().map(|chain| chain.exit_at).filter(|at| *at != 0)?;
        let (mut tables, mut open) = (Vec::new(), Vec::new());
        for reservation in &book.reserved {
            match reservation.hold {
                Hold::Table(table) => tables.push(table),
                Hold::Match(match_id) => open.push(match_id),
                Hold::Result(_) => {}
            }
        }
        let overdue = book.row.due.as_ref().filter(|due| now >= due.since + self.settings.statement_grace);
        let unsigned = overdue.into_iter().flat_map(|due| due.results.iter().chain(&book.row.waiting));
        let mut results: Vec<MatchId> = unsigned.map(|due| due.match_id).collect();
        if book.chain.as_ref().is_some_and(|chain| chain.locked != Amount::ZERO) {
            results.extend(book.row.unsettled.iter().map(|(match_id, _)| *match_id));
        }
        results.retain(|match_id| book.row.claims.iter().all(|claim| claim.match_id != *match_id));
        Some(Hanging { exit_at, tables, open, results, to_settle: book.to_settle().map(|pair| pair.statement) })
    }

    fn answer_exit(
        self: &Arc<Self>,
        account: &Arc<Account>,
        hanging: &Hanging,
        leaver: &mut Leaver,
    ) -> Result<(), StoreError> {
        for table in &hanging.tables {
            if let Some(tag) = self.stand_up(account, *table) {
                account.send(&ToClient::Left { tag, table: *table });
            }
        }
        if hanging.to_settle.is_some() && leaver.demanded != hanging.to_settle {
            leaver.demanded = hanging.to_settle;
            lock(&self.settler).demand();
        }
        for match_id in &hanging.results {
            if leaver.concluded.contains(match_id) {
                continue;
            }
            if let Some(calldata) = self.conclude_call(*match_id, Some(account.id))? {
                tracing::info!(account = %account.id, %match_id, "a leaver's result is concluded on the chain");
                self.submit(format!("conclude-{match_id}"), calldata);
            }
            leaver.concluded.insert(*match_id);
        }
        for match_id in &hanging.open {
            if leaver.locked.contains(match_id) {
                continue;
            }
            let Some(found) = self.matches.find(match_id) else { continue };
            // One that is not open yet never will be.
            if !self.cancel(&found, Refusal::Exiting) || !matches!(found.lock().phase, Phase::Open(_)) {
                continue;
            }
            let (Some((_, row)), Some(seat)) = (self.store.match_by_id(*match_id)?, found.seat_of(account.id)) else {
                return Err(StoreError::Damaged);
            };
            leaver.locked.insert(*match_id);
            // Afterwards the chain takes no lock, and has paid.
            if hanging.exit_at > self.moment().passed {
                tracing::info!(account = %account.id, %match_id, "a leaver's stake is locked on the chain");
                let call = Arena::lockCall::of(&row.terms, seat, &owners(&row), &row.guarantee);
                let key = format!("lock-{match_id}-{}", seat.0);
                self.submit(key, call.abi_encode());
            }
        }
        Ok(())
    }

    /// The call that applies a final that all seats and the operator signed; with a `loser`, only where that one lost by it.
    pub(crate) fn conclude_call(
        &self,
        match_id: MatchId,
        loser: Option<AccountId>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (seq, row) = self.store.match_by_id(match_id)?.ok_or(StoreError::Damaged)?;
        let Some(Ending::Final { signatures, operator, .. }) = &row.ending else { return Ok(None) };
        let last = self.store.last_turn(seq)?.and_then(|bytes| decode_turn(&bytes)).ok_or(StoreError::Damaged)?;
        let seat = loser.and_then(|loser| row.terms.seat_of(loser));
        if seat.is_some_and(|seat| row.terms.delta(seat, &last.state.payouts) >= 0) {
            // To bring it is the winner's business, and worth its gas.
            return Ok(None);
        }
        let mut all = signatures.clone();
        all.push(*operator);
        let call = Arena::concludeCall::of(&row.terms, &last.state, &owners(&row), &all);
        Ok(Some(call.abi_encode()))
    }
}

fn owners(row: &MatchRow) -> Vec<Address> {
    row.players.iter().map(|player| player.owner).collect()
}
