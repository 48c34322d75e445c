//! What becomes of a package: a program, or a reason that says what to do. Everything is compiled by the real compiler.
#![cfg(feature = "build")]

#[path = "common/package.rs"]
mod package;

use std::fs;

use matchlock::local::Dice;
use matchlock_referee::{
    build::{BuildError, Compiled, Memory, Source, Toolchain, build},
    link::{LinkError, link},
};
use package::{dependencies, home, manifest, sdk};
#[cfg(feature = "evm")]
use {
    matchlock::{
        chance::LinkChain,
        game::{Amount, BasisPoints, Seat},
        rules::{Action, GameRules, Rules},
    },
    matchlock_referee::{
        emulate::{Emulator, Trap},
        refereed::{Answer, question},
        run::run,
        translate,
    },
};

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
fn compiled(name: &str, begins: &str, play: &str, memory: Memory) -> Result<Compiled, BuildError> {
    let manifest = package::write(name, &[begins, &GAME.replace("$PLAY", play)].concat());
    let source = Source { manifest, game: format!("{}::Guess", name.replace('-', "_")), memory };
    build(&source, &Toolchain::find()?, &home().join("rules"))
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

#[test]
fn a_game_with_threads_or_random_maps_is_told_that_they_are_not_on_the_chain() {
    for (name, play) in [
        ("thread-game", "std::thread::spawn(|| ()).join().map(|()| *board).map_err(|_| Wrong)"),
        (
            "map-game",
            "let map: std::collections::HashMap<u32, u32> = [(*guess, 1)].into(); map.keys().next().copied().ok_or(Wrong)",
        ),
        ("clock-game", "if std::time::Instant::now().elapsed().as_secs() > 1 { Ok(1) } else { Err(Wrong) }"),
    ] {
        let refused = compiled(name, "", play, Memory::default());
        assert!(matches!(refused, Err(BuildError::Std { .. })), "{name}: {refused:?}");
        // A crate that says that it needs none of it has none of it.
        let refused = compiled(name, "#![no_std]", play, Memory::default());
        assert!(matches!(refused, Err(BuildError::Compiler { .. })), "{name}: {refused:?}");
    }
}

#[test]
fn a_table_of_a_megabyte_is_refused_in_any_memory() {
    let play = "static TABLE: [u8; 1 << 20] = { let mut t = [0; 1 << 20]; let mut i = 0; while i < 1 << 20 { t[i] = (i >> 10) as u8 | 1; i += 1024; } t };
        if TABLE.get(*guess as usize) == Some(&9) { Ok(1) } else { Err(Wrong) }";
    let play = format!("#[allow(long_running_const_eval)] {play}");
    for size in [32, 256] {
        let memory = Memory { size: size * 1024, ..Memory::default() };
        match compiled("megabyte-game", "#![no_std]", &play, memory) {
            Err(BuildError::DataTooLarge { data, .. }) => assert!(data >= 1 << 20, "{data}"),
            other => panic!("{other:?}"),
        }
    }
}

/// The game natively, as one that looks at addresses.
#[cfg(feature = "evm")]
mod native {
    use core::fmt;

    use matchlock::game::{Game, Next, Pot, Seat};

    /// The very line, for the chain.
    pub(crate) const PLAY: &str = "Ok((core::hint::black_box(guess) as *const u32 as usize as u32) | board | 1)";

    #[derive(Clone, Debug, serde::Serialize)]
    pub(crate) struct Guess;

    #[derive(Debug)]
    pub(crate) struct Wrong;

    impl fmt::Display for Wrong {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrong")
        }
    }

    impl core::error::Error for Wrong {}

    impl Game for Guess {
        const NAME: &'static str = "guess";
        type Board = u32;
        type Move = u32;
        type Error = Wrong;

        fn max_turns(&self) -> u32 {
            1
        }

        fn start(&self, _: usize) -> u32 {
            0
        }

        fn next(&self, board: &u32, pot: &Pot) -> Next {
            if *board == 0 { Next::turn(Seat(0), pot) } else { Next::Over(pot.winner(Seat(0))) }
        }

        fn play(&self, board: &u32, _: Seat, guess: &u32) -> Result<u32, Wrong> {
            Ok((core::hint::black_box(guess) as *const u32 as usize as u32) | board | 1)
        }
    }
}

/// What a program of the game says to a guess, in the emulator and in an EVM; nothing where it is illegal.
#[cfg(feature = "evm")]
fn said(compiled: &Compiled, guess: u32) -> (Result<Vec<u8>, Trap>, Vec<u8>) {
    const BUDGET: u32 = 1_000_000;
    // Two seats with a stake of 9 each and no fee, and the board 0.
    let anchors = [1, 2].map(|seed| LinkChain::new([seed; 32].into(), 0).anchor());
    let rules = GameRules::new(native::Guess, BasisPoints::ZERO);
    let position = rules.start(&[Amount::from_u64(9); 2], &anchors).unwrap().position;
    let action = Action::Play { play: postcard::to_allocvec(&guess).unwrap(), link: None }.encode();
    let input = question(&position, Seat(0), &action).unwrap();
    let translation = translate(&compiled.program, BUDGET).unwrap();
    let ran = run(&translation.code, &input, u64::from(BUDGET) + 2_000).output;
    let emulated = Emulator::new(&compiled.program, translation.meter).run(&input, BUDGET.into()).result;
    assert_eq!(ran, emulated.clone().unwrap_or_default());
    let native = rules.apply(&position, Seat(0), &action).map(|placed| placed.position).unwrap_or_default();
    (emulated, native)
}

