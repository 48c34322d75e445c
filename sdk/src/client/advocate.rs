//! The task between a session and the chain: sees what the court knows of its matches, and pleads.
//!
//! Nothing of it is stored. What is to be done follows at every look from the chain's state and from what the session holds, so
//! it is found again after a crash, and again after a reorg; what somebody else did meanwhile the contract refuses before
//! any gas is paid. What a dispute's events tell counts only if the arena keeps the hash of the docket that they come to.

use std::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
    vec::Vec,
};

use alloy_primitives::{Address, B256, FixedBytes, U256};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::Instant,
};

use super::{
    ClientError, ClientEvent, Clock, Command, MatchEvent, Policy,
    exits::{self, Departures},
    own_chain::{Ending, OwnChain},
};
use crate::{
    abi::{Court, MatchId, MatchTerms, Statement},
    account::Player,
    chain::{ArenaChain, BlockId, CallError, DISPUTED, Provider, ProviderError, TxOutcome, read_contract},
    channel::{Channel, Status},
    dispute::{Case, Counsel, Dispute, Moment, Motion, Phase, Plea},
    game::{Amount, Seat},
    rules::Rules,
    session::{Countdown, Hearing, Session, SessionInput},
    sign::{Signature, Signer},
    transcript::Transcript,
    wire::Pair,
};

/// What a client goes to the chain with.
pub(super) struct Bench {
    /// What is read is read here.
    pub(super) node: OwnChain,
    /// What is sent goes through the wallet, if there is one.
    pub(super) arena: ArenaChain<Arc<dyn Provider>>,
    pub(super) has_wallet: bool,
    pub(super) policy: Policy,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) clock: Clock,
}

impl Bench {
    pub(super) fn court(&self) -> Option<Address> {
        Some(self.arena.info().court).filter(|court| *court != Address::ZERO)
    }
}

/// What the session knows that matters on the chain.
pub(super) struct Brief {
    pub(super) player: Player,
    pub(super) receipt: Option<(Statement, Signature)>,
    pub(super) opponents: Vec<Pair>,
    pub(super) files: Vec<File>,
    /// Matches that this player has agreed to and has not seen open.
    hanging: Vec<(MatchId, MatchTerms)>,
}

/// A match that is or was open, and is not settled.
pub(super) struct File {
    pub(super) id: MatchId,
    pub(super) seat: Seat,
    pub(super) index: u32,
    pub(super) status: Status,
    pub(super) transcript: Transcript,
    /// What each seat gets, where that is certain.
    pub(super) outcome: Option<Vec<Amount>>,
    rules: Arc<dyn Rules>,
    turn: u32,
    countdown: Option<Countdown>,
    hearing: Option<Hearing>,
    /// What the newest state gives this player more than it staked.
    gain: i128,
}

impl Brief {
    pub(super) fn of(session: &Session) -> Brief {
        Brief {
            player: session.player(),
            receipt: session.receipt(),
            opponents: session.opponents().copied().collect(),
            files: session.channels().filter_map(|channel| File::of(session, channel)).collect(),
            hanging: session
                .channels()
                .filter(|channel| channel.status() == Status::Opening)
                .map(|channel| (channel.id(), channel.terms().clone()))
                .collect(),
        }
    }
}

impl File {
    fn of(session: &Session, channel: &Channel) -> Option<File> {
        let id = channel.id();
        Some(File {
            id,
            seat: channel.seat(),
            index: channel.index(),
            status: channel.status(),
            transcript: channel.transcript()?,
            outcome: channel.outcome().map(<[Amount]>::to_vec),
            rules: channel.rules().clone(),
            turn: channel.state().turn,
            countdown: session.countdown(id),
            hearing: session.hearing(id),
            gain: channel.terms().delta(channel.seat(), &channel.state().payouts),
        })
    }

    /// Whether the chain can still say something about it that this session does not know.
    fn is_open(&self) -> bool {
        matches!(self.status, Status::Open { .. } | Status::Over | Status::Faulted(_) | Status::Concluded)
    }

