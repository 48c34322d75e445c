//! `cargo xtask bench`: the figures of `docs/BENCHMARKS.md`, one JSON object a line with `--json`.

use clap::Parser;
use matchlock::game::BasisPoints;
use matchlock_tests::bench::{Row, cpu, gas};

/// Measures Matchlock.
#[derive(Parser)]
struct Options {
    /// One JSON object a line: name, value, unit, limit, ratio.
    #[arg(long)]
    json: bool,
    /// Only figures whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
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
        match gas::rows(game("tictactoe")).await {
            Ok(rows) => rows.into_iter().filter(|row| wanted(&row.name)).for_each(print),
            Err(error) => fail("gas", &error),
        }
    }
    if wanted("move.cpu") {
        print(cpu::row("move.cpu", game("tictactoe"), 400));
        print(cpu::row("move.cpu.broadside", game("broadside"), 20));
    }
}

fn fail(what: &str, error: &dyn std::fmt::Display) -> ! {
    eprintln!("bench: {what}: {error}");
    std::process::exit(1)
}
