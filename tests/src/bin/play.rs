//! `cargo xtask play`: the whole road once, in front of your eyes. A chain, a server, players with bankrolls; matches
//! between bots over real WebSockets; batches; withdrawals; and a check that not a wei is missing.

use std::{collections::BTreeMap, time::Instant};

use alloy_primitives::U256;
use alloy_sol_types::{SolCall, SolEvent};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use matchlock::{
    abi::{Arena::Settled, MatchId},
    game::{Amount, BasisPoints},
    settle,
    sign::Key,
};
use matchlock_tests::world::{Failure, Plan, Played, PlayerClient, World, dev_key, play_match, random};
use serde::Serialize;

/// Matches of one client at once.
const AT_ONCE: usize = 2;

/// Plays staked matches between bots, settles and withdraws everything, and checks every wei.
#[derive(Parser)]
struct Options {
    /// How many players.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=200))]
    players: u16,
    /// How many matches.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    matches: u32,
    /// Which game: tictactoe, broadside or pig.
    #[arg(long, default_value = "tictactoe")]
    game: String,
    /// A node's JSON-RPC instead of the embedded chain, for instance an anvil's.
    #[arg(long)]
    rpc: Option<String>,
    /// The key that pays on that node: 32 bytes in hex. A development node's first account by default.
    #[arg(long, env = "MATCHLOCK_FUNDER")]
    funder: Option<String>,
    /// What each seat stakes, in wei.
    #[arg(long, default_value_t = 10_000_000_000_000_000)]
    stake: u64,
    /// The operator's share of a decided pot, in hundredths of a percent.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    fee: u16,
    /// Seed of the bots.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The last line is one JSON object.
    #[arg(long)]
    json: bool,
}

/// What it all came to.
#[derive(Debug, Serialize)]
struct Account {
    players: u16,
    matches: u32,
    moves: u64,
    signatures: u64,
    batches: u32,
    gas_total: u64,
    gas_per_match: u64,
    missing_wei: String,
    proof_ok: bool,
    seconds: f64,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    match play(&options).await {
        Ok(account) => {
            if options.json {
                println!("{}", serde_json::to_string(&account).expect("plain fields"));
            }
            if account.missing_wei != "0" || !account.proof_ok {
                std::process::exit(1);
            }
        }
        Err(error) => {
            eprintln!("play: {error}");
            std::process::exit(1);
        }
    }
}

async fn play(options: &Options) -> Result<Account, Failure> {
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

    // From here on only the chain is asked.
    let (batches, gas_total, rooted) = settlements(&world).await?;
    let mut missing = U256::ZERO;
    let mut lines = Vec::new();
    let results = results(&played);
    for player in &players {
        let account = player.client.account();
        let delta = results.get(&account).copied().unwrap_or(0);
        let record = player.wallet.account(account).await?;
        let wallet = player.wallet.rpc().balance(player.owner).await?;
        let expected = U256::from((bankroll.signed() + delta).unsigned_abs()) + pocket - player.gas_paid;
        missing += expected.abs_diff(wallet) + U256::from(record.payable().units());
        lines.push((account, delta, withdrawn[&player.owner]));
    }
    let fees: u128 = played.iter().map(fee_of).sum();
    let pool = world.bank.pool().await?;
    let held = world.bank.rpc().balance(domain.arena).await?;
    // What is left in the arena is the operator's: its pool and the fees. Players' gains and losses cancel but for the fees.
    missing += held.abs_diff(U256::from(pool.equity.units() + fees));
    missing += U256::from(pool.owed) + U256::from(pool.equity.units().abs_diff(pool_before.equity.units()));
    missing += U256::from(u64::from(rooted.abs_diff(played.len() as u32)));

    let proof_ok = prove(&world, &players, &played).await?;
    let account = Account {
        players: options.players,
        matches: played.len() as u32,
        moves,
        signatures,
        batches,
        gas_total,
        gas_per_match: gas_total / played.len().max(1) as u64,
        missing_wei: missing.to_string(),
        proof_ok,
        seconds: began.elapsed().as_secs_f64(),
    };
    report(options, &account, &lines, lone, ether(fees), playing);
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
    if n % 2 == 0 { (a, b) } else { (b, a) }
}

