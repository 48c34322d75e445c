//! Tables: where players meet before there is a match.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use matchlock::{
    account::AccountId,
    game::Amount,
    rules::RulesId,
    wire::{Field, MAX_FRAME, Offer, Refusal, TableId, TableInfo, TableSpec, ToClient},
};

use crate::{account::Account, hub::Hub, peer::Peer, sync::lock};

/// Bytes of a list of tables; leaves room for the frame around it.
const LIST_BYTES: usize = MAX_FRAME - 64;

/// A seat taken.
#[derive(Clone)]
pub(crate) struct Seated {
    /// By whom.
    pub(crate) account: Arc<Account>,
    /// With what.
    pub(crate) offer: Offer,
    /// The request that took it.
    pub(crate) tag: u32,
}

/// A table.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) spec: TableSpec,
    pub(crate) seated: Vec<Seated>,
}

/// All tables that are not full.
#[derive(Default)]
pub(crate) struct Lobby {
    tables: BTreeMap<TableId, Table>,
    /// Listed tables by what is played there, for quick matches.
    waiting: HashMap<Wish, VecDeque<TableId>>,
    next: u64,
}

/// What a quick match looks for.
type Wish = (RulesId, u8, Amount, u32);

fn wish(spec: &TableSpec) -> Wish {
    (spec.rules, spec.seats, spec.stake, spec.clock)
}

impl Lobby {
    /// Listed tables of these rules or all, newest first, as many as fit a frame.
    pub(crate) fn list(&self, rules: Option<RulesId>) -> Vec<TableInfo> {
        let mut size = 0;
        let listed = self
            .tables
            .iter()
            .rev()
            .filter(|(_, table)| !table.spec.private && rules.is_none_or(|rules| table.spec.rules == rules));
        listed
            .map(|(id, table)| TableInfo {
                table: *id,
                spec: table.spec.clone(),
                seated: table.seated.iter().map(|seated| seated.account.id).collect(),
            })
            .take_while(|info| {
                size += postcard::experimental::serialized_size(info).unwrap_or(LIST_BYTES);
                size <= LIST_BYTES
            })
            .collect()
    }

    /// Tables that are not full.
    pub(crate) fn len(&self) -> usize {
        self.tables.len()
    }

    fn open(&mut self, spec: TableSpec) -> TableId {
        self.next += 1;
        let id = TableId(self.next);
        if !spec.private {
            self.waiting.entry(wish(&spec)).or_default().push_back(id);
        }
        self.tables.insert(id, Table { spec, seated: Vec::new() });
        id
    }

    fn close(&mut self, id: TableId) -> Option<Table> {
        let table = self.tables.remove(&id)?;
        if let Some(waiting) = self.waiting.get_mut(&wish(&table.spec)) {
            waiting.retain(|other| *other != id);
            if waiting.is_empty() {
                self.waiting.remove(&wish(&table.spec));
            }
        }
        Some(table)
    }

    /// The oldest listed table like this where the account does not sit.
    fn find(&self, spec: &TableSpec, account: AccountId) -> Option<TableId> {
        self.waiting.get(&wish(spec))?.iter().copied().find(|id| {
            self.tables.get(id).is_some_and(|table| table.seated.iter().all(|seated| seated.account.id != account))
        })
    }

    /// Table numbers go on from here after a restart, so that none is used twice.
    pub(crate) fn start_at(&mut self, next: u64) {
        self.next = self.next.max(next);
    }
}

impl Hub {
    /// Opens a table and sits down.
    pub(crate) fn create(
        self: &Arc<Self>,
        account: &Arc<Account>,
        tag: u32,
        spec: TableSpec,
        offer: Offer,
    ) -> Result<(), Refusal> {
        self.accepting()?;
        self.check_spec(&spec)?;
        let mut lobby = lock(&self.lobby);
        let table = lobby.open(spec);
        let sat = self.sit(&mut lobby, account, tag, table, offer);
        if sat.is_err() {
            lobby.close(table);
        }
        sat
    }

    /// Sits down at a table.
    pub(crate) fn join(
        self: &Arc<Self>,
        account: &Arc<Account>,
        tag: u32,
        table: TableId,
        offer: Offer,
    ) -> Result<(), Refusal> {
        self.accepting()?;
        self.sit(&mut lock(&self.lobby), account, tag, table, offer)
    }