    fn case(&self) -> Option<Case> {
        // The channel would not be there if its terms did not start its rules.
        Case::new(self.transcript.clone(), &self.rules).ok()
    }
}

/// What is known of a match on the chain.
#[derive(Default)]
struct Known {
    /// No block before this one can have anything of the match.
    from: Option<u64>,
    dispute: Option<(FixedBytes<29>, Dispute)>,
    contested: bool,
}

/// What was sent and is not mined, and what was refused last.
#[derive(Default)]
struct Ledger {
    under_way: BTreeSet<String>,
    refused: BTreeMap<String, String>,
    /// When the person at the wallet said no.
    rejected: BTreeMap<String, Instant>,
}

/// A person who said no is asked the same again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// A call to be sent.
pub(super) struct Order {
    /// Names it: it is sent once at a time.
    pub(super) key: String,
    pub(super) to: Address,
    pub(super) calldata: Vec<u8>,
    pub(super) value: U256,
}

/// Whoever looks at the chain for a session.
pub(super) struct Advocate {
    pub(super) bench: Arc<Bench>,
    commands: mpsc::WeakSender<Command>,
    pub(super) events: broadcast::Sender<ClientEvent>,
    known: BTreeMap<MatchId, Known>,
    pub(super) departures: Departures,
    ledger: Arc<Mutex<Ledger>>,
    /// The newest block, and when it was seen first.
    head: Option<(B256, Instant)>,
    started: u64,
    lost: bool,
}

/// The session's task has ended.
struct Ended;

enum Trouble {
    Ended,
    Chain(ProviderError),
}

impl From<Ended> for Trouble {
    fn from(_: Ended) -> Trouble {
        Trouble::Ended
    }
}

impl From<ProviderError> for Trouble {
    fn from(error: ProviderError) -> Trouble {
        Trouble::Chain(error)
    }
}

/// Follows the chain for a client until that is closed.
pub(super) async fn run(
    bench: Arc<Bench>,
    commands: mpsc::WeakSender<Command>,
    events: broadcast::Sender<ClientEvent>,
) {
    let started = bench.clock.now();
    let mut advocate = Advocate {
        bench,
        commands,
        events,
        known: BTreeMap::new(),
        departures: Departures::default(),
        ledger: Arc::default(),
        head: None,
        started,
        lost: false,
    };
    loop {
        match advocate.look().await {
            Err(Trouble::Ended) => return,
            Ok(()) if advocate.lost => {
                advocate.lost = false;
                advocate.tell(ClientEvent::ChainFound);
            }
            Ok(()) => {}
            Err(Trouble::Chain(error)) if !advocate.lost => {
                advocate.lost = true;
                advocate.tell(ClientEvent::ChainLost(error));
            }
            Err(Trouble::Chain(_)) => {}
        }
        tokio::time::sleep(advocate.bench.policy.interval).await;
    }
}

impl Advocate {
    /// Looks at everything once, and does what is due.
    async fn look(&mut self) -> Result<(), Trouble> {
        let brief = self.brief().await?;
        let hangs = |id: &MatchId| brief.hanging.iter().any(|(hanging, _)| hanging == id);
        self.known.retain(|id, _| hangs(id) || brief.files.iter().any(|file| file.id == *id));
        if !self.bench.has_wallet && brief.hanging.is_empty() && !brief.files.iter().any(File::is_open) {
            return Ok(());
        }
        let moment = self.moment().await?;
        for (match_id, terms) in &brief.hanging {
            self.look_behind(*match_id, terms).await?;
        }
        for file in brief.files.iter().filter(|file| file.is_open()) {
            self.look_at(file, moment).await?;
        }
        if self.bench.has_wallet {
            exits::go_on(self, &brief, moment).await?;
        }
        Ok(())
    }

