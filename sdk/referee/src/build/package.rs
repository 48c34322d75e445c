//! The package that is generated around a game, and its compilation.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{BuildError, Source, TARGET, Toolchain, at, metadata::Found};

/// What every program stands on, as the folder `guest` beside this crate's sources has it: compiled into this library, so that a
/// program does not depend on where the library was built.
const GUEST: [(&str, &str); 6] = [
    ("guest/Cargo.toml", include_str!("../../guest/Cargo.toml")),
    ("guest/src/lib.rs", include_str!("../../guest/src/lib.rs")),
    ("guest/src/heap.rs", include_str!("../../guest/src/heap.rs")),
    ("guest/src/host.rs", include_str!("../../guest/src/host.rs")),
    ("guest/src/memory.rs", include_str!("../../guest/src/memory.rs")),
    ("guest/src/question.rs", include_str!("../../guest/src/question.rs")),
];
/// Where the linker is told to put what.
const LAYOUT: &str = include_str!("layout.ld");
/// What the folder is called in the program, wherever it is.
const NAMELESS: &str = "/rules";

/// Writes the package into the folder, where it replaces that of another game.
pub(super) fn write(folder: &Path, source: &Source, found: &Found) -> Result<(), BuildError> {
    let link = folder.join("sources");
    // Cargo derives names from the paths of packages, but not from where the whole of them is.
    if fs::read_link(&link).ok().as_deref() != Some(&found.sources) {
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&link)(error)),
            _ => symlink(&found.sources, &link).map_err(at(&link))?,
        }
    }
    let layout = format!("__stack = {};\n{LAYOUT}", source.memory.stack);
    let own = [("Cargo.toml", manifest(found)), ("src/main.rs", program(&source.game)), ("layout.ld", layout)];
    for (name, text) in GUEST.into_iter().chain(own.iter().map(|(name, text)| (*name, text.as_str()))) {
        let path = folder.join(name);
        // What has not changed keeps its time, so that cargo does not compile it again.
        if fs::read_to_string(&path).ok().as_deref() != Some(text) {
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(at(&path))?;
            fs::write(&path, text).map_err(at(&path))?;
        }
    }
    // The very versions that the game is tested with.
    let lock = folder.join("Cargo.lock");
    if found.lock.exists() {
        fs::copy(&found.lock, &lock).map_err(at(&found.lock))?;
    }
    Ok(())
}

fn manifest(found: &Found) -> String {
    let Found { game, matchlock, alloy_primitives, sources, .. } = found;
    format!(
        r#"cargo-features = ["panic-immediate-abort"]

[package]
name = "rules"
version = "0.0.0"
edition = "2024"

[workspace]
exclude = ["guest", "sources"]

[dependencies]
alloy-primitives = {{ {alloy}, default-features = false, features = ["native-keccak"] }}
matchlock = {{ {matchlock}, default-features = false }}
matchlock-guest = {{ path = "guest" }}
{name} = {{ {game} }}

# Every byte of code costs 16 to 40 gas, twice over once translated; a second pass of an optimiser costs nothing.
[profile.release]
opt-level = "z"
lto = "fat"
codegen-units = 1
panic = "immediate-abort"
debug = false
overflow-checks = false

# Where the game's own sums overflow, it is a bug that has to stop the game here as it does everywhere.
[profile.release.package.{name}]
overflow-checks = true
opt-level = "s"

[profile.release.package.matchlock-guest]
opt-level = "s"
"#,
        alloy = alloy_primitives.dependency(sources),
        matchlock = matchlock.dependency(sources),
        name = game.name,
        game = game.dependency(sources),
    )
}

fn program(game: &str) -> String {
    format!(
        r#"#![no_std]
#![no_main]

use matchlock::{{game::Seat, rules::judge}};
use matchlock_guest::{{Answer, OVER, halt, question}};

#[unsafe(no_mangle)]
extern "C" fn referee(start: *const u8, length: usize) -> ! {{
    // SAFETY: the machine's own arguments.
    let question = unsafe {{ question(start, length) }};
    let game = {game};
    let Some(placed) = judge(&game, question.position, Seat(question.seat), question.action) else {{ halt(&[]) }};
    let mover = placed.mover.map_or(OVER, |seat| seat.0);
    let mut answer = Answer::new(mover, placed.payouts.len() as u8, placed.position.len());
    for payout in &placed.payouts {{
        answer.payout(payout.units());
    }}
    answer.halt(&placed.position)
}}
"#
    )
}

/// Compiles the package; the path of the ELF file.
pub(super) fn compile(folder: &Path, toolchain: &Toolchain) -> Result<PathBuf, BuildError> {
    let target = folder.join("target");
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(folder)
        .args(["build", "--release", "--quiet", "--target", TARGET, "--target-dir"])
        .arg(&target)
        // `core` and `alloc` as well are compiled for this program, without the texts of their panics.
        .args(["-Z", "build-std=core,alloc,compiler_builtins"])
        // A released compiler takes what is meant for the nightly ones only when it is told so.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(folder, toolchain));
    let output =
        cargo.output().map_err(|source| BuildError::NotStarted { program: cargo.get_program().into(), source })?;
    if output.status.success() {
        return Ok(target.join(TARGET).join("release/rules"));
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(if said.contains("can't find crate for `std`") {
        BuildError::Std { said }
    } else if said.contains("package collision in the lockfile") {
        // The same package twice: by the path that it is named by, and through the folder `sources`.
        BuildError::AbsolutePath { said }
    } else {
        BuildError::Compiler { said }
    })
}

fn flags(folder: &Path, toolchain: &Toolchain) -> OsString {
    let mut flags: Vec<OsString> = [
        // The machine reads and writes words at any address, and the linker shortens calls.
        "-Ctarget-feature=+unaligned-scalar-mem,+relax",
        // There is one thread, so that what is atomic is an ordinary load and store; left alone it becomes calls that nobody answers.
        "-Cpasses=lower-atomic",
        // Addresses as constants, not relative to the code, which is translated.
        "-Ccode-model=small",
        "-Crelocation-model=static",
        "-Cforce-unwind-tables=no",
        "-Clink-arg=-Tlayout.ld",
        // The translator has to know which constants are addresses of code.
        "-Clink-arg=--emit-relocs",
    ]
    .map(OsString::from)
    .into();
    flags.push(OsString::from_iter(["-Clinker=".as_ref(), toolchain.linker().as_os_str()]));
    for path in [folder, toolchain.sysroot()] {
        flags.push("--remap-path-prefix".into());
        flags.push(OsString::from_iter([path.as_os_str(), "=".as_ref(), NAMELESS.as_ref()]));
    }
    flags.join("\x1f".as_ref())
}
