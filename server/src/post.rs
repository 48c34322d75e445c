//! A post: what a tower and an arbiter have in common. It follows the chain, keeps what it was given, looks at every dispute now
//! and then, and does what is to be done.

mod arbitrate;
mod exits;
mod http;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Address, U256};
use matchlock::{
    abi::{Domain, MatchId},
    account::{AccountId, SettledSet},
    dispute::{Dispute, Moment, Plea},
    game::BasisPoints,
    rules::{Rules, RulesId},
    wire::Pair,
};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    arbiter::{Bench, Sources},
    chain::{
        At, Chain, ChainAccount, ChainError, ChainEvent, ChainUpdate, Health, Outcomes, Sender, SenderStatus,
        Submission, Watch,
    },
    court::{CourtInfo, Disputes},
    follow::{Notes, submit},
    limiter::Limiter,
    server::{StartError, bind},
    store::{Store, StoreError},
    sync::lock,
    tower::{Book, Limits, Seal},
};

/// How often disputes and exits are looked at. Windows are minutes or more.
const LOOK: Duration = Duration::from_millis(500);
/// So many looks from one to the next that forgets what is over.
const SWEEP: u64 = 120;
/// Seconds for which a match that is over is kept: for a reorganisation that nobody expected, and for whoever wants to read it.
const KEEP: u64 = 24 * 60 * 60;
/// Seconds after its expiry at which a match is forgotten whatever became of it: a result that nobody has brought to the chain by then,
/// nobody will.
const LONG_PAST: u64 = 30 * 24 * 60 * 60;
/// Seconds after which a time has surely passed on the chain too.
const CHAIN_LAG: u64 = 120;
/// How long a graceful shutdown waits.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where a post stands, and what it is to do there.
pub(crate) struct Orders {
    pub(crate) listen: SocketAddr,
    pub(crate) chain: Chain,
    pub(crate) store: Store,
    pub(crate) games: Vec<Arc<dyn Rules>>,
    pub(crate) limits: Limits,
    /// The share of a window after which it speaks for who is away; `None`: it does not.
    pub(crate) speaks: Option<BasisPoints>,
    /// Whether its key is to be one of the court's arbiters'.
    pub(crate) rules: bool,
    /// Where transcripts are to be had.
    pub(crate) sources: Sources,
}

/// What all its tasks share.
pub(crate) struct Post {
    chain: Chain,
    court: Option<CourtInfo>,
    store: Arc<Store>,
    games: BTreeMap<RulesId, Arc<dyn Rules>>,
    book: Arc<Book>,
    limiter: Limiter,
    disputes: Mutex<Disputes>,
    speaks: Option<BasisPoints>,
    bench: Option<Arc<Bench>>,
    sources: Sources,
    /// Disputes that are being judged, and when a transcript was last asked for.
    judging: Mutex<BTreeMap<MatchId, Judging>>,
    /// Accounts whose exit is open.
    leavers: Mutex<BTreeMap<AccountId, ChainAccount>>,
    /// What is settled of the accounts that sit in matches here.
    settled: Mutex<BTreeMap<AccountId, SettledSet>>,
    /// Accounts of which the chain was not asked yet.
    unread: Mutex<BTreeSet<AccountId>>,
    /// Matches that are over on the chain, since when.
    over: Mutex<BTreeMap<MatchId, u64>>,
    height: AtomicU64,
    chain_time: AtomicU64,
    sender: Sender,
    health: watch::Receiver<Health>,
    status: watch::Receiver<SenderStatus>,
}

#[derive(Default)]
struct Judging {
    busy: bool,
    asked: Option<Instant>,
    silent: bool,
}

/// A post that is held.
pub(crate) struct Held {
    pub(crate) addr: SocketAddr,
    pub(crate) post: Arc<Post>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    following: JoinHandle<()>,
}