    /// This moment, for the chain: how a machine's clock is set does not matter to a court.
    async fn moment(&mut self) -> Result<Moment, ProviderError> {
        let head = self.bench.node.0.head().await?;
        let seen = self.head.filter(|(hash, _)| *hash == head.hash).map_or_else(Instant::now, |(_, seen)| seen);
        self.head = Some((head.hash, seen));
        let passed: u64 = head.timestamp.to();
        Ok(Moment { now: passed + seen.elapsed().as_secs(), passed })
    }

    /// Whether a match was opened behind this player's back: the court takes only what every seat has signed.
    async fn look_behind(&mut self, match_id: MatchId, terms: &MatchTerms) -> Result<(), Trouble> {
        let arena = self.bench.arena.info().domain.arena;
        let ending = self.bench.node.ending(arena, match_id, BlockId::Latest).await?;
        if ending.is_concluded() {
            return self.ended(match_id, terms, ending).await;
        }
        if ending.status == DISPUTED
            && let Some(dispute) = self.read(match_id, terms, ending.kept).await?
            // A doubt shows nothing: it says that the match was not opened (R7.12).
            && dispute.docket().phase() != Phase::Doubted
        {
            self.input(SessionInput::Shown { match_id, shown: dispute.shown().to_vec() }).await?;
        }
        Ok(())
    }

    async fn look_at(&mut self, file: &File, moment: Moment) -> Result<(), Trouble> {
        let bench = self.bench.clone();
        let arena = bench.arena.info().domain.arena;
        match bench.node.ending(arena, file.id, BlockId::Latest).await? {
            Ending { status: DISPUTED, kept, .. } => self.disputed(file, kept, moment).await,
            ending if ending.is_concluded() => self.concluded(file, ending).await,
            _ => {
                let known = self.known.entry(file.id).or_default();
                if known.dispute.take().is_some() || file.hearing.is_some_and(|hearing| hearing.phase.is_some()) {
                    self.input(SessionInput::Docket { match_id: file.id, docket: None }).await?;
                }
                if self.is_overdue(file) {
                    let plea = file.case().and_then(|case| speak(file, &case, &bench.policy).challenge(moment));
                    self.plead(file, plea).await?;
                }
                Ok(())
            }
        }
    }

    /// Whether somebody else let its clock run out, and a challenge is worth its gas: without one the stakes go back.
    fn is_overdue(&self, file: &File) -> bool {
        let Some(Countdown { seat, until, .. }) = file.countdown else { return false };
        let policy = &self.bench.policy;
        // What came while this client was not there may still be on its way from the server.
        let late = until.max(self.started).saturating_add(policy.grace);
        seat != Some(file.seat)
            && file.gain > 0
            && self.bench.clock.now() > late
            && Amount::total(&file.transcript.terms.stakes).is_none_or(|pot| pot >= policy.challenge_from)
    }

    async fn disputed(&mut self, file: &File, kept: FixedBytes<29>, moment: Moment) -> Result<(), Trouble> {
        let same = self.known.get(&file.id).and_then(|known| known.dispute.as_ref()).filter(|(hash, _)| *hash == kept);
        let dispute = match same {
            Some((_, dispute)) => dispute.clone(),
            // Read anew at every change, from its beginning: so a reorg is nothing special.
            None => {
                let Some(dispute) = self.read(file.id, &file.transcript.terms, kept).await? else { return Ok(()) };
                self.known.entry(file.id).or_default().dispute = Some((kept, dispute.clone()));
                dispute
            }
        };
        let (match_id, docket) = (file.id, *dispute.docket());
        if file.hearing != Some(Hearing::from(&docket)) {
            self.input(SessionInput::Docket { match_id, docket: Some(docket) }).await?;
        }
        if dispute.shown().iter().any(|shown| shown.state.turn > file.turn) {
            self.input(SessionInput::Shown { match_id, shown: dispute.shown().to_vec() }).await?;
        }
        if !self.bench.has_wallet {
            return Ok(());
        }
        let Some(case) = file.case() else { return Ok(()) };
        let plea = speak(file, &case, &self.bench.policy).plead(&dispute, moment);
        let ends = plea.as_ref().is_some_and(|plea| plea.motion == Motion::Finalize);
        // Whoever wins by it ends it, and the server first.
        let late = moment.passed > docket.until().saturating_add(self.bench.policy.grace);
        if ends && !(late && gains(file, &case, &dispute)) {
            return Ok(());
        }
        self.plead(file, plea).await
    }

