//! The connected client for native programs: a [`Session`] with a socket, a store and a clock.
//!
//! ```no_run
//! # use matchlock::{client::*, doc::TicTacToe, game::Amount, rules::GameRules, sign::Key};
//! # async fn run(key: Key, owner: alloy_primitives::Address) -> Result<(), ClientError> {
//! let rules = vec![GameRules::shared(TicTacToe, Default::default())];
//! let store = RedbStore::open("player.redb")?;
//! let client = Client::connect(ClientConfig::new("ws://127.0.0.1:7777/ws", owner, key, rules, store)).await?;
//! let mut game = client.quick(&TicTacToe, Default::default(), Seats::two(Amount::from_u64(1000))).await?;
//! while let Some(event) = game.event().await {
//!     if let Some(board) = game.my_turn()? {
//!         let free = board.iter().position(Option::is_none).expect("a free cell");
//!         game.play(&(free as u8)).await?;
//!     }
//!     if matches!(event, MatchEvent::Concluded) {
//!         break;
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! One task owns the session. Handles send it wishes and get answers; each also has a polled form (`try_event`), for
//! games with a frame loop of their own.

mod actor;
mod advocate;
mod config;
mod exits;
mod link;
mod matches;
mod own_chain;
mod store;
mod towers;

use std::{boxed::Box, sync::Arc, time::Duration, vec::Vec};

use alloc::string::String;
use alloy_primitives::B256;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use advocate::Bench;
use own_chain::OwnChain;

pub use config::{ClientConfig, Clock, Policy};
pub use exits::Deed;
pub use matches::{GameMatch, Match, MatchEvent, Snapshot};
pub use store::{MemoryStore, RedbStore, Store, StoreError};
pub use towers::{TowerError, TowerState, Watchtower};

pub use crate::chain::SignedWithdrawal;
use crate::{
    abi::MatchId,
    account::{AccountId, Player},
    chain::{CallError, ProviderError},
    dispute::Motion,
    game::{Amount, BasisPoints, Game},
    rules::{GameRules, Rules, RulesError, RulesId},
    session::{Session, SessionError, SessionInput, SessionNotice, Wanted},
    wire::{AccountView, Refusal, ResultLeaf, TableId, TableInfo, TableSpec, ToClient, Welcome},
};

/// A player at a server. Clones are handles to the same player.
#[derive(Clone)]
pub struct Client {
    player: Player,
    welcome: Welcome,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<ClientEvent>,
    link: watch::Receiver<Link>,
    /// With a node and a wallet.
    bench: Option<Arc<Bench>>,
}

/// The state of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Logged in.
    Online,
    /// Lost; the client reconnects by itself and goes on where it stood.
    Offline,
    /// Closed for good.
    Closed,
}

/// What happens outside of matches.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The connection changed.
    Link(Link),
    /// Something happened to the account.
    Notice(SessionNotice),
    /// The server sent something that makes no sense, or that nobody honest would; it was ignored.
    Suspicious(String),
    /// What the server sent could not be stored, so it has not happened; the client reconnects until it can be.
    NotStored(StoreError),
    /// The client went to court by itself, or tried to. What is due and failed is tried again.
    Pleaded {
        /// The match.
        match_id: MatchId,
        /// What it did.
        motion: Motion,
        /// The transaction.
        outcome: Result<B256, CallError>,
    },
    /// The client did something else on the chain by itself: answered an opponent's exit, or went on with its own.
    Acted {
        /// What.
        deed: Deed,
        /// The transaction.
        outcome: Result<B256, CallError>,
    },
    /// This account leaves: its exit is open, until then in the chain's Unix seconds.
    ExitOpened {
        /// When what is not locked can be paid.
        until: u64,
    },
    /// An exit has paid.
    ExitFinished {
        /// So much, to the owner.
        paid: Amount,
    },
    /// The client's own node does not answer; nothing is seen and nothing done on the chain until it does.
    ChainLost(ProviderError),
    /// It answers again.
    ChainFound,
    /// How a watchtower fares, where that changed. Play does not wait for any.
    Tower {
        /// The tower, as it was configured.
        url: String,
        /// How it fares.
        state: TowerState,
    },
}

