//! The server with the demo games.

use std::{path::PathBuf, process::ExitCode};

use alloy_primitives::Address;
use clap::{Parser, Subcommand};
use matchlock::{
    client::Watchtower,
    entrust::OpenDispute,
    game::{Amount, BasisPoints},
    rules::Rules,
};
use matchlock_server::{
    Options, PostOptions, Server,
    arbiter::Arbiter,
    chain::{CourtConfig, DeployConfig, deploy},
    tower::Tower,
};
use tracing_subscriber::EnvFilter;

/// Staked matches over state channels: lobby, relay, operator and settler of one arena.
///
/// Without options it runs the embedded chain with play money and keeps everything in ./matchlock-data. Each option can
/// also be given in the environment or in a TOML file; flags win over the environment, and both win over the file.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server; what happens without a command, too
    Serve(Box<Options>),
    /// Deploys an arena and prints its address
    Deploy(Deploy),
    /// Runs a watchtower: it answers stale challenges and exits for players who are away
    Watch(Box<PostOptions>),
    /// Runs an arbiter: it rules on contested moves by replay, with the key of one of the court's arbiters
    Arbiter(Box<PostOptions>),
    /// Lists open disputes as a server, a tower or an arbiter sees them
    Disputes(DisputesOf),
}

#[derive(clap::Args)]
struct DisputesOf {
    /// HTTP address of a server, a tower or an arbiter
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7777")]
    url: String,
    /// Prints what it says as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Deploy {
    /// A node's JSON-RPC endpoint
    #[arg(long, env = "MATCHLOCK_CHAIN_RPC", value_name = "URL")]
    rpc: String,
    /// File with the operator's key, 64 hexadecimal digits; its wallet pays for the gas
    #[arg(long, env = "MATCHLOCK_OPERATOR_KEY_FILE", value_name = "FILE")]
    operator_key: PathBuf,
    /// The asset: an ERC-20's address; without it, the chain's own coin
    #[arg(long, value_name = "ADDRESS")]
    token: Option<Address>,
    /// Seconds that a player waits who leaves without the operator
    #[arg(long, value_name = "SECONDS", default_value_t = 7 * 24 * 60 * 60)]
    exit_window: u32,
    /// Seconds of the shortest window in which a player has to answer in a dispute
    #[arg(long, value_name = "SECONDS", default_value_t = 60 * 60)]
    answer_window: u32,
    /// Seconds that the arbiters have to rule on a contested move
    #[arg(long, value_name = "SECONDS", default_value_t = 24 * 60 * 60)]
    ruling_window: u32,
    /// What a contest costs if the move turns out to be legal, in the chain's smallest unit
    #[arg(long, value_name = "UNITS", default_value_t = 10_000_000_000_000_000)]
    bond: u64,
    /// Who rules on contested moves, once for each [default: the operator]
    #[arg(long = "arbiter", value_name = "ADDRESS")]
    arbiters: Vec<Address>,
    /// How many arbiters have to agree
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    quorum: u8,
    /// Who gets a share of the fees, as ADDRESS=BASISPOINTS; together 10000 [default: the operator all]
    #[arg(long, value_name = "ADDRESS=BP", value_parser = share)]
    split: Vec<(Address, u16)>,
}

