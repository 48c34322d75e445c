//! `net.move`, `server.*`, `chain.start`: a server in a process of its own, beside a raw relay in another.
//!
//! The raw relay is tokio-tungstenite and nothing else: it reads a message and writes it to the other end. Both get messages of
//! the same size from the same number of connections of this process.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use matchlock::{
    chain::{ArenaChain, HttpProvider, LocalWallet},
    client::{Client, ClientConfig, Match, MatchEvent, MemoryStore},
    game::{Amount, BasisPoints, Seat},
    rules::Rules,
    session::Wanted,
    sign::{Key, Signer},
    wire::TableSpec,
};
use matchlock_demo::{Strength, bots};
use matchlock_devchain::DevChain;
use matchlock_server::{Config, Server};
use tokio::task::JoinSet;

use super::{Row, relay};
use crate::{
    table::key,
    world::{Failure, Wallet, dev_key, in_time, play_match},
};

/// What each seat stakes.
const STAKE: Amount = Amount::from_u64(1_000);
/// A turn of Broadside on the wire, about.
pub(super) const MESSAGE: usize = 420;
/// A child process that serves until its input closes.
pub(super) struct Served {
    child: Child,
    pub(super) url: String,
}

impl Served {
    /// Starts this program again, as one of its servers.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn start(what: &str) -> Result<Served, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", what])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut url)?;
        Ok(Served { child, url: url.trim().into() })
    }

    /// Seconds of CPU so far.
    pub(super) fn cpu(&self) -> Result<f64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // After the name in brackets: state is field 3, user and system time are 14 and 15, in hundredths.
        let rest = stat.rsplit_once(')').ok_or("no such process")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
    }

    /// Bytes of memory in use.
    fn memory(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("no such process")?;
        let kilobytes: f64 = line.split_whitespace().nth(1).ok_or("no size")?.parse()?;
        Ok(kilobytes * 1024.0)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side of [`Served`].
///
/// # Errors
/// It does not start.
pub async fn serve(what: &str) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let until_closed = || tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop));
    if what == "relay" {
        println!("{}", relay::start().await?);
        until_closed().await?;
        return Ok(());
    }
    let mut config = Config::new(folder.path());
    config.settings.open_for = 120;
    config.settings.requests_per_second = 10_000;
    let server = Server::start(config, matchlock_demo::games(BasisPoints::ZERO)).await?;
    println!("{}", server.url());
    until_closed().await?;
    server.shutdown().await;
    Ok(())
}

/// A Matchlock server in another process, and players at it.
pub(super) struct Load {
    pub(super) served: Served,
    bank: Wallet,
    games: Vec<Arc<dyn Rules>>,
    pub(super) clients: Vec<Client>,
}

impl Load {
    pub(super) async fn start() -> Result<Load, Failure> {
        let served = Served::start("matchlock")?;
        let rpc = served.url.replacen("ws://", "http://", 1).replace("/ws", "/rpc");
        let games = matchlock_demo::games(BasisPoints::ZERO);
        // Any client learns the arena's address from the server's first frame.
        let probe = connect(&served.url, &games, key("probe", 0)).await?;
        let wallet = LocalWallet::new(HttpProvider::new(&rpc)?, dev_key());
        let bank = ArenaChain::connect(wallet, probe.welcome().domain.arena).await?;
        probe.close().await;
        Ok(Load { served, bank, games, clients: Vec::new() })
    }

    pub(super) fn game(&self, name: &str) -> Arc<dyn Rules> {
        self.games.iter().find(|game| game.name() == name).expect("a demo game").clone()
    }

    /// Players with a bankroll; they keep what they sign in memory, so that no disk but the server's counts.
    pub(super) async fn players(&mut self, count: usize) -> Result<(), Failure> {
        for n in self.clients.len()..count {
            let client = connect(&self.served.url, &self.games, player_key(n)).await?;
            self.bank.deposit(client.account(), Amount::from_u64(1_000_000)).await?;
            self.clients.push(client);
        }
        let last = self.clients.last().ok_or("no players")?;
        in_time("the deposits at the server", last.until_available(STAKE)).await?;
        Ok(())
    }

    /// An open match of two neighbours.
    pub(super) async fn open(&self, rules: &Arc<dyn Rules>, pair: usize) -> Result<[Match; 2], Failure> {
        let (a, b) = (&self.clients[2 * pair], &self.clients[2 * pair + 1]);
        let spec = TableSpec { rules: rules.id(), seats: 2, stake: STAKE, clock: 600, private: true };
        let mut first = a.create(spec).await?;
        let table = first.table().await?;
        let second = b.join(table, Wanted { rules: rules.id(), stake: STAKE }).await?;
        Ok([first.opened().await?, second.opened().await?])
    }
}

/// The account key of a player.
pub(super) fn player_key(n: usize) -> Key {
    key("load", n as u64)
}

async fn connect(url: &str, games: &[Arc<dyn Rules>], signer: Key) -> Result<Client, Failure> {
    let config = ClientConfig::new(url, dev_key().address(), signer, games.to_vec(), MemoryStore::default());
    Ok(Client::connect(config).await?)
}

