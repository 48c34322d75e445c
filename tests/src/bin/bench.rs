//! `cargo xtask bench`: the figures of `docs/BENCHMARKS.md`, one JSON object a line with `--json`.

use clap::Parser;
use matchlock::game::BasisPoints;
use matchlock_tests::bench::{Row, cpu, gas, load, moves, referee};

/// Measures Matchlock.
#[derive(Parser)]
struct Options {
    /// One JSON object a line: name, value, unit, limit, ratio.
    #[arg(long)]
    json: bool,
    /// Only figures whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Matches at once for server.moves.
    #[arg(long, default_value_t = 1_000)]
    matches: usize,
    /// Idle matches for server.match.memory: the slope is taken from a twentieth of it.
    #[arg(long, default_value_t = 20_000)]
    idle: usize,
    /// Be one of the servers that are measured: matchlock or relay.
    #[arg(long, hide = true)]
    serve: Option<String>,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    if let Some(what) = &options.serve {
        return load::serve(what).await.unwrap_or_else(|error| fail(what, &error));
    }
    let wanted = |name: &str| name.contains(&options.only);
    let games = matchlock_demo::games(BasisPoints::ZERO);
    let game = |name: &str| games.iter().find(|game| game.name() == name).expect("a demo game");
    let print = |row: Row| {
        if options.json {
            println!("{}", serde_json::to_string(&row).expect("a row"));
        } else {
            let goal = row.limit.map_or(String::new(), |limit| format!("goal {limit:.1}"));
            let ratio = row.ratio.map_or(String::new(), |ratio| format!("ratio {ratio:.3}"));
            println!("{:<28} {:>12.2} {:<10} {goal:<16} {ratio}", row.name, row.value, row.unit);
        }
    };
    if wanted("gas") {
        let rows = gas::rows(game("tictactoe")).await.unwrap_or_else(|error| fail("gas", &error));
        rows.into_iter().filter(|row| wanted(&row.name)).for_each(print);
    }
    if wanted("referee") {
        let rows = referee::rows().await.unwrap_or_else(|error| fail("referee", &error));
        rows.into_iter().filter(|row| wanted(&row.name)).for_each(print);
    }
    let mut move_cpu = 0.0;
    if wanted("move.cpu") || wanted("net.move") {
        let row = cpu::row("move.cpu", game("tictactoe"), 400);
        move_cpu = row.value;
        print(row);
        print(cpu::row("move.cpu.broadside", game("broadside"), 20));
    }
    if wanted("net.move") {
        let rows = load::net_move(move_cpu).await.unwrap_or_else(|error| fail("net.move", &error));
        rows.into_iter().for_each(print);
    }
    if wanted("server.moves") {
        let rows = moves::server_moves(options.matches).await.unwrap_or_else(|error| fail("server.moves", &error));
        rows.into_iter().for_each(print);
    }
    if wanted("server.match.memory") {
        let (few, many) = (options.idle / 20, options.idle);
        print(load::memory(few.max(1), many).await.unwrap_or_else(|error| fail("server.match.memory", &error)));
    }
    if wanted("server.matches") {
        print(load::whole_matches(16, 4).await.unwrap_or_else(|error| fail("server.matches", &error)));
    }
    if wanted("chain.start") {
        print(load::chain_start().await.unwrap_or_else(|error| fail("chain.start", &error)));
    }
}

fn fail(what: &str, error: &dyn std::fmt::Display) -> ! {
    eprintln!("bench: {what}: {error}");
    std::process::exit(1)
}
