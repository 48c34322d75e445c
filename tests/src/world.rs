//! A whole Matchlock on this machine: a chain, a server, players with wallets. Nothing in it is mocked.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256};
use matchlock::{
    chain::{ArenaChain, HttpProvider, LocalWallet, Provider, TxOutcome},
    client::{Client, ClientConfig, ClientError, Match, MatchEvent, RedbStore},
    game::{Amount, BasisPoints, Seat},
    rules::Rules,
    session::Wanted,
    sign::{Key, Signer},
    transcript::Transcript,
    wire::TableSpec,
};
use matchlock_demo::{Strength, bots};
use matchlock_devchain::DevChain;
use matchlock_server::{
    ChainChoice, Config, Server, Settings, StartError,
    chain::{ChainConfig, CourtConfig, DeployConfig, deploy},
};
use serde_json::json;

use crate::refereed;

/// Any failure on the way, in its own words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The wallet of one player, or of whoever pays for everything.
pub type Wallet = ArenaChain<LocalWallet<HttpProvider>>;

/// How a world is made.
#[derive(Debug)]
pub struct Plan {
    /// A node's JSON-RPC instead of the embedded chain.
    pub rpc: Option<String>,
    /// Who pays on that node: a key with coins. On a development node its first account.
    pub funder: Key,
    /// Where server and players keep their data.
    pub data: PathBuf,
    /// The operator's share of a decided pot.
    pub fee: BasisPoints,
    /// Seconds that an account waits for a batch.
    pub settle_age: u64,
    /// What the operator puts into its pool on a node of one's own.
    pub pool: Amount,
    /// Other settings of the server.
    pub tune: Option<fn(&mut Settings)>,
    /// The court's arbiters on a node of one's own, and how many of them rule; empty: the operator alone.
    pub arbiters: (Vec<Address>, u8),
    /// Whether games that have a referee are judged by it; else the arbiters rule in all of them.
    pub refereed: bool,
}

impl Plan {
    /// As most tests want it: the embedded chain, a fee, and batches that do not wait long.
    pub fn quick(data: impl Into<PathBuf>) -> Plan {
        Plan {
            rpc: None,
            funder: dev_key(),
            data: data.into(),
            fee: BasisPoints::new(250).expect("in range"),
            settle_age: 1,
            pool: ether(10),
            tune: None,
            arbiters: (Vec::new(), 1),
            refereed: false,
        }
    }
}

/// So many times 10^18 wei.
pub fn ether(count: u64) -> Amount {
    Amount::new(u128::from(count) * 10u128.pow(18)).expect("fits 96 bits")
}

/// A chain, a server, and who pays.
pub struct World {
    /// The server.
    pub server: Server,
    /// Everything it plays.
    pub games: Vec<Arc<dyn Rules>>,
    /// The chain, and an arena on it, through the funder's wallet.
    pub bank: Wallet,
    rpc: String,
    funder: Key,
    data: PathBuf,
    config: Config,
}

/// A world whose server is gone, and may come back.
pub struct Dead {
    /// The chain, if it did not go with the server.
    pub bank: Wallet,
    /// Where it left its data, in the folder `server`, and its players theirs.
    pub data: PathBuf,
    games: Vec<Arc<dyn Rules>>,
    rpc: String,
    funder: Key,
    config: Config,
}

impl std::fmt::Debug for Dead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dead({})", self.config.listen)
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World({})", self.server.url())
    }
}

/// One player: a wallet, an account key, a client.
pub struct PlayerClient {
    /// The client.
    pub client: Client,
    /// Its wallet's view of the arena.
    pub wallet: Wallet,
    /// The wallet's address.
    pub owner: Address,
    /// The account key.
    pub key: Key,
    /// Where the client keeps what it signed, if it is this module's choice.
    pub file: PathBuf,
    /// What it put into the arena.
    pub deposited: Amount,
    /// What it had besides.
    pub pocket: U256,
    /// Wei that the wallet spent on gas.
    pub gas_paid: U256,
}

/// Somebody with a wallet and a bankroll in the arena who is not connected yet.
pub struct Newcomer {
    /// Its wallet's view of the arena.
    pub wallet: Wallet,
    /// The wallet's address.
    pub owner: Address,
    /// The account key.
    pub key: Key,
    /// Where its client keeps what it signed.
    pub file: PathBuf,
    deposited: Amount,
    pocket: U256,
    gas_paid: U256,
    games: Vec<Arc<dyn Rules>>,
}

