//! What happens on the chain, once it is confirmed.
//!
//! Blocks are read in ranges up to `head - depth`. Of each range the last block's hash is remembered, so that a reorg of
//! what was told already shows as another hash there; then everything since the newest block that stayed is told again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy_primitives::{Address, B256, aliases::U96};
use alloy_sol_types::{SolEventInterface, SolInterface};
use matchlock::{
    abi::{Arena, Domain, MatchId, Statement},
    account::{AccountId, Player, SettledSet},
    chain::{DisputeUpdate, LogEntry, ProviderError, read_disputes, read_testimonies},
    dispute::Testimony,
    game::Amount,
    settle::ENTRY,
    sign::{Signature, recover},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc, watch};

use super::{
    Chain, ChainError, ChainEvent, ChainUpdate, Concluded, Deposit, ExitOpened, Health, Outbox, OutboxError,
    PoolNotice, Resync, SettledBatch, Tip,
    connect::{records, tip},
    outbox::off_runtime,
};

/// Events that nobody has taken yet; then the watcher waits.
const MOST_EVENTS: usize = 16;
/// Blocks whose hash is remembered, besides the first.
const MOST_MARKS: usize = 64;
/// The longest pause while the node does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// In the outbox.
const KEY: &str = "watch";

/// What happens on the chain.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<ChainEvent>,
    health: watch::Receiver<Health>,
    done: Done,
}

impl Watch {
    /// The next event; `None` if the watcher has stopped for good. May be cancelled without loss.
    pub async fn next(&mut self) -> Option<ChainEvent> {
        self.events.recv().await
    }

    /// The event's consequences are durable: a restart goes on after it.
    ///
    /// # Errors
    /// The outbox fails.
    pub async fn done(&self, event: &ChainEvent) -> Result<(), OutboxError> {
        self.done.note(event).await
    }

    /// Whether the node answers, and how far it is.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}

/// How far the consumer is.
#[derive(Clone)]
pub(crate) struct Done {
    marks: Arc<Mutex<Marks>>,
    outbox: Arc<dyn Outbox>,
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Done").finish_non_exhaustive()
    }
}

impl Done {
    pub(crate) async fn note(&self, event: &ChainEvent) -> Result<(), OutboxError> {
        let mut marks = self.marks.lock().await;
        let mut after = marks.clone();
        match event {
            ChainEvent::Update(update) => after.add(update.height, update.hash),
            ChainEvent::Resync(resync) => after.cut(resync.fork),
        }
        let bytes = postcard::to_allocvec(&after).map_err(|error| OutboxError(error.to_string()))?;
        off_runtime(&self.outbox, move |outbox| outbox.put(KEY, &bytes)).await?;
        *marks = after;
        Ok(())
    }
}

/// Blocks that were read, in ascending order: the first and the newest ones. All before the last was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Marks(Vec<(u64, B256)>);

impl Marks {
    fn add(&mut self, height: u64, hash: B256) {
        self.0.push((height, hash));
        if self.0.len() > MOST_MARKS {
            self.0.remove(1);
        }
    }

    /// Forgets what is above `fork`.
    fn cut(&mut self, fork: u64) {
        self.0.retain(|(height, _)| *height <= fork);
    }
}

pub(crate) async fn start(chain: Chain, outbox: Arc<dyn Outbox>) -> Result<Watch, ChainError> {
    let watcher = Watcher::load(chain, &outbox).await?;
    let done = watcher.done(outbox);
    let (tell, events) = mpsc::channel(MOST_EVENTS);
    let (show, health) = watch::channel(Health::default());
    tokio::spawn(run(watcher, tell, show));
    Ok(Watch { events, health, done })
}

