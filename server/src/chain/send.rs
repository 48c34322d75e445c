//! Getting transactions mined, once each, whatever happens to the process, the node or the fees.
//!
//! A submission is durable before it is acknowledged, and a transaction before it leaves. So a restart knows every
//! transaction that may be anywhere, and needs no road of its own: each step looks at what the chain has of what was
//! sent, and sends again what it lost. All attempts of a submission share one nonce, so at most one is ever mined.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256};
use matchlock::{
    chain::{BlockId, Call, ProviderError, Receipt, Revert, SignedTransaction, with_margin},
    sign::Signer as _,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, Notify, mpsc, watch},
    time::Instant,
};

use super::{
    Chain, ChainError, Mined, Outbox, OutboxError, Outcome, Progress, SenderStatus, Submission, SubmitError, Waiting,
    connect::Node, outbox::off_runtime,
};

/// Submissions that may wait. A settler makes a handful; more is a mistake.
const MOST_WAITING: usize = 1_024;
/// What geth takes of a transaction is 128 KiB; the rest is for everything but the calldata.
const MOST_CALLDATA: usize = 128 * 1024 - 1024;
/// Outcomes that nobody has taken yet; more wait in the outbox.
const MOST_OUTCOMES: usize = 64;
/// The longest pause while the node does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// In the outbox.
const PREFIX: &str = "tx/";

/// Gets transactions mined. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: Arc<Queue>,
    status: watch::Receiver<SenderStatus>,
    /// The task ends with the last of these.
    _alive: mpsc::Sender<()>,
}

impl Sender {
    /// Takes a submission; it is durable when this returns. A key that is known is not sent twice: the answer says where
    /// it stands.
    ///
    /// # Errors
    /// The key names another transaction, there are too many or too large ones, or the outbox fails.
    pub async fn submit(&self, submission: Submission) -> Result<Progress, SubmitError> {
        let queue = self.queue.clone();
        // On its own, so that a caller who gives up does not cut it off half-way.
        let submitted = tokio::spawn(async move { queue.submit(submission).await });
        submitted.await.unwrap_or(Err(SubmitError::Closed))
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Where a submission stands; `None` if it was never made or is forgotten.
    pub async fn progress(&self, key: &str) -> Option<Progress> {
        self.queue.progress(key).await
    }

    /// The outcome of this key has been dealt with: it is not told again, and the key is free. Nothing happens while the
    /// submission is on its way.
    ///
    /// # Errors
    /// The outbox fails.
    pub async fn forget(&self, key: &str) -> Result<(), SubmitError> {
        self.queue.forget(key).await
    }

    /// The queue at a glance.
    pub fn status(&self) -> watch::Receiver<SenderStatus> {
        self.status.clone()
    }
}

/// How submissions end. Those that [`Sender::forget`] was not told of come again after a restart.
#[derive(Debug)]
pub struct Outcomes {
    outcomes: mpsc::Receiver<Outcome>,
}

impl Outcomes {
    /// The next outcome; `None` if every [`Sender`] is gone. May be cancelled without loss.
    pub async fn next(&mut self) -> Option<Outcome> {
        self.outcomes.recv().await
    }
}

pub(crate) async fn start(chain: Chain, outbox: Arc<dyn Outbox>) -> Result<(Sender, Outcomes), ChainError> {
    let queue = Arc::new(Queue::load(&chain, outbox).await?);
    let (alive, gone) = mpsc::channel(1);
    let (tell, outcomes) = mpsc::channel(MOST_OUTCOMES);
    let (show, status) = watch::channel(queue.status(None).await);
    tokio::spawn(run(queue.clone(), chain.config().poll_interval, gone, tell, show));
    Ok((Sender { queue, status, _alive: alive }, Outcomes { outcomes }))
}

async fn run(
    queue: Arc<Queue>,
    interval: Duration,
    mut gone: mpsc::Receiver<()>,
    tell: mpsc::Sender<Outcome>,
    show: watch::Sender<SenderStatus>,
) {
    let mut untold: VecDeque<Outcome> = queue.outcomes().await.into();
    let mut unreachable: Option<SystemTime> = None;
    let mut pause = interval;
    loop {
        while let Some(outcome) = untold.pop_front() {
            match tell.try_send(outcome) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(outcome)) => {
                    untold.push_front(outcome);
                    break;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
        // Wherever the step is cut off, the outbox says enough to go on.
        let step = tokio::select! {
            step = queue.step(Instant::now()) => step,
            _ = gone.recv() => return,
            () = tell.closed() => return,
        };
        let waiting = match step {
            Ok(step) => {
                (unreachable, pause) = (None, interval);
                let told = !step.outcomes.is_empty();
                untold.extend(step.outcomes);
                if told {
                    queue.news.notify_one();
                }
                step.waiting
            }
            Err(StepError::Outbox(error)) => {
                tracing::error!(%error, "transactions wait for the outbox");
                Some(Waiting::Outbox { error: error.0 })
            }
            Err(StepError::Node(error)) => {
                if unreachable.is_none() {
                    tracing::warn!(%error, "transactions wait for the node");
                }
                pause = (pause * 2).min(LONGEST_PAUSE.max(interval));
                let since = *unreachable.get_or_insert_with(SystemTime::now);
                Some(Waiting::Unreachable { since, error: error.to_string() })
            }
        };
        let status = queue.status(waiting).await;
        show.send_if_modified(|shown| std::mem::replace(shown, status.clone()) != status);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = queue.news.notified() => {}
            _ = gone.recv() => return,
            () = tell.closed() => return,
        }
    }
}

/// What a step did.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) waiting: Option<Waiting>,
}

