//! What all connections share.
//!
//! Every request is answered by one short, synchronous function: check, change memory under the locks of the accounts or
//! the match concerned, queue the change for the disk. What follows from it being durable (an answer, the operator's
//! signature leaving) happens in the write's callback. No lock is held across a wait, and there is none that all moves
//! share. Locks are taken in the order lobby, match, books (by account id), peer, pool.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use alloy_primitives::{Address, U256};
use bytes::Bytes;
use matchlock::{
    abi::MatchId,
    account::{AccountId, Player},
    rules::{Rules, RulesId},
    wire::{About, GameInfo, Refusal, ToClient, ToServer, Welcome},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    account::{Account, Moment},
    arbiter::Bench,
    chain::{PoolNotice, Submission},
    court::{CourtInfo, Disputes, Venue},
    dispute::Files,
    leave::Leavers,
    ledger::{Ask, ChainAccount},
    lobby::Lobby,
    machine::Machine,
    matches::Match,
    operator::Operator,
    peer::Peer,
    settings::Settings,
    settler::Settler,
    shards::Shards,
    store::{AccountRow, Change, Overload, Store, StoreError},
    sync::lock,
};

/// Seconds after which a time has surely passed on the chain too.
const CHAIN_LAG: u64 = 120;

/// What all connections share.
pub(crate) struct Hub {
    pub(crate) settings: Settings,
    pub(crate) machine: Machine,
    pub(crate) operator: Operator,
    pub(crate) token: Address,
    pub(crate) games: BTreeMap<RulesId, Arc<dyn Rules>>,
    pub(crate) store: Store,
    pub(crate) accounts: Shards<AccountId, Arc<Account>>,
    pub(crate) matches: Shards<MatchId, Arc<Match>>,
    pub(crate) lobby: Mutex<Lobby>,
    /// Proposals by the time at which they lapse.
    pub(crate) deadlines: Mutex<BTreeSet<(u64, MatchId)>>,
    /// Open matches by the time at which they are void.
    pub(crate) expiries: Mutex<BTreeSet<(u64, MatchId)>>,
    pub(crate) settler: Mutex<Settler>,
    pub(crate) leavers: Mutex<Leavers>,
    /// The court's referee; zero where there is no court.
    pub(crate) referee: Address,
    /// The arena's court, where it has one.
    pub(crate) court: Option<CourtInfo>,
    pub(crate) disputes: Mutex<Disputes>,
    pub(crate) files: Mutex<Files>,
    /// Where the operator is one of the court's arbiters.
    pub(crate) bench: Option<Bench>,
    /// What the operator has announced to withdraw from the pool.
    pub(crate) notice: Mutex<PoolNotice>,
    /// Connections with acknowledgements that are sent at the next tick, if nothing takes them along before.
    pub(crate) soon: Mutex<Vec<Peer>>,
    pub(crate) next_match: AtomicU64,
    /// Newest confirmed block and its time.
    pub(crate) height: AtomicU64,
    pub(crate) chain_time: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) closing: AtomicBool,
    pub(crate) started: Instant,
    asks: mpsc::UnboundedSender<Ask>,
}

impl Hub {
    /// A hub with nothing in memory yet; `asks` are worked off by the chain's task.
    pub(crate) fn new(
        settings: Settings,
        machine: Machine,
        operator: Operator,
        venue: Venue,
        games: impl IntoIterator<Item = Arc<dyn Rules>>,
        store: Store,
        asks: mpsc::UnboundedSender<Ask>,
    ) -> Result<Hub, StoreError> {
        let next_match = AtomicU64::new(store.next_match()?);
        let disputes = Mutex::new(Disputes::restore(&store)?);
        let Venue { token, referee, court, bench } = venue;
        Ok(Hub {
            settings,
            machine,
            operator,
            token,
            games: games.into_iter().map(|rules| (rules.id(), rules)).collect(),
            store,
            accounts: Shards::new(),
            matches: Shards::new(),
            lobby: Mutex::default(),
            deadlines: Mutex::default(),
            expiries: Mutex::default(),
            settler: Mutex::default(),
            leavers: Mutex::default(),
            referee,
            court,
            disputes,
            files: Mutex::default(),
            bench,
            notice: Mutex::default(),
            soon: Mutex::default(),
            next_match,
            height: AtomicU64::new(0),
            chain_time: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            started: Instant::now(),
            asks,
        })
    }