impl Orders {
    /// Takes the post. It has picked up everything that an earlier run left when this returns.
    pub(crate) async fn take(self) -> Result<Held, StartError> {
        let Orders { listen, chain, store, games, limits, speaks, rules, sources } = self;
        let listener = TcpListener::bind(listen).await.map_err(|source| StartError::Listen { listen, source })?;
        let addr = listener.local_addr().map_err(|source| StartError::Listen { listen, source })?;
        let info = *chain.arena();
        bind(&store, &info.domain)?;
        let court = CourtInfo::read(&chain).await?;
        let key = &chain.config().key;
        let bench = if rules { Bench::take(&chain, court, key, &store).await?.map(Arc::new) } else { None };
        if rules && bench.is_none() {
            return Err(StartError::NoArbiter(matchlock::sign::Signer::address(key)));
        }
        let disputes = Mutex::new(Disputes::restore(&store)?);
        let store = Arc::new(store);
        let games: BTreeMap<RulesId, Arc<dyn Rules>> = games.into_iter().map(|rules| (rules.id(), rules)).collect();
        let seal = Seal { domain: info.domain, operator: info.operator, referee: info.referee };
        let limiter = Limiter::new(limits.requests_per_second);
        let book = Arc::new(Book::restore(seal, games.clone(), limits, store.clone())?);

        let notes = Arc::new(Notes(store.clone()));
        let (sender, outcomes) = chain.sender(notes.clone()).await?;
        let watch = chain.watch(notes).await?;
        let tip = chain.tip(At::Confirmed).await?;
        let post = Arc::new(Post {
            unread: Mutex::new(book.accounts()),
            court,
            store,
            games,
            book,
            limiter,
            disputes,
            speaks,
            bench,
            sources,
            judging: Mutex::default(),
            leavers: Mutex::default(),
            settled: Mutex::default(),
            over: Mutex::default(),
            height: AtomicU64::new(tip.height),
            chain_time: AtomicU64::new(tip.time),
            status: sender.status(),
            sender,
            health: watch.health(),
            chain,
        });
        post.read_accounts().await?;

        let (stop, stopped) = oneshot::channel();
        let router = http::router(post.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move {
            let serve = axum::serve(listener, router).with_graceful_shutdown(async {
                let _ = stopped.await;
            });
            if let Err(error) = serve.await {
                tracing::error!(%error, "the listener failed");
            }
        });
        let following = tokio::spawn(follow(post.clone(), outcomes, watch));
        tracing::info!(%addr, arena = %info.domain.arena, chain = info.domain.chain_id, wallet = %post.wallet(), "watching");
        Ok(Held { addr, post, stop: Some(stop), serving, following })
    }
}

impl Held {
    /// Makes everything durable, and stops.
    pub(crate) async fn shutdown(mut self) {
        self.stop().await;
        let store = self.post.store.clone();
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }

    /// Stops at once and loses everything that is not durable: what a killed process leaves behind. For tests.
    pub(crate) async fn kill(mut self) {
        self.post.store.kill();
        self.stop().await;
    }

    async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if timeout(FAREWELL, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
        self.following.abort();
        let _ = (&mut self.following).await;
    }
}

/// Ends with the watcher.
async fn follow(post: Arc<Post>, mut outcomes: Outcomes, mut watch: Watch) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0u64;
    loop {
        tokio::select! {
            Some(outcome) = outcomes.next() => {
                let key = outcome.key().to_owned();
                match &outcome {
                    crate::chain::Outcome::Confirmed(mined) => tracing::info!(key, gas = mined.gas_used, "done"),
                    // Somebody else was faster.
                    outcome => tracing::info!(?outcome, "the chain refused a call"),
                }
                lock(&post.disputes).answered(post.now(), &outcome);
                if let Err(error) = post.sender.forget(&key).await {
                    tracing::warn!(%error, key, "the sender does not forget");
                }
            }
            event = watch.next() => {
                let Some(event) = event else {
                    tracing::error!("the chain's watcher has stopped");
                    return;
                };
                post.event(&event).await;
                if let Err(error) = watch.done(&event).await {
                    tracing::warn!(%error, "the watcher's place is not kept; its events come again");
                }
            }
            _ = looks.tick() => {
                if let Err(error) = post.look(count).await {
                    tracing::warn!(%error, "the chain cannot be read");
                }
                count += 1;
            }
        }
    }
}

