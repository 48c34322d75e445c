//! Starting and stopping.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use alloy_primitives::{Address, B256, hex};
use axum::serve::ListenerExt;
use matchlock::{
    abi::Domain,
    chain::Provider,
    rules::Rules,
    sign::{Key, SignatureError},
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    arbiter::BenchStart,
    chain::{Chain, ChainConfig, ChainError},
    court::Venue,
    embedded::Embedded,
    follow::{Follow, Notes},
    http::{self, App},
    hub::Hub,
    machine::Machine,
    operator::Operator,
    peer::Closed,
    settings::Settings,
    store::{Change, Store, StoreError},
    sync::lock,
};
use matchlock::wire::Refusal;

/// How often time is looked at: acknowledgements that nothing took along, proposals that lapse, batches that come of age.
const TICK: Duration = Duration::from_millis(100);
/// How long a graceful shutdown waits for connections to end, and for a batch.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a server needs to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where it listens; port 0 takes any.
    pub listen: SocketAddr,
    /// Where it keeps everything that must survive.
    pub data_dir: PathBuf,
    /// The operator's key; `None` keeps one in the data directory, made at the first start.
    pub operator_key: Option<Key>,
    /// The chain.
    pub chain: ChainChoice,
    /// Times and limits.
    pub settings: Settings,
    /// Time and randomness.
    pub machine: Machine,
}

impl Config {
    /// The embedded chain, on any port of this machine.
    pub fn new(data_dir: impl Into<PathBuf>) -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: data_dir.into(),
            operator_key: None,
            chain: ChainChoice::Embedded,
            settings: Settings::default(),
            machine: Machine::default(),
        }
    }
}

/// Which chain the server settles on.
#[derive(Clone)]
#[non_exhaustive]
pub enum ChainChoice {
    /// The embedded one, kept in the data directory, with an arena of its own.
    Embedded,
    /// An arena behind a node's JSON-RPC. The operator's key in it is the server's.
    Rpc(Box<ChainConfig>),
    /// The same through any provider.
    Through(Arc<dyn Provider>, Box<ChainConfig>),
}

impl fmt::Debug for ChainChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainChoice::Embedded => f.write_str("Embedded"),
            ChainChoice::Rpc(config) | ChainChoice::Through(_, config) => f.debug_tuple("Rpc").field(config).finish(),
        }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Somebody else listens there, or it is not this machine's.
    #[error("cannot listen on {listen}: {source}; choose another address")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain does not answer, or is not the one that was meant.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The embedded chain does not open.
    #[error("the embedded chain: {0}")]
    Embedded(String),
    /// The key file cannot be read or made.
    #[error("the operator's key at {path}: {source}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The key file holds no key.
    #[error("{path} does not hold a key: 64 hexadecimal digits are expected")]
    BadKey {
        /// The file.
        path: PathBuf,
    },
    /// The data directory belongs to another arena.
    #[error("the data directory belongs to arena {known} on chain {chain}, not to {found}; use another directory")]
    OtherArena {
        /// The arena it belongs to.
        known: Address,
        /// Its chain.
        chain: u64,
        /// The arena given.
        found: Address,
    },
    /// The key is no arbiter's.
    #[error("{0} is none of the arbiters of this arena's court: use the key of one")]
    NoArbiter(Address),
    /// Where transcripts are to be had.
    #[error(transparent)]
    Source(matchlock::client::TowerError),
    /// Nothing to play.
    #[error("a server needs at least one game")]
    NoGames,
}

/// A running server.
pub struct Server {
    addr: SocketAddr,
    hub: Arc<Hub>,
    places: Arc<Semaphore>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    embedded: Option<Embedded>,
}

