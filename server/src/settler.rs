//! Batches: co-signed statements to the chain, many accounts in one transaction (R6.7 to R6.9).
//!
//! One batch is under way at a time. What it holds is durable before it is sent, under a key that the sender takes once,
//! so a crash at any point sends the same batch again and no result gets under two roots.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use alloy_primitives::{B256, aliases::U96};
use alloy_sol_types::{SolCall, SolEvent};
use matchlock::{
    abi::{Arena, MatchId, Statement},
    account::AccountId,
    settle::{self, ResultsTree},
    wire::{Due, Pair, Refusal, ToClient},
};

use crate::{
    account::Account,
    chain::Outcome,
    hub::{Hub, storage},
    ledger::Ask,
    peer::Peer,
    store::{BatchRow, Change, LeafRow, StoreError},
    sync::lock,
};

/// Most results in one batch: their tree is built in one go, and a proof of it fits a frame easily.
const MAX_RESULTS: usize = 50_000;
/// Seconds to wait after a batch failed.
const RETRY: u64 = 10;

/// What waits for a batch.
#[derive(Default)]
pub(crate) struct Settler {
    /// Accounts with a co-signed statement that the chain does not have, and since when.
    waiting: BTreeMap<AccountId, u64>,
    /// Results that no batch holds, by their match's number.
    results: BTreeMap<u64, Loose>,
    numbers: HashMap<MatchId, u64>,
    /// The batch under way.
    under_way: Option<u64>,
    next: u64,
    /// Somebody wants a batch now.
    demanded: bool,
    /// The next batch waits until the watcher has come so far: before, it would hold the last one's accounts again.
    after_height: u64,
    /// The next batch waits until then, in Unix seconds.
    not_before: u64,
    /// Accounts whose claims are being absorbed.
    absorbing: HashSet<AccountId>,
}

struct Loose {
    row: LeafRow,
    /// Seats whose statements do not hold the match yet.
    missing: Vec<AccountId>,
}

impl Settler {
    /// A match has a result.
    pub(crate) fn concluded(&mut self, seq: u64, row: LeafRow) {
        let missing = row.leaf.seats.clone();
        self.numbers.insert(row.leaf.match_id, seq);
        self.results.insert(seq, Loose { row, missing });
    }

    /// A statement has both signatures.
    pub(crate) fn cosigned(&mut self, account: AccountId, results: &[Due], now: u64) {
        self.waiting.entry(account).or_insert(now);
        for result in results {
            self.holds(account, result.match_id);
        }
    }

    /// The chain has everything that an account signed.
    pub(crate) fn settled(&mut self, account: AccountId) {
        self.waiting.remove(&account);
    }

    /// A result is in an account's statement.
    pub(crate) fn holds(&mut self, account: AccountId, match_id: MatchId) {
        if let Some(loose) = self.numbers.get(&match_id).and_then(|seq| self.results.get_mut(seq)) {
            loose.missing.retain(|seat| *seat != account);
        }
    }

    /// A batch is wanted now.
    pub(crate) fn demand(&mut self) {
        self.demanded = true;
    }

    /// How many accounts wait, and whether a batch is under way.
    pub(crate) fn status(&self) -> (usize, bool) {
        (self.waiting.len(), self.under_way.is_some())
    }

    fn due(&self, count: usize, age: u64, now: u64, height: u64) -> bool {
        let old = || self.waiting.values().any(|since| now >= since + age);
        self.under_way.is_none()
            && height >= self.after_height
            && now >= self.not_before
            && !self.waiting.is_empty()
            && (self.demanded || self.waiting.len() >= count || old())
    }
}

/// A batch's statements, each with what it changes, and its results.
type Again = (Vec<(i128, Pair)>, Vec<LeafRow>);

impl Hub {
    /// Picks up where the last run stopped: the batch under way, and results without one.
    pub(crate) fn restore_settler(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut settler = lock(&self.settler);
        for (seq, row) in self.store.loose_leaves()? {
            let indexed: Vec<_> = row.leaf.seats.iter().copied().zip(row.indexes.iter().copied()).collect();
            let match_id = row.leaf.match_id;
            settler.concluded(seq, row);
            for (seat, index) in indexed {
                let account = self.accounts.find(&seat);
                if account.is_some_and(|account| lock(&account.book).newest().set.contains(index)) {
                    settler.holds(seat, match_id);
                }
            }
        }
        for account in self.accounts.values() {
            if lock(&account.book).to_settle().is_some() {
                settler.waiting.insert(account.id, self.now());
            }
        }
        if let Some((number, row)) = self.store.last_batch()? {
            settler.next = number + 1;
            if row.settled.is_none() {
                settler.under_way = Some(number);
                self.submit(key(number, row.attempt), row.calldata);
            }
        }
        Ok(())
    }

