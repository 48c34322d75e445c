//! `matchlock-rules`: compiles a game's rules for the chain.

use std::{error::Error, fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use matchlock_referee::{
    Blob,
    build::{BuildError, Memory, Source, Toolchain, build},
};

/// Compiles the rules of a game to a `.rules` file.
///
/// What a move may cost is measured over matches that bots play, with `matchlock_referee::measure`; this program takes the figure.
#[derive(Parser)]
#[command(name = "matchlock-rules")]
struct Options {
    /// The `Cargo.toml` of the package that has the game.
    #[arg(long, default_value = "Cargo.toml")]
    manifest: PathBuf,
    /// The game's value, as Rust: `my_game::Rules::default()`.
    #[arg(long)]
    game: String,
    /// The game's name, as in `Game::NAME`.
    #[arg(long)]
    name: String,
    /// The version of its rules, as in `Game::VERSION`.
    #[arg(long, default_value_t = 1)]
    rules_version: u32,
    /// Gas that a move may take.
    #[arg(long, default_value_t = 1_000_000)]
    budget: u32,
    /// Where the file goes.
    #[arg(long)]
    output: PathBuf,
    /// Where what is in between is kept for the next time.
    #[arg(long, default_value = "target/rules")]
    folder: PathBuf,
    /// Bytes of memory.
    #[arg(long, default_value_t = Memory::default().size)]
    memory: u32,
    /// Bytes of it that are stack.
    #[arg(long, default_value_t = Memory::default().stack)]
    stack: u32,
}

fn main() -> ExitCode {
    match compile(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn compile(options: &Options) -> Result<(), Box<dyn Error>> {
    let toolchain = Toolchain::find()?;
    let memory = Memory { size: options.memory, stack: options.stack };
    let source = Source { manifest: options.manifest.clone(), game: options.game.clone(), memory };
    let compiled = build(&source, &toolchain, &options.folder)?;
    let blob = Blob::new(&options.name, options.rules_version, &compiled.toolchain, options.budget, compiled.program)?;
    fs::write(&options.output, blob.encode())
        .map_err(|source| BuildError::File { path: options.output.clone(), source })?;
    let (output, size, code) = (options.output.display(), compiled.size, blob.translation().code.len());
    println!(
        "{output}: {} bytes of RISC-V code, {} of constants, {code} of EVM code, {}; {}",
        size.text,
        size.constants,
        blob.hash(),
        blob.toolchain()
    );
    Ok(())
}
