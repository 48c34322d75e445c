//! Compiling a game's rules to a riscv32im program (feature `build`; Unix).
//!
//! ```no_run
//! use matchlock_referee::build::{Memory, Source, Toolchain, build};
//!
//! let source = Source {
//!     manifest: "demo-game/Cargo.toml".into(),
//!     game: "matchlock_demo::tictactoe::TicTacToe".into(),
//!     memory: Memory::default(),
//! };
//! let compiled = build(&source, &Toolchain::find()?, "target/rules".as_ref())?;
//! println!("{} bytes of code, by {}", compiled.size.text, compiled.toolchain);
//! # Ok::<(), matchlock_referee::build::BuildError>(())
//! ```
//!
//! # What becomes of a crate
//!
//! The package is compiled as it is, together with everything that it needs; `core` and `alloc` too, from the compiler's
//! sources, so that all of it is optimised as one and a panic is one instruction. A small package is generated around it,
//! which reads the question, has [`matchlock::rules::judge`](../../matchlock/rules/fn.judge.html) answer it, and halts.
//!
//! The same sources and the same [toolchain](Toolchain::version) give the same bytes, wherever they lie and whoever builds
//! them: paths and the names of folders do not reach the program. What counts is how the packages lie to each other.

mod inspect;
mod metadata;
mod package;
mod toolchain;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{
    link::{LinkError, link},
    machine::Program,
};
pub use inspect::{MAX_TEXT, MIN_FREE, Size};
pub use toolchain::{OLDEST, Toolchain};

/// The compiler's built-in target. It is riscv32im without an operating system and without a second thread, so that atomics, and with
/// them `Arc`, can be made plain loads and stores; `riscv32im-unknown-none-elf` has no `Arc` at all.
pub const TARGET: &str = "riscv32im-risc0-zkvm-elf";

/// A game's rules as sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The `Cargo.toml` of the package that has the game: `no_std`, and with `matchlock` among its dependencies.
    pub manifest: PathBuf,
    /// The game's value as a Rust expression, paths beginning with the package's own crate: `my_game::Rules::default()`.
    pub game: String,
    /// How much memory the program gets.
    pub memory: Memory,
}

/// How the memory of a program is laid out, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it. Memory is paid for in a dispute when it is touched: about 14,000 gas for 64 KiB, 155,000 for 256.
    pub size: u32,
    /// Of it the stack, at the bottom.
    pub stack: u32,
}

impl Default for Memory {
    /// 32 KiB, 8 of them stack.
    fn default() -> Memory {
        Memory { size: 32 * 1024, stack: 8 * 1024 }
    }
}

/// A game's rules, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// What runs.
    pub program: Program,
    /// The ELF file that it was made of, with symbols and relocations.
    pub elf: Vec<u8>,
    /// What its parts weigh.
    pub size: Size,
    /// What compiled it: others get these bytes with the same.
    pub toolchain: String,
}

/// Why rules do not become a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No compiler that has its own sources.
    #[error(
        "no compiler with the sources of `core` and `alloc` was found ({tried}). Add them with `rustup component add \
         rust-src`, or install Debian's packages rustc-web, cargo-web and rust-web-src"
    )]
    NoToolchain {
        /// What was looked at, and what it lacks.
        tried: String,
    },
    /// No linker for ELF files.
    #[error("no lld was found: rustup's compilers bring one as rust-lld, Debian's package lld installs ld.lld")]
    NoLinker,
    /// A program that cannot be started.
    #[error("`{program}` could not be started", program = program.display())]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder that cannot be read or written.
    #[error("{path}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Cargo makes nothing of the manifest.
    #[error("cargo cannot read the package {manifest}:\n{said}", manifest = manifest.display())]
    Manifest {
        /// The manifest.
        manifest: PathBuf,
        /// What cargo says.
        said: String,
    },
    /// The package has no game in it.
    #[error("{package} does not depend on `{lacks}`, so it has no game")]
    NoGame {
        /// The package.
        package: String,
        /// What it would depend on.
        lacks: &'static str,
    },
    /// A dependency's place on this machine.
    #[error(
        "a package is named by an absolute path, so that the program would depend on where it lies: name it relative to the \
         package that needs it. Cargo says:\n{said}"
    )]
    AbsolutePath {
        /// Cargo's own message.
        said: String,
    },
    /// A program has neither files nor threads nor clocks.
    #[error(
        "the rules need the standard library, which is not on the chain: begin the crate with `#![no_std]`, use `alloc`, and \
         switch off the default features of what it depends on (`matchlock` first). The compiler says:\n{said}"
    )]
    Std {
        /// The compiler's own message.
        said: String,
    },
    /// It does not compile.
    #[error("the rules do not compile for {TARGET}:\n{said}")]
    Compiler {
        /// The compiler's own message.
        said: String,
    },
    /// Floating-point numbers: they are slow without hardware, and no two machines agree on them to the last bit.
    #[error(
        "the rules compute with floating-point numbers, which have no place in rules: count in integers. It is done in \
         {}",
        callers.join(", ")
    )]
    Floats {
        /// The functions that do, as the linker knows them.
        callers: Vec<String>,
    },
    /// More code than a dispute's transaction can carry.
    #[error("{text} bytes of code; {MAX_TEXT} are the most that fit into a dispute once translated")]
    TextTooLarge {
        /// Bytes of code.
        text: u32,
    },
    /// Constants and stack leave no room to work in.
    #[error(
        "{data} bytes of constants and {stack} of stack leave less than {MIN_FREE} of {size} bytes of memory: keep tables \
         small, or ask for more memory"
    )]
    DataTooLarge {
        /// Bytes of constants and data.
        data: u32,
        /// Bytes of stack.
        stack: u32,
        /// Bytes of memory.
        size: u32,
    },
    /// A file that the linker should not have made.
    #[error("the linker's file is not as it was asked for: {0}")]
    Elf(#[from] object::Error),
    /// No program of the machine can be made of it.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Compiles a game's rules. What is in between is kept in `folder`, which makes the next game a matter of seconds; builds
/// in one folder wait for each other.
///
/// # Errors
/// The package is not what it has to be, it does not compile, or what comes out has no place on the chain.
pub fn build(source: &Source, toolchain: &Toolchain, folder: &Path) -> Result<Compiled, BuildError> {
    fs::create_dir_all(folder).map_err(at(folder))?;
    let folder = folder.canonicalize().map_err(at(folder))?;
    let lock = folder.join("lock");
    // Held until this file is dropped.
    let lock_file = File::create(&lock).map_err(at(&lock))?;
    lock_file.lock().map_err(at(&lock))?;

    let game = metadata::read(&source.manifest, toolchain)?;
    package::write(&folder, source, &game)?;
    let elf = package::compile(&folder, toolchain)?;
    let elf = fs::read(&elf).map_err(at(&elf))?;
    let size = inspect::inspect(&elf, source.memory)?;
    let program = link(&elf, source.memory.size)?;
    Ok(Compiled { program, elf, size, toolchain: toolchain.version().to_owned() })
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::File { path, source }
}