async fn run(mut watcher: Watcher, tell: mpsc::Sender<ChainEvent>, show: watch::Sender<Health>) {
    let interval = watcher.chain.config().poll_interval;
    let mut pause = interval;
    loop {
        let look = tokio::select! {
            look = watcher.look() => look,
            () = tell.closed() => return,
        };
        let (mut health, mut again) = (show.borrow().clone(), false);
        match look {
            Ok(look) => {
                (health.head, health.confirmed, health.unreachable) = (watcher.head, watcher.confirmed, None);
                (pause, again) = (interval, look != Look::Nothing);
                if let Look::Event(event) = look
                    && tell.send(*event).await.is_err()
                {
                    return;
                }
            }
            Err(error) => {
                if health.unreachable.is_none() {
                    tracing::warn!(%error, "the chain cannot be followed");
                }
                let since = health.unreachable.map_or_else(SystemTime::now, |(since, _)| since);
                health.unreachable = Some((since, error.to_string()));
                pause = (pause * 2).min(LONGEST_PAUSE.max(interval));
            }
        }
        show.send_if_modified(|shown| std::mem::replace(shown, health.clone()) != health);
        if again {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = tell.closed() => return,
        }
    }
}

/// What one look at the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing new.
    Nothing,
    /// Nothing to tell, but there is more to look at.
    More,
    /// Something to tell.
    Event(Box<ChainEvent>),
}

/// Reads the chain, one range of blocks at a look.
pub(crate) struct Watcher {
    chain: Chain,
    marks: Marks,
    range: u64,
    head: u64,
    confirmed: u64,
}

impl Watcher {
    pub(crate) async fn load(chain: Chain, outbox: &Arc<dyn Outbox>) -> Result<Watcher, OutboxError> {
        let kept = off_runtime(outbox, |outbox| outbox.list(KEY)).await?;
        let marks = match kept.iter().find(|(key, _)| key == KEY) {
            None => Marks::default(),
            Some((_, bytes)) => postcard::from_bytes(bytes)
                .map_err(|_| OutboxError(format!("{KEY} is damaged, or of another version")))?,
        };
        let range = chain.config().log_range.max(1);
        Ok(Watcher { chain, marks, range, head: 0, confirmed: 0 })
    }

    /// Where to note how far the consumer is.
    pub(crate) fn done(&self, outbox: Arc<dyn Outbox>) -> Done {
        Done { marks: Arc::new(Mutex::new(self.marks.clone())), outbox }
    }

    /// Looks once. What it tells it does not tell again unless a reorg undoes it.
    pub(crate) async fn look(&mut self) -> Result<Look, ProviderError> {
        let config = self.chain.config();
        let node = self.chain.node();
        self.head = node.head().await?.number.to();
        let Some(confirmed) = self.head.checked_sub(config.depth) else { return Ok(Look::Nothing) };
        self.confirmed = confirmed;
        if self.marks.0.is_empty() {
            // The block before the first that is looked at tells one chain from another.
            let before = config.from_block.saturating_sub(1);
            let Some(first) = tip(node, before).await? else { return Ok(Look::Nothing) };
            self.marks.add(first.height, first.hash);
        }
        if let Some(look) = self.look_back(confirmed).await? {
            return Ok(look);
        }

        let (node, arena) = (self.chain.node().clone(), self.chain.config().arena);
        let court = self.chain.arena().court;
        let sources: Vec<Address> = [arena, court].into_iter().filter(|address| *address != Address::ZERO).collect();
        let from = self.marks.0.last().map_or(0, |(height, _)| height + 1);
        if confirmed < from {
            return Ok(Look::Nothing);
        }
        let to = confirmed.min(from.saturating_add(self.range - 1));
        let Some(last) = tip(&node, to).await? else { return Ok(Look::Nothing) };
        let logs = match node.logs(&sources, from, to).await {
            Ok(logs) => logs,
            // Nodes limit the range, or the size of the answer, each in its own way.
            Err(ProviderError::Rpc { .. } | ProviderError::TooLarge { .. } | ProviderError::Timeout { .. })
                if self.range > 1 && to > from =>
            {
                self.range = (to - from).div_ceil(2);
                return Ok(Look::More);
            }
            Err(error) => return Err(error),
        };
        let Some(mut found) = self.gather(&logs).await? else { return Ok(Look::More) };
        let touched: Vec<AccountId> = std::mem::take(&mut found.touched).into_iter().collect();
        let accounts = records(&node, arena, &touched, confirmed).await?;
        // Equal before and after: all of it is of one chain.
        if tip(&node, to).await?.is_none_or(|again| again.hash != last.hash) {
            return Ok(Look::More);
        }
        self.marks.add(to, last.hash);
        self.range = self.chain.config().log_range.max(1).min(self.range.saturating_mul(2));
        if to < confirmed && logs.is_empty() {
            return Ok(Look::More);
        }
        let Tip { height, hash, time } = last;
        Ok(Look::Event(Box::new(ChainEvent::Update(ChainUpdate {
            height,
            hash,
            time,
            touched: touched.into_iter().zip(accounts).collect(),
            reread_all: found.reread_all,
            settled: found.settled,
            concluded: found.concluded,
            exits: found.exits,
            deposits: found.deposits,
            pool_notice: found.pool_notice,
            disputes: found.disputes,
            testimonies: found.testimonies,
        }))))
    }

