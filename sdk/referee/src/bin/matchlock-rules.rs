//! `matchlock-rules`: compiles a game's rules for the chain.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use matchlock_referee::build::{BuildError, Memory, Source, Toolchain, build};

/// Compiles the rules of a game to a riscv32im program.
#[derive(Parser)]
#[command(name = "matchlock-rules")]
struct Options {
    /// The `Cargo.toml` of the package that has the game.
    #[arg(long, default_value = "Cargo.toml")]
    manifest: PathBuf,
    /// The game's value, as Rust: `my_game::Rules::default()`.
    #[arg(long)]
    game: String,
    /// Where the program goes.
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
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                eprintln!("because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn compile(options: &Options) -> Result<(), BuildError> {
    let toolchain = Toolchain::find()?;
    let memory = Memory { size: options.memory, stack: options.stack };
    let source = Source { manifest: options.manifest.clone(), game: options.game.clone(), memory };
    let program = build(&source, &toolchain, &options.folder)?;
    fs::write(&options.output, &program.elf)
        .map_err(|source| BuildError::File { path: options.output.clone(), source })?;
    let (output, size) = (options.output.display(), program.size);
    println!("{output}: {} bytes of code, {} of constants; {}", size.text, size.constants, program.toolchain);
    Ok(())
}
