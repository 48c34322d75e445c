//! An account as the operator keeps it: what it may stake, which indexes it used, which statement is due.
//!
//! Everything here is bookkeeping on one locked [`Book`]; sending and storing is done by the callers.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard};

use matchlock::{
    abi::{MatchId, Statement},
    account::{AccountId, Player, WINDOW},
    game::Amount,
    wire::{AccountView, Due, Offer, Pair, Refusal, TableId},
};

use crate::{
    ledger::ChainAccount,
    peer::Peer,
    store::{AccountRow, HeldWithdrawal, StatementDue},
    sync::lock,
};

/// Tables and matches that one account may have at once. Well below the window (R5.5): the rest of it is for matches
/// that ended and whose statement is not signed yet.
pub(crate) const MAX_OPEN: usize = 16;

/// One account.
#[derive(Debug)]
pub(crate) struct Account {
    /// Its id.
    pub(crate) id: AccountId,
    /// Owner and key.
    pub(crate) player: Player,
    /// Its connection.
    pub(crate) peer: Mutex<Option<Peer>>,
    /// What the operator knows of it.
    pub(crate) book: Mutex<Book>,
    /// Seats that were freed while nobody was connected, to be told at the next login: request and table.
    pub(crate) left: Mutex<Vec<(u32, TableId)>>,
}

impl Account {
    pub(crate) fn new(row: AccountRow) -> Account {
        let player = row.player;
        Account {
            id: player.account(),
            player,
            peer: Mutex::default(),
            book: Mutex::new(Book::new(row)),
            left: Mutex::default(),
        }
    }

    /// Its connection, if it has one.
    pub(crate) fn peer(&self) -> Option<Peer> {
        lock(&self.peer).clone()
    }

    /// Sends a frame if the account is connected; it is told at its next login otherwise.
    pub(crate) fn send(&self, frame: &matchlock::wire::ToClient) {
        if let Some(peer) = self.peer() {
            peer.send(frame);
        }
    }
}

/// Locks the books of several accounts, always in the order of their ids, and hands them out in the order given.
pub(crate) fn lock_books(accounts: &[Arc<Account>]) -> Vec<MutexGuard<'_, Book>> {
    let mut order: Vec<usize> = (0..accounts.len()).collect();
    order.sort_by_key(|i| accounts[*i].id);
    let mut books: Vec<Option<MutexGuard<'_, Book>>> = accounts.iter().map(|_| None).collect();
    for i in order {
        books[i] = Some(lock(&accounts[i].book));
    }
    books.into_iter().flatten().collect()
}

/// What holds a stake back, or at least an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// A seat at a table that is not full.
    Table(TableId),
    /// A match from its proposal to its final.
    Match(MatchId),
    /// A match with a result that no co-signed statement holds: the stake stays held until one does, whatever the
    /// result, so that nobody stakes what it has lost.
    Result(MatchId),
}

/// An index in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    /// The match's number on the account.
    pub(crate) index: u32,
    /// What it may cost.
    pub(crate) stake: Amount,
    /// Why.
    pub(crate) hold: Hold,
}

/// What the operator knows of an account.
#[derive(Debug)]
pub(crate) struct Book {
    /// What is stored.
    pub(crate) row: AccountRow,
    /// What the chain said last, at depth; `None` until it has said something.
    pub(crate) chain: Option<ChainAccount>,
    /// Indexes in use, and the stakes behind them.
    pub(crate) reserved: Vec<Reservation>,
    /// A withdrawal that waits for a batch: its tag and amount.
    pub(crate) wanted: Option<(u32, Amount)>,
    /// What this account has won beyond what is settled, as counted in the pool's book (R6.6).
    pub(crate) gain: u128,
    /// The newest statement whose pair is durable: before that its receipt is shown to nobody.
    pub(crate) receipted: Option<Statement>,
}

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Here, in Unix seconds.
    pub(crate) now: u64,
    /// What has surely passed on the chain too: a deadline before it counts no more.
    pub(crate) passed: u64,
}

impl Book {
    fn new(row: AccountRow) -> Book {
        let receipted = row.newest.as_ref().map(|pair| pair.statement);
        Book { row, chain: None, reserved: Vec::new(), wanted: None, gain: 0, receipted }
    }

    /// The newest statement that both signed, or that the chain has.
    pub(crate) fn newest(&self) -> Statement {
        let settled = self.settled();
        match &self.row.newest {
            Some(pair) if pair.statement.set.exceeds(&settled.set) => pair.statement,
            _ => settled,
        }
    }

