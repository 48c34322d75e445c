//! The task between the hub and the chain.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use matchlock::account::AccountId;
use tokio::sync::mpsc;

use crate::{
    chain::{
        At, Chain, ChainError, ChainEvent, ChainUpdate, Concluded, Outbox, OutboxError, Outcomes, PoolNotice, Sender,
    },
    chain::{Queue, Submission, SubmitError, Watch},
    hub::Hub,
    ledger::Ask,
    store::{AppliedClaim, Change, Store, StoreError},
    sync::lock,
};

/// How long to wait before the sender is asked again to take something.
const RETRY: Duration = Duration::from_secs(1);
/// Accounts read from the chain in one go.
const RECORDS: usize = 256;

/// Everything that goes between the hub and the chain.
pub(crate) struct Follow {
    pub(crate) hub: Arc<Hub>,
    pub(crate) chain: Chain,
    pub(crate) sender: Sender,
    pub(crate) outcomes: Outcomes,
    pub(crate) watch: Watch,
    pub(crate) asks: mpsc::UnboundedReceiver<Ask>,
}

impl Follow {
    /// Tells the hub what happens on the chain, and the chain what the hub wants. Ends with the hub or the watcher.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                Some(ask) = self.asks.recv() => self.ask(ask),
                Some(outcome) = self.outcomes.next() => self.hub.submitted(&outcome),
                event = self.watch.next() => {
                    let Some(event) = event else {
                        tracing::error!("the chain's watcher has stopped");
                        return;
                    };
                    self.event(event).await;
                }
            }
            self.hub.settle();
        }
    }

    fn ask(&self, ask: Ask) {
        let (chain, queue) = (self.chain.clone(), self.sender.queue().clone());
        tokio::spawn(async move { answer(&chain, &queue, ask).await });
    }

    async fn event(&mut self, event: ChainEvent) {
        take(&self.hub, &self.chain, &event).await;
        if let Err(error) = self.watch.done(&event).await {
            tracing::warn!(%error, "the watcher's place is not kept; its events come again");
        }
    }
}

/// Does what the hub asks of the chain.
pub(crate) async fn answer(chain: &Chain, queue: &Queue, ask: Ask) {
    match ask {
        Ask::Record(account, answer) => {
            let record = chain.record(account, At::Confirmed).await;
            if let Err(error) = &record {
                tracing::warn!(%error, %account, "an account cannot be read from the chain");
            }
            // Whoever asked may be gone.
            let _ = answer.send(record.ok());
        }
        Ask::Submit(submission) => {
            submit(queue, submission).await;
        }
        Ask::Forget(key) => {
            // Not forgotten is told again, and dealt with again.
            if let Err(error) = queue.forget(&key).await {
                tracing::warn!(%error, key, "the sender does not forget");
            }
        }
    }
}

/// Tells the hub what happened on the chain.
pub(crate) async fn take(hub: &Arc<Hub>, chain: &Chain, event: &ChainEvent) {
    let read = match event {
        ChainEvent::Update(event) => update(hub, chain, event).await,
        ChainEvent::Resync(resync) => {
            tracing::warn!(?resync, "the chain was reorganised below the confirmed block");
            hub.height.store(resync.height, Ordering::Relaxed);
            hub.chain_time.store(resync.time, Ordering::Relaxed);
            hub.undone(resync.fork);
            reread(hub, chain).await
        }
    };
    if let Err(error) = read {
        // What is not known of an account is read again with its next change or login.
        tracing::warn!(%error, "the chain cannot be read");
    }
}

async fn update(hub: &Arc<Hub>, chain: &Chain, update: &ChainUpdate) -> Result<(), ChainError> {
    hub.height.store(update.height, Ordering::Relaxed);
    hub.chain_time.store(update.time, Ordering::Relaxed);
    for dispute in &update.disputes {
        hub.docketed(update.height, dispute);
    }
    for testimony in &update.testimonies {
        hub.testified(update.height, testimony);
    }
    for concluded in &update.concluded {
        hub.applied(concluded);
        hub.ruled(update.height, concluded);
    }
    for settled in &update.settled {
        hub.batch_seen(settled.batch, settled.results_root);
    }
    let batch = update.settled.iter().map(|settled| settled.batch).max().unwrap_or(0);
    for skipped in update.settled.iter().flat_map(|settled| &settled.skipped) {
        tracing::warn!(account = %skipped.0, reason = skipped.1, "a statement was not settled");
    }
    for (id, record) in &update.touched {
        if let Some(account) = hub.accounts.find(id) {
            hub.observe(&account, *record, batch);
        }
    }
    if update.reread_all {
        reread(hub, chain).await?;
    }
    if let Some(notice) = update.pool_notice {
        hub.note_pool(notice);
    }
    hub.read_pool(chain).await
}