/// `net.move`: from a player's wish to the opponent's board, one match at a time, and the raw relay's way between.
///
/// # Errors
/// A server says no.
pub async fn net_move(move_cpu: f64) -> Result<Vec<Row>, Failure> {
    let mut load = Load::start().await?;
    load.players(2).await?;
    let rules = load.game("tictactoe");
    let raw = Served::start("relay")?;
    let mut line = relay::Pair::connect(&raw.url, 0).await?;
    let (mut moves, mut echoes) = (Vec::new(), Vec::new());
    for seed in 0..150 {
        let [mut a, mut b] = load.open(&rules, 0).await?;
        let mut bots: Vec<_> = (0..2)
            .map(|seat| bots::player(rules.name(), Strength::Easy, Seat(seat), seed).expect("a demo game"))
            .collect();
        while let Some(mover) = a.snapshot().state.mover() {
            let (from, to) = if a.seat() == mover { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let position = from.my_position().ok_or("not its turn")?;
            let play = bots[mover.index()].choose(&position, mover)?;
            let turn = from.snapshot().state.turn + 1;
            let began = Instant::now();
            from.play(play).await?;
            until_turn(to, turn).await?;
            moves.push(began.elapsed());
            until_turn(from, turn).await?;
            echoes.push(line.there(MESSAGE).await?);
        }
        for game in [&mut a, &mut b] {
            while !matches!(game.event().await, Some(MatchEvent::Concluded)) {}
        }
    }
    let (move50, move99) = (percentile(&mut moves, 50), percentile(&mut moves, 99));
    let (echo50, echo99) = (percentile(&mut echoes, 50), percentile(&mut echoes, 99));
    let row = |name: &str, value: f64, echo: f64| Row {
        name: name.into(),
        value,
        unit: "us",
        limit: Some(echo + 2.0 * move_cpu),
        ratio: Some(value / (echo + 2.0 * move_cpu)),
    };
    Ok(vec![
        row("net.move.p50", move50, echo50),
        row("net.move.p99", move99, echo99),
        Row::report("net.echo.p50", echo50, "us"),
        Row::report("net.echo.p99", echo99, "us"),
    ])
}

async fn until_turn(game: &mut Match, turn: u32) -> Result<(), Failure> {
    loop {
        match game.event().await {
            Some(MatchEvent::Turned { turn: seen, .. }) if seen == turn => return Ok(()),
            Some(_) => {}
            None => return Err("the client closed".into()),
        }
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e6
}

/// `server.match.memory`: what an open match costs the server that nobody moves in, as the slope between two numbers of them.
///
/// # Errors
/// A server says no.
pub async fn memory(few: usize, many: usize) -> Result<Row, Failure> {
    /// Matches that one pair of players has open at once.
    const AT_ONCE: usize = 12;
    let mut load = Load::start().await?;
    load.players(2 * many.div_ceil(AT_ONCE)).await?;
    let rules = load.game("tictactoe");
    let mut kept = Vec::new();
    let mut sizes = Vec::new();
    for target in [few, many] {
        while kept.len() < target {
            kept.push(load.open(&rules, kept.len() / AT_ONCE).await?);
        }
        sizes.push(load.served.memory()?);
    }
    let slope = (sizes[1] - sizes[0]) / (many - few) as f64;
    Ok(Row::against("server.match.memory", slope / 1024.0, "KiB", 8.0))
}

/// `server.matches`: whole Broadside matches, from the lobby to the receipt.
///
/// # Errors
/// A server says no.
pub async fn whole_matches(pairs: usize, each: u64) -> Result<Row, Failure> {
    let mut load = Load::start().await?;
    load.players(2 * pairs).await?;
    let rules = load.game("broadside");
    let began = Instant::now();
    let mut playing = JoinSet::new();
    for pair in 0..pairs {
        let clients = [load.clients[2 * pair].clone(), load.clients[2 * pair + 1].clone()];
        let rules = rules.clone();
        playing.spawn(async move {
            for seed in 0..each {
                play_match(&clients, &rules, STAKE, seed).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(played) = playing.join_next().await {
        played??;
    }
    Ok(Row::report("server.matches", (pairs as u64 * each) as f64 / began.elapsed().as_secs_f64(), "matches/s"))
}

/// `chain.start`: from nothing to the embedded chain's first answer over HTTP; the median of several.
///
/// # Errors
/// The chain does not start.
pub async fn chain_start() -> Result<Row, Failure> {
    let mut times = Vec::new();
    for _ in 0..9 {
        let folder = tempfile::tempdir()?;
        let began = Instant::now();
        let chain = DevChain::open(matchlock_devchain::Config::persistent(folder.path()))?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let rpc = format!("http://{}/", listener.local_addr()?);
        let serving = tokio::spawn(async move { chain.serve(listener, std::future::pending()).await });
        let provider = matchlock::chain::Rpc(HttpProvider::new(&rpc)?);
        provider.chain_id().await?;
        times.push(began.elapsed());
        serving.abort();
    }
    Ok(Row::against("chain.start", percentile(&mut times, 50) / 1e3, "ms", 100.0))
}