    /// The statement on the chain.
    pub(crate) fn settled(&self) -> Statement {
        self.chain.as_ref().map(|chain| Statement { net: chain.net, set: chain.set }).unwrap_or_default()
    }

    /// The pair that a batch has to settle, if the chain does not have it.
    pub(crate) fn to_settle(&self) -> Option<&Pair> {
        self.row.newest.as_ref().filter(|pair| pair.statement.set.exceeds(&self.settled().set))
    }

    /// The newest pair, if it is durable.
    pub(crate) fn durable_pair(&self) -> Option<&Pair> {
        self.row.newest.as_ref().filter(|pair| self.receipted == Some(pair.statement))
    }

    /// Equity on the chain and in co-signed statements (R5.1).
    pub(crate) fn equity(&self) -> i128 {
        self.chain.as_ref().map_or(0, |chain| chain.funds + self.newest().net)
    }

    /// What may be staked or withdrawn (R5.1).
    pub(crate) fn available(&self, at: Moment) -> Amount {
        let Some(chain) = &self.chain else { return Amount::ZERO };
        // A live claim is in the funds and, where a statement holds it, in its net as well: nothing is lent on such an
        // account until `settleClaimed` has sorted it out (R6.10).
        if chain.exit_at != 0 || chain.claims != 0 {
            return Amount::ZERO;
        }
        let stakes: i128 = self.reserved.iter().map(|reservation| reservation.stake.signed()).sum();
        let held = self.held(at).map_or(0, |held| held.amount.signed());
        let wanted = self.wanted.map_or(0, |(_, amount)| amount.signed());
        let free = self.equity() - stakes - held - wanted;
        u128::try_from(free).ok().and_then(|units| Amount::new(units).ok()).unwrap_or(Amount::ZERO)
    }

    /// Whether its exit is open on the chain, at depth.
    pub(crate) fn is_leaving(&self) -> bool {
        self.chain.as_ref().is_some_and(|chain| chain.exit_at != 0)
    }

    /// A withdrawal that may still be used: signed, in time, not on the chain at depth, and the statement that it names
    /// has not been replaced there.
    pub(crate) fn held(&self, at: Moment) -> Option<&HeldWithdrawal> {
        let withdrawn = self.chain.as_ref().map_or(Amount::ZERO, |chain| chain.withdrawn);
        let held = self.row.withdrawal.as_ref()?;
        let fits = held.withdrawal.receipt == self.settled().receipt_hash(held.withdrawal.account);
        (held.withdrawal.deadline >= at.passed && held.withdrawal.total > withdrawn && fits).then_some(held)
    }

    /// Takes an index and holds a stake for a seat at a table.
    ///
    /// # Errors
    /// Why the account cannot play this; nothing has changed.
    pub(crate) fn reserve(
        &mut self,
        offer: &Offer,
        stake: Amount,
        table: TableId,
        at: Moment,
        grace: u64,
    ) -> Result<(), Refusal> {
        let chain = self.chain.as_ref().ok_or(Refusal::Chain)?;
        if chain.exit_at != 0 {
            return Err(Refusal::Exiting);
        }
        if self.row.due.as_ref().is_some_and(|due| at.now >= due.since + grace) {
            return Err(Refusal::StatementDue);
        }
        let open = self.reserved.iter().filter(|reservation| !matches!(reservation.hold, Hold::Result(_))).count();
        if open >= MAX_OPEN {
            return Err(Refusal::TooManyOpen { limit: MAX_OPEN as u32 });
        }
        if self.uses(offer.index) {
            return Err(Refusal::IndexUsed { index: offer.index, next: self.next_index() });
        }
        let oldest = self.newest().set.oldest_open();
        if offer.index.saturating_sub(oldest) >= WINDOW {
            return Err(Refusal::IndexTooFar { index: offer.index, open: oldest });
        }
        let available = self.available(at);
        if stake > available {
            return Err(Refusal::StakeTooHigh { stake, available });
        }
        self.reserved.push(Reservation { index: offer.index, stake, hold: Hold::Table(table) });
        Ok(())
    }

    /// Frees what a seat at a table held; its index was not used.
    pub(crate) fn release_table(&mut self, table: TableId) {
        self.reserved.retain(|reservation| reservation.hold != Hold::Table(table));
    }

    /// The table is full: its seat is a match now.
    pub(crate) fn promote(&mut self, table: TableId, match_id: MatchId) {
        for reservation in self.reserved.iter_mut().filter(|reservation| reservation.hold == Hold::Table(table)) {
            reservation.hold = Hold::Match(match_id);
            self.row.next_index = self.row.next_index.max(reservation.index + 1);
        }
    }