/// Gas that this match would take alone: all signatures to the contract, one transaction a match.
async fn lone_settlement(world: &World, played: &Played) -> Option<u64> {
    let transcript = &played.transcript;
    let call = matchlock::abi::Arena::concludeCall {
        terms: (&transcript.terms).into(),
        last: (&transcript.turns.last()?.state).into(),
        owners: transcript.players.iter().map(|player| player.owner).collect(),
        signatures: transcript.conclusion.iter().flat_map(|signature| signature.0).collect::<Vec<u8>>().into(),
    };
    let data = call.abi_encode();
    let call = matchlock::chain::Call::view(world.server.domain().arena, data);
    world.bank.rpc().estimate_gas(&call).await.ok()
}

/// Batches, the gas of all of them, and the matches that they say they settle, from the chain's own logs.
async fn settlements(world: &World) -> Result<(u32, u64, u32), Failure> {
    let rpc = world.bank.rpc();
    let head = rpc.head().await?;
    let logs = rpc.logs(world.server.domain().arena, 0, head.number.to()).await?;
    let (mut batches, mut gas, mut matches) = (0, 0, 0);
    for entry in logs {
        let Ok(settled) = Settled::decode_log(&entry.log()) else { continue };
        let receipt = rpc.receipt(entry.transaction_hash).await?.ok_or("a mined batch has a receipt")?;
        batches += 1;
        gas += receipt.gas_used.to::<u64>();
        matches += settled.matches;
    }
    Ok((batches, gas, matches))
}

/// What each account won or lost, from the transcripts.
fn results(played: &[Played]) -> BTreeMap<matchlock::account::AccountId, i128> {
    let mut results = BTreeMap::new();
    for Played { transcript, .. } in played {
        let payouts = &transcript.turns.last().expect("a played match").state.payouts;
        for (i, seat) in transcript.terms.seats.iter().enumerate() {
            *results.entry(*seat).or_insert(0) += transcript.terms.delta(matchlock::game::Seat(i as u8), payouts);
        }
    }
    results
}

fn fee_of(played: &Played) -> u128 {
    let payouts = &played.transcript.turns.last().expect("a played match").state.payouts;
    let sum = |amounts: &[Amount]| amounts.iter().map(|amount| amount.units()).sum::<u128>();
    sum(&played.transcript.terms.stakes) - sum(payouts)
}

/// Proves one match, drawn at random, against the root on the chain: by the contract and by the SDK.
async fn prove(world: &World, players: &[PlayerClient], played: &[Played]) -> Result<bool, Failure> {
    let n = usize::from(u16::from_be_bytes([random()[0], random()[1]])) % played.len();
    let transcript = &played[n].transcript;
    let id: MatchId = transcript.terms.id(&transcript.domain);
    let player = players.iter().find(|player| player.client.account() == transcript.terms.seats[0]);
    let proof = player.ok_or("a seat of nobody")?.client.prove(id).await?;
    let leaf = proof.result.hash(transcript.domain.arena);
    let on_chain = world.bank.prove_result(proof.batch, &proof.result, &proof.path).await?;
    let same = proof.result.match_id == id
        && proof.result.transcript == matchlock::transcript::id(id, &transcript.turns)
        && proof.result.payouts == transcript.turns.last().ok_or("no turn")?.state.payouts;
    let root = world.bank.rpc().call(&root_call(world, proof.batch), matchlock::chain::BlockId::Latest).await?;
    Ok(on_chain && same && settle::proves(alloy_primitives::B256::from_slice(&root), leaf, &proof.path))
}

fn root_call(world: &World, batch: u32) -> matchlock::chain::Call {
    let call = matchlock::abi::Arena::resultsRootCall { batch };
    matchlock::chain::Call::view(world.server.domain().arena, call.abi_encode())
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