/// Why a step was cut short. The next one goes on where it stopped.
#[derive(Debug)]
pub(crate) enum StepError {
    Node(ProviderError),
    Outbox(OutboxError),
}

impl From<ProviderError> for StepError {
    fn from(error: ProviderError) -> StepError {
        StepError::Node(error)
    }
}

impl From<OutboxError> for StepError {
    fn from(error: OutboxError) -> StepError {
        StepError::Outbox(error)
    }
}

/// The transactions of one key.
pub(crate) struct Queue {
    chain: Chain,
    wallet: Address,
    outbox: Arc<dyn Outbox>,
    /// By number: the order of submission.
    entries: Mutex<BTreeMap<u64, Entry>>,
    /// There is something new to do.
    news: Notify,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("wallet", &self.wallet).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct Entry {
    kept: Kept,
    /// When the newest attempt first left this process.
    left: Option<Instant>,
    /// The node found its fee too small.
    underpriced: bool,
}

impl Entry {
    fn new(kept: Kept) -> Entry {
        Entry { kept, left: None, underpriced: false }
    }
}

/// What is durable of a submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    key: String,
    to: Address,
    calldata: Bytes,
    value: U256,
    gas_limit: Option<u64>,
    sent: Option<Sent>,
    outcome: Option<KeptOutcome>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    nonce: u64,
    gas: u64,
    newest: Attempt,
    /// The attempts that it replaced.
    replaced: Vec<B256>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Attempt {
    hash: B256,
    raw: Bytes,
    max_fee: u128,
    tip: u128,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum KeptOutcome {
    Mined(KeptMined, Option<Revert>),
    Refused(Revert),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeptMined {
    hash: B256,
    block: u64,
    gas_used: u64,
    effective_gas_price: u128,
    logs: Vec<(Address, Vec<B256>, Bytes)>,
}

impl Kept {
    fn call(&self, from: Address) -> Call {
        Call { from: Some(from), to: Some(self.to), data: self.calldata.clone(), value: self.value }
    }

    fn is(&self, other: &Submission) -> bool {
        self.to == other.to && self.calldata == other.calldata && self.value == other.value
    }

    fn outcome(&self) -> Option<Outcome> {
        Some(match self.outcome.clone()? {
            KeptOutcome::Refused(revert) => Outcome::Refused(self.key.clone(), revert),
            KeptOutcome::Mined(mined, revert) => {
                let log = |(address, topics, data)| Log { address, data: LogData::new_unchecked(topics, data) };
                let mined = Mined {
                    key: self.key.clone(),
                    hash: mined.hash,
                    block: mined.block,
                    gas_used: mined.gas_used,
                    effective_gas_price: mined.effective_gas_price,
                    logs: mined.logs.into_iter().map(log).collect(),
                };
                match revert {
                    None => Outcome::Confirmed(mined),
                    Some(revert) => Outcome::Reverted(mined, revert),
                }
            }
        })
    }

    fn progress(&self) -> Progress {
        match (self.outcome(), &self.sent) {
            (Some(outcome), _) => Progress::Done(outcome),
            (None, None) => Progress::Queued,
            (None, Some(sent)) => {
                let hashes = sent.replaced.iter().copied().chain([sent.newest.hash]).collect();
                Progress::Sent { nonce: sent.nonce, hashes }
            }
        }
    }
}

impl Queue {
    pub(crate) async fn load(chain: &Chain, outbox: Arc<dyn Outbox>) -> Result<Queue, OutboxError> {
        let kept = off_runtime(&outbox, |outbox| outbox.list(PREFIX)).await?;
        let damaged = |key: &str| OutboxError(format!("{key} is damaged, or of another version"));
        let entries = kept
            .iter()
            .map(|(key, bytes)| {
                let number = key.strip_prefix(PREFIX).and_then(|number| number.parse().ok());
                let kept = postcard::from_bytes(bytes).ok();
                number.zip(kept).map(|(number, kept)| (number, Entry::new(kept))).ok_or_else(|| damaged(key))
            })
            .collect::<Result<_, _>>()?;
        let wallet = chain.config().key.address();
        Ok(Queue { chain: chain.clone(), wallet, outbox, entries: Mutex::new(entries), news: Notify::new() })
    }

    pub(crate) async fn submit(&self, submission: Submission) -> Result<Progress, SubmitError> {
        if submission.calldata.len() > MOST_CALLDATA {
            return Err(SubmitError::Calldata { given: submission.calldata.len(), limit: MOST_CALLDATA });
        }
        let mut entries = self.entries.lock().await;
        if let Some(known) = entries.values().find(|entry| entry.kept.key == submission.key) {
            let same = known.kept.is(&submission);
            return if same { Ok(known.kept.progress()) } else { Err(SubmitError::KeyTaken(submission.key)) };
        }
        if entries.len() >= MOST_WAITING {
            return Err(SubmitError::Full(entries.len()));
        }
        let Submission { key, to, calldata, value, gas_limit } = submission;
        let kept = Kept { key, to, calldata, value, gas_limit, sent: None, outcome: None };
        let number = entries.last_key_value().map_or(0, |(number, _)| number + 1);
        self.keep(number, &kept).await?;
        entries.insert(number, Entry::new(kept));
        self.news.notify_one();
        Ok(Progress::Queued)
    }

    pub(crate) async fn progress(&self, key: &str) -> Option<Progress> {
        let entries = self.entries.lock().await;
        entries.values().find(|entry| entry.kept.key == key).map(|entry| entry.kept.progress())
    }

    pub(crate) async fn forget(&self, key: &str) -> Result<(), SubmitError> {
        let mut entries = self.entries.lock().await;
        let known = entries.iter().find(|(_, entry)| entry.kept.key == key && entry.kept.outcome.is_some());
        let Some(number) = known.map(|(number, _)| *number) else { return Ok(()) };
        off_runtime(&self.outbox, move |outbox| outbox.remove(&outbox_key(number))).await?;
        entries.remove(&number);
        Ok(())
    }

    /// The outcomes that are not forgotten.
    pub(crate) async fn outcomes(&self) -> Vec<Outcome> {
        self.entries.lock().await.values().filter_map(|entry| entry.kept.outcome()).collect()
    }

    async fn status(&self, waiting: Option<Waiting>) -> SenderStatus {
        let entries = self.entries.lock().await;
        let open = || entries.values().filter(|entry| entry.kept.outcome.is_none());
        let in_flight = open().filter(|entry| entry.kept.sent.is_some()).count();
        SenderStatus { queued: open().count() - in_flight, in_flight, waiting }
    }

    /// Looks at the chain once, and does what is to be done now.
    pub(crate) async fn step(&self, now: Instant) -> Result<Step, StepError> {
        let mut step = Step::default();
        let open: Vec<(u64, Entry)> = {
            let entries = self.entries.lock().await;
            let open = entries.iter().filter(|(_, entry)| entry.kept.outcome.is_none());
            open.map(|(number, entry)| (*number, entry.clone())).collect()
        };
        if open.is_empty() {
            return Ok(step);
        }
        let head = self.node().head().await?.number.to();
        // Asked before any receipt: if a nonce is used and no receipt is there, it was used by another transaction.
        let next_nonce = self.node().nonce(self.wallet, BlockId::Latest).await?;

        let mut unmined = 0;
        let mut queued = None;
        let mut sent: Vec<(u64, Entry, Sent)> = Vec::new();
        for (number, entry) in open {
            match entry.kept.sent.clone() {
                Some(known) => sent.push((number, entry, known)),
                None => queued = queued.or(Some((number, entry))),
            }
        }
        sent.sort_by_key(|(.., sent)| sent.nonce);
        for (number, entry, sent) in sent {
            if sent.nonce >= next_nonce {
                // Only the first can be mined; a higher fee for the others would be spent for nothing.
                self.push(number, entry, sent, unmined == 0, now, &mut step).await?;
                unmined += 1;
            } else if let Some(receipt) = self.receipt(&sent).await? {
                let block: u64 = receipt.block_number.to();
                if block + self.chain.config().depth <= head {
                    let outcome = self.mined(&entry.kept, receipt).await;
                    step.outcomes.extend(self.finish(number, entry.kept, outcome).await?);
                }
            } else if self.is_taken(&sent, head).await? {
                tracing::warn!(
                    key = entry.kept.key,
                    nonce = sent.nonce,
                    "another program used this key: sending again under a new nonce"
                );
                self.update(number, Entry::new(Kept { sent: None, ..entry.kept })).await?;
            }
        }
        if unmined == 0
            && let Some((number, entry)) = queued
        {
            self.first(number, entry, next_nonce, now, &mut step).await?;
        }
        Ok(step)
    }

    /// Sends a queued submission for the first time.
    async fn first(
        &self,
        number: u64,
        mut entry: Entry,
        nonce: u64,
        now: Instant,
        step: &mut Step,
    ) -> Result<(), StepError> {
        let fees = self.node().fees().await?;
        let ceiling = self.chain.config().max_fee_per_gas;
        if fees.least() > ceiling {
            step.waiting = Some(Waiting::FeeCeiling { needed: fees.least(), ceiling });
            return Ok(());
        }
        let gas = match entry.kept.gas_limit {
            Some(gas) => gas,
            None => match self.node().estimate_gas(&entry.kept.call(self.wallet)).await {
                Ok(gas) => with_margin(gas),
                Err(error) => {
                    let Some(revert) = Revert::of(&error) else { return self.refused(error, step).await };
                    step.outcomes.extend(self.finish(number, entry.kept, KeptOutcome::Refused(revert)).await?);
                    return Ok(());
                }
            },
        };
        // No earlier submission is unmined, so the chain's count is the next nonce.
        let newest = self.sign(&entry.kept, nonce, gas, fees.cap().min(ceiling), fees.tip)?;
        entry.kept.sent = Some(Sent { nonce, gas, newest, replaced: Vec::new() });
        self.leave(number, entry, now, step).await
    }

    /// Sees to it that the node has the newest attempt, and replaces it when it takes too long.
    async fn push(
        &self,
        number: u64,
        mut entry: Entry,
        mut sent: Sent,
        first: bool,
        now: Instant,
        step: &mut Step,
    ) -> Result<(), StepError> {
        let slow = entry.left.is_some_and(|left| now.duration_since(left) >= self.chain.config().replace_after);
        if first && (slow || entry.underpriced) {
            let ceiling = self.chain.config().max_fee_per_gas;
            let fees = self.node().fees().await?;
            let least = bumped(sent.newest.max_fee).max(fees.least());
            if least <= ceiling {
                let max_fee = least.max(fees.cap()).min(ceiling);
                let tip = bumped(sent.newest.tip).max(fees.tip);
                let newest = self.sign(&entry.kept, sent.nonce, sent.gas, max_fee, tip)?;
                tracing::info!(key = entry.kept.key, nonce = sent.nonce, max_fee, tip, "replacing a slow transaction");
                let replaced = std::mem::replace(&mut sent.newest, newest);
                sent.replaced.push(replaced.hash);
                entry.kept.sent = Some(sent);
                return self.leave(number, entry, now, step).await;
            }
            step.waiting = Some(Waiting::FeeCeiling { needed: least, ceiling });
        }
        // After a restart, after a reorg, or when the node dropped it.
        if entry.left.is_none() || self.node().transaction(sent.newest.hash).await?.is_none() {
            self.broadcast(number, &sent.newest.raw, now, step).await?;
        }
        Ok(())
    }

    /// Makes a new attempt durable, then sends it.
    async fn leave(&self, number: u64, entry: Entry, now: Instant, step: &mut Step) -> Result<(), StepError> {
        let raw = entry.kept.sent.as_ref().map(|sent| sent.newest.raw.clone()).unwrap_or_default();
        self.update(number, Entry::new(entry.kept)).await?;
        self.broadcast(number, &raw, now, step).await
    }

    /// Sends the newest attempt, which is durable.
    async fn broadcast(&self, number: u64, raw: &Bytes, now: Instant, step: &mut Step) -> Result<(), StepError> {
        let mut underpriced = false;
        if let Err(error) = self.node().send_raw(raw).await {
            let said = |words: &[&str]| {
                let ProviderError::Rpc { message, .. } = &error else { return false };
                let message = message.to_lowercase();
                words.iter().any(|word| message.contains(word))
            };
            if said(&["underpriced", "less than block base fee", "fee too low"]) {
                underpriced = true;
            } else if !said(&["already known", "already imported", "known transaction", "nonce too low"]) {
                return self.refused(error, step).await;
            }
            // With a nonce too low it was mined meanwhile, itself or another: the next step finds out which.
        }
        if let Some(entry) = self.entries.lock().await.get_mut(&number) {
            // The time until a replacement runs from when the attempt first left.
            entry.left.get_or_insert(now);
            entry.underpriced = underpriced;
        }
        Ok(())
    }

    /// The node says no: wait, and say why.
    async fn refused(&self, error: ProviderError, step: &mut Step) -> Result<(), StepError> {
        let ProviderError::Rpc { message, .. } = &error else { return Err(error.into()) };
        step.waiting = Some(if message.to_lowercase().contains("insufficient funds") {
            Waiting::Funds { wallet: self.wallet, balance: self.node().balance(self.wallet).await? }
        } else {
            Waiting::Refused { reason: message.clone() }
        });
        Ok(())
    }

    fn sign(&self, kept: &Kept, nonce: u64, gas: u64, max_fee: u128, tip: u128) -> Result<Attempt, StepError> {
        let (key, tip) = (&self.chain.config().key, tip.min(max_fee));
        let chain_id = self.chain.arena().domain.chain_id;
        let signed = SignedTransaction::sign(key, chain_id, nonce, &kept.call(self.wallet), gas, max_fee, tip)
            .map_err(|error| OutboxError(error.to_string()))?;
        Ok(Attempt { hash: signed.hash, raw: signed.raw, max_fee, tip })
    }

    /// The receipt of whichever attempt was mined.
    async fn receipt(&self, sent: &Sent) -> Result<Option<Receipt>, ProviderError> {
        for hash in [sent.newest.hash].iter().chain(sent.replaced.iter().rev()) {
            if let Some(receipt) = self.node().receipt(*hash).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// Whether another transaction has this nonce for good.
    async fn is_taken(&self, sent: &Sent, head: u64) -> Result<bool, ProviderError> {
        let confirmed = BlockId::Number(head.saturating_sub(self.chain.config().depth));
        let used = self.node().nonce(self.wallet, confirmed).await? > sent.nonce;
        // Asked again after the nonce, in case the node learnt of a block in between.
        Ok(used && self.receipt(sent).await?.is_none())
    }

    async fn mined(&self, kept: &Kept, receipt: Receipt) -> KeptOutcome {
        let block = receipt.block_number.to();
        let revert = match receipt.succeeded() {
            true => None,
            false => Some(self.node().why_reverted(&kept.call(self.wallet), block).await),
        };
        let mined = KeptMined {
            hash: receipt.transaction_hash,
            block,
            gas_used: receipt.gas_used.to(),
            effective_gas_price: receipt.price(),
            logs: receipt.logs.into_iter().map(|log| (log.address, log.topics, log.data)).collect(),
        };
        KeptOutcome::Mined(mined, revert)
    }

    async fn finish(&self, number: u64, kept: Kept, outcome: KeptOutcome) -> Result<Option<Outcome>, OutboxError> {
        let kept = Kept { outcome: Some(outcome), ..kept };
        let told = kept.outcome();
        self.update(number, Entry::new(kept)).await?;
        Ok(told)
    }

    async fn update(&self, number: u64, entry: Entry) -> Result<(), OutboxError> {
        let mut entries = self.entries.lock().await;
        self.keep(number, &entry.kept).await?;
        entries.insert(number, entry);
        Ok(())
    }

    async fn keep(&self, number: u64, kept: &Kept) -> Result<(), OutboxError> {
        let bytes = postcard::to_allocvec(kept).map_err(|error| OutboxError(error.to_string()))?;
        off_runtime(&self.outbox, move |outbox| outbox.put(&outbox_key(number), &bytes)).await
    }

    fn node(&self) -> &Node {
        self.chain.node()
    }
}

/// A fee that replaces: an eighth more, which every node accepts.
fn bumped(fee: u128) -> u128 {
    fee.saturating_add(fee / 8).saturating_add(1)
}

fn outbox_key(number: u64) -> String {
    format!("{PREFIX}{number:020}")
}