    /// A match has a result, or was given up (R5.4): asks for a statement, if none is asked for already.
    pub(crate) fn finish(&mut self, result: Due, given_up: bool, now: u64) -> Option<&StatementDue> {
        for reservation in &mut self.reserved {
            if reservation.hold == Hold::Match(result.match_id) {
                reservation.hold = Hold::Result(result.match_id);
                if given_up {
                    reservation.stake = Amount::ZERO;
                }
            }
        }
        self.row.waiting.push(result);
        self.ask(now)
    }

    /// Asks for the next statement, if results wait and none is asked for: it holds all of them.
    pub(crate) fn ask(&mut self, now: u64) -> Option<&StatementDue> {
        if self.row.due.is_some() || self.row.waiting.is_empty() {
            return None;
        }
        let mut statement = self.newest();
        let (mut results, mut later) = (Vec::new(), Vec::new());
        self.row.waiting.sort_by_key(|due| due.index);
        for due in self.row.waiting.drain(..) {
            // What the chain has settled behind the server's back is not asked for again; what would push an open match
            // out of the window waits for that one (R6.4).
            match statement.set.with(due.index) {
                Ok(set) => {
                    statement = Statement { net: statement.net + due.delta, set };
                    results.push(due);
                }
                Err(matchlock::account::SetError::Settled { .. }) => {}
                Err(_) => later.push(due),
            }
        }
        self.row.waiting = later;
        self.row.due = (!results.is_empty()).then_some(StatementDue { statement, results, since: now });
        self.row.due.as_ref()
    }

    /// Both have signed: the statement is the newest, and what it holds is free again.
    pub(crate) fn cosign(&mut self, pair: Pair) -> Option<StatementDue> {
        let due = self.row.due.take()?;
        for result in &due.results {
            self.reserved.retain(|reservation| reservation.hold != Hold::Result(result.match_id));
            self.row.unsettled.push((result.match_id, result.index));
        }
        self.row.newest = Some(pair);
        Some(due)
    }

    /// What the chain says now. Returns the statement that is newly settled, if one is.
    pub(crate) fn observe(&mut self, chain: ChainAccount, batch: u32) -> Option<Statement> {
        self.chain = Some(chain);
        let settled = self.settled();
        self.row.unsettled.retain(|(_, index)| !settled.set.contains(*index));
        self.row.claims.retain(|claim| !settled.set.contains(claim.index));
        let before = self.row.settled.map(|(statement, _)| statement).unwrap_or_default();
        if !settled.set.exceeds(&before.set) {
            return None;
        }
        self.row.settled = Some((settled, batch));
        Some(settled)
    }

    /// What the account may have won beyond what is settled on the chain: what the pool must be able to pay (R6.6).
    pub(crate) fn unsettled_gain(&self) -> u128 {
        let due: i128 = self.row.due.iter().flat_map(|due| &due.results).map(|due| due.delta).sum();
        let waiting: i128 = self.row.waiting.iter().map(|due| due.delta).sum();
        u128::try_from(self.newest().net + due + waiting - self.settled().net).unwrap_or(0)
    }

    /// Whether nothing hangs on this account that the store alone would not bring back at its next login.
    pub(crate) fn is_idle(&self, at: Moment) -> bool {
        self.reserved.is_empty()
            && self.wanted.is_none()
            && self.row.due.is_none()
            && self.row.waiting.is_empty()
            && self.row.unsettled.is_empty()
            && self.row.claims.is_empty()
            && self.to_settle().is_none()
            && self.held(at).is_none()
            && self.gain == 0
    }

    fn uses(&self, index: u32) -> bool {
        self.newest().set.contains(index)
            || self.reserved.iter().any(|reservation| reservation.index == index)
            || self.row.due.iter().flat_map(|due| &due.results).any(|due| due.index == index)
            || self.row.waiting.iter().any(|due| due.index == index)
    }

    /// First index that the account never used.
    fn next_index(&self) -> u32 {
        self.row.next_index.max(self.newest().set.through)
    }

    /// As the account sees itself.
    pub(crate) fn view(&self, at: Moment) -> AccountView {
        let open = self.reserved.iter().filter_map(|reservation| match reservation.hold {
            Hold::Match(id) => Some(id),
            _ => None,
        });
        let newest = self.newest();
        AccountView {
            equity: self.equity(),
            available: self.available(at),
            withdrawn: self.chain.as_ref().map_or(Amount::ZERO, |chain| chain.withdrawn),
            statement: newest,
            receipt: self.durable_pair().filter(|pair| pair.statement == newest).map(|pair| pair.receipt),
            settled: self.settled(),
            next_index: self.next_index(),
            open: open.collect(),
        }
    }
}