    /// The dispute whose docket the arena keeps this hash of; `None`: its events do not say so, or not yet.
    async fn read(
        &mut self,
        id: MatchId,
        terms: &MatchTerms,
        kept: FixedBytes<29>,
    ) -> Result<Option<Dispute>, ProviderError> {
        let Some(court) = self.bench.court() else { return Ok(None) };
        let from = self.first_block(id, terms).await?;
        self.bench.node.dispute(court, id, from, kept).await
    }

    async fn first_block(&mut self, id: MatchId, terms: &MatchTerms) -> Result<u64, ProviderError> {
        if let Some(from) = self.known.get(&id).and_then(|known| known.from) {
            return Ok(from);
        }
        let from = self.bench.node.first_block(terms).await?;
        self.known.entry(id).or_default().from = Some(from);
        Ok(from)
    }

    /// The chain has an outcome: believed once it is deep enough.
    async fn concluded(&mut self, file: &File, newest: Ending) -> Result<(), Trouble> {
        let known = self.known.entry(file.id).or_default();
        if core::mem::take(&mut known.contested) {
            exits::reclaim(self, file.id);
        }
        if file.status == Status::Concluded {
            return Ok(());
        }
        self.ended(file.id, &file.transcript.terms, newest).await
    }

    /// The chain has an outcome that the session does not know: told once it is deep enough.
    async fn ended(&mut self, id: MatchId, terms: &MatchTerms, newest: Ending) -> Result<(), Trouble> {
        let bench = self.bench.clone();
        let arena = bench.arena.info().domain.arena;
        if bench.policy.depth > 0 {
            let head: u64 = bench.node.0.head().await?.number.to();
            let at = BlockId::Number(head.saturating_sub(bench.policy.depth));
            let deep = bench.node.ending(arena, id, at).await?;
            if !deep.is_concluded() || deep.kept != newest.kept {
                return Ok(());
            }
        }
        let from = self.first_block(id, terms).await?;
        if let Some(payouts) = bench.node.payouts(arena, id, from, newest.kept).await? {
            self.input(SessionInput::Outcome { match_id: id, payouts }).await?;
        }
        Ok(())
    }

    /// Brings a plea to the court, if there is one and a wallet to pay for it.
    async fn plead(&mut self, file: &File, plea: Option<Plea>) -> Result<(), Trouble> {
        let bench = self.bench.clone();
        let (Some(Plea { key, motion, calldata }), true) = (plea, bench.has_wallet) else { return Ok(()) };
        let info = bench.arena.info();
        let Some(court) = bench.court() else { return Ok(()) };
        let to = if motion.is_for_arena() { info.domain.arena } else { court };
        let mut value = U256::ZERO;
        if motion.is_bonded() {
            let limits = read_contract(&bench.node.0, court, &Court::limitsCall {}, BlockId::Latest).await?;
            value = U256::from(limits.bond);
            self.known.entry(file.id).or_default().contested = true;
            self.departures.put_up_a_bond();
        }
        let match_id = file.id;
        self.order(Order { key, to, calldata, value }, move |outcome| {
            let event = outcome.as_ref().ok().map(|_| (match_id, MatchEvent::Pleaded { motion }));
            (event, ClientEvent::Pleaded { match_id, motion, outcome: outcome.map(|outcome| outcome.hash) })
        });
        Ok(())
    }