/// A table for so many, at this stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    /// How many play.
    pub seats: u8,
    /// What each stakes.
    pub stake: Amount,
    /// Seconds a seat may think.
    pub clock: u32,
    /// Not listed in the lobby.
    pub private: bool,
}

impl Seats {
    /// A listed table for two, with 60 seconds to think.
    pub fn two(stake: Amount) -> Seats {
        Seats::of(2, stake)
    }

    /// A listed table with 60 seconds to think.
    pub fn of(seats: u8, stake: Amount) -> Seats {
        Seats { seats, stake, clock: 60, private: false }
    }

    /// As the lobby describes a table of these rules.
    pub fn spec(self, rules: RulesId) -> TableSpec {
        TableSpec { rules, seats: self.seats, stake: self.stake, clock: self.clock, private: self.private }
    }
}

/// A settled result with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The batch.
    pub batch: u32,
    /// The result.
    pub result: ResultLeaf,
    /// Siblings from the leaf to the root.
    pub path: Vec<B256>,
}

/// Why a wish was not granted. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server does not answer.
    #[error("no server at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// In the system's words.
        reason: String,
    },
    /// The address is `wss://`, and this build has no TLS.
    #[error("this build has no TLS for {url}: build `matchlock` with the feature `tls`")]
    NoTls {
        /// Where.
        url: String,
    },
    /// The server speaks another protocol, or none.
    #[error("{0} is no Matchlock server of this version")]
    NotAServer(String),
    /// The server said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The session said no.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The rules said no.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// What was to be signed could not be stored, so it was not signed.
    #[error("not signed, because it could not be stored: {0}")]
    Store(#[from] StoreError),
    /// The client's own node does not answer.
    #[error("this client's own node: {0}")]
    Chain(#[source] ProviderError),
    /// The client's own node knows another arena there than the server describes, or none.
    #[error("the arena is not what the server says: {0}; do not deposit")]
    OtherArena(String),
    /// There is nobody to pay for a transaction.
    #[error(
        "this client has no wallet to pay for gas, and no node of its own: give it one with ClientConfig::with_wallet"
    )]
    NoWallet,
    /// Nothing is known of this account's server.
    #[error("this account has played at no server yet: connect to one first")]
    Unbound,
    /// A transaction did not do what it was to do.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A watchtower's address is none.
    #[error(transparent)]
    Tower(#[from] TowerError),
    /// The match was never opened; stakes are back.
    #[error("the match was never opened; stakes are back")]
    Cancelled,
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// What a handle asks of the task that owns the session.
enum Command {
    Input(SessionInput, oneshot::Sender<Result<(), ClientError>>),
    Seat(Box<dyn FnOnce(u32) -> SessionInput + Send>, Seat),
    Ask(Box<dyn FnOnce(u32) -> SessionInput + Send>, oneshot::Sender<Result<SessionNotice, ClientError>>),
    Look(Box<dyn FnOnce(&Session) + Send>),
    Resume(oneshot::Sender<Vec<Match>>),
    /// Something to be told to whoever holds this match, or to everybody.
    Tell(Option<(MatchId, MatchEvent)>, ClientEvent),
    /// What the client's own node says where the server said something of the chain; `None` if it does not say so.
    OnChain(Result<Option<SessionInput>, ProviderError>, ToClient),
    Close(oneshot::Sender<()>),
}

/// Who waits for a seat.
struct Seat {
    at: Option<TableId>,
    table: Option<oneshot::Sender<TableId>>,
    opened: oneshot::Sender<Result<Match, ClientError>>,
}

/// A seat at a table whose match has not begun.
#[must_use = "the match is lost to this handle if it is not waited for"]
pub struct Seating {
    table: oneshot::Receiver<TableId>,
    opened: oneshot::Receiver<Result<Match, ClientError>>,
}

impl Seating {
    /// The table's number, for others to join.
    ///
    /// # Errors
    /// There is no seat: the bankroll is too small, the server says no.
    pub async fn table(&mut self) -> Result<TableId, ClientError> {
        match (&mut self.table).await {
            Ok(table) => Ok(table),
            Err(_) => match (&mut self.opened).await {
                Ok(Err(error)) => Err(error),
                _ => Err(ClientError::Closed),
            },
        }
    }

    /// Waits for the match to open.
    ///
    /// # Errors
    /// There is no seat, nobody came, or somebody did not sign.
    pub async fn opened(self) -> Result<Match, ClientError> {
        self.opened.await.map_err(|_| ClientError::Closed)?
    }
}

impl Client {
    /// Connects, logs in, and takes up the matches that were open.
    ///
    /// # Errors
    /// The server cannot be reached or is another one than this account plays at, or the store cannot be read. Later losses of
    /// the connection are no errors: the client reconnects.
    pub async fn connect<S: Store>(config: ClientConfig<S>) -> Result<Client, ClientError> {
        actor::start(config).await
    }

    /// Takes up the open matches, and the exit, of an account that has played, even if its server is gone: they go on in court, and
    /// the client connects to the server by itself once it is there. [`Client::welcome`] says no more then than what the
    /// account's records and its node know.
    ///
    /// # Errors
    /// As [`Client::connect`], but for a server that cannot be reached; the account has played at none yet, or the client has no
    /// node of its own.
    pub async fn resume<S: Store>(config: ClientConfig<S>) -> Result<Client, ClientError> {
        actor::resume(config).await
    }

    /// Owner and account key.
    pub fn player(&self) -> Player {
        self.player
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        self.player.account()
    }

    /// What the server said first: where it settles, what it plays.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The state of the connection, to be watched.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// What happens outside of matches from now on. A reader that falls 256 events behind loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<ClientEvent> {
        self.events.subscribe()
    }

    /// Sits down at any table like this, and waits for the match to open.
    ///
    /// # Errors
    /// The bankroll is too small, the server says no, or nobody came.
    pub async fn quick<G: Game>(&self, game: &G, fee: BasisPoints, seats: Seats) -> Result<GameMatch<G>, ClientError> {
        let spec = seats.spec(GameRules::new(game.clone(), fee).id());
        self.quick_table(spec).await?.opened().await.map(GameMatch::new)
    }

    /// Sits down at any listed table like this, or opens one.
    ///
    /// # Errors
    /// The client is closed; the rest says the [`Seating`].
    pub async fn quick_table(&self, spec: TableSpec) -> Result<Seating, ClientError> {
        self.seat(move |tag| SessionInput::Quick { tag, spec }).await
    }

    /// Opens a table and sits down.
    ///
    /// # Errors
    /// The client is closed; the rest says the [`Seating`].
    pub async fn create(&self, spec: TableSpec) -> Result<Seating, ClientError> {
        self.seat(move |tag| SessionInput::Create { tag, spec }).await
    }

    /// Sits down at this table, if it is what is wanted.
    ///
    /// # Errors
    /// The client is closed; the rest says the [`Seating`].
    pub async fn join(&self, table: TableId, wanted: Wanted) -> Result<Seating, ClientError> {
        self.seat(move |tag| SessionInput::Join { tag, table, wanted }).await
    }

    /// Leaves a table that is not full yet.
    ///
    /// # Errors
    /// There is no such table, or its match has begun.
    pub async fn leave(&self, table: TableId) -> Result<(), ClientError> {
        match self.ask(move |tag| SessionInput::Leave { tag, table }).await? {
            SessionNotice::Left { .. } => Ok(()),
            _ => Err(SessionError::Unexpected.into()),
        }
    }

    /// Listed tables, of these rules or all.
    ///
    /// # Errors
    /// The server says no.
    pub async fn tables(&self, rules: Option<RulesId>) -> Result<Vec<TableInfo>, ClientError> {
        match self.ask(move |tag| SessionInput::List { tag, rules }).await? {
            SessionNotice::Tables { tables, .. } => Ok(tables),
            _ => Err(SessionError::Unexpected.into()),
        }
    }

    /// The matches that were open when the client started, for it to go on with. Each is given out once.
    ///
    /// # Errors
    /// The client is closed.
    pub async fn resumed(&self) -> Result<Vec<Match>, ClientError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Resume(answer)).await?;
        answered.await.map_err(|_| ClientError::Closed)
    }

    /// The account as the server sees it now.
    ///
    /// # Errors
    /// The server says no.
    pub async fn account_view(&self) -> Result<AccountView, ClientError> {
        match self.ask(|tag| SessionInput::Account { tag }).await? {
            SessionNotice::Account { account, .. } => Ok(account),
            _ => Err(SessionError::Unexpected.into()),
        }
    }

    /// Waits until at least this much, in the asset's smallest unit, may be staked or withdrawn: until a deposit counts, which
    /// is once it is as deep on the chain as the server wants, or until a match's stake and winnings are back. The
    /// connection may come and go meanwhile. This waits for as long as it takes; bound it with `tokio::time::timeout`.
    ///
    /// # Errors
    /// The server says no, or the client is closed.
    pub async fn until_available(&self, amount: Amount) -> Result<AccountView, ClientError> {
        let mut changes = Changes::of(self);
        loop {
            match self.account_view().await {
                Ok(view) if view.available >= amount => return Ok(view),
                // Offline, the client reconnects by itself.
                Ok(_) | Err(ClientError::Unreachable { .. }) => changes.next().await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until both parties have signed a statement that contains every match of this client: nothing is in play, and
    /// nothing that was played can be lost with the server. It need not be on the chain yet. This waits for as long as an
    /// opponent lets a match wait; bound it with `tokio::time::timeout`.
    ///
    /// # Errors
    /// The client is closed.
    pub async fn until_receipted(&self) -> Result<(), ClientError> {
        let mut changes = Changes::of(self);
        let receipted = |session: &Session| {
            let set = session.receipt().map(|(statement, _)| statement.set).unwrap_or_default();
            session.channels().all(|channel| set.contains(channel.index()))
        };
        while !self.look(receipted).await? {
            changes.next().await;
        }
        Ok(())
    }

    /// A withdrawal of this much, signed by both parties; the money moves once
    /// [`ArenaChain::withdraw`](crate::chain::ArenaChain::withdraw) submits it. The server settles first what is not on the
    /// chain yet.
    ///
    /// # Errors
    /// More than is available, or the server says no.
    pub async fn withdraw(&self, amount: Amount) -> Result<SignedWithdrawal, ClientError> {
        match self.ask(move |tag| SessionInput::Withdraw { tag, amount }).await? {
            SessionNotice::Withdrawal { withdrawal, account, operator, .. } => {
                Ok(SignedWithdrawal { player: self.player, withdrawal, account, operator })
            }
            _ => Err(SessionError::Unexpected.into()),
        }
    }

    /// The proof of a settled match.
    ///
    /// # Errors
    /// It is not settled on the chain yet.
    pub async fn prove(&self, match_id: MatchId) -> Result<Proof, ClientError> {
        match self.ask(move |tag| SessionInput::Prove { tag, match_id }).await? {
            SessionNotice::Proof { batch, result, path, .. } => Ok(Proof { batch, result, path }),
            _ => Err(SessionError::Unexpected.into()),
        }
    }

    /// Leaves the arena without the operator (R3.7), with the newest receipt: opens the exit, or finds it open, and says when its window
    /// ends, in the chain's Unix seconds. The account stays closed. What opponents signed for is settled on the way (R6.5).
    ///
    /// From then on the client goes on by itself, also after a restart: it brings what is signed or decided meanwhile, and when
    /// the window is over it has the contract pay the owner ([`ClientEvent::ExitFinished`]). Matches that are in play can be played on;
    /// their stakes may stay behind until they have ended.
    ///
    /// # Errors
    /// No wallet, or the wallet, the node or the contract refuses.
    pub async fn exit(&self) -> Result<u64, ClientError> {
        let bench = self.bench.as_ref().ok_or(ClientError::NoWallet)?;
        let brief = self.look(advocate::Brief::of).await?;
        exits::open(bench, &brief).await
    }

    /// Waits until this account's exit has paid all that is due, and says how much the account was paid in all its life. This waits
    /// for the whole window; bound it with `tokio::time::timeout`.
    ///
    /// # Errors
    /// No wallet, or the client is closed.
    pub async fn exited(&self) -> Result<Amount, ClientError> {
        let bench = self.bench.as_ref().ok_or(ClientError::NoWallet)?;
        loop {
            if let Ok(Some(paid)) = exits::paid_in_all(bench, self.account()).await {
                return Ok(paid);
            }
            if *self.link.borrow() == Link::Closed {
                return Err(ClientError::Closed);
            }
            tokio::time::sleep(bench.policy.interval).await;
        }
    }

    /// Looks at the session: statements, pairs, transcripts.
    ///
    /// # Errors
    /// The client is closed.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Session) -> T + Send + 'static,
    ) -> Result<T, ClientError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Look(Box::new(move |session| drop(answer.send(look(session)))))).await?;
        answered.await.map_err(|_| ClientError::Closed)
    }

    /// Closes the connection and the store.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }

    async fn seat(&self, input: impl FnOnce(u32) -> SessionInput + Send + 'static) -> Result<Seating, ClientError> {
        let ((seated, table), (answer, opened)) = (oneshot::channel(), oneshot::channel());
        let seat = Seat { at: None, table: Some(seated), opened: answer };
        self.send(Command::Seat(Box::new(input), seat)).await?;
        Ok(Seating { table, opened })
    }

    async fn ask(
        &self,
        input: impl FnOnce(u32) -> SessionInput + Send + 'static,
    ) -> Result<SessionNotice, ClientError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Ask(Box::new(input), answer)).await?;
        answered.await.map_err(|_| ClientError::Closed)?
    }

    async fn send(&self, command: Command) -> Result<(), ClientError> {
        self.commands.send(command).await.map_err(|_| ClientError::Closed)
    }
}

