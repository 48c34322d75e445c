//! `cargo xtask play`: the whole road once, in front of your eyes. A chain, a server, players with bankrolls; matches
//! between bots over real WebSockets; batches; withdrawals; and a check that not a wei is missing.

use std::{collections::BTreeMap, time::Instant};

use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use matchlock::{
    game::{Amount, BasisPoints},
    sign::Key,
};
use serde::Serialize;

use crate::{
    audit::{audit, prove, results},
    world::{Failure, Plan, Played, PlayerClient, World, dev_key, play_match, random},
};

/// Matches of one client at once.
const AT_ONCE: usize = 2;

/// Plays staked matches between bots, settles and withdraws everything, and checks every wei.
#[derive(Debug, Parser)]
pub struct Options {
    /// How many players.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=200))]
    pub players: u16,
    /// How many matches.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub matches: u32,
    /// Which game: tictactoe, connectfour, broadside or pig.
    #[arg(long, default_value = "tictactoe")]
    pub game: String,
    /// A node's JSON-RPC instead of the embedded chain, for instance an anvil's.
    #[arg(long)]
    pub rpc: Option<String>,
    /// The key that pays on that node: 32 bytes in hex. A development node's first account by default.
    #[arg(long, env = "MATCHLOCK_FUNDER")]
    pub funder: Option<String>,
    /// What each seat stakes, in wei.
    #[arg(long, default_value_t = 10_000_000_000_000_000)]
    pub stake: u64,
    /// The operator's share of a decided pot, in hundredths of a percent.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub fee: u16,
    /// Seed of the bots.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The last line is one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What it all came to.
#[derive(Debug, Serialize)]
pub struct Account {
    /// Players.
    pub players: u16,
    /// Matches.
    pub matches: u32,
    /// Moves, reveals of dice included.
    pub moves: u64,
    /// Signatures of players and operator.
    pub signatures: u64,
    /// Transactions that settled all of it.
    pub batches: u32,
    /// Their gas.
    pub gas_total: u64,
    /// The same for one match.
    pub gas_per_match: u64,
    /// What is not where it should be; "0".
    pub missing_wei: String,
    /// Whether a match drawn at random is proved against the chain.
    pub proof_ok: bool,
    /// All of it, by the clock.
    pub seconds: f64,
}

impl Account {
    /// Whether every wei is where it should be, and the proof holds.
    pub fn is_right(&self) -> bool {
        self.missing_wei == "0" && self.proof_ok
    }
}

/// Plays, settles, withdraws and checks.
///
/// # Errors
/// Whatever does not work, in its own words.
pub async fn play(options: &Options) -> Result<Account, Failure> {
    let began = Instant::now();
    let folder = tempfile::tempdir()?;
    let stake = Amount::from_u64(options.stake);
    let each = u64::from(options.matches).div_ceil(u64::from(options.players)) + 1;
    // A bankroll for an unlucky run, and stakes of matches whose statements are under way.
    let bankroll = Amount::new(stake.units() * u128::from(2 * each + 8))?;
    let pocket = U256::from(10u64.pow(17));
    let funder = match &options.funder {
        Some(hex) => Key::from_bytes(&hex.parse()?)?,
        None => dev_key(),
    };

    say(options, "starting the chain and the server");
    let world = World::start(Plan {
        rpc: options.rpc.clone(),
        funder,
        data: folder.path().to_owned(),
        fee: BasisPoints::new(options.fee)?,
        settle_age: 5,
        pool: Amount::new(stake.units() * 4 * u128::from(options.players) + bankroll.units())?,
        tune: None,
        arbiters: (Vec::new(), 1),
        refereed: true,
    })
    .await?;
    let rules = world.game(&options.game)?;
    let domain = world.server.domain();
    say(options, &format!("  server {}, chain {} at {}", world.server.url(), domain.chain_id, world.rpc()));
    say(options, &format!("  arena  {}", domain.arena));
    let pool_before = world.bank.pool().await?;

    let bar = bar(options, u64::from(options.players), "players");
    let mut players = Vec::new();
    for n in 0..usize::from(options.players) {
        players.push(world.player(n, bankroll, pocket).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    say(options, &format!("{} players deposited {} each", players.len(), ether(bankroll.units())));

    let playing = Instant::now();
    let played = play_all(options, &players, &rules, stake).await?;
    let playing = playing.elapsed().as_secs_f64();
    let (moves, signatures) =
        played.iter().fold((0, 0), |(m, s), p| (m + u64::from(p.moves), s + u64::from(p.signatures)));
    say(options, &format!("{} matches of {}, {moves} moves in {playing:.2} s", played.len(), rules.name()));

    say(options, "settling, and withdrawing every bankroll");
    let lone = lone_settlement(&world, played.last().expect("at least one")).await;
    let mut withdrawn = BTreeMap::new();
    for player in &mut players {
        let amount = player.withdraw_all().await?;
        withdrawn.insert(player.owner, amount);
    }

    let audit = audit(&world.bank, &pool_before, &players, &played).await?;
    let n = usize::from(u16::from_be_bytes([random()[0], random()[1]])) % played.len();
    let proof_ok = prove(&world.bank, &players, &played[n].transcript).await?;
    let results = results(&played);
    let line = |player: &PlayerClient| {
        let account = player.client.account();
        (account, results.get(&account).copied().unwrap_or(0), withdrawn[&player.owner])
    };
    let lines: Vec<_> = players.iter().map(line).collect();
    let account = Account {
        players: options.players,
        matches: played.len() as u32,
        moves,
        signatures,
        batches: audit.batches,
        gas_total: audit.gas,
        gas_per_match: audit.gas / played.len().max(1) as u64,
        missing_wei: audit.missing.to_string(),
        proof_ok,
        seconds: began.elapsed().as_secs_f64(),
    };
    report(options, &account, &lines, lone, ether(audit.fees), playing);
    for player in players {
        player.client.close().await;
    }
    world.server.shutdown().await;
    Ok(account)
}

/// All matches, round-robin between the players, a few of each player at once.
async fn play_all(
    options: &Options,
    players: &[PlayerClient],
    rules: &std::sync::Arc<dyn matchlock::rules::Rules>,
    stake: Amount,
) -> Result<Vec<Played>, Failure> {
    let bar = bar(options, u64::from(options.matches), "matches");
    let free: Vec<_> = players.iter().map(|_| std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE))).collect();
    let mut running = tokio::task::JoinSet::new();
    for n in 0..options.matches as usize {
        let (a, b) = pairing(n, players.len());
        // In the order of the players, so that two matches never wait for each other's player.
        let mut seats = Vec::new();
        for player in [a.min(b), a.max(b)] {
            seats.push(free[player].clone());
        }
        let clients = [players[a].client.clone(), players[b].client.clone()];
        let (rules, seed, bar) = (rules.clone(), options.seed.wrapping_mul(1_000_003) + n as u64, bar.clone());
        running.spawn(async move {
            let _first = seats[0].acquire().await?;
            let _second = seats[1].acquire().await?;
            let played = play_match(&clients, &rules, stake, seed).await;
            bar.inc(1);
            played
        });
    }
    let mut played = Vec::new();
    while let Some(result) = running.join_next().await {
        played.push(result??);
    }
    bar.finish_and_clear();
    Ok(played)
}

/// The n-th pair of a round-robin, seats changing sides.
fn pairing(n: usize, players: usize) -> (usize, usize) {
    let step = 1 + (n / players) % (players - 1);
    let a = n % players;
    let b = (a + step) % players;
    if n.is_multiple_of(2) { (a, b) } else { (b, a) }
}

/// Gas that this match would take alone: all signatures to the contract, one transaction a match.
async fn lone_settlement(world: &World, played: &Played) -> Option<u64> {
    let transcript = &played.transcript;
    let owners: Vec<_> = transcript.players.iter().map(|player| player.owner).collect();
    let last = &transcript.turns.last()?.state;
    let call = matchlock::abi::Arena::concludeCall::of(&transcript.terms, last, &owners, &transcript.conclusion);
    let data = call.abi_encode();
    let call = matchlock::chain::Call::view(world.server.domain().arena, data);
    world.bank.rpc().estimate_gas(&call).await.ok()
}

fn report(
    options: &Options,
    account: &Account,
    lines: &[(matchlock::account::AccountId, i128, Amount)],
    lone: Option<u64>,
    fees: String,
    playing: f64,
) {
    if options.json {
        return;
    }
    println!();
    println!("  {:<44} {:>14} {:>14}", "account", "won or lost", "withdrawn");
    for (id, delta, withdrawn) in lines.iter().take(12) {
        let sign = if *delta < 0 { "-" } else { "+" };
        let delta = format!("{sign}{}", ether(delta.unsigned_abs()));
        println!("  {id:<44} {delta:>14} {:>14}", ether(withdrawn.units()));
    }
    if lines.len() > 12 {
        println!("  ... and {} more", lines.len() - 12);
    }
    println!();
    println!("  matches          {:>12}   {:.0} a second", account.matches, f64::from(account.matches) / playing);
    println!(
        "  moves            {:>12}   {:.0} a second, every one signed",
        account.moves,
        account.moves as f64 / playing
    );
    println!("  signatures       {:>12}", account.signatures);
    println!("  batches          {:>12}   transactions that settled all of it", account.batches);
    println!("  gas per match    {:>12}   of {} in all", account.gas_per_match, account.gas_total);
    if let Some(lone) = lone {
        let factor = lone / account.gas_per_match.max(1);
        println!("  one transaction a match {lone:>5}   gas: {factor} times as much");
    }
    println!("  fees             {fees:>12}   to the operator's revenue split");
    println!("  missing wei      {:>12}", account.missing_wei);
    println!("  proof of a result{:>12}", if account.proof_ok { "holds" } else { "FAILS" });
    println!("  seconds          {:>12.2}", account.seconds);
}

fn say(options: &Options, line: &str) {
    if !options.json {
        println!("{line}");
    }
}

fn bar(options: &Options, length: u64, what: &'static str) -> ProgressBar {
    if options.json {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  {bar:30} {pos}/{len} {msg} {elapsed}").expect("a sound template");
    ProgressBar::new(length).with_style(style).with_message(what)
}

/// Wei as ether, exactly, without trailing zeros.
fn ether(wei: u128) -> String {
    let (whole, rest) = (wei / 10u128.pow(18), wei % 10u128.pow(18));
    let rest = format!("{rest:018}");
    match rest.trim_end_matches('0') {
        "" => format!("{whole} ETH"),
        rest => format!("{whole}.{rest} ETH"),
    }
}
