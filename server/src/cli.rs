//! The program `matchlock`: verdicts that anybody can check, for any set of games.
//!
//! `judge` says who won, who broke which rule, or who holds a match; `show` lists it turn by turn; `diff` finds where two
//! clients' boards part. It needs the files and the rules, and no server. A developer's own is this library with the
//! developer's rules:
//!
//! ```no_run
//! use matchlock::{doc::TicTacToe, rules::GameRules};
//!
//! fn main() -> std::process::ExitCode {
//!     matchlock_server::cli::run(|fee| vec![GameRules::shared(TicTacToe, fee)])
//! }
//! ```

mod compared;
mod judged;
mod listed;
mod words;

use std::{
    ffi::OsString,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Parser, Subcommand};
use matchlock::{
    abi::{MatchTerms, State},
    channel::ChannelError,
    game::BasisPoints,
    rules::{Rules, RulesId},
    transcript::{DiffError, File, FileError, MAX_FILE, Recording, TranscriptError},
};
use serde_json::{Value, json};

/// Checks matches from their files: who won, who broke which rule, who holds them, where two clients disagree.
///
/// Exit codes: 0 all is legal and over, or the files agree; 1 somebody is guilty or holds the match, or the files disagree;
/// 2 a file is unusable.
#[derive(Parser)]
#[command(name = "matchlock", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Says who won, who broke which rule, or who holds the match
    Judge {
        /// A transcript or a recording
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Judge as of this Unix time [default: now]
        #[arg(long, value_name = "SECONDS")]
        at: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists a match turn by turn
    Show {
        /// A transcript or a recording
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Finds the first turn and field in which two clients' records of one match differ
    Diff {
        /// One client's recording; of a transcript, what these rules make of it
        #[arg(value_name = "A")]
        a: PathBuf,
        /// The other's
        #[arg(value_name = "B")]
        b: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Why a file is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The system does not give it.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// In the system's words.
        error: std::io::Error,
    },
    /// It is no transcript or recording, or not whole.
    #[error("{}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: FileError,
    },
    /// No game here has these rules.
    #[error(
        "{}: played by rules {}, which no game here has at any fee ({known}): use the program of the server where it was \
         played, or call `matchlock_server::cli::run` with that game, version and parameters",
        .path.display(), .rules.0
    )]
    UnknownRules {
        /// The file.
        path: PathBuf,
        /// What the terms name.
        rules: RulesId,
        /// The names of the games that there are.
        known: String,
    },
    /// A transcript that proves nothing.
    #[error("{}: no evidence: {error}", .path.display())]
    NoEvidence {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: TranscriptError,
    },
    /// A transcript that these rules cannot replay.
    #[error("{}: {error}", .path.display())]
    Start {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: ChannelError,
    },
    /// Two files that cannot be compared.
    #[error("{} and {}: {error}", .a.display(), .b.display())]
    NotComparable {
        /// The first.
        a: PathBuf,
        /// The second.
        b: PathBuf,
        /// Why not.
        error: DiffError,
    },
}

/// What the program answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub output: String,
    /// For standard error: why nothing can be said.
    pub error: String,
    /// What to exit with: 0 all is well, 1 somebody is to blame or two files differ, 2 bad input.
    pub code: u8,
}

/// What a command found.
struct Found {
    text: String,
    json: Value,
    /// Nobody is to blame, nothing differs.
    well: bool,
}

/// The whole program: reads the process's arguments, prints, and says what to exit with. `games` is every game at one fee;
/// the fee of a match is found by its rules' id.
pub fn run(games: impl Fn(BasisPoints) -> Vec<Arc<dyn Rules>>) -> ExitCode {
    let answer = answer(std::env::args_os(), games);
    // Whoever closed the pipe has read enough.
    let _ = std::io::stdout().write_all(answer.output.as_bytes());
    let _ = std::io::stderr().write_all(answer.error.as_bytes());
    ExitCode::from(answer.code)
}

/// The same without the process: `arguments` begin with the program's name.
pub fn answer(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    games: impl Fn(BasisPoints) -> Vec<Arc<dyn Rules>>,
) -> Answer {
    let (found, as_json) = match Arguments::try_parse_from(arguments).map(|arguments| arguments.command) {
        Ok(Command::Judge { file, at, json }) => (judged::judge(&file, at.unwrap_or_else(now), &games), json),
        Ok(Command::Show { file, json }) => (listed::show(&file, &games), json),
        Ok(Command::Diff { a, b, json }) => (compared::diff(&a, &b, &games), json),
        Err(error) => {
            let (text, code) = (error.render().to_string(), error.exit_code() as u8);
            // Help and version are answers.
            let (output, error) = if code == 0 { (text, String::new()) } else { (String::new(), text) };
            return Answer { output, error, code };
        }
    };
    match found {
        Ok(found) => {
            let output = if as_json { format!("{:#}\n", found.json) } else { found.text };
            Answer { output, error: String::new(), code: u8::from(!found.well) }
        }
        Err(error) => {
            let output = if as_json { format!("{:#}\n", json!({ "error": error.to_string() })) } else { String::new() };
            Answer { output, error: format!("matchlock: {error}\n"), code: 2 }
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// A file of a stranger: what is too large is not read.
fn read(path: &Path) -> Result<File, CliError> {
    let unreadable = |error| CliError::Unreadable { path: path.to_owned(), error };
    let wrong = |error| CliError::File { path: path.to_owned(), error };
    let limit = MAX_FILE as u64;
    let file = std::fs::File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > limit {
        return Err(wrong(FileError::TooLarge));
    }
    let mut bytes = Vec::new();
    // What is no plain file has no length, and a plain one may grow.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    File::from_bytes(&bytes).map_err(wrong)
}

/// The rules that a match was played by. A file does not carry the fee, which is part of the id: there are 10,001.
fn rules_of(
    path: &Path,
    terms: &MatchTerms,
    games: &impl Fn(BasisPoints) -> Vec<Arc<dyn Rules>>,
) -> Result<Arc<dyn Rules>, CliError> {
    let all = (0..=10_000).filter_map(|points| BasisPoints::new(points).ok()).flat_map(games);
    // Rules that the chain can judge have one id at every fee; the position that the match started from has the fee in it.
    let starts = |known: &dyn Rules| {
        let placed = known.start(&terms.stakes, &terms.seeds);
        placed.is_ok_and(|placed| State::start(&placed).start_commitment() == terms.start)
    };
    let mut named = None;
    for known in all.filter(|known| known.id() == terms.rules) {
        if known.on_chain().is_none() || starts(&*known) {
            return Ok(known);
        }
        named = named.or(Some(known));
    }
    named.ok_or_else(|| {
        let mut known: Vec<&str> = Vec::new();
        for game in games(BasisPoints::ZERO) {
            if !known.contains(&game.name()) {
                known.push(game.name());
            }
        }
        CliError::UnknownRules { path: path.to_owned(), rules: terms.rules, known: known.join(", ") }
    })
}

/// A file as a recording: of a transcript, what these rules make of it.
fn recording(path: &Path, file: File, rules: &Arc<dyn Rules>) -> Result<Recording, CliError> {
    match file {
        File::Recording(recording) => Ok(recording),
        File::Transcript(transcript) => {
            Recording::new(transcript, None, &**rules).map_err(|error| CliError::Start { path: path.to_owned(), error })
        }
    }
}