    /// Takes one frame of a logged-in connection.
    ///
    /// `bytes` is the frame as it came, which is how a turn goes on.
    pub(crate) fn receive(self: &Arc<Self>, peer: &Peer, account: &Arc<Account>, frame: ToServer, bytes: Bytes) {
        let about = about(&frame);
        let result = match frame {
            ToServer::Turn { match_id, turn } => self.turn(peer, match_id, turn, bytes),
            ToServer::Ack { match_id, turn, signature } => self.ack(peer, match_id, turn, signature),
            ToServer::Sign { match_id, signature } => self.sign(peer, match_id, signature),
            ToServer::Start { match_id, signature } => self.start(peer, match_id, signature),
            ToServer::Statement { statement, signature } => self.statement(account, statement, signature),
            ToServer::Create { tag, spec, offer } => self.create(account, tag, spec, offer),
            ToServer::Join { tag, table, offer } => self.join(account, tag, table, offer),
            ToServer::Quick { tag, spec, offer } => self.quick(account, tag, spec, offer),
            ToServer::Leave { tag, table } => self.leave(account, tag, table),
            ToServer::List { tag, rules } => {
                peer.send(&ToClient::Tables { tag, tables: lock(&self.lobby).list(rules) });
                Ok(())
            }
            ToServer::Withdraw { tag, amount } => self.withdraw(account, tag, amount),
            ToServer::Account { tag } => {
                let view = lock(&account.book).view(self.moment());
                peer.send(&ToClient::Account { tag, account: view });
                Ok(())
            }
            ToServer::Prove { tag, match_id } => self.prove(peer, tag, match_id),
            ToServer::Turns { tag, match_id, from } => self.turns(peer, tag, match_id, from),
            ToServer::Arrivals { tag, match_id, from } => self.arrivals(peer, tag, match_id, from),
            ToServer::Ping => {
                peer.send(&ToClient::Pong);
                Ok(())
            }
            ToServer::Login { .. } => Err(Refusal::Superseded),
            // A variant that this server is too old to know does not decode, so nothing comes here.
            _ => Err(Refusal::Malformed),
        };
        if let Err(refusal) = result {
            peer.refuse(about, refusal);
        }
    }

    /// What a server says first, but for the nonce.
    pub(crate) fn welcome(&self, nonce: alloy_primitives::B256) -> Welcome {
        let games = self.games.values().map(|rules| GameInfo {
            rules: rules.id(),
            name: rules.name().into(),
            seats: (*rules.seats().start() as u8, *rules.seats().end() as u8),
            fee: rules.fee(),
        });
        Welcome {
            nonce,
            domain: *self.operator.domain(),
            operator: self.operator.address(),
            token: self.token,
            games: games.collect(),
            max_clock: self.settings.max_clock,
            open_for: self.settings.open_for,
            expire_after: self.settings.expire_after,
            referee: self.referee,
        }
    }

    /// Whether changes are taken now. Asked before anything changes, so that a failing disk changes nothing.
    pub(crate) fn accepting(&self) -> Result<(), Refusal> {
        if self.closing.load(Ordering::Relaxed) {
            return Err(Refusal::Closing);
        }
        self.store.check().map_err(|overload| match overload {
            Overload::Failing => Refusal::Storage,
            Overload::Full => Refusal::RateLimited { retry_ms: 100 },
        })
    }

    /// The account of a player, from memory, from the store, or new.
    pub(crate) fn account(&self, player: Player) -> Result<Arc<Account>, Refusal> {
        let id = player.account();
        if let Some(account) = self.accounts.find(&id) {
            return Ok(account);
        }
        let row = self.store.account(id).map_err(storage)?;
        let row = row.unwrap_or_else(|| AccountRow::new(player));
        Ok(self.accounts.find_or_insert(id, || Arc::new(Account::new(row))))
    }

    /// The arena's address.
    pub(crate) fn arena(&self) -> Address {
        self.operator.domain().arena
    }

    /// Gets a call of the arena mined, under a key that is sent once.
    pub(crate) fn submit(&self, key: String, calldata: Vec<u8>) {
        let (to, calldata) = (self.arena(), calldata.into());
        self.ask(Ask::Submit(Submission { key, to, calldata, value: U256::ZERO, gas_limit: None }));
    }

    /// Asks the chain for an account. `None`: it does not answer.
    pub(crate) async fn record(&self, id: AccountId) -> Option<ChainAccount> {
        let (answer, wait) = oneshot::channel();
        self.ask(Ask::Record(id, answer));
        wait.await.ok().flatten()
    }

    pub(crate) fn ask(&self, ask: Ask) {
        // Without the chain's task the server is on its way out.
        let _ = self.asks.send(ask);
    }