/// An address is the same wherever the program runs, and another in native code, which has no say: that is why the program decides.
#[cfg(feature = "evm")]
#[test]
fn a_game_that_looks_at_addresses_is_still_one_game_on_the_chain() {
    let compiled = compiled("address-game", "#![no_std]", native::PLAY, Memory::default()).unwrap();
    let first = said(&compiled, 7);
    let answer = Answer::decode(first.0.as_ref().unwrap()).expect("a legal move").position;
    assert_ne!(answer, first.1, "native code has other addresses");
    assert_eq!(said(&compiled, 7).0, first.0, "and the program always the same");
}

#[cfg(feature = "evm")]
#[test]
fn recursion_without_an_end_compiles_and_is_an_illegal_move() {
    let play = "#[inline(never)] fn down(n: u32) -> u32 { let room = core::hint::black_box([n; 9]); if n == 1 << 31 { 7 } else { down(n.wrapping_add(room[1] | 1)) ^ room[2] } }
        Ok(down(*board) | 1)";
    let compiled = compiled("endless-game", "#![no_std]", play, Memory::default()).unwrap();
    assert!(matches!(said(&compiled, 7).0, Err(Trap::Store { .. })), "{:?}", said(&compiled, 7));
}

/// Where the sections of a 32-bit ELF file are described: type, place and length of what they hold.
fn sections(elf: &[u8]) -> Vec<(usize, u32, usize, usize)> {
    let word = |at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().unwrap());
    let (first, count) = (word(32) as usize, usize::from(u16::from_le_bytes([elf[48], elf[49]])));
    let header = |index| first + 40 * index;
    let of = |at: usize| (at, word(at + 4), word(at + 16) as usize, word(at + 20) as usize);
    (0..count).map(|index| of(header(index))).collect()
}

#[test]
fn a_file_that_is_not_ours_is_refused_by_what_is_wrong_with_it() {
    const RELA: u32 = 4;
    let elf = compiled("linked-game", "#![no_std]", "Ok(*board + 1)", Memory::default()).unwrap().elf;
    let size = Memory::default().size;
    assert!(link(&elf, size).is_ok());
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut elf = elf.clone();
        change(&mut elf);
        link(&elf, size).map(|_| ()).expect_err("not ours")
    };
    assert!(matches!(changed(&|elf| elf[0] = 0), LinkError::Elf(_)), "no ELF file");
    assert!(matches!(changed(&|elf| elf[4] = 2), LinkError::Elf(_)), "of 64 bits");
    assert!(matches!(changed(&|elf| elf.truncate(1_000)), LinkError::Elf(_)), "half of one");
    assert!(matches!(changed(&|elf| elf.clear()), LinkError::Elf(_)), "nothing");
    assert!(matches!(changed(&|elf| elf[18] = 3), LinkError::Machine), "for a 386");
    let without_relocations = changed(&|elf| {
        for (at, ..) in sections(elf).into_iter().filter(|section| section.1 == RELA) {
            elf[at + 4] = 0;
        }
    });
    assert!(matches!(without_relocations, LinkError::NoRelocations), "{without_relocations}");
    // A relocation for `auipc`, and one that no RISC-V has.
    for kind in [23, 200] {
        let error = changed(&|elf| {
            let (_, _, place, _) = sections(elf).into_iter().find(|section| section.1 == RELA).unwrap();
            elf[place + 4] = kind;
        });
        assert!(matches!(error, LinkError::Relocation { kind: found, .. } if found == u32::from(kind)), "{error}");
    }
    let start = changed(&|elf| elf[24] |= 2);
    assert!(matches!(start, LinkError::Pointer { .. }), "it starts inside of an instruction: {start}");
    let nowhere = changed(&|elf| elf[27] = 0x80);
    assert!(matches!(nowhere, LinkError::Pointer { .. }), "it starts outside of its text: {nowhere}");
    assert!(matches!(link(&elf, 1_000), Err(LinkError::Program(_))), "no memory that there is");
    assert!(matches!(link(&elf, 4096), Err(LinkError::Program(_))), "too little memory");
}

#[test]
fn a_damaged_elf_file_is_refused_or_linked_and_nothing_panics() {
    const SEEDS: std::ops::Range<u64> = 0..20_000;
    println!("seeds {SEEDS:?}");
    let elf = compiled("linked-game", "#![no_std]", "Ok(*board + 1)", Memory::default()).unwrap().elf;
    let (sections, size) = (sections(&elf), elf.len());
    let (mut linked, mut refused) = (0, 0);
    for seed in SEEDS {
        let mut dice = Dice::new(seed);
        let mut elf = elf.clone();
        for _ in 0..1 + dice.below(3) {
            // Half of the damage is where the file describes itself.
            let (header, _, place, length) = *dice.pick(&sections);
            let at = match dice.below(4) {
                0 => dice.below(size as u32) as usize,
                1 => dice.below(52) as usize,
                2 => header + dice.below(40) as usize,
                _ => place + dice.below(length.max(1) as u32) as usize,
            };
            // A byte, or a word such as addresses and lengths are.
            let (byte, word) = (1 << dice.below(8), dice.below(1 << 20));
            let words = [0, u32::MAX, u32::MAX - 3, u32::MAX - word, 1 << 31, word].map(u32::to_le_bytes);
            match dice.below(2) {
                0 => elf[at.min(size - 1)] ^= byte,
                _ => elf[at.min(size - 4) / 4 * 4..][..4].copy_from_slice(&dice.pick(&words)[..]),
            }
        }
        match link(&elf, 32 * 1024) {
            Ok(_) => linked += 1,
            Err(_) => refused += 1,
        }
    }
    println!("{linked} linked, {refused} refused");
    assert!(linked > 1_000 && refused > 1_000, "{linked} linked, {refused} refused");
}
