//! `cargo xtask rules`: the demo games' rules for the chain, measured over whole matches between bots.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use matchlock::{
    game::{BasisPoints, Seat},
    rules::{Rules, RulesError},
};
use matchlock_demo::{Strength, bots};
use matchlock_referee::{
    Blob,
    build::{Memory, Source, Toolchain, build},
    measure::{self, Step},
};

/// Compiles the demo games' rules for the chain.
#[derive(Parser)]
struct Options {
    /// The games, each as `NAME=VALUE`, with the value as a Rust expression.
    games: Vec<String>,
    /// The `Cargo.toml` of the package that has them.
    #[arg(long)]
    manifest: PathBuf,
    /// Where what is in between is kept for the next time.
    #[arg(long)]
    folder: PathBuf,
    /// The folder for the files.
    #[arg(long)]
    output: PathBuf,
    /// Matches that are played at every number of seats, by bots of every strength.
    #[arg(long, default_value_t = 40)]
    matches: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    for game in &options.games {
        if let Err(error) = make(&options, game) {
            eprintln!("{game}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn make(options: &Options, game: &str) -> Result<(), Box<dyn std::error::Error>> {
    let (name, value) = game.split_once('=').ok_or("a game is NAME=VALUE")?;
    let toolchain = Toolchain::find()?;
    let source = Source { manifest: options.manifest.clone(), game: value.into(), memory: Memory::default() };
    let compiled = build(&source, &toolchain, &options.folder)?;
    let rules = matchlock_demo::games(BasisPoints::ZERO).into_iter().find(|rules| rules.name() == name);
    let rules = rules.ok_or("there is no such demo game")?;
    let steps = played(&*rules, options.matches)?;

    let tuned = measure::tune(&compiled.program, &steps)?;
    let blob = Blob::new(name, 1, &compiled.toolchain, tuned.budget(), tuned.program.clone())?;
    let path = options.output.join(format!("{name}.rules"));
    fs::write(&path, blob.encode())?;
    let worst = &tuned.worst;
    println!("{name}: {} bytes of RISC-V code, {} of constants", compiled.size.text, compiled.size.constants);
    println!("  EVM code     {} bytes", blob.translation().code.len());
    println!("  worst move   {} instructions, {} gas, of {} moves", worst.instructions, worst.gas, steps.len());
    println!("  budget       {} gas", blob.budget());
    println!("  transaction  about {} gas for a contest of that move", worst.transaction);
    println!("  hash         {}", blob.hash());
    Ok(())
}

/// Every move of matches between bots of all strengths, at every number of seats.
fn played(rules: &dyn Rules, matches: u64) -> Result<Vec<Step>, RulesError> {
    let mut steps = Vec::new();
    for seats in rules.seats() {
        for seed in 0..matches {
            let strength = Strength::ALL[(seed % Strength::ALL.len() as u64) as usize];
            let mut players: Vec<_> = (0..seats)
                .map(|seat| bots::player(rules.name(), strength, Seat(seat as u8), seed).expect("a demo game"))
                .collect();
            steps.extend(measure::match_of(rules, seats, seed, |position, seat| {
                players[seat.index()].choose(position, seat)
            })?);
        }
    }
    Ok(steps)
}
