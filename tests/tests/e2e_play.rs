//! The demo games, played for money from end to end: every wei of every match is accounted for.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use alloy_primitives::U256;
use clap::Parser;
use matchlock::game::{Amount, BasisPoints};
use matchlock_tests::{
    audit::{audit, prove},
    play::{Options, play},
    world::{Failure, Plan, World, dev_key, play_match},
};

const STAKE: u64 = 10_000_000_000_000_000;

/// Plays a few matches of a game with all players at one table, and checks everything.
async fn played_and_settled(game: &str, seats: usize) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let stake = Amount::from_u64(STAKE);
    let bankroll = Amount::from_u64(10 * STAKE);
    let world = World::start(Plan {
        rpc: None,
        funder: dev_key(),
        data: folder.path().to_owned(),
        fee: BasisPoints::new(250)?,
        settle_age: 1,
        pool: Amount::ZERO,
        tune: None,
        arbiters: (Vec::new(), 1),
        refereed: false,
    })
    .await?;
    let rules = world.game(game)?;
    let before = world.bank.pool().await?;
    let mut players = Vec::new();
    for n in 0..seats {
        players.push(world.player(n, bankroll, U256::from(STAKE)).await?);
    }
    let clients: Vec<_> = players.iter().map(|player| player.client.clone()).collect();
    let mut played = Vec::new();
    for seed in 1..4 {
        println!("{game}, {seats} seats, seed {seed}");
        played.push(play_match(&clients, &rules, stake, seed).await?);
    }
    for player in &mut players {
        player.withdraw_all().await?;
    }
    let audit = audit(&world.bank, &before, &players, &played).await?;
    assert_eq!(audit.missing, U256::ZERO, "{audit:?}");
    assert_eq!(audit.matches, 3, "{audit:?}");
    for played in &played {
        assert!(prove(&world.bank, &players, &played.transcript).await?);
    }
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tictactoe_is_played_settled_and_withdrawn() -> Result<(), Failure> {
    played_and_settled("tictactoe", 2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadside_is_played_settled_and_withdrawn() -> Result<(), Failure> {
    played_and_settled("broadside", 2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pig_is_played_settled_and_withdrawn() -> Result<(), Failure> {
    played_and_settled("pig", 2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pig_with_three_seats_is_played_settled_and_withdrawn() -> Result<(), Failure> {
    played_and_settled("pig", 3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pig_with_eight_seats_is_played_settled_and_withdrawn() -> Result<(), Failure> {
    played_and_settled("pig", 8).await
}

/// npm's anvil, killed with the value.
struct Anvil(Child, String);

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn anvil() -> Result<Option<Anvil>, Failure> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/@foundry-rs");
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let binary = modules.join(format!("anvil-{system}-{machine}/bin/anvil"));
    if !binary.exists() {
        return Ok(None);
    }
    let mut child = Command::new(binary)
        .args(["--host", "127.0.0.1", "--port", "0", "--enable-tx-gas-limit"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("piped")?).lines();
    let listening = lines.find_map(|line| Some(line.ok()?.strip_prefix("Listening on ")?.trim().to_owned()));
    let anvil = Anvil(child, format!("http://{}", listening.ok_or("anvil says where it listens")?));
    // It logs every request; a full pipe would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(Some(anvil))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn play_works_against_another_node() -> Result<(), Failure> {
    let Some(anvil) = anvil()? else {
        // `cargo xtask test` installs it and runs this; a plain `cargo test` does without Node.
        println!("skipped: anvil is not installed");
        return Ok(());
    };
    let arguments = ["play", "--json", "--players", "4", "--matches", "12", "--rpc", &anvil.1];
    let account = play(&Options::try_parse_from(arguments)?).await?;
    assert!(account.is_right(), "{account:?}");
    assert_eq!(account.matches, 12);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn play_works_with_everything_of_its_own() -> Result<(), Failure> {
    let arguments = ["play", "--json", "--players", "5", "--matches", "20"];
    let account = play(&Options::try_parse_from(arguments)?).await?;
    assert!(account.is_right(), "{account:?}");
    assert_eq!(account.matches, 20);
    Ok(())
}