impl Server {
    /// Starts a server for these games. It has picked up everything that an earlier run left when this returns.
    ///
    /// # Errors
    /// What is wrong with the configuration or the machine, and what to do about it.
    pub async fn start(config: Config, games: Vec<Arc<dyn Rules>>) -> Result<Server, StartError> {
        if games.is_empty() {
            return Err(StartError::NoGames);
        }
        // The cheapest mistakes first: a port or a directory in use.
        let listen = config.listen;
        let listener = TcpListener::bind(listen).await.map_err(|source| StartError::Listen { listen, source })?;
        let addr = listener.local_addr().map_err(|source| StartError::Listen { listen, source })?;
        let store = Store::open(&config.data_dir, "server.redb")?;

        let (chain, embedded) = connect(&config, &store).await?;
        let info = *chain.arena();
        let places = Arc::new(Semaphore::new(config.settings.max_connections));
        let operator = Operator::new(chain.config().key.clone(), info.domain);
        let venue = Venue::read(&chain, &store).await?;
        let (asks, asked) = mpsc::unbounded_channel();
        let (settings, machine) = (config.settings, config.machine);
        let hub = Arc::new(Hub::new(settings, machine, operator, venue, games, store, asks)?);
        hub.take_up(&chain).await?;

        let notes = Arc::new(Notes(hub.clone()));
        let (sender, outcomes) = chain.sender(notes.clone()).await?;
        let watch = chain.watch(notes).await?;
        let app = App::new(&hub, places.clone(), watch.health(), sender.status(), embedded.clone());
        let follow = Follow { hub: hub.clone(), chain, sender, outcomes, watch, asks: asked };
        let tasks = vec![tokio::spawn(follow.run()), tokio::spawn(tick(hub.clone()))];

        let (stop, stopped) = oneshot::channel();
        // A turn does not wait for the acknowledgement of the packet before: Nagle's algorithm costs 40 ms now and then.
        let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
        let service = http::router(app).into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move {
            let serve = axum::serve(listener, service).with_graceful_shutdown(async {
                let _ = stopped.await;
            });
            if let Err(error) = serve.await {
                tracing::error!(%error, "the listener failed");
            }
        });
        tracing::info!(%addr, arena = %info.domain.arena, chain = info.domain.chain_id, operator = %info.operator, "serving");
        Ok(Server { addr, hub, places, stop: Some(stop), serving, tasks, embedded })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.addr)
    }

    /// The embedded chain's JSON-RPC; `None` with another chain.
    pub fn rpc_url(&self) -> Option<String> {
        self.embedded.as_ref().map(|_| format!("http://{}/rpc", self.addr))
    }

    /// Where it settles.
    pub fn domain(&self) -> Domain {
        *self.hub.operator.domain()
    }

    /// Who guarantees.
    pub fn operator(&self) -> Address {
        self.hub.operator.address()
    }

    /// Sends a batch of everything that is co-signed, without waiting for its number or age.
    pub fn settle_now(&self) {
        lock(&self.hub.settler).demand();
        self.hub.settle();
    }

    /// Takes nothing new, tells everyone, makes everything durable, and stops.
    pub async fn shutdown(mut self) {
        self.hub.closing.store(true, Ordering::Relaxed);
        if self.hub.settings.settle_on_shutdown {
            let hub = self.hub.clone();
            lock(&hub.settler).demand();
            let settled = async {
                let mut look = interval(TICK);
                while !matches!(lock(&hub.settler).status(), (0, false)) {
                    look.tick().await;
                    hub.settle();
                }
            };
            if timeout(FAREWELL, settled).await.is_err() {
                tracing::warn!("closing before everything is settled; the next start goes on with it");
            }
        }
        self.disconnect(Closed::Ended(Refusal::Closing)).await;
        self.stop().await;
        let hub = self.hub.clone();
        let _ = tokio::task::spawn_blocking(move || hub.store.close()).await;
    }

    /// Stops at once and loses everything that is not durable: what a killed process leaves behind. For tests.
    #[doc(hidden)]
    pub async fn kill(mut self) {
        let hub = self.hub.clone();
        hub.store.kill();
        self.disconnect(Closed::Gone).await;
        self.stop().await;
    }

    async fn disconnect(&self, closed: Closed) {
        for account in self.hub.accounts.values() {
            if let Some(peer) = account.peer() {
                peer.close(closed.clone());
            }
        }
        // Every connection holds a place until it has ended.
        let all = self.hub.settings.max_connections as u32;
        let _ = timeout(FAREWELL, self.places.acquire_many(all)).await;
    }

    async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if timeout(FAREWELL, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
        for task in &mut self.tasks {
            task.abort();
            let _ = task.await;
        }
        // So that whoever starts a server on this directory next finds it free.
        if let Some(embedded) = self.embedded.take()
            && timeout(FAREWELL, embedded.closed()).await.is_err()
        {
            tracing::warn!("something still uses the embedded chain");
        }
    }
}

