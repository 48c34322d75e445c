//! Processes that die: nothing signed is lost, nothing is signed twice, every match is settled once.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use alloy_primitives::U256;
use matchlock::{
    abi::{MatchId, State},
    chain::{ArenaChain, HttpProvider, LocalWallet, Provider},
    channel,
    client::{Client, ClientConfig, Match, MemoryStore, RedbStore, Store, StoreError},
    game::{Amount, BasisPoints, Seat},
    local::Dice,
    rules::Rules,
    session::{Record, Wanted},
    wire::{TableSpec, ToClient, ToServer},
};
use matchlock_demo::{Strength, bots};
use matchlock_tests::{
    audit::all_home,
    tap::{Frame, Tap, Verdict},
    world::{
        Failure, Plan, Played, PlayerClient, World, chain, dev_key, eventually, in_time, newcomer, play_match,
        play_seat,
    },
};
use serde_json::json;
use tokio::task::JoinHandle;

const STAKE: u64 = 1_000_000_000_000_000;

fn stake() -> Amount {
    Amount::from_u64(STAKE)
}

fn bankroll() -> Amount {
    Amount::from_u64(20 * STAKE)
}

/// Enough for gas.
fn pocket() -> U256 {
    U256::from(10u64.pow(17))
}

/// Two players, the first behind a tap.
struct Scene {
    world: World,
    tap: Tap,
    players: Vec<PlayerClient>,
    rules: Arc<dyn Rules>,
    played: Vec<Played>,
    before: matchlock::chain::Pool,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(game: &str, rpc: Option<String>) -> Result<Scene, Failure> {
        let folder = tempfile::tempdir()?;
        let world = World::start(Plan { rpc, ..Plan::quick(folder.path()) }).await?;
        let before = world.bank.pool().await?;
        let tap = Tap::before(world.server.url()).await?;
        let first = world.newcomer(0, bankroll(), pocket()).await?.connect(tap.url()).await?;
        let players = vec![first, world.player(1, bankroll(), pocket()).await?];
        let rules = world.game(game)?;
        Ok(Scene { world, tap, players, rules, played: Vec::new(), before, _folder: folder })
    }

    /// Plays a match, and gives it time to be disturbed.
    fn playing(&self, seed: u64) -> JoinHandle<Result<Played, Failure>> {
        let clients: Vec<_> = self.players.iter().map(|player| player.client.clone()).collect();
        let rules = self.rules.clone();
        tokio::spawn(async move { play_match(&clients, &rules, stake(), seed).await })
    }

    async fn play(&mut self, seed: u64) -> Result<(), Failure> {
        for player in &self.players {
            player.online().await?;
        }
        self.played.push(self.playing(seed).await??);
        Ok(())
    }

    /// The server dies and comes back. The clients are told nothing.
    async fn crash(self) -> Result<Scene, Failure> {
        let Scene { world, .. } = self;
        let dead = world.kill().await;
        self.tap.pass();
        Ok(Scene { world: dead.start().await?, ..self })
    }

    /// Everything is settled once and proved, and everybody has what is due.
    async fn ends(mut self) -> Result<(), Failure> {
        all_home(&self.world.bank, &self.before, &mut self.players, &self.played).await?;
        self.world.server.shutdown().await;
        Ok(())
    }
}

