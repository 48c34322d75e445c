//! `cargo xtask`: one command for each chore. Each does the set-up that it needs, so a fresh checkout needs no other.

mod fuzz;
mod rules;
mod runner;
mod setup;
mod step;
mod test;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};
use step::{Failure, Step};

/// Chores of the Matchlock workspace. Each command sets up what it needs by itself.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks everything: contracts, formatting, lints, documentation and all tests.
    Test {
        /// Runs only the formatting check and the Rust tests.
        #[arg(long)]
        fast: bool,
        /// Runs only the Rust tests whose names contain this.
        filter: Option<String>,
    },
    /// Plays matches from deposits to withdrawals on a chain of its own; `cargo xtask play --help` has the options.
    #[command(disable_help_flag = true)]
    Play {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Measures; `cargo xtask bench --help` has the options.
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Simulates whole schedules in virtual time; `cargo xtask sim --help` has the options.
    #[command(disable_help_flag = true)]
    Sim {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Fuzzes: each target, or one, for so long. What it finds is kept in `tests/fuzz/artifacts`.
    Fuzz {
        /// One of `frames`, `channel`, `judge` and `batch`.
        target: Option<String>,
        /// How long each target runs.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Compiles the demo games' rules for the chain, to the files that are committed.
    Rules {
        /// One of `tictactoe`, `connectfour`, `broadside` and `pig`, or `all`.
        #[arg(default_value = "all")]
        game: String,
        /// Writes nothing; compiles every game in two folders instead, and compares.
        #[arg(long, conflicts_with = "game")]
        check: bool,
    },
    /// Compiles the contracts to the artifacts that are committed.
    Contracts,
    /// Runs what the CI runs.
    Ci,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Test { fast, filter } => test::run(fast, filter.as_deref()),
        Command::Play { args } => program("play", args),
        Command::Bench { args } => program("bench", args),
        Command::Sim { args } => program("sim", args),
        Command::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Command::Rules { check: true, .. } => rules::reproduce().map(drop),
        Command::Rules { game, .. } => rules::run(&game),
        Command::Contracts => contracts(),
        Command::Ci => {
            Step::new("What the CI runs", "bash", &[".ci/run"]).env("CI", "true").without_input().run().map(drop)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// Builds and runs a program of the tests' crate. The whole workspace is selected, as for the tests: cargo unifies features
/// over what is selected, and another selection would compile the dependencies again.
fn program(name: &str, args: Vec<OsString>) -> Result<(), Failure> {
    let title = format!("Building `{name}` (some minutes the first time), then running it");
    Step::cargo(&title, &["run", "--bin", name, "--"]).args(args).run().map(drop)
}

fn contracts() -> Result<(), Failure> {
    setup::node()?;
    let folder = setup::npm("sdk/contracts")?;
    Step::new("Compiling the contracts", "node", &["build.mjs"]).within(&folder).run()?;
    Step::new("Comparing the artifacts with the sources", "node", &["build.mjs", "--check"]).within(&folder).run()?;
    Ok(())
}