impl From<BenchStart> for StartError {
    fn from(error: BenchStart) -> StartError {
        match error {
            BenchStart::Chain(error) => StartError::Chain(error),
            BenchStart::Store(error) => StartError::Store(error),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// Connects to the chain; the embedded one gets its arena at the first start.
async fn connect(config: &Config, store: &Store) -> Result<(Chain, Option<Embedded>), StartError> {
    let (chain, embedded) = match &config.chain {
        ChainChoice::Rpc(chain) => (Chain::connect((**chain).clone()).await?, None),
        ChainChoice::Through(provider, chain) => {
            (Chain::connect_through(provider.clone(), (**chain).clone()).await?, None)
        }
        ChainChoice::Embedded => {
            let key = match &config.operator_key {
                Some(key) => key.clone(),
                None => kept_key(&config.data_dir)?,
            };
            let embedded = Embedded::open(&config.data_dir.join("chain"))?;
            let arena = match store.meta(DOMAIN)? {
                Some(bytes) => postcard::from_bytes::<Domain>(&bytes).map_err(|_| StoreError::Damaged)?.arena,
                None => embedded.deploy(&key).await?,
            };
            let chain = Chain::connect_through(embedded.provider(), embedded.config(arena, key)).await?;
            (chain, Some(embedded))
        }
    };
    bind(store, &chain.arena().domain)?;
    Ok((chain, embedded))
}

/// Binds a data directory to its arena, or refuses another one.
pub(crate) fn bind(store: &Store, domain: &Domain) -> Result<(), StartError> {
    match store.meta(DOMAIN)? {
        None => {
            let bytes = postcard::to_allocvec(domain).expect("a domain always encodes");
            store.write_now(vec![Change::Meta(DOMAIN, bytes)])?;
        }
        Some(bytes) => {
            let known: Domain = postcard::from_bytes(&bytes).map_err(|_| StoreError::Damaged)?;
            if known != *domain {
                let (known, chain) = (known.arena, known.chain_id);
                return Err(StartError::OtherArena { known, chain, found: domain.arena });
            }
        }
    }
    Ok(())
}

/// The note of the arena that a data directory belongs to.
const DOMAIN: &str = "domain";

/// The operator's key in the data directory, made if there is none. Only its owner may read it.
fn kept_key(data_dir: &Path) -> Result<Key, StartError> {
    let path = data_dir.join("operator.key");
    let failed = |source| StartError::KeyFile { path: path.clone(), source };
    if !path.exists() {
        let key = Key::random().map_err(|error| failed(io::Error::other(error)))?;
        write_private(&path, &hex::encode(key.to_bytes())).map_err(failed)?;
    }
    read_key(&path)
}

/// The key in a file of 64 hexadecimal digits.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn read_key(path: &Path) -> Result<Key, StartError> {
    let text = std::fs::read_to_string(path).map_err(|source| StartError::KeyFile { path: path.to_owned(), source })?;
    parse_key(text.trim()).map_err(|_| StartError::BadKey { path: path.to_owned() })
}

/// A key from 64 hexadecimal digits.
pub(crate) fn parse_key(text: &str) -> Result<Key, SignatureError> {
    let bytes: B256 = text.parse().map_err(|_| SignatureError::Malformed)?;
    Key::from_bytes(&bytes)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

pub(crate) async fn tick(hub: Arc<Hub>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0u64.. {
        tick.tick().await;
        // Clocks are in seconds, and every match is looked at.
        if count.is_multiple_of(10) {
            hub.tick_second();
        }
        hub.tick();
    }
}