    /// Whether what was read is still part of the chain. A node that is merely behind changes nothing.
    async fn look_back(&mut self, confirmed: u64) -> Result<Option<Look>, ProviderError> {
        let mut stayed = None;
        let mut undone = false;
        for (height, hash) in self.marks.0.iter().rev().filter(|(height, _)| *height <= confirmed) {
            match tip(self.chain.node(), *height).await? {
                // Behind a balancer, another node answered, which is further behind.
                None => return Ok(Some(Look::Nothing)),
                Some(block) if block.hash == *hash => {
                    stayed = Some(*height);
                    break;
                }
                Some(_) => undone = true,
            }
        }
        if !undone {
            return Ok(None);
        }
        let Some(newest) = tip(self.chain.node(), confirmed).await? else { return Ok(Some(Look::Nothing)) };
        // Not even the first block stayed: another chain, to be read from its start.
        let fork = stayed.unwrap_or(self.chain.config().from_block.saturating_sub(1));
        match stayed {
            Some(fork) => self.marks.cut(fork),
            None => self.marks.0.clear(),
        }
        tracing::warn!(fork, "confirmed blocks were undone");
        let resync = Resync { fork, height: newest.height, time: newest.time };
        Ok(Some(Look::Event(Box::new(ChainEvent::Resync(resync)))))
    }

    /// What these logs tell; `None` if their transactions are gone again.
    async fn gather(&self, logs: &[LogEntry]) -> Result<Option<Found>, ProviderError> {
        let Some(disputes) = read_disputes(self.chain.node(), self.chain.arena().court, logs).await? else {
            return Ok(None);
        };
        let testimonies = read_testimonies(self.chain.arena().court, logs);
        let mut found = Found { disputes, testimonies, ..Found::default() };
        let mut skipped: HashMap<B256, Vec<(AccountId, u8)>> = HashMap::new();
        let mut unnamed = BTreeSet::new();
        for entry in logs.iter().filter(|entry| entry.address == self.chain.arena().domain.arena) {
            // An event of a later version says nothing that this one acts on.
            let Ok(event) = Arena::ArenaEvents::decode_log(&entry.log()) else { continue };
            let tx = entry.transaction_hash;
            match event.data {
                Arena::ArenaEvents::Deposited(event) => {
                    let account = found.touch(event.account);
                    found.deposits.push(Deposit { account, from: event.from, amount: amount(event.amount), tx });
                }
                Arena::ArenaEvents::Skipped(event) => {
                    let account = found.touch(event.account);
                    skipped.entry(tx).or_default().push((account, event.reason));
                }
                Arena::ArenaEvents::Settled(event) => {
                    unnamed.insert(tx);
                    found.settled.push(SettledBatch {
                        batch: event.batch,
                        tx,
                        results_root: event.resultsRoot,
                        matches: event.matches,
                        applied: event.applied,
                        fees: amount(event.fees),
                        skipped: skipped.remove(&tx).unwrap_or_default(),
                    });
                }
                Arena::ArenaEvents::Concluded(event) => {
                    unnamed.insert(tx);
                    let payouts = event.payouts.into_iter().map(amount).collect();
                    found.concluded.push(Concluded { match_id: MatchId(event.matchId), payouts, tx });
                }
                Arena::ArenaEvents::ExitOpened(event) => {
                    let account = found.touch(event.account);
                    found.exits.push(ExitOpened { account, exit_at: event.exitAt.to() });
                }
                Arena::ArenaEvents::Withdrawn(event) => _ = found.touch(event.account),
                Arena::ArenaEvents::Locked(event) => _ = found.touch(event.account),
                Arena::ArenaEvents::Released(event) => _ = found.touch(event.account),
                Arena::ArenaEvents::ExitFinished(event) => _ = found.touch(event.account),
                Arena::ArenaEvents::OwedAdded(event) => _ = found.touch(event.account),
                Arena::ArenaEvents::OwedPaid(event) => _ = found.touch(event.account),
                Arena::ArenaEvents::PoolRequested(event) => {
                    found.pool_notice = Some(PoolNotice { amount: amount(event.amount), until: event.until.to() });
                }
                Arena::ArenaEvents::PoolWithdrawn(_) => found.pool_notice = Some(PoolNotice::default()),
                Arena::ArenaEvents::Funded(_)
                | Arena::ArenaEvents::SplitProposed(_)
                | Arena::ArenaEvents::RevenueClaimed(_) => {}
            }
        }
        let domain = &self.chain.arena().domain;
        for tx in unnamed {
            let Some(transaction) = self.chain.node().transaction(tx).await? else { return Ok(None) };
            let called = transaction.to == Some(domain.arena);
            match called.then(|| named(domain, &transaction.input)).flatten() {
                Some(accounts) => found.touched.extend(accounts),
                None => found.reread_all = true,
            }
        }
        Ok(Some(found))
    }
}

