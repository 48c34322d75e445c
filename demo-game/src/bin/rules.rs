//! `cargo xtask rules`: the demo games' rules for the chain, measured over whole matches between bots.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use matchlock::{
    game::{BasisPoints, Seat},
    rules::{Rules, RulesError},
};
use matchlock_demo::{Strength, bots};
use matchlock_referee::{
    Blob,
    blob::BlobError,
    build::{BuildError, Compiled, Memory, Source, Toolchain, build},
    machine::{Parts, Program, ProgramError},
    measure::{self, MeasureError, Step},
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
    /// A folder with earlier files: measures nothing, but takes budgets and registers from them. What the same compiler makes has to
    /// be the same then, to the byte.
    #[arg(long)]
    same_as: Option<PathBuf>,
    /// Most matches that are played at every number of seats.
    #[arg(long, default_value_t = 40)]
    matches: u64,
}

/// Moves that are enough: more find no dearer one.
const ENOUGH_MOVES: usize = 4_000;

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

fn make(options: &Options, game: &str) -> Result<(), Failure> {
    let (name, value) = game.split_once('=').ok_or(Failure::Argument)?;
    let rules = matchlock_demo::games(BasisPoints::ZERO).into_iter().find(|rules| rules.name() == name);
    let rules = rules.ok_or(Failure::NoSuchGame)?;
    let toolchain = Toolchain::find()?;
    let source = Source { manifest: options.manifest.clone(), game: value.into(), memory: Memory::default() };
    let compiled = build(&source, &toolchain, &options.folder)?;
    println!("{name}: {} bytes of RISC-V code, {} of constants", compiled.size.text, compiled.size.constants);
    let blob = match &options.same_as {
        Some(folder) => again(name, compiled, &folder.join(format!("{name}.rules")))?,
        None => measured(&*rules, compiled, options.matches)?,
    };
    let path = options.output.join(format!("{name}.rules"));
    fs::write(&path, blob.encode()).map_err(|source| Failure::File { path, source })?;
    println!("  EVM code     {} bytes", blob.translation().code.len());
    println!("  budget       {} gas", blob.budget());
    println!("  hash         {}", blob.hash());
    Ok(())
}

/// With the budget and the registers that bots' matches suggest.
fn measured(rules: &dyn Rules, compiled: Compiled, matches: u64) -> Result<Blob, Failure> {
    let steps = played(rules, matches)?;
    let tuned = measure::tune(&compiled.program, &steps)?;
    let worst = &tuned.worst;
    println!("  worst move   {} instructions, {} gas, of {} moves", worst.instructions, worst.gas, steps.len());
    println!("  transaction  about {} gas for a contest of that move", worst.transaction);
    Ok(Blob::new(rules.name(), 1, &compiled.toolchain, tuned.budget(), tuned.program)?)
}

/// With those of an earlier file.
fn again(name: &str, compiled: Compiled, path: &Path) -> Result<Blob, Failure> {
    let earlier = fs::read(path).map_err(|source| Failure::File { path: path.to_owned(), source })?;
    let earlier = Blob::decode(&earlier)?;
    let hot = earlier.program().parts().hot.clone();
    let program = Program::new(Parts { hot, ..compiled.program.parts().clone() })?;
    let blob = Blob::new(name, 1, &compiled.toolchain, earlier.budget(), program)?;
    if blob.toolchain() == earlier.toolchain() && blob != earlier {
        return Err(Failure::OtherRules { path: path.to_owned() });
    }
    Ok(blob)
}

/// Every move of matches between bots of all strengths, at every number of seats.
fn played(rules: &dyn Rules, matches: u64) -> Result<Vec<Step>, RulesError> {
    let strengths = Strength::ALL.len() as u64;
    let mut steps = Vec::new();
    for seed in 0..matches.max(strengths) {
        if seed >= strengths && steps.len() >= ENOUGH_MOVES {
            break;
        }
        let strength = Strength::ALL[(seed % strengths) as usize];
        for seats in rules.seats() {
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

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("a game is given as NAME=VALUE")]
    Argument,
    #[error("there is no such demo game")]
    NoSuchGame,
    #[error("{path} is of other rules: make it again, with `cargo xtask rules`", path = path.display())]
    OtherRules { path: PathBuf },
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error(transparent)]
    Measure(#[from] MeasureError),
}