fn share(text: &str) -> Result<(Address, u16), String> {
    let (address, points) = text.split_once('=').ok_or("expected ADDRESS=BASISPOINTS")?;
    let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
    let points = points.parse().map_err(|error| format!("{points}: {error}"))?;
    Ok((address, points))
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .init();
    let Arguments { command, serve } = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = runtime.block_on(async {
        match command {
            None => run(serve).await,
            Some(Command::Serve(options)) => run(*options).await,
            Some(Command::Deploy(options)) => deploy_arena(options).await,
            Some(Command::Watch(options)) => watch(*options).await,
            Some(Command::Arbiter(options)) => arbitrate(*options).await,
            Some(Command::Disputes(of)) => list_disputes(of).await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&*error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("matchlock-server: {error}");
    ExitCode::FAILURE
}

type Done = Result<(), Box<dyn std::error::Error>>;

async fn run(options: Options) -> Done {
    let options = Options { operator_key: std::env::var("MATCHLOCK_OPERATOR_KEY").ok(), ..options }.with_file()?;
    let fee = fee(options.fee)?;
    let server = Server::start(options.resolve()?, games(fee)?).await?;
    // The one line on standard output, for scripts that start a server and want to know where it is.
    println!("{}", server.url());
    stopped().await?;
    tracing::info!("closing");
    server.shutdown().await;
    Ok(())
}

async fn watch(options: PostOptions) -> Done {
    let options = options.with_file()?;
    let tower = Tower::start(options.tower()?, games(fee(options.fee)?)?).await?;
    println!("{}", tower.url());
    stopped().await?;
    tower.shutdown().await;
    Ok(())
}

async fn arbitrate(options: PostOptions) -> Done {
    let options = options.with_file()?;
    let arbiter = Arbiter::start(options.arbiter()?, games(fee(options.fee)?)?).await?;
    println!("{}", arbiter.url());
    stopped().await?;
    arbiter.shutdown().await;
    Ok(())
}

async fn list_disputes(of: DisputesOf) -> Done {
    let disputes = Watchtower::new(&of.url)?.disputes().await?;
    if of.json {
        println!("{}", serde_json::to_string_pretty(&disputes)?);
        return Ok(());
    }
    println!(
        "{:<68}{:<11}{:>5}{:>7}{:>11}{:>12}{:>6}  {:<9}submitted",
        "match", "phase", "turn", "mover", "contested", "until", "held", "verdict"
    );
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for open in disputes {
        let OpenDispute { match_id, phase, turn, mover, contested, until, held, submitted, verdict, .. } = open;
        let verdict = verdict.map(|legal| if legal { "legal" } else { "illegal" }.to_owned());
        let submitted: Vec<String> =
            submitted.iter().map(|submitted| format!("{} ({})", submitted.what, submitted.answer)).collect();
        println!(
            "{:<68}{phase:<11}{turn:>5}{:>7}{:>11}{until:>12}{:>6}  {:<9}{}",
            match_id.to_string(),
            or_none(mover.map(|mover| mover.0.to_string())),
            or_none(contested.map(|turn| turn.to_string())),
            or_none(held.map(|turn| turn.to_string())),
            or_none(verdict),
            submitted.join(", "),
        );
    }
    Ok(())
}

fn fee(points: Option<u16>) -> Result<BasisPoints, String> {
    BasisPoints::new(points.unwrap_or(0)).map_err(|error| format!("--fee: {error}"))
}

#[cfg(feature = "demo-games")]
fn games(fee: BasisPoints) -> Result<Vec<std::sync::Arc<dyn Rules>>, Box<dyn std::error::Error>> {
    Ok(matchlock_demo::refereed::games(fee)?)
}

#[cfg(not(feature = "demo-games"))]
fn games(_fee: BasisPoints) -> Result<Vec<std::sync::Arc<dyn Rules>>, Box<dyn std::error::Error>> {
    Err("built without the demo games: run your own games with the library, see its documentation".into())
}

/// Waits for the first SIGINT or SIGTERM.
async fn stopped() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

async fn deploy_arena(options: Deploy) -> Done {
    let key = matchlock_server::read_key(&options.operator_key)?;
    let config = DeployConfig {
        token: options.token.unwrap_or_default(),
        court: Some(CourtConfig {
            minimum: options.answer_window,
            patience: options.ruling_window,
            bond: Amount::from_u64(options.bond),
            quorum: options.quorum,
            arbiters: options.arbiters,
        }),
        exit_window: options.exit_window,
        salt: None,
        split: options.split,
    };
    let deployment = deploy(&options.rpc, &key, config).await?;
    tracing::info!(tx = %deployment.tx, block = deployment.block, gas = deployment.gas_used, "deployed");
    println!("{}", deployment.arena);
    Ok(())
}