impl Post {
    async fn event(&self, event: &ChainEvent) {
        match event {
            ChainEvent::Update(update) => self.update(update),
            ChainEvent::Resync(resync) => {
                tracing::warn!(?resync, "the chain was reorganised below the confirmed block");
                self.height.store(resync.height, Ordering::Relaxed);
                self.chain_time.store(resync.time, Ordering::Relaxed);
                let changes = lock(&self.disputes).undone(resync.fork);
                self.store.write(changes, || {});
                lock(&self.over).clear();
                lock(&self.settled).clear();
                lock(&self.unread).extend(self.book.accounts());
            }
        }
    }

    fn update(&self, update: &ChainUpdate) {
        let height = update.height;
        self.height.store(height, Ordering::Relaxed);
        self.chain_time.store(update.time, Ordering::Relaxed);
        let mut changes = Vec::new();
        {
            let mut disputes = lock(&self.disputes);
            for told in &update.disputes {
                let match_id = told.match_id;
                changes.push(disputes.told(height, told));
                if let Some(docket) = disputes.find(&match_id).map(Dispute::docket) {
                    let (turn, until, phase) = (docket.turn(), docket.until(), docket.phase());
                    tracing::info!(%match_id, turn, until, ?phase, "in dispute");
                }
            }
            changes.extend(update.testimonies.iter().filter_map(|testimony| disputes.hear(height, testimony)));
            for concluded in &update.concluded {
                changes.extend(disputes.ended(height, concluded.match_id));
            }
        }
        if !changes.is_empty() {
            self.store.write(changes, || {});
        }
        for concluded in &update.concluded {
            if self.book.find(&concluded.match_id).is_some() {
                lock(&self.over).entry(concluded.match_id).or_insert(update.time);
            }
        }
        let known = self.book.accounts();
        for (account, record) in update.touched.iter().filter(|(account, _)| known.contains(account)) {
            self.observe(*account, *record);
        }
        if update.reread_all {
            lock(&self.unread).extend(known);
        }
    }

    fn observe(&self, account: AccountId, record: ChainAccount) {
        lock(&self.settled).insert(account, record.set);
        let mut leavers = lock(&self.leavers);
        match record.is_leaving() {
            true => drop(leavers.insert(account, record)),
            false => drop(leavers.remove(&account)),
        }
    }

    /// What the chain says of accounts that are new here.
    async fn read_accounts(&self) -> Result<(), ChainError> {
        let unread: Vec<AccountId> = lock(&self.unread).iter().copied().collect();
        for ids in unread.chunks(256) {
            let records = self.chain.records(ids, At::Confirmed).await?;
            for (id, record) in ids.iter().zip(records) {
                self.observe(*id, record);
                lock(&self.unread).remove(id);
            }
        }
        Ok(())
    }

    /// Does what is due. Called now and then.
    async fn look(self: &Arc<Self>, count: u64) -> Result<(), ChainError> {
        self.read_accounts().await?;
        if !self.store.healthy() {
            return Ok(());
        }
        let past = lock(&self.disputes).forget(self.height.load(Ordering::Relaxed));
        if !past.is_empty() {
            self.store.write(past, || {});
        }
        if let Some(court) = self.court {
            let open = lock(&self.disputes).open();
            for (match_id, dispute) in open {
                if let Err(error) = self.attend(court, match_id, &dispute) {
                    tracing::error!(%error, %match_id, "a dispute cannot be answered; trying again");
                }
            }
        }
        if let Some(patience) = self.speaks {
            self.answer_exits(patience);
        }
        if count.is_multiple_of(SWEEP) {
            self.sweep().await?;
        }
        Ok(())
    }