#[derive(Debug, Default)]
struct Found {
    touched: BTreeSet<AccountId>,
    reread_all: bool,
    settled: Vec<SettledBatch>,
    concluded: Vec<Concluded>,
    exits: Vec<ExitOpened>,
    deposits: Vec<Deposit>,
    pool_notice: Option<PoolNotice>,
    disputes: Vec<DisputeUpdate>,
    testimonies: Vec<Testimony>,
}

impl Found {
    fn touch(&mut self, account: Address) -> AccountId {
        self.touched.insert(AccountId(account));
        AccountId(account)
    }
}

/// The accounts that a call of the arena names without a log of its own: settling says nothing of what went well.
/// `None` if the call is of another kind, such as one through a contract.
fn named(domain: &Domain, calldata: &[u8]) -> Option<Vec<AccountId>> {
    /// An entry with the operator's receipt behind it.
    const RECEIPTED: usize = ENTRY + 64;
    Some(match Arena::ArenaCalls::abi_decode(calldata).ok()? {
        Arena::ArenaCalls::settle(call) => settled(domain, &call.entries, ENTRY),
        Arena::ArenaCalls::settleSigned(call) => settled(domain, &call.entries, RECEIPTED),
        Arena::ArenaCalls::settleClaimed(call) => settled(domain, &call.entry, ENTRY),
        Arena::ArenaCalls::conclude(call) => call.terms.seats.into_iter().map(AccountId).collect(),
        _ => return None,
    })
}

/// The accounts of packed entries (R6.7).
fn settled(domain: &Domain, entries: &[u8], stride: usize) -> Vec<AccountId> {
    let separator = domain.separator();
    entries.chunks_exact(stride).filter_map(|entry| signer(&separator, entry)).collect()
}

fn signer(separator: &B256, entry: &[u8]) -> Option<AccountId> {
    let owner = Address::from_slice(entry.get(..20)?);
    let word = |range: std::ops::Range<usize>| Some(u32::from_be_bytes(entry.get(range)?.try_into().ok()?));
    let high = i64::from_be_bytes(entry.get(20..28)?.try_into().ok()?);
    let net = i128::from(high) << 32 | i128::from(word(28..32)?);
    let statement = Statement { net, set: SettledSet { through: word(32..36)?, pending: word(36..40)? } };
    let signature = Signature(entry.get(40..ENTRY)?.try_into().ok()?);
    let key = recover(digest(separator, statement.struct_hash(owner)), &signature).ok()?;
    Some(Player { owner, key }.account())
}

fn digest(separator: &B256, struct_hash: B256) -> B256 {
    alloy_primitives::keccak256([&[0x19, 0x01][..], separator.as_slice(), struct_hash.as_slice()].concat())
}

fn amount(units: U96) -> Amount {
    Amount::new(units.to()).expect("96 bits")
}