/// The server is killed the moment this frame is on the first player's line: what is before it is done, it is not.
async fn killed_at(stage: impl Fn(&Frame) -> bool + Send + 'static) -> Result<(), Failure> {
    let mut scene = Scene::new("tictactoe", None).await?;
    scene.play(1).await?;
    for player in &scene.players {
        player.at_rest().await?;
    }
    scene.tap.rule(move |frame| if stage(frame) { Verdict::Stall } else { Verdict::Pass });
    let playing = scene.playing(2);
    scene.tap.stalled().await?;
    let mut scene = scene.crash().await?;
    scene.played.push(playing.await??);
    scene.play(3).await?;
    scene.ends().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_when_the_terms_are_signed_goes_on() -> Result<(), Failure> {
    killed_at(|frame| matches!(frame, Frame::Up(ToServer::Sign { .. }))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_when_it_has_guaranteed_goes_on() -> Result<(), Failure> {
    killed_at(|frame| matches!(frame, Frame::Down(ToClient::Guarantee { .. }))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_a_match_is_being_opened_goes_on() -> Result<(), Failure> {
    killed_at(|frame| matches!(frame, Frame::Up(ToServer::Start { .. }))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_when_a_match_is_open_goes_on() -> Result<(), Failure> {
    killed_at(|frame| matches!(frame, Frame::Down(ToClient::Opened { .. }))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_before_it_has_a_turn_goes_on() -> Result<(), Failure> {
    killed_at(|frame| matches!(frame, Frame::Up(ToServer::Turn { turn, .. }) if turn.state.turn >= 3)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_after_it_had_a_turn_goes_on() -> Result<(), Failure> {
    killed_at(|frame| matches!(frame, Frame::Down(ToClient::Turn { turn, .. }) if turn.state.turn >= 4)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_the_last_turn_goes_on() -> Result<(), Failure> {
    killed_at(|frame| match frame {
        Frame::Up(ToServer::Turn { turn, .. }) | Frame::Down(ToClient::Turn { turn, .. }) => turn.state.is_final(),
        _ => false,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_when_it_has_signed_the_final_goes_on() -> Result<(), Failure> {
    killed_at(|frame| matches!(frame, Frame::Down(ToClient::Final { .. }))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_before_it_has_a_statement_goes_on() -> Result<(), Failure> {
    killed_at(|frame| matches!(frame, Frame::Up(ToServer::Statement { .. }))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_before_a_receipt_arrives_goes_on() -> Result<(), Failure> {
    killed_at(|frame| matches!(frame, Frame::Down(ToClient::Receipt { .. }))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_between_sending_and_seeing_a_batch_settles_it_once() -> Result<(), Failure> {
    let mut scene = Scene::new("tictactoe", Some(chain().await?)).await?;
    scene.play(1).await?;
    for player in &scene.players {
        player.at_rest().await?;
    }
    // Sent, and not mined until the server is back.
    let node = &scene.world.bank.rpc().0;
    node.request("evm_setAutomine", json!([false])).await?;
    scene.world.server.settle_now();
    let node = &scene.world.bank.rpc().0;
    eventually("a batch that waits to be mined", async || {
        let status = node.request("txpool_status", json!([])).await?;
        Ok((status["pending"] != "0x0").then_some(()))
    })
    .await?;
    let mut scene = scene.crash().await?;
    let node = &scene.world.bank.rpc().0;
    node.request("evm_setAutomine", json!([true])).await?;
    node.request("evm_mine", json!([])).await?;
    scene.play(2).await?;
    scene.ends().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_that_the_server_passed_on_and_lost_come_back_from_the_clients() -> Result<(), Failure> {
    let mut scene = Scene::new("tictactoe", None).await?;
    let until = |turn: u32| {
        move |frame: &Frame| match frame {
            Frame::Up(ToServer::Turn { turn: sent, .. }) if sent.state.turn >= turn => Verdict::Stall,
            _ => Verdict::Pass,
        }
    };
    scene.tap.rule(until(3));
    let playing = scene.playing(1);
    scene.tap.stalled().await?;
    // What a server has on its disk at turn 2 ...
    let Scene { world, .. } = scene;
    let dead = world.kill().await;
    let (disk, copy) = (dead.data.join("server"), dead.data.join("copy"));
    copy_folder(&disk, &copy)?;
    scene.tap.rule(until(5));
    scene.world = dead.start().await?;
    eventually("turn 5", async || {
        let fifth = |frame: &Frame| matches!(frame, Frame::Up(ToServer::Turn { turn, .. }) if turn.state.turn >= 5);
        Ok(scene.tap.seen().iter().any(fifth).then_some(()))
    })
    .await?;
    // ... is all that it has when it comes back at turn 5: what followed was on the lines, and never on the disk.
    let Scene { world, .. } = scene;
    let dead = world.kill().await;
    fs::remove_dir_all(&disk)?;
    fs::rename(&copy, &disk)?;
    scene.tap.pass();
    scene.world = dead.start().await?;
    scene.played.push(playing.await??);
    scene.ends().await
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Both sit down; the first player's client is not this test's to wait for.
async fn sit(first: &Client, second: &Client, rules: &Arc<dyn Rules>) -> Result<(Match, Match), Failure> {
    let spec = TableSpec { rules: rules.id(), seats: 2, stake: stake(), clock: 60, private: true };
    let mut seating = first.create(spec).await?;
    let table = seating.table().await?;
    let other = second.join(table, Wanted { rules: rules.id(), stake: stake() }).await?;
    Ok((seating.opened().await?, other.opened().await?))
}

/// All turns in a store, by match and number.
fn stored_turns(file: &Path) -> Result<BTreeMap<(MatchId, u32), State>, Failure> {
    let mut turns = BTreeMap::new();
    for record in RedbStore::open(file)?.load()? {
        if let Record::Channel { match_id, event: channel::Event::Turned(turn) } = record {
            let number = (match_id, turn.state.turn);
            assert!(turns.insert(number, turn.state).is_none(), "a turn is stored once");
        }
    }
    Ok(turns)
}

/// A client dies the moment this frame is on its line, and comes back from its file.
async fn client_dies_at(game: &str, stage: impl Fn(&Frame) -> bool + Send + 'static) -> Result<(), Failure> {
    const SEED: u64 = 7;
    let folder = tempfile::tempdir()?;
    // Nothing is settled here: what is settled leaves the clients' records of open matches.
    let tune = Some((|settings| settings.settle_age = 1_000) as fn(&mut matchlock_server::Settings));
    let world = World::start(Plan { tune, ..Plan::quick(folder.path()) }).await?;
    let tap = Tap::before(world.server.url()).await?;
    let mortal = world.newcomer(0, bankroll(), pocket()).await?;
    let other = world.player(1, bankroll(), pocket()).await?;
    let rules = world.game(game)?;

    // Dropping a runtime drops every task of it wherever it is: as near to a dying process as one process gets.
    let process = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let config = mortal.config(tap.url(), RedbStore::open(&mortal.file)?);
    let client = process.spawn(Client::connect(config)).await??;
    in_time("the deposit at the server", client.until_available(bankroll())).await?;
    let (mine, theirs) = sit(&client, &other.client, &rules).await?;
    let (id, seat) = (mine.id(), mine.seat());
    let bot = |seat| bots::player(game, Strength::Fair, seat, SEED).expect("a demo game");
    let playing = tokio::spawn(play_seat(theirs, bot(Seat(1 - seat.0))));
    tap.rule(move |frame| if stage(frame) { Verdict::Stall } else { Verdict::Pass });
    process.spawn(play_seat(mine, bot(seat)));
    tap.stalled().await?;
    process.shutdown_background();
    drop(client);

    tap.pass();
    let store = eventually("the dead client's file", async || match RedbStore::open(&mortal.file) {
        Err(StoreError::InUse(_)) => Ok(None),
        opened => Ok(Some(opened?)),
    })
    .await?;
    let client = Client::connect(mortal.config(tap.url(), store)).await?;
    let mut resumed = client.resumed().await?;
    assert_eq!(resumed.len(), 1, "one match was open");
    let resumed = resumed.remove(0);
    assert_eq!(resumed.id(), id);
    let transcript = play_seat(resumed, bot(seat)).await?;
    assert_eq!(transcript, playing.await??);

    // One state for one turn: on the line, and in both files.
    let mut sent = BTreeMap::new();
    for frame in tap.seen() {
        if let Frame::Up(ToServer::Turn { match_id, turn }) = frame {
            let first = sent.entry((match_id, turn.state.turn)).or_insert_with(|| turn.clone());
            assert_eq!(*first, turn, "another turn {}", turn.state.turn);
        }
    }
    let (file, other_file) = (mortal.file.clone(), other.file.clone());
    client.close().await;
    other.client.close().await;
    let turns = eventually("the closed files", async || match (stored_turns(&file), stored_turns(&other_file)) {
        (Ok(mine), Ok(theirs)) => {
            assert_eq!(mine, theirs);
            Ok(Some(mine))
        }
        _ => Ok(None),
    })
    .await?;
    assert_eq!(turns.len(), transcript.turns.len());
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_dies_with_its_turn_on_the_way_sends_the_same_one_again() -> Result<(), Failure> {
    client_dies_at("tictactoe", |frame| matches!(frame, Frame::Up(ToServer::Turn { turn, .. }) if turn.state.turn >= 3))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_dies_before_it_hears_of_a_turn_goes_on_where_it_stood() -> Result<(), Failure> {
    client_dies_at("pig", |frame| matches!(frame, Frame::Down(ToClient::Turn { turn, .. }) if turn.state.turn >= 9))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_dies_before_the_final_gets_it_when_it_is_back() -> Result<(), Failure> {
    client_dies_at("tictactoe", |frame| matches!(frame, Frame::Down(ToClient::Final { .. }))).await
}

/// The server's binary as a child; SIGKILL ends it, also with the value.
struct Binary {
    child: Child,
    address: String,
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Binary {
    /// Starts it, and waits until it says where it listens.
    async fn start(program: &Path, listen: &str, data: &Path) -> Result<Binary, Failure> {
        let mut child = Command::new(program)
            .args(["--listen", listen, "--fee", "250", "--settle-age", "1", "--open-for", "3", "--data-dir"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("piped")?).lines();
        let first = tokio::task::spawn_blocking(move || lines.next()).await?;
        let address = match &first {
            Some(Ok(url)) => url.strip_prefix("ws://").and_then(|rest| rest.strip_suffix("/ws")),
            _ => None,
        };
        let address = address.map(str::to_owned).ok_or_else(|| format!("it says {first:?}"));
        Ok(Binary { child, address: address? })
    }
}

/// The server's binary, as new as these tests.
fn server_binary() -> Result<PathBuf, Failure> {
    // This test is `<target>/<profile>/deps/<name>`.
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).ok_or("a folder of binaries")?;
    // Whoever builds the workspace's tests has built the server's binary, for the server's own.
    let binary = folder.join(format!("matchlock-server{}", std::env::consts::EXE_SUFFIX));
    if binary.exists() {
        return Ok(binary);
    }
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--bin", "matchlock-server", "--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    if !built.success() {
        return Err("the server does not build".into());
    }
    Ok(binary)
}

/// Plays matches between two, each as often as it takes: a server that dies takes tables and seats with it.
async fn insist(
    players: [&PlayerClient; 2],
    games: &[Arc<dyn Rules>],
    seeds: Range<u64>,
) -> Result<Vec<Played>, Failure> {
    let clients = players.map(|player| player.client.clone());
    let mut played = Vec::new();
    for seed in seeds {
        let rules = &games[seed as usize % games.len()];
        let again = async || Ok(play_match(&clients, rules, stake(), seed).await.ok());
        played.push(eventually("a match that is played to its end", again).await?);
    }
    Ok(played)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_server_killed_again_and_again_loses_nothing() -> Result<(), Failure> {
    const SEED: u64 = 20;
    println!("seed {SEED}");
    let folder = tempfile::tempdir()?;
    let (program, data) = (server_binary()?, folder.path().join("server"));
    let mut server = Binary::start(&program, "127.0.0.1:0", &data).await?;
    let address = server.address.clone();
    let (url, rpc) = (format!("ws://{address}/ws"), format!("http://{address}/rpc"));

    // Anybody may connect; what a server settles on is the first thing that it says.
    let games = matchlock_tests::refereed::games(BasisPoints::new(250)?);
    let config = ClientConfig::new(&url, Default::default(), dev_key(), games.clone(), MemoryStore::default());
    let stranger = Client::connect(config).await?;
    let arena = stranger.welcome().domain.arena;
    stranger.close().await;
    let bank = ArenaChain::connect(LocalWallet::new(HttpProvider::new(&rpc)?, dev_key()), arena).await?;
    let before = bank.pool().await?;

    let tap = Tap::before(&url).await?;
    let mut players = Vec::new();
    for n in 0..4 {
        let file = folder.path().join(format!("player-{n}.redb"));
        let newcomer = newcomer(&bank, &rpc, &dev_key(), &games, file, (bankroll(), pocket())).await?;
        players.push(newcomer.connect(if n == 0 { tap.url() } else { url.clone() }).await?);
    }

    // Killed at any frame of the first player: in lobby and opening, in play, at the end, in batches.
    let mut dice = Dice::new(SEED);
    let killing = async {
        for kill in 0..4 {
            let at = tap.seen().len() + 20 + dice.below(70) as usize;
            eventually("more play", async || Ok((tap.seen().len() >= at).then_some(()))).await?;
            println!("kill {kill} at frame {at}");
            server.child.kill()?;
            server.child.wait()?;
            server = Binary::start(&program, &address, &data).await?;
        }
        Ok::<(), Failure>(())
    };
    let [a, b, c, d] = &players[..] else { unreachable!("four players") };
    let (first, second, killed) = tokio::join!(insist([a, b], &games, 0..15), insist([c, d], &games, 15..30), killing);
    killed?;
    let mut played = first?;
    played.extend(second?);
    let (first, second) = tokio::join!(insist([a, c], &games, 30..33), insist([d, b], &games, 33..36));
    played.extend(first?);
    played.extend(second?);

    all_home(&bank, &before, &mut players, &played).await?;
    Ok(())
}