    /// Looks at one dispute.
    fn attend(self: &Arc<Self>, court: CourtInfo, match_id: MatchId, dispute: &Dispute) -> Result<(), StoreError> {
        if let Some(patience) = self.speaks
            && let Some(file) = self.book.file(match_id)?
        {
            let mut counsel = file.counsel();
            counsel.patience = patience;
            let moment = self.moment();
            let plea = counsel.plead(dispute, moment).or_else(|| counsel.verdict(dispute, court.quorum, moment));
            if let Some(plea) = plea {
                self.plead(court, plea);
            }
        }
        if let Some(bench) = &self.bench {
            self.arbitrate(court, bench, match_id, dispute);
        }
        Ok(())
    }

    /// Submits a plea; what was submitted under its key is not submitted again.
    fn plead(&self, court: CourtInfo, plea: Plea) {
        if lock(&self.disputes).submit(self.now(), &plea) {
            self.submit_plea(court, plea);
        }
    }

    fn submit_plea(&self, court: CourtInfo, plea: Plea) {
        tracing::info!(key = plea.key, "to the court: {}", plea.motion);
        self.submit(court.submission(plea));
    }

    fn submit(&self, submission: Submission) {
        let queue = self.sender.queue().clone();
        tokio::spawn(async move { submit(&queue, submission).await });
    }

    /// Submits a call of the arena, once.
    fn submit_once(&self, key: String, what: &str, calldata: Vec<u8>) {
        if !lock(&self.disputes).submit_as(self.now(), &key, || what.to_owned()) {
            return;
        }
        tracing::info!(key, "to the arena: {what}");
        let to = self.chain.arena().domain.arena;
        self.submit(Submission { key, to, calldata: calldata.into(), value: U256::ZERO, gas_limit: None });
    }

    /// Forgets what is over.
    async fn sweep(&self) -> Result<(), ChainError> {
        let passed = self.moment().passed;
        let settled = lock(&self.settled).clone();
        for (id, kept) in self.book.matches() {
            let terms = kept.terms();
            let is_settled = (terms.seats.iter().zip(&terms.indexes))
                .all(|(seat, index)| settled.get(seat).is_some_and(|set| set.contains(*index)));
            let known = lock(&self.over).get(&id).copied();
            let is_past = passed > terms.expiry;
            let over = match known {
                Some(since) => Some(since),
                None if is_settled || is_past && self.chain.concluded(id, At::Confirmed).await? => Some(passed),
                // Void: neither in dispute by its expiry nor ever signed off (R5.11).
                None if is_past && !kept.is_concluded() && lock(&self.disputes).find(&id).is_none() => {
                    Some(terms.expiry)
                }
                None => None,
            };
            if let Some(since) = over {
                lock(&self.over).entry(id).or_insert(since);
            }
            let in_dispute = lock(&self.disputes).find(&id).is_some();
            let done = over.is_some_and(|since| passed > since + KEEP) || passed > terms.expiry + LONG_PAST;
            if done && !in_dispute {
                tracing::info!(match_id = %id, "a match is over, and forgotten");
                self.book.forget(id);
                lock(&self.over).remove(&id);
            }
        }
        for (account, set) in &settled {
            let is_settled = |pair: Pair| !pair.statement.set.exceeds(set);
            if self.book.pair_of(account).is_some_and(is_settled) && !lock(&self.leavers).contains_key(account) {
                self.book.forget_pair(*account);
            }
        }
        let accounts = self.book.accounts();
        lock(&self.settled).retain(|account, _| accounts.contains(account));
        lock(&self.leavers).retain(|account, _| accounts.contains(account));
        Ok(())
    }

    /// Whose wallet pays.
    pub(crate) fn wallet(&self) -> Address {
        matchlock::sign::Signer::address(&self.chain.config().key)
    }

    /// Where it stands.
    pub(crate) fn domain(&self) -> Domain {
        self.chain.arena().domain
    }

    /// What is held.
    pub(crate) fn book(&self) -> &Book {
        &self.book
    }

    /// Seconds since 1970.
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
    }

    /// This moment, for the court.
    fn moment(&self) -> Moment {
        let now = self.now();
        let chain = self.chain_time.load(Ordering::Relaxed);
        // A block's time is close to the world's, but a little behind; a development chain's may be far ahead.
        Moment { now: now.max(chain), passed: chain.max(now.saturating_sub(CHAIN_LAG)) }
    }
}