    /// Takes what the chain says of an account; `batch` is the one that settled something, if one did.
    pub(crate) fn observe(self: &Arc<Self>, account: &Arc<Account>, chain: ChainAccount, batch: u32) {
        let mut book = lock(&account.book);
        let moment = self.moment();
        let before = book.view(moment).available;
        let settled = book.observe(chain, batch);
        self.operator.recount(&mut book);
        let view = book.view(moment);
        if view.available != before {
            account.send(&ToClient::Account { tag: 0, account: view });
        }
        if let Some(statement) = settled {
            let told = account.clone();
            self.store.write(vec![Change::account(&book.row)], move || {
                told.send(&ToClient::Settled { statement, batch });
            });
        }
        let unsettled = book.to_settle().is_some();
        drop(book);
        if chain.exit_at != 0 {
            lock(&self.leavers).add(account.id);
        }
        if unsettled {
            // A reorganisation may have taken back what was settled.
            lock(&self.settler).cosigned(account.id, &[], self.now());
        } else {
            lock(&self.settler).settled(account.id);
        }
        self.resume_withdrawal(account);
    }

    /// Forgets an account that nobody uses and on which nothing hangs: strangers come and go.
    ///
    /// The caller's handle is the only one beside the map's; where there are more, somebody is about to use it.
    pub(crate) fn forget(&self, account: Arc<Account>) {
        let id = account.id;
        self.accounts.remove_if(&id, |known| {
            Arc::strong_count(known) == 2
                && Arc::ptr_eq(known, &account)
                && lock(&account.peer).is_none()
                && lock(&account.book).is_idle(self.moment())
        });
    }

    /// What is looked at often: acknowledgements that nothing took along, proposals that lapse, batches that come of age.
    pub(crate) fn tick(self: &Arc<Self>) {
        self.acknowledge();
        self.lapse();
        self.expire();
        self.answer_exits();
        self.settle();
    }

    /// What is looked at every second: clocks and disputes.
    pub(crate) fn tick_second(self: &Arc<Self>) {
        self.call_clocks();
        self.answer_disputes();
    }

    /// Sends the acknowledgements that nothing took along.
    fn acknowledge(&self) {
        let soon = std::mem::take(&mut *lock(&self.soon));
        soon.iter().for_each(Peer::wake);
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.machine.now()
    }

    /// The same, as far as the chain is concerned: a development chain's time may be ahead.
    pub(crate) fn chain_now(&self) -> u64 {
        self.now().max(self.chain_time.load(Ordering::Relaxed))
    }

    /// Now, here and on the chain.
    pub(crate) fn moment(&self) -> Moment {
        // A block's time is close to the world's, but a little behind; a development chain's may be far ahead.
        let now = self.now();
        Moment { now, passed: self.chain_time.load(Ordering::Relaxed).max(now.saturating_sub(CHAIN_LAG)) }
    }

    /// A match that is in memory, and the seat of an account in it.
    pub(crate) fn seat(
        &self,
        match_id: MatchId,
        account: AccountId,
    ) -> Result<(Arc<Match>, matchlock::game::Seat), Refusal> {
        match self.matches.find(&match_id) {
            Some(found) => found.seat_of(account).map(|seat| (found, seat)).ok_or(Refusal::UnknownMatch),
            None => match self.store.match_by_id(match_id).map_err(storage)? {
                Some((_, row)) if row.terms.seat_of(account).is_some() => Err(Refusal::NotOpen),
                _ => Err(Refusal::UnknownMatch),
            },
        }
    }
}

/// A store that cannot be read refuses like one that cannot be written.
pub(crate) fn storage(error: StoreError) -> Refusal {
    tracing::error!(%error, "the store cannot be read");
    Refusal::Storage
}

fn about(frame: &ToServer) -> About {
    match frame {
        ToServer::Create { tag, .. }
        | ToServer::Join { tag, .. }
        | ToServer::Quick { tag, .. }
        | ToServer::Leave { tag, .. }
        | ToServer::List { tag, .. }
        | ToServer::Withdraw { tag, .. }
        | ToServer::Account { tag }
        | ToServer::Prove { tag, .. }
        | ToServer::Turns { tag, .. }
        | ToServer::Arrivals { tag, .. } => About::Request(*tag),
        ToServer::Sign { match_id, .. } | ToServer::Start { match_id, .. } => About::Match(*match_id),
        ToServer::Turn { match_id, turn } => About::Turn(*match_id, turn.state.turn),
        ToServer::Ack { match_id, turn, .. } => About::Turn(*match_id, *turn),
        ToServer::Statement { .. } => About::Statement,
        _ => About::Session,
    }
}