    /// Sends a batch if one is due. Called now and then, and when something may have become due.
    pub(crate) fn settle(self: &Arc<Self>) {
        let settings = &self.settings;
        let mut settler = lock(&self.settler);
        let height = self.height.load(Ordering::Relaxed);
        if !settler.due(settings.settle_count, settings.settle_age, self.now(), height) || !self.store.healthy() {
            return;
        }
        let mut oldest: Vec<_> = settler.waiting.iter().map(|(id, since)| (*since, *id)).collect();
        oldest.sort_unstable();
        let mut chosen: Vec<(i128, Pair)> = Vec::new();
        let mut claiming = Vec::new();
        for (_, id) in oldest {
            let Some(account) = self.accounts.find(&id) else { continue };
            let book = lock(&account.book);
            match (book.to_settle(), &book.chain) {
                (Some(_), Some(chain)) if chain.claims != 0 => claiming.push(id),
                // The contract skips what would take an account below its locked stakes (R3.4): its results are concluded.
                (Some(pair), Some(chain)) if chain.funds + pair.statement.net < chain.locked.signed() => {}
                // A batch would make the withdrawal that the account holds worthless.
                (Some(_), _) if book.held(self.moment()).is_some() => {}
                (Some(pair), _) if chosen.len() < settings.settle_limit => {
                    chosen.push((pair.statement.net - book.settled().net, *pair));
                }
                (Some(_), _) => {}
                (None, _) => drop(settler.waiting.remove(&id)),
            }
        }
        settler.demanded = false;
        settler.not_before = self.now() + 1;
        for id in claiming {
            // What the watcher has not told yet is tried again in a moment.
            settler.demanded |= !self.absorb(&mut settler, id);
        }
        if chosen.is_empty() {
            return;
        }
        // Debits first: they fill the pool that the credits are paid from (R6.8).
        chosen.sort_by_key(|(change, _)| *change);
        let results = settler.results.iter().filter(|(_, loose)| loose.missing.is_empty()).map(|(seq, _)| *seq);
        let matches: Vec<u64> = results.take(MAX_RESULTS).collect();
        let leaves: Vec<LeafRow> = matches.iter().map(|seq| settler.results[seq].row.clone()).collect();

        let number = settler.next;
        settler.next += 1;
        settler.under_way = Some(number);
        let now = self.now();
        for (_, pair) in &chosen {
            // Skipped ones are tried again after a while, not in every batch.
            settler.waiting.insert(pair.player.account(), now);
        }
        for (seq, leaf) in matches.iter().zip(&leaves) {
            settler.results.remove(seq);
            settler.numbers.remove(&leaf.leaf.match_id);
        }
        drop(settler);

        let calldata = self.batch_call(&chosen, &leaves);
        let entries = chosen.iter().map(|(_, pair)| (pair.player.account(), pair.statement)).collect();
        let row = BatchRow { entries, matches: matches.clone(), calldata: calldata.clone(), attempt: 0, settled: None };
        let mut changes = vec![Change::batch(number, &row)];
        for (seq, leaf) in matches.iter().zip(leaves) {
            changes.push(Change::leaf(*seq, &LeafRow { batch: Some(number), ..leaf }));
        }
        let hub = self.clone();
        self.store.write(changes, move || hub.submit(key(number, 0), calldata));
    }

    fn batch_call(&self, chosen: &[(i128, Pair)], leaves: &[LeafRow]) -> Vec<u8> {
        let arena = self.arena();
        let tree = ResultsTree::new(leaves.iter().map(|leaf| leaf.leaf.hash(arena)).collect());
        let fees: u128 = leaves.iter().map(|leaf| leaf.leaf.fee.units()).sum();
        let mut entries = Vec::with_capacity(chosen.len() * settle::ENTRY);
        for (_, pair) in chosen {
            entries.extend_from_slice(&settle::entry(pair.player.owner, &pair.statement, &pair.signature));
        }
        Arena::settleCall {
            entries: entries.into(),
            resultsRoot: tree.root(),
            matches: leaves.len() as u32,
            fees: U96::from(fees),
        }
        .abi_encode()
    }

