//! From the store to memory, after a restart: whatever was promised is known again before anyone connects.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use matchlock::{account::AccountId, wire::TableId};

use crate::{
    account::{Account, Hold, Reservation},
    chain::{At, Chain},
    follow::read_accounts,
    hub::Hub,
    matches::{Match, Open, Phase, decode_turn},
    operator::largest_gain,
    server::StartError,
    store::{AccountRow, Ending, MatchRow, StoreError},
    sync::lock,
};

impl Hub {
    /// Takes up what an earlier run left: from the store, and what the chain says of it.
    pub(crate) async fn take_up(self: &Arc<Self>, chain: &Chain) -> Result<(), StartError> {
        self.restore_notice()?;
        let loaded = self.restore()?;
        let tip = chain.tip(At::Confirmed).await?;
        self.height.store(tip.height, Ordering::Relaxed);
        self.chain_time.store(tip.time, Ordering::Relaxed);
        read_accounts(self, chain, &loaded).await?;
        Ok(self.restore_settler()?)
    }

    /// Loads every account that something hangs on, and every match that has not ended.
    pub(crate) fn restore(self: &Arc<Self>) -> Result<Vec<AccountId>, StoreError> {
        let mut loaded = BTreeSet::new();
        for row in self.store.accounts()?.into_iter().filter(matters) {
            let account = Arc::new(Account::new(row));
            self.restore_results(&account)?;
            self.accounts.insert(account.id, account.clone());
            loaded.insert(account.id);
        }
        for (seq, row) in self.store.live_matches()? {
            for player in &row.players {
                let known = self.store.account(player.account())?;
                let row = known.unwrap_or_else(|| AccountRow::new(*player));
                self.accounts.find_or_insert(player.account(), || Arc::new(Account::new(row)));
                loaded.insert(player.account());
            }
            self.restore_match(seq, row)?;
        }
        // Tables are forgotten, and so are their numbers: go on where no earlier run can have come to.
        lock(&self.lobby).start_at(self.now().saturating_sub(TABLES_SINCE));
        Ok(loaded.into_iter().collect())
    }

    /// Holds the stakes of results that no co-signed statement has.
    fn restore_results(&self, account: &Account) -> Result<(), StoreError> {
        let mut book = lock(&account.book);
        let due = book.row.due.iter().flat_map(|due| &due.results);
        let results: Vec<_> = due.chain(&book.row.waiting).copied().collect();
        for result in results {
            let (_, row) = self.store.match_by_id(result.match_id)?.ok_or(StoreError::Damaged)?;
            let seat = row.terms.seat_of(account.id).ok_or(StoreError::Damaged)?;
            let free = matches!(row.ending, Some(Ending::Cancelled(_))) && row.guarantee.is_empty();
            let stake = if free { Default::default() } else { row.terms.stakes[seat.index()] };
            book.reserved.push(Reservation { index: result.index, stake, hold: Hold::Result(result.match_id) });
        }
        Ok(())
    }

    fn restore_match(&self, seq: u64, row: MatchRow) -> Result<(), StoreError> {
        let accounts: Option<Vec<_>> = row.terms.seats.iter().map(|seat| self.accounts.find(seat)).collect();
        let accounts = accounts.ok_or(StoreError::Damaged)?;
        for (i, account) in accounts.iter().enumerate() {
            let (index, stake) = (row.terms.indexes[i], row.terms.stakes[i]);
            lock(&account.book).reserved.push(Reservation { index, stake, hold: Hold::Match(row.id) });
        }
        self.operator.promised(largest_gain(&row.terms));
        let seats = accounts.len();
        let phase = if row.guarantee.is_empty() {
            Phase::Proposed { start: Box::new(row.start), signatures: vec![None; seats] }
        } else if row.opened.is_empty() {
            Phase::Guaranteed { start: Box::new(row.start), guarantee: row.guarantee, starts: vec![None; seats] }
        } else {
            Phase::Open(self.restore_open(seq, &row)?)
        };
        if matches!(phase, Phase::Open(_)) {
            lock(&self.expiries).insert((row.terms.expiry, row.id));
        } else {
            lock(&self.deadlines).insert((row.terms.open_by, row.id));
        }
        let table: TableId = row.table;
        self.matches.insert(row.id, Arc::new(Match::new(seq, row.id, table, row.terms, accounts, phase)));
        Ok(())
    }

    fn restore_open(&self, seq: u64, row: &MatchRow) -> Result<Open, StoreError> {
        let Some(last) = self.store.last_turn(seq)? else { return Ok(Open::at(row.id, row.start.clone(), self.now())) };
        let last = decode_turn(&last).ok_or(StoreError::Damaged)?;
        let mut open = Open::at(row.id, last.state.clone(), self.now());
        if last.state.is_final() {
            // The author's signature on the final; the others acknowledge it again.
            let author = match last.state.turn - 1 {
                0 => row.start.mover(),
                before => {
                    let turns = self.store.turns(seq, before, 1)?;
                    turns.first().and_then(|bytes| decode_turn(bytes)).and_then(|turn| turn.state.mover())
                }
            };
            open.finals = vec![None; row.terms.seats.len()];
            open.finals[author.ok_or(StoreError::Damaged)?.index()] = Some(last.signature);
        }
        Ok(open)
    }
}

/// 1 January 2025, in Unix seconds: keeps the numbers that players type short.
const TABLES_SINCE: u64 = 1_735_689_600;

/// Whether anything hangs on this account that the chain does not know yet.
fn matters(row: &AccountRow) -> bool {
    let settled = row.settled.map(|(statement, _)| statement.set).unwrap_or_default();
    row.due.is_some()
        || !row.waiting.is_empty()
        || !row.unsettled.is_empty()
        || !row.claims.is_empty()
        || row.withdrawal.is_some()
        || row.newest.as_ref().is_some_and(|pair| pair.statement.set.exceeds(&settled))
}
