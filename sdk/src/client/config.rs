//! What a client is made of.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
    vec::Vec,
};

use alloc::string::String;
use alloy_primitives::Address;

use crate::{
    chain::Provider,
    game::{Amount, BasisPoints},
    rules::Rules,
    sign::Signer,
};

/// What a client needs.
#[derive(Clone)]
pub struct ClientConfig<S> {
    /// The server's WebSocket address: `ws://host:port/ws`, or `wss://host/ws` with the feature `tls`.
    pub url: String,
    /// The wallet that gets the money.
    pub owner: Address,
    /// The account key.
    pub signer: Arc<dyn Signer>,
    /// The rules of every game that is played, or may still be open.
    pub rules: Vec<Arc<dyn Rules>>,
    /// Where everything signed is kept.
    pub store: S,
    /// What tells the time.
    pub clock: Clock,
    /// A node that the client asks itself where the server's word would have to do: whether the arena is what the server says
    /// that it is, whether a batch really is on the chain, and what the court knows of its matches.
    pub chain: Option<Arc<dyn Provider>>,
    /// A wallet that pays the gas of what the client does by itself in court, and when it leaves.
    pub wallet: Option<Arc<dyn Provider>>,
    /// When it does that.
    pub policy: Policy,
    /// No seat is taken while the operator owes this account so much that no batch has settled (section 1).
    pub exposure: Amount,
    /// Watchtowers that are told of every turn, for when this player is away: the URLs of their HTTP.
    pub towers: Vec<String>,
}

impl<S> ClientConfig<S> {
    /// With this machine's clock, the server's word for what is on the chain, and no limit to what the operator may owe.
    pub fn new(
        url: impl Into<String>,
        owner: Address,
        signer: impl Signer + 'static,
        rules: Vec<Arc<dyn Rules>>,
        store: S,
    ) -> ClientConfig<S> {
        let (url, signer) = (url.into(), Arc::new(signer));
        let (clock, chain, wallet) = (Clock::default(), None, None);
        let (policy, exposure, towers) = (Policy::default(), Amount::MAX, Vec::new());
        ClientConfig { url, owner, signer, rules, store, clock, chain, wallet, policy, exposure, towers }
    }

    /// The same with a node of one's own: the client sees by itself what the chain says of its account and its matches, takes up what an
    /// opponent showed to the court alone, and believes an outcome without the server's word.
    pub fn with_chain(mut self, node: impl Provider + 'static) -> ClientConfig<S> {
        self.chain = Some(Arc::new(node));
        self
    }

    /// The same with a wallet that pays for gas, beside a node or as one: the client goes to court by itself, and can
    /// [`exit`](super::Client::exit). It need not be the owner's, and money goes to the owner all the same. A wallet with a person behind
    /// it is asked for every transaction, when it is due; [`LocalWallet`](crate::chain::LocalWallet) asks nobody.
    ///
    /// ```no_run
    /// use matchlock::{
    ///     chain::{HttpProvider, LocalWallet},
    ///     client::{Client, ClientConfig, ClientError, RedbStore},
    ///     doc::TicTacToe,
    ///     rules::GameRules,
    ///     sign::{Key, Signer},
    /// };
    ///
    /// # async fn run(wallet_key: Key, account_key: Key) -> Result<(), Box<dyn std::error::Error>> {
    /// let rules = vec![GameRules::shared(TicTacToe, Default::default())];
    /// let (owner, store) = (wallet_key.address(), RedbStore::open("player.redb")?);
    /// let wallet = LocalWallet::new(HttpProvider::new("https://node.example")?, wallet_key);
    /// let config = ClientConfig::new("ws://127.0.0.1:7777/ws", owner, account_key, rules, store).with_wallet(wallet);
    /// let client = match Client::connect(config.clone()).await {
    ///     // The server is gone: what is in play goes on in court, and the money comes out through the contract.
    ///     Err(ClientError::Unreachable { .. }) => Client::resume(config).await?,
    ///     connected => connected?,
    /// };
    /// println!("the exit's window ends at {}", client.exit().await?);
    /// println!("{} came to {owner}", client.exited().await?);
    /// # Ok(()) }
    /// ```
    pub fn with_wallet(mut self, wallet: impl Provider + 'static) -> ClientConfig<S> {
        self.wallet = Some(Arc::new(wallet));
        self
    }

    /// The same with another policy for going to court.
    pub fn with_policy(mut self, policy: Policy) -> ClientConfig<S> {
        self.policy = policy;
        self
    }

    /// The same with watchtowers. They need no trust: a match is entrusted to all of them, and one that is awake is enough.
    pub fn with_towers(mut self, urls: impl IntoIterator<Item = impl Into<String>>) -> ClientConfig<S> {
        self.towers.extend(urls.into_iter().map(Into::into));
        self
    }

    /// The same with another clock.
    pub fn with_clock(mut self, clock: Clock) -> ClientConfig<S> {
        self.clock = clock;
        self
    }

    /// The same with a limit to what the operator may owe.
    pub fn with_exposure(mut self, limit: Amount) -> ClientConfig<S> {
        self.exposure = limit;
        self
    }
}

/// When a client with a node and a wallet acts on the chain by itself. What it does costs its wallet gas, so it lets the server go
/// first where the server would do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Seconds beyond a seat's clock before it is challenged, beyond a window before the dispute is ended, and after an opponent's exit
    /// was opened before it is answered. Longer than a server's own grace, which is 10 unless its operator changed it.
    pub grace: u64,
    /// The share of a window that passes before something newer is shown that anybody could show. Servers wait for half of it. A
    /// move of this player that nobody has signed over yet does not wait.
    pub patience: BasisPoints,
    /// Matches whose stakes together are below this are not worth a challenge's gas: without one they are void at their expiry.
    /// What was challenged is answered whatever it is worth.
    pub challenge_from: Amount,
    /// Blocks on top of an outcome before it counts. Disputes are answered at once, and again after a reorg.
    pub depth: u64,
    /// How often the chain is looked at.
    pub interval: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            grace: 30,
            patience: SIXTY_PERCENT,
            challenge_from: Amount::from_u64(1),
            depth: 12,
            interval: Duration::from_secs(4),
        }
    }
}

const SIXTY_PERCENT: BasisPoints = match BasisPoints::new(6_000) {
    Ok(share) => share,
    Err(_) => unreachable!(),
};

/// What tells a client the time, in Unix seconds: clocks of matches and expiries are judged by it (R5.11).
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// A clock of one's own: a test's, or one that knows better than the machine.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    /// Unix seconds.
    pub fn now(&self) -> u64 {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs()))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