    /// A submission is over.
    pub(crate) fn submitted(self: &Arc<Self>, outcome: &Outcome) {
        let submission = outcome.key().to_owned();
        match parse(&submission) {
            Some(Submitted::Batch(number)) => self.batch_over(number, submission, outcome),
            Some(Submitted::Claims(account)) => {
                if !matches!(outcome, Outcome::Confirmed(_)) {
                    tracing::error!(?outcome, %account, "a statement with claims was not settled");
                }
                let mut settler = lock(&self.settler);
                settler.absorbing.remove(&account);
                settler.not_before = self.now() + RETRY;
                drop(settler);
                self.ask(Ask::Forget(submission));
            }
            Some(Submitted::Single) => {
                lock(&self.disputes).answered(self.now(), outcome);
                match outcome {
                    Outcome::Confirmed(mined) => tracing::info!(key = submission, gas = mined.gas_used, "done"),
                    // Somebody else was faster, or the account signed after all.
                    _ => tracing::warn!(?outcome, "the chain refused what was due about a match"),
                }
                self.ask(Ask::Forget(submission));
            }
            None => tracing::warn!(key = submission, "the outcome of an unknown submission"),
        }
    }

    /// The watcher has seen a batch on the chain: its results can be proved from here on, and clients may be told.
    pub(crate) fn batch_seen(&self, batch: u32, root: B256) {
        let Some(number) = lock(&self.settler).under_way else { return };
        let Ok(Some(mut row)) = self.store.batch(number) else { return };
        let ours = Arena::settleCall::abi_decode(&row.calldata).is_ok_and(|call| call.resultsRoot == root);
        if ours && row.settled.is_none() {
            row.settled = Some(batch);
            self.store.write(vec![Change::batch(number, &row)], || {});
        }
    }

    fn batch_over(self: &Arc<Self>, number: u64, submission: String, outcome: &Outcome) {
        let Ok(Some(mut row)) = self.store.batch(number) else {
            tracing::error!(number, "the record of a batch cannot be read; its outcome comes again");
            return;
        };
        if submission != key(number, row.attempt) || lock(&self.settler).under_way != Some(number) {
            self.ask(Ask::Forget(submission));
            return;
        }
        let hub = self.clone();
        match outcome {
            Outcome::Confirmed(mined) => {
                let settled = mined.logs.iter().find_map(|log| Arena::Settled::decode_log(log).ok());
                let batch = settled.map_or(0, |event| event.data.batch);
                let (accounts, matches) = (row.entries.len(), row.matches.len());
                tracing::info!(batch, accounts, matches, gas = mined.gas_used, "settled");
                row.settled = Some(batch);
                let block = mined.block;
                self.store.write(vec![Change::batch(number, &row)], move || {
                    let mut settler = lock(&hub.settler);
                    settler.under_way = None;
                    settler.after_height = block;
                    drop(settler);
                    hub.ask(Ask::Forget(submission));
                });
            }
            Outcome::Reverted(..) | Outcome::Refused(..) => {
                // The batch as a whole reverts only where something is wrong with the arena or the operator's key; a bad
                // entry is skipped. The same results go out again, with the statements of now.
                tracing::error!(number, ?outcome, "a batch was not settled; trying again");
                row.attempt += 1;
                let (chosen, leaves) = match self.again(&row) {
                    Ok(again) => again,
                    Err(error) => return tracing::error!(%error, "the batch cannot be made anew"),
                };
                row.calldata = self.batch_call(&chosen, &leaves);
                let again = (key(number, row.attempt), row.calldata.clone());
                self.store.write(vec![Change::batch(number, &row)], move || {
                    hub.ask(Ask::Forget(submission));
                    hub.submit(again.0, again.1);
                });
            }
        }
    }

    /// The entries and results of a batch that is sent again.
    fn again(&self, row: &BatchRow) -> Result<Again, StoreError> {
        let mut chosen = Vec::new();
        for (id, _) in &row.entries {
            let Some(account) = self.accounts.find(id) else { continue };
            let book = lock(&account.book);
            if let Some(pair) = book.to_settle() {
                chosen.push((pair.statement.net - book.settled().net, *pair));
            }
        }
        chosen.sort_by_key(|(change, _)| *change);
        let mut leaves = Vec::new();
        for seq in &row.matches {
            leaves.push(self.store.leaf(*seq)?.ok_or(StoreError::Damaged)?);
        }
        Ok((chosen, leaves))
    }