/// What tells a waiting caller to look again. It listens from the start, so that nothing happens unheard between a look
/// and the wait.
struct Changes {
    events: broadcast::Receiver<ClientEvent>,
    link: watch::Receiver<Link>,
}

impl Changes {
    /// Some things happen without a word, such as a withdrawal that lapses.
    const UNHEARD: Duration = Duration::from_secs(5);

    fn of(client: &Client) -> Changes {
        Changes { events: client.events(), link: client.link() }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.events.recv() => {}
            _ = self.link.changed() => {}
            () = tokio::time::sleep(Changes::UNHEARD) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waiting may be a task of its own.
    #[test]
    fn waits_may_be_spawned() {
        fn spawned(_: fn(&'static Client) -> Box<dyn Future<Output = ()> + Send>) {}
        spawned(|client| Box::new(async { drop(client.until_available(Amount::ZERO).await) }));
        spawned(|client| Box::new(async { drop(client.until_receipted().await) }));
    }

    #[cfg(not(feature = "tls"))]
    #[tokio::test]
    async fn without_tls_a_server_behind_it_is_refused_before_anything_is_sent() {
        let key = crate::sign::Key::random().expect("randomness");
        let owner = alloy_primitives::Address::ZERO;
        let config = ClientConfig::new("wss://127.0.0.1:1/ws", owner, key, Vec::new(), MemoryStore::default());
        let Err(error) = Client::connect(config).await else { panic!("nobody is there") };
        assert!(matches!(&error, ClientError::NoTls { url } if url == "wss://127.0.0.1:1/ws"), "{error}");
    }
}