/// How long anything may take that a test or a demonstration waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until there is what is looked for, and not for ever.
///
/// # Errors
/// Looking fails, or a minute has passed.
pub async fn eventually<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > patience {
            return Err(format!("in vain: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What comes of waiting by itself, and not for ever.
///
/// # Errors
/// It fails, or a minute has passed.
pub async fn in_time<T>(what: &str, waiting: impl Future<Output = Result<T, ClientError>>) -> Result<T, Failure> {
    let found = tokio::time::timeout(PATIENCE, waiting).await;
    Ok(found.map_err(|_| format!("in vain: {what}"))??)
}

/// A chain of its own, that a server's end does not end; it goes with the test's runtime. Its JSON-RPC.
///
/// # Errors
/// It does not start.
pub async fn chain() -> Result<String, Failure> {
    let chain = DevChain::open(matchlock_devchain::Config::default())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { chain.serve(listener, std::future::pending()).await });
    Ok(url)
}

/// The key of the first development account that anvil, hardhat and the embedded chain agree on.
pub fn dev_key() -> Key {
    Key::from_bytes(&matchlock_devchain::dev_accounts()[0].private_key).expect("a well-known key")
}

/// 32 bytes that nobody can guess.
pub fn random() -> B256 {
    let mut bytes = B256::ZERO;
    getrandom::fill(&mut bytes.0).expect("the system's randomness");
    bytes
}

impl World {
    /// Starts everything.
    ///
    /// # Errors
    /// Whatever does not start, in its own words.
    pub async fn start(plan: Plan) -> Result<World, Failure> {
        let games = if plan.refereed { refereed::games(plan.fee) } else { matchlock_demo::games(plan.fee) };
        let mut config = Config::new(plan.data.join("server"));
        config.settings = Settings::default();
        config.settings.settle_age = plan.settle_age;
        let funder = plan.funder.clone();
        if let Some(rpc) = &plan.rpc {
            let operator = Key::random()?;
            send(rpc, &plan.funder, operator.address(), U256::from(10u64.pow(18))).await?;
            let mut arena = arena_config();
            if let Some(court) = &mut arena.court {
                (court.arbiters, court.quorum) = plan.arbiters;
            }
            let deployment = deploy(rpc, &operator, arena).await?;
            let wallet = LocalWallet::new(HttpProvider::new(rpc)?, plan.funder.clone());
            ArenaChain::connect(wallet, deployment.arena).await?.fund(plan.pool).await?;
            let chain = ChainConfig::new(rpc, deployment.arena, operator.clone());
            config.operator_key = Some(operator);
            config.chain = ChainChoice::Rpc(Box::new(chain));
        }
        if let Some(tune) = plan.tune {
            tune(&mut config.settings);
        }
        let server = Server::start(config.clone(), games.clone()).await?;
        // Where it is now it will be after a restart.
        config.listen = server.addr();
        let rpc = plan.rpc.or_else(|| server.rpc_url()).expect("the embedded chain has an endpoint");
        let wallet = LocalWallet::new(HttpProvider::new(&rpc)?, plan.funder);
        let bank = ArenaChain::connect(wallet, server.domain().arena).await?;
        Ok(World { server, games, bank, rpc, funder, data: plan.data, config })
    }

    /// The server's process dies.
    pub async fn kill(self) -> Dead {
        let World { server, games, bank, rpc, funder, data, config } = self;
        server.kill().await;
        Dead { bank, games, rpc, funder, data, config }
    }

    /// The rules of a game.
    ///
    /// # Errors
    /// There is no such game; the message lists those that there are.
    pub fn game(&self, name: &str) -> Result<Arc<dyn Rules>, Failure> {
        self.games.iter().find(|game| game.name() == name).cloned().ok_or_else(|| {
            let names: Vec<_> = self.games.iter().map(|game| game.name()).collect();
            format!("there is no game {name:?}; there are {}", names.join(", ")).into()
        })
    }

    /// The node's JSON-RPC.
    pub fn rpc(&self) -> &str {
        &self.rpc
    }

    /// The key of a wallet with this much for gas, and nothing to do with anybody's bankroll.
    ///
    /// # Errors
    /// The chain says no.
    pub async fn purse(&self, wei: U256) -> Result<Key, Failure> {
        let key = Key::random()?;
        send(&self.rpc, &self.funder, key.address(), wei).await?;
        Ok(key)
    }

    /// A new player with a wallet, a bankroll in the arena, and a connected client.
    ///
    /// # Errors
    /// Whatever does not work, in its own words.
    pub async fn player(&self, n: usize, bankroll: Amount, pocket: U256) -> Result<PlayerClient, Failure> {
        self.newcomer(n, bankroll, pocket).await?.connect(self.server.url()).await
    }

    /// A new player with a wallet and a bankroll in the arena.
    ///
    /// # Errors
    /// Whatever does not work, in its own words.
    pub async fn newcomer(&self, n: usize, bankroll: Amount, pocket: U256) -> Result<Newcomer, Failure> {
        let file = self.data.join(format!("player-{n}.redb"));
        newcomer(&self.bank, &self.rpc, &self.funder, &self.games, file, (bankroll, pocket)).await
    }
}

/// A new player with a wallet and a bankroll in the bank's arena; `funder` pays for both.
///
/// # Errors
/// Whatever does not work, in its own words.
pub async fn newcomer(
    bank: &Wallet,
    rpc: &str,
    funder: &Key,
    games: &[Arc<dyn Rules>],
    file: PathBuf,
    (bankroll, pocket): (Amount, U256),
) -> Result<Newcomer, Failure> {
    let (wallet_key, account_key) = (Key::random()?, Key::random()?);
    let owner = wallet_key.address();
    send(rpc, funder, owner, pocket + U256::from(bankroll.units())).await?;
    let wallet = LocalWallet::new(HttpProvider::new(rpc)?, wallet_key);
    let wallet = ArenaChain::connect(wallet, bank.domain().arena).await?;
    let account = matchlock::account::Player { owner, key: account_key.address() }.account();
    let deposit = wallet.deposit(account, bankroll).await?;
    Ok(Newcomer {
        wallet,
        owner,
        key: account_key,
        file,
        deposited: bankroll,
        pocket,
        gas_paid: gas(&deposit),
        games: games.to_vec(),
    })
}

impl Dead {
    /// The dead operator's key, where it is not kept in the server's own folder.
    pub fn operator(&self) -> Option<&Key> {
        self.config.operator_key.as_ref()
    }

    /// The server starts again, from what the dead one left, where it was.
    ///
    /// # Errors
    /// Whatever does not start, in its own words.
    pub async fn start(self) -> Result<World, Failure> {
        let Dead { bank, games, rpc, funder, data, config } = self;
        // A dead process holds no lock; what is left of a server that was killed inside this one does, for a moment.
        let server =
            eventually("the dead server's files", async || match Server::start(config.clone(), games.clone()).await {
                Err(StartError::Embedded(error)) if error.contains("already open") => Ok(None),
                started => Ok(Some(started?)),
            })
            .await?;
        Ok(World { server, games, bank, rpc, funder, data, config })
    }
}

impl Newcomer {
    /// What a client of this player needs, with a store of one's own.
    pub fn config<S>(&self, url: impl Into<String>, store: S) -> ClientConfig<S> {
        ClientConfig::new(url, self.owner, self.key.clone(), self.games.clone(), store)
    }

    /// Connects, with everything signed in a file.
    ///
    /// # Errors
    /// Whatever does not work, in its own words.
    pub async fn connect(self, url: impl Into<String>) -> Result<PlayerClient, Failure> {
        let store = RedbStore::open(&self.file)?;
        let client = Client::connect(self.config(url, store)).await?;
        self.with(client).await
    }

    /// The player behind this client of it.
    ///
    /// # Errors
    /// Whatever does not work, in its own words.
    pub async fn with(self, client: Client) -> Result<PlayerClient, Failure> {
        let Newcomer { wallet, owner, key, file, deposited, pocket, gas_paid, games: _ } = self;
        let player = PlayerClient { client, wallet, owner, key, file, deposited, pocket, gas_paid };
        in_time("the deposit at the server", player.client.until_available(deposited)).await?;
        Ok(player)
    }
}

fn gas(outcome: &TxOutcome) -> U256 {
    U256::from(outcome.gas_used) * U256::from(outcome.effective_gas_price)
}

/// An arena for the node's own coin, with fees for the operator.
pub fn arena_config() -> DeployConfig {
    DeployConfig {
        token: Address::ZERO,
        court: Some(CourtConfig {
            minimum: 60,
            patience: 600,
            bond: Amount::from_u64(1_000_000),
            quorum: 1,
            arbiters: Vec::new(),
        }),
        exit_window: 24 * 60 * 60,
        salt: None,
        split: Vec::new(),
    }
}

/// Sends coins on a node from a key, and waits for them to arrive.
pub(crate) async fn send(rpc: &str, from: &Key, to: Address, value: U256) -> Result<(), Failure> {
    let wallet = LocalWallet::new(HttpProvider::new(rpc)?, from.clone());
    let rpc = matchlock::chain::Rpc(wallet);
    let call = json!([{ "from": from.address(), "to": to, "value": value }]);
    let hash: B256 = serde_json::from_value(rpc.0.request("eth_sendTransaction", call).await?)?;
    for _ in 0..600 {
        if rpc.receipt(hash).await?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(format!("the transfer {hash} was not mined").into())
}

impl PlayerClient {
    /// Notes what a transaction cost this player.
    pub fn paid(&mut self, outcome: &TxOutcome) {
        self.gas_paid += gas(outcome);
    }

    /// What its wallet holds in the end, having won or lost so much and left the arena.
    pub fn should_have(&self, delta: i128) -> U256 {
        U256::from((self.deposited.signed() + delta).unsigned_abs()) + self.pocket - self.gas_paid
    }

    /// Waits until the server of now answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn online(&self) -> Result<(), Failure> {
        eventually("the server's answer", async || Ok(self.client.account_view().await.ok().map(drop))).await
    }

    /// Waits until both parties have signed for everything that this player has played.
    ///
    /// # Errors
    /// They do not.
    pub async fn at_rest(&self) -> Result<(), Failure> {
        in_time("a receipt for everything played", self.client.until_receipted()).await
    }

    /// Withdraws everything.
    ///
    /// # Errors
    /// The server or the chain says no.
    pub async fn withdraw_all(&mut self) -> Result<Amount, Failure> {
        self.at_rest().await?;
        let amount = self.client.account_view().await?.available;
        if amount == Amount::ZERO {
            return Ok(amount);
        }
        let signed = self.client.withdraw(amount).await?;
        let outcome = self.wallet.withdraw(&signed).await?;
        self.paid(&outcome);
        Ok(amount)
    }
}

/// What one match came to.
#[derive(Debug)]
pub struct Played {
    /// Everything signed.
    pub transcript: Transcript,
    /// Moves, reveals of dice included.
    pub moves: u32,
    /// Signatures of players and operator on this match and on what it led to.
    pub signatures: u32,
}

/// Plays one match between these clients with bots, until everyone has signed its result.
///
/// # Errors
/// A client or the server says no.
pub async fn play_match(
    clients: &[Client],
    rules: &Arc<dyn Rules>,
    stake: Amount,
    seed: u64,
) -> Result<Played, Failure> {
    let seats = clients.len() as u8;
    let spec = TableSpec { rules: rules.id(), seats, stake, clock: 600, private: true };
    let mut first = clients[0].create(spec).await?;
    let table = first.table().await?;
    let mut seatings = vec![first];
    for client in &clients[1..] {
        let mut seating = client.join(table, Wanted { rules: rules.id(), stake }).await?;
        seating.table().await?;
        seatings.push(seating);
    }
    let mut playing = tokio::task::JoinSet::new();
    for seating in seatings {
        let name = rules.name();
        playing.spawn(async move {
            let game = seating.opened().await?;
            let bot = bots::player(name, Strength::Fair, game.seat(), seed).expect("a demo game");
            play_seat(game, bot).await
        });
    }
    let mut transcript = None;
    while let Some(seat) = playing.join_next().await {
        transcript = Some(seat??);
    }
    let transcript = transcript.expect("at least one seat");
    let moves = transcript.turns.len() as u32;
    // Terms and State 0 by every seat, the guarantee; every move; the final by all who did not write it, and the operator;
    // a statement and a receipt for each seat.
    let signatures = 2 * u32::from(seats) + 1 + moves + u32::from(seats) + 2 * u32::from(seats);
    Ok(Played { transcript, moves, signatures })
}

/// Plays one seat to the end with a bot: until everyone has signed the result.
///
/// # Errors
/// A client or the server says no.
pub async fn play_seat(mut game: Match, mut bot: Box<dyn bots::Player>) -> Result<Transcript, Failure> {
    let seat: Seat = game.seat();
    loop {
        if let Some(position) = game.my_position() {
            game.play(bot.choose(&position, seat)?).await?;
        }
        match game.event().await {
            Some(MatchEvent::Concluded) => return Ok(game.transcript().await?),
            Some(MatchEvent::Faulted(evidence)) => return Err(format!("{evidence:?}").into()),
            Some(_) => {}
            None => return Err("the client closed during a match".into()),
        }
    }
}