    /// Sends a call, unless it is under way; what comes of it is told, and the same refusal once only.
    pub(super) fn order(
        &self,
        order: Order,
        tell: impl FnOnce(Result<TxOutcome, CallError>) -> (Option<(MatchId, MatchEvent)>, ClientEvent) + Send + 'static,
    ) {
        {
            let mut ledger = lock(&self.ledger);
            let rejected = ledger.rejected.get(&order.key).is_some_and(|when| when.elapsed() < ASK_AGAIN);
            if rejected || !ledger.under_way.insert(order.key.clone()) {
                return;
            }
        }
        let (bench, ledger, commands) = (self.bench.clone(), self.ledger.clone(), self.commands.clone());
        tokio::spawn(async move {
            let Order { key, to, calldata, value } = order;
            let outcome = send(&bench, to, calldata, value).await;
            let news = {
                let mut ledger = lock(&ledger);
                ledger.under_way.remove(&key);
                match &outcome {
                    Ok(_) => {
                        ledger.refused.remove(&key);
                        true
                    }
                    Err(error) => {
                        if matches!(error, CallError::Provider(ProviderError::Rejected)) {
                            ledger.rejected.insert(key.clone(), Instant::now());
                        }
                        let reason = error.to_string();
                        ledger.refused.insert(key, reason.clone()) != Some(reason)
                    }
                }
            };
            if let (true, Some(commands)) = (news, commands.upgrade()) {
                let (event, everybody) = tell(outcome);
                let _ = commands.send(Command::Tell(event, everybody)).await;
            }
        });
    }

    pub(super) fn tell(&self, event: ClientEvent) {
        let _ = self.events.send(event);
    }

    async fn brief(&self) -> Result<Brief, Ended> {
        let (answer, answered) = oneshot::channel();
        let look = Command::Look(std::boxed::Box::new(move |session| drop(answer.send(Brief::of(session)))));
        let commands = self.commands.upgrade().ok_or(Ended)?;
        commands.send(look).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// What the session refuses it is told again, as long as the chain says so.
    async fn input(&self, input: SessionInput) -> Result<(), Ended> {
        let (answer, answered) = oneshot::channel();
        let commands = self.commands.upgrade().ok_or(Ended)?;
        commands.send(Command::Input(input, answer)).await.map_err(|_| Ended)?;
        let _refused: Result<(), ClientError> = answered.await.map_err(|_| Ended)?;
        Ok(())
    }
}

/// Who speaks for this player's seat.
fn speak<'a>(file: &File, case: &'a Case, policy: &Policy) -> Counsel<'a> {
    Counsel { seat: Some(file.seat), patience: policy.patience, ..case.counsel() }
}

/// Whether this player gets no less than its stake where the dispute ends as it stands, as far as can be seen.
fn gains(file: &File, case: &Case, dispute: &Dispute) -> bool {
    let (signed, docket) = (case.signed(), dispute.docket());
    let held = signed.header(docket.turn());
    let mut known = held.into_iter().chain(dispute.shown().iter().map(|shown| &shown.state));
    let top = known.find(|state| state.hash(file.id) == docket.top());
    top.is_none_or(|top| case.terms().delta(file.seat, &top.payouts) >= 0)
}

/// Sends a call and waits for it, also where it takes longer than usual.
pub(super) async fn send(bench: &Bench, to: Address, calldata: Vec<u8>, value: U256) -> Result<TxOutcome, CallError> {
    match bench.arena.send(to, calldata, value).await {
        // As long as the node has it, another one would only be paid for as well.
        Err(CallError::Pending { hash, seconds }) => loop {
            if bench.node.0.transaction(hash).await?.is_none() {
                return Err(CallError::Pending { hash, seconds });
            }
            if let Some(receipt) = bench.node.0.mined(hash, bench.policy.interval).await? {
                return match receipt.succeeded() {
                    true => Ok(TxOutcome::of(receipt)),
                    false => Err(CallError::Reverted { hash, revert: Default::default() }),
                };
            }
        },
        outcome => outcome,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