/// Reads every account in memory again.
async fn reread(hub: &Arc<Hub>, chain: &Chain) -> Result<(), ChainError> {
    let known: Vec<_> = hub.accounts.values().iter().map(|account| account.id).collect();
    read_accounts(hub, chain, &known).await
}

/// Reads accounts and the pool from the chain.
pub(crate) async fn read_accounts(hub: &Arc<Hub>, chain: &Chain, ids: &[AccountId]) -> Result<(), ChainError> {
    for ids in ids.chunks(RECORDS) {
        for (id, record) in ids.iter().zip(chain.records(ids, At::Confirmed).await?) {
            if let Some(account) = hub.accounts.find(id) {
                hub.observe(&account, record, 0);
            }
        }
    }
    hub.read_pool(chain).await
}

/// Hands a submission to the sender, however often it takes.
pub(crate) async fn submit(queue: &Queue, submission: Submission) {
    loop {
        match queue.submit(submission.clone()).await {
            Ok(_) => return,
            Err(error @ (SubmitError::Outbox(_) | SubmitError::Full(_))) => {
                tracing::warn!(%error, key = submission.key, "a submission was not taken; trying again");
            }
            Err(error) => return tracing::error!(%error, key = submission.key, "a submission was not taken"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// The note of what the operator has announced to withdraw from the pool.
const NOTICE: &str = "pool-notice";

impl Hub {
    /// The operator announced a withdrawal: remembered, because the chain's views do not tell it.
    fn note_pool(&self, notice: PoolNotice) {
        let bytes = postcard::to_allocvec(&notice).expect("a notice always encodes");
        self.store.write(vec![Change::Meta(NOTICE, bytes)], || {});
        *lock(&self.notice) = notice;
    }

    /// Takes over what an earlier run noted.
    pub(crate) fn restore_notice(&self) -> Result<(), StoreError> {
        if let Some(bytes) = self.store.meta(NOTICE)? {
            *lock(&self.notice) = postcard::from_bytes(&bytes).map_err(|_| StoreError::Damaged)?;
        }
        Ok(())
    }

    /// Reads the pool from the chain.
    async fn read_pool(&self, chain: &Chain) -> Result<(), ChainError> {
        let pool = chain.pool(At::Confirmed).await?;
        let notice = *lock(&self.notice);
        self.operator.set_pool(&pool, notice, self.chain_time.load(Ordering::Relaxed));
        Ok(())
    }

    /// The chain has applied an outcome: its seats have a claim until their statements are settled (R6.10).
    fn applied(&self, concluded: &Concluded) {
        let Ok(Some((_, row))) = self.store.match_by_id(concluded.match_id) else { return };
        for (player, index) in row.players.iter().zip(&row.terms.indexes) {
            let Ok(account) = self.account(*player) else { continue };
            let mut book = lock(&account.book);
            let known = book.row.claims.iter().any(|claim| claim.match_id == concluded.match_id);
            // A seat that had settled the match already was skipped by the chain.
            if known || book.settled().set.contains(*index) {
                continue;
            }
            let (match_id, payouts) = (concluded.match_id, concluded.payouts.clone());
            book.row.claims.push(AppliedClaim { match_id, index: *index, payouts });
            let kept = account.clone();
            self.store.write(vec![Change::account(&book.row)], move || drop(kept));
        }
    }
}

impl AsRef<Store> for Hub {
    fn as_ref(&self) -> &Store {
        &self.store
    }
}

/// A store, as the chain's sender and watcher want it.
pub(crate) struct Notes<S>(pub(crate) Arc<S>);

impl<S: AsRef<Store> + Send + Sync + 'static> Outbox for Notes<S> {
    fn put(&self, key: &str, value: &[u8]) -> Result<(), OutboxError> {
        self.write(key, Some(value.to_vec()))
    }

    fn remove(&self, key: &str) -> Result<(), OutboxError> {
        self.write(key, None)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, OutboxError> {
        (*self.0).as_ref().notes(prefix).map_err(|error| OutboxError(error.to_string()))
    }
}

impl<S: AsRef<Store>> Notes<S> {
    fn write(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), OutboxError> {
        let change = Change::Note(key.to_owned(), value);
        (*self.0).as_ref().write_now(vec![change]).map_err(|error| OutboxError(error.to_string()))
    }
}