    /// Sits down at any listed table like this, or opens one.
    pub(crate) fn quick(
        self: &Arc<Self>,
        account: &Arc<Account>,
        tag: u32,
        spec: TableSpec,
        offer: Offer,
    ) -> Result<(), Refusal> {
        self.accepting()?;
        self.check_spec(&spec)?;
        let mut lobby = lock(&self.lobby);
        let found = if spec.private { None } else { lobby.find(&spec, account.id) };
        let table = found.unwrap_or_else(|| lobby.open(spec));
        let sat = self.sit(&mut lobby, account, tag, table, offer);
        if sat.is_err() && found.is_none() {
            lobby.close(table);
        }
        sat
    }

    /// Leaves a table that is not full.
    pub(crate) fn leave(&self, account: &Arc<Account>, tag: u32, table: TableId) -> Result<(), Refusal> {
        self.stand_up(account, table).ok_or(Refusal::UnknownTable)?;
        account.send(&ToClient::Left { tag, table });
        Ok(())
    }

    /// A connection is gone: its seats at tables that are not full are free again. Matches go on.
    pub(crate) fn vacate(&self, account: &Arc<Account>, peer: &Peer) {
        // A newer connection of the account keeps them.
        if lock(&account.peer).as_ref().is_some_and(|newest| !newest.is(peer)) {
            return;
        }
        *lock(&account.peer) = None;
        let tables: Vec<_> = lock(&account.book)
            .reserved
            .iter()
            .filter_map(|reservation| match reservation.hold {
                crate::account::Hold::Table(table) => Some(table),
                _ => None,
            })
            .collect();
        for table in tables {
            if let Some(tag) = self.stand_up(account, table) {
                lock(&account.left).push((tag, table));
            }
        }
    }

    /// Frees a seat at a table that is not full; the request that took it, if there was one.
    pub(crate) fn stand_up(&self, account: &Arc<Account>, id: TableId) -> Option<u32> {
        let mut lobby = lock(&self.lobby);
        let table = lobby.tables.get_mut(&id)?;
        let seat = table.seated.iter().position(|seated| seated.account.id == account.id)?;
        let tag = table.seated.remove(seat).tag;
        if table.seated.is_empty() {
            lobby.close(id);
        }
        lock(&account.book).release_table(id);
        Some(tag)
    }

    fn check_spec(&self, spec: &TableSpec) -> Result<(), Refusal> {
        let rules = self.games.get(&spec.rules).ok_or(Refusal::UnknownRules)?;
        let seats = rules.seats();
        let ranges = [
            (Field::Seats, u128::from(spec.seats), *seats.start() as u128, *seats.end() as u128),
            // So that the pot of a full table fits 96 bits.
            (Field::Stake, spec.stake.units(), 0, Amount::MAX.units() / u128::from(spec.seats.max(1))),
            (Field::Clock, spec.clock.into(), 1, self.settings.max_clock.into()),
        ];
        match ranges.into_iter().find(|(_, value, min, max)| !(*min..=*max).contains(value)) {
            Some((field, _, min, max)) => Err(Refusal::OutOfRange { field, min, max }),
            None => Ok(()),
        }
    }

    fn sit(
        self: &Arc<Self>,
        lobby: &mut Lobby,
        account: &Arc<Account>,
        tag: u32,
        id: TableId,
        offer: Offer,
    ) -> Result<(), Refusal> {
        let table = lobby.tables.get(&id).ok_or(Refusal::UnknownTable)?;
        if table.seated.iter().any(|seated| seated.account.id == account.id) {
            return Err(Refusal::AlreadySeated);
        }
        if table.seated.len() >= usize::from(table.spec.seats) {
            return Err(Refusal::TableFull);
        }
        if table.seated.iter().any(|seated| seated.offer.anchor == offer.anchor) {
            return Err(Refusal::AnchorTaken);
        }
        let (stake, grace) = (table.spec.stake, self.settings.statement_grace);
        // A table that the pool could not guarantee is not opened at all; when it is full the pool is asked again.
        if stake.units() * u128::from(table.spec.seats - 1) > self.operator.pool().free() {
            return Err(Refusal::PoolShort);
        }
        lock(&account.book).reserve(&offer, stake, id, self.moment(), grace)?;
        let mut sitting = table.clone();
        sitting.seated.push(Seated { account: account.clone(), offer, tag });
        // Always said, and first: a client knows a proposal by its table.
        account.send(&ToClient::Seated { tag, table: id });
        if sitting.seated.len() < usize::from(sitting.spec.seats) {
            lobby.tables.insert(id, sitting);
            return Ok(());
        }
        match self.propose(id, &sitting) {
            Ok(()) => {
                lobby.close(id);
                Ok(())
            }
            Err(refusal) => {
                lock(&account.book).release_table(id);
                Err(refusal)
            }
        }
    }
}