    /// Settles an account with claims: one call, with every live claim (R6.10). `false`: not yet.
    fn absorb(self: &Arc<Self>, settler: &mut Settler, id: AccountId) -> bool {
        let Some(account) = self.accounts.find(&id) else { return true };
        if settler.absorbing.contains(&id) {
            return true;
        }
        match self.claims_call(&account) {
            Ok(Some((statement, calldata))) => {
                let key = format!("claims-{id}-{}-{}", statement.set.through, statement.set.pending);
                settler.absorbing.insert(id);
                self.submit(key, calldata);
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(%error, account = %id, "the claims of an account cannot be read");
                true
            }
        }
    }

    fn claims_call(&self, account: &Account) -> Result<Option<(Statement, Vec<u8>)>, StoreError> {
        let (pair, claims, live) = {
            let book = lock(&account.book);
            let Some(pair) = book.to_settle().copied() else { return Ok(None) };
            let live = book.chain.as_ref().map_or(0, |chain| chain.claims);
            (pair, book.row.claims.clone(), live)
        };
        if claims.len() != usize::from(live) {
            // The watcher has not told of all of them yet.
            return Ok(None);
        }
        let mut given = Vec::new();
        for claim in claims {
            let (_, row) = self.store.match_by_id(claim.match_id)?.ok_or(StoreError::Damaged)?;
            let seat = row.terms.seat_of(account.id).ok_or(StoreError::Damaged)?;
            let payouts = claim.payouts.iter().map(|payout| (*payout).into()).collect();
            given.push((claim.match_id, Arena::Claim { terms: (&row.terms).into(), payouts, seat: seat.0 }));
        }
        given.sort_by_key(|(id, _)| *id);
        let call = Arena::settleClaimedCall {
            entry: settle::entry(pair.player.owner, &pair.statement, &pair.signature).to_vec().into(),
            receipt: Vec::new().into(),
            claims: given.into_iter().map(|(_, claim)| claim).collect(),
        };
        Ok(Some((pair.statement, call.abi_encode())))
    }

    /// Proves a settled result (R6.9).
    pub(crate) fn prove(&self, peer: &Peer, tag: u32, match_id: MatchId) -> Result<(), Refusal> {
        let (seq, row) = self.store.match_by_id(match_id).map_err(storage)?.ok_or(Refusal::UnknownMatch)?;
        row.terms.seat_of(peer.account()).ok_or(Refusal::UnknownMatch)?;
        let leaf = self.store.leaf(seq).map_err(storage)?.ok_or(Refusal::NotSettled)?;
        let number = leaf.batch.ok_or(Refusal::NotSettled)?;
        let row = self.store.batch(number).map_err(storage)?.ok_or(Refusal::NotSettled)?;
        let batch = row.settled.ok_or(Refusal::NotSettled)?;
        let arena = self.arena();
        let mut hashes: Vec<B256> = Vec::with_capacity(row.matches.len());
        for seq in &row.matches {
            hashes.push(self.store.leaf(*seq).map_err(storage)?.ok_or(Refusal::Storage)?.leaf.hash(arena));
        }
        let place = row.matches.iter().position(|other| *other == seq).ok_or(Refusal::Storage)?;
        let path = ResultsTree::new(hashes).proof(place).ok_or(Refusal::Storage)?;
        peer.send(&ToClient::Proof { tag, batch, result: leaf.leaf, path });
        Ok(())
    }
}

fn key(number: u64, attempt: u32) -> String {
    format!("batch-{number}-{attempt}")
}

enum Submitted {
    Batch(u64),
    Claims(AccountId),
    /// What is due once about one match: its outcome comes with the watcher.
    Single,
}

fn parse(key: &str) -> Option<Submitted> {
    let mut parts = key.split('-');
    match (parts.next()?, parts.next()?) {
        ("batch", number) => number.parse().ok().map(Submitted::Batch),
        ("claims", account) => account.parse().ok().map(|address| Submitted::Claims(AccountId(address))),
        ("lock" | "conclude" | "challenge" | "respond" | "contest" | "equivocate" | "rule" | "finalize", _) => {
            Some(Submitted::Single)
        }
        _ => None,
    }
}
