//! Contracts that are broken on purpose, each until the comparison with the model notices.
//!
//! `node sdk/contracts/mutants.mjs --out DIR`, then `cargo run -p matchlock-tests --bin mutants -- DIR`.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use matchlock_tests::{
    compare::{CALLS, Contracts, Divergence, Tally, run},
    sim::{Broken, Plan, SCENARIOS, Simulator},
    world::Failure,
};
use serde::Deserialize;

/// Runs schedules against each broken contract until one notices.
#[derive(Parser)]
struct Options {
    /// Where `sdk/contracts/mutants.mjs --out` wrote them.
    dir: PathBuf,
    /// Only mutants whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Schedules after which a mutant counts as missed.
    #[arg(long, default_value_t = 400)]
    seeds: u64,
    /// Schedules of the simulator after which it gives up: what nobody in them does, it cannot notice
    #[arg(long, default_value_t = 220)]
    schedules: u64,
    /// Also says what differed.
    #[arg(long)]
    verbose: bool,
}

#[derive(Deserialize)]
struct Mutant {
    name: String,
    rule: String,
    breaks: String,
}

fn main() -> ExitCode {
    match test(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("mutants: {missed} missed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Schedules until the simulator notices.
fn simulated(contracts: &Contracts, schedules: u64) -> Result<String, Failure> {
    let mut simulator = Simulator::of(contracts)?;
    // Of every scenario in turn, and of none.
    let kinds = SCENARIOS.len() as u64 + 1;
    let plan = |n: u64| match SCENARIOS.get((n % kinds) as usize) {
        Some(scenario) => scenario.plan(n / kinds),
        None => Plan::of(n / kinds),
    };
    let found = (0..schedules).find(|n| simulator.run_plan(plan(*n), Broken::Nothing).is_err());
    Ok(found.map_or_else(|| format!("not in {schedules}"), |seed| (seed + 1).to_string()))
}

/// How many mutants were missed.
fn test(options: &Options) -> Result<usize, Failure> {
    let list = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/contracts/mutants.json"))?;
    let mutants: Vec<Mutant> = serde_json::from_str(&list)?;
    let mut missed = 0;
    println!(
        "| mutant | rule | what it does | calls until the model notices | by | schedules until the simulator does |"
    );
    println!("|---|---|---|---|---|---|");
    for mutant in mutants.iter().filter(|mutant| mutant.name.contains(&options.only)) {
        let contracts = Contracts::read(&options.dir.join(&mutant.name).with_extension("json"))?;
        let caught = (0..options.seeds).find_map(|seed| run(seed, &contracts, &mut Tally::default()).err());
        let (after, by) = match caught {
            None => {
                missed += 1;
                (format!("**not in {}**", options.seeds), "–".to_owned())
            }
            Some(error) => {
                let divergence = error.downcast::<Divergence>()?;
                if options.verbose {
                    eprintln!("{}: {divergence}", mutant.name);
                }
                let calls = divergence.seed * CALLS as u64 + divergence.call as u64 + 1;
                (calls.to_string(), divergence.by())
            }
        };
        let simulated = simulated(&contracts, options.schedules)?;
        println!("| `{}` | {} | {} | {after} | {by} | {simulated} |", mutant.name, mutant.rule, mutant.breaks);
    }
    Ok(missed)
}
