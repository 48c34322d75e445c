//! What becomes of a package: a program, or a reason that says what to do. Everything is compiled by the real compiler.
#![cfg(feature = "build")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use matchlock_referee::build::{BuildError, Memory, Program, Source, Toolchain, build};

/// A game of one move: whoever names the secret number wins. `$PLAY` is what a test puts in.
const GAME: &str = r#"
use core::fmt;
use matchlock::game::{Game, Next, Pot, Seat};

#[derive(Clone, Debug, serde::Serialize)]
pub struct Guess;
#[derive(Debug)]
pub struct Wrong;
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("wrong") }
}
impl core::error::Error for Wrong {}

impl Game for Guess {
    const NAME: &'static str = "guess";
    type Board = u32;
    type Move = u32;
    type Error = Wrong;
    fn max_turns(&self) -> u32 { 1 }
    fn start(&self, _: usize) -> u32 { 0 }
    fn next(&self, board: &u32, pot: &Pot) -> Next {
        if *board == 0 { Next::turn(Seat(0), pot) } else { Next::Over(pot.winner(Seat(0))) }
    }
    fn play(&self, board: &u32, _: Seat, guess: &u32) -> Result<u32, Wrong> {
        $PLAY
    }
}
"#;

/// Compiles a package with this crate root, in one folder for all of these tests.
fn compiled(name: &str, begins: &str, play: &str, memory: Memory) -> Result<Program, BuildError> {
    let (home, sdk) = (home(), sdk());
    let package = home.join(name);
    fs::create_dir_all(package.join("src")).unwrap();
    fs::write(package.join("src/lib.rs"), [begins, &GAME.replace("$PLAY", play)].concat()).unwrap();
    manifest(&package, name, &dependencies(&relative(&package, &sdk)));
    fs::copy(sdk.join("../Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let source =
        Source { manifest: package.join("Cargo.toml"), game: format!("{}::Guess", name.replace('-', "_")), memory };
    build(&source, &Toolchain::find()?, &home.join("rules"))
}

/// Where these tests keep what they make: outside of the sources.
fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap()
}

fn sdk() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.ancestors().find(|folder| to.starts_with(folder)).unwrap();
    let up = from.strip_prefix(common).unwrap().iter().map(|_| "..");
    up.collect::<PathBuf>().join(to.strip_prefix(common).unwrap())
}

fn dependencies(sdk: &Path) -> String {
    format!(
        "matchlock = {{ path = {sdk:?}, default-features = false }}\n\
         serde = {{ version = \"1\", default-features = false, features = [\"derive\"] }}\n"
    )
}

fn manifest(package: &Path, name: &str, dependencies: &str) {
    let text = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{dependencies}"
    );
    fs::write(package.join("Cargo.toml"), text).unwrap();
}

#[test]
fn a_small_game_is_a_small_program() {
    let program = compiled(
        "plain-game",
        "#![no_std]",
        "if *guess == 7 { Ok(*board + 1) } else { Err(Wrong) }",
        Memory::default(),
    );
    let program = program.unwrap_or_else(|error| panic!("{error}"));
    println!("{:?}, {}", program.size, program.toolchain);
    assert!((1_000..6_000).contains(&program.size.text), "{:?}", program.size);
    assert!(program.elf.starts_with(b"\x7fELF"));
}

#[test]
fn a_game_with_floats_is_refused_and_told_where_they_are() {
    let play = "#[inline(never)] fn speed(a: u32, b: u32) -> f64 { f64::from(a) / f64::from(b) }
        if speed(*board, *guess) > 0.5 { Ok(7) } else { Err(Wrong) }";
    match compiled("float-game", "#![no_std]", play, Memory::default()) {
        Err(BuildError::Floats { callers }) => {
            assert!(callers.iter().any(|name| name.contains("speed")), "{callers:?}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_game_that_needs_the_standard_library_is_told_so() {
    let play = "println!(\"{guess}\"); Ok(*board)";
    let refused = compiled("std-game", "", play, Memory::default());
    assert!(matches!(refused, Err(BuildError::Std { .. })), "{refused:?}");
}

#[test]
fn a_game_that_does_not_compile_is_refused_with_the_compilers_own_words() {
    match compiled("broken-game", "#![no_std]", "Ok(board.undefined())", Memory::default()) {
        Err(BuildError::Compiler { said }) => assert!(said.contains("no method named `undefined`"), "{said}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_game_whose_tables_fill_the_memory_is_refused() {
    let play = "static TABLE: [u8; 20_000] = { let mut t = [0; 20_000]; let mut i = 0; while i < 20_000 { t[i] = (i * i) as u8; i += 1; } t };
        if TABLE.get(*guess as usize) == Some(&9) { Ok(1) } else { Err(Wrong) }";
    match compiled("table-game", "#![no_std]", play, Memory::default()) {
        Err(BuildError::DataTooLarge { data, .. }) => assert!(data >= 20_000, "{data}"),
        other => panic!("{other:?}"),
    }
    let more = Memory { size: 64 * 1024, ..Memory::default() };
    assert!(compiled("table-game", "#![no_std]", play, more).is_ok());
}

#[test]
fn a_package_without_matchlock_has_no_game() {
    let package = home().join("no-game");
    fs::create_dir_all(package.join("src")).unwrap();
    fs::write(package.join("src/lib.rs"), "#![no_std]").unwrap();
    manifest(&package, "no-game", "");
    let source =
        Source { manifest: package.join("Cargo.toml"), game: "no_game::Game".into(), memory: Memory::default() };
    let refused = build(&source, &Toolchain::find().unwrap(), &package.join("rules"));
    assert!(matches!(refused, Err(BuildError::NoGame { lacks: "matchlock", .. })), "{refused:?}");
}

#[test]
fn a_dependency_by_an_absolute_path_is_refused() {
    let package = home().join("absolute-game");
    fs::create_dir_all(package.join("src")).unwrap();
    fs::write(package.join("src/lib.rs"), format!("#![no_std]{}", GAME.replace("$PLAY", "Ok(*board)"))).unwrap();
    manifest(&package, "absolute-game", &dependencies(&sdk()));
    fs::copy(sdk().join("../Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let source =
        Source { manifest: package.join("Cargo.toml"), game: "absolute_game::Guess".into(), memory: Memory::default() };
    let refused = build(&source, &Toolchain::find().unwrap(), &home().join("rules"));
    assert!(matches!(refused, Err(BuildError::AbsolutePath { .. })), "{refused:?}");
}
