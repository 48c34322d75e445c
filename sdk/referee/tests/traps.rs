//! Rules that do what rules should not: whatever stops a program is an illegal move, in the emulator and in an EVM. And rules that do all
//! that Rust offers: the same in native code as well.
#![cfg(all(feature = "build", feature = "evm"))]

extern crate alloc;

#[path = "common/package.rs"]
mod package;

/// The rules, natively.
#[allow(clippy::all, unreachable_pub, reason = "hostile on purpose, and the root of a package")]
mod native {
    use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
    use core::{
        fmt,
        hint::black_box,
        sync::atomic::{AtomicU32, Ordering},
    };

    use matchlock::game::{Game, Next, Pot, Seat};

    include!("hostile/game.rs");
    include!("hostile/deeds.rs");

    const PARTS: [bool; 2] = [true; 2];

    fn trap(what: u8, _: u32) -> Option<u64> {
        panic!("native code was asked for {what}")
    }
}

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use matchlock::{
    chance::LinkChain,
    game::{Amount, BasisPoints, Seat},
    rules::{Action, GameRules, Rules, RulesError},
};
use matchlock_referee::{
    Blob, Refereed,
    build::{Memory, Source, Toolchain, build},
    emulate::{Emulator, Trap},
    machine::Program,
    refereed::{Answer, Refusal, question},
    run::{self, AROUND},
    translate::{Translation, translate},
};
use native::Hostile;

/// What stands before the rules where they are a package of their own.
const ROOT: &str = "#![no_std]
extern crate alloc;
use alloc::{boxed::Box, collections::BTreeMap, string::String, sync::Arc, vec, vec::Vec};
use core::{arch::asm, cell::RefCell, fmt, hint::black_box, mem::transmute, sync::atomic::{AtomicU32, Ordering}};
use matchlock::game::{Game, Next, Pot, Seat};
";

const MEMORY: Memory = Memory { size: 64 * 1024, stack: 8 * 1024 };
/// Gas: more than any move takes that comes to an end.
const BUDGET: u32 = 3_000_000;

/// The rules, compiled for the chain: with all that programs like to do, and with all that stops them.
static DEEDS: LazyLock<[Compiled; 2]> = LazyLock::new(|| {
    [("deeds-game", "[true, false]"), ("more-deeds-game", "[false, true]")].map(|(name, parts)| {
        let deeds = include_str!("hostile/deeds.rs");
        let rest = format!("const PARTS: [bool; 2] = {parts};\nfn trap(_: u8, _: u32) -> Option<u64> {{ None }}");
        compiled(name, &[deeds, &rest])
    })
});
static TRAPS: LazyLock<Compiled> = LazyLock::new(|| {
    let deed = "fn deed(_: u8, n: u32) -> Option<u64> { (n > 0).then_some(n.into()) }";
    compiled("traps-game", &[include_str!("hostile/traps.rs"), deed])
});

struct Compiled {
    program: Program,
    translation: Translation,
}

fn compiled(name: &str, parts: &[&str]) -> Compiled {
    let manifest = package::write(name, &[ROOT, include_str!("hostile/game.rs"), &parts.concat()].concat());
    let source = Source { manifest, game: format!("{}::Hostile", name.replace('-', "_")), memory: MEMORY };
    let built = build(&source, &Toolchain::find().unwrap(), &package::home().join("rules"));
    let built = built.unwrap_or_else(|error| panic!("{error}"));
    println!("{name}: {:?}", built.size);
    let translation = translate(&built.program, BUDGET).unwrap();
    Compiled { program: built.program, translation }
}

fn rules() -> GameRules<Hostile> {
    GameRules::new(Hostile, BasisPoints::ZERO)
}

/// The first position of a match.
fn position() -> Vec<u8> {
    let anchors = [1, 2].map(|seed| LinkChain::new([seed; 32].into(), 0).anchor());
    rules().start(&[Amount::from_u64(1_000); 2], &anchors).unwrap().position
}

fn action(what: u8, n: u32) -> Vec<u8> {
    Action::Play { play: postcard::to_allocvec(&(what, n)).unwrap(), link: None }.encode()
}

/// What becomes of a move in the emulator, which the EVM agrees with.
fn judged(by: &Compiled, action: &[u8]) -> Result<Vec<u8>, Trap> {
    let Compiled { program, translation } = by;
    let input = question(&position(), Seat(0), action).unwrap();
    let emulated = Emulator::new(program, translation.meter.clone()).run(&input, BUDGET.into());
    let ran = run::run(&translation.code, &input, u64::from(BUDGET) + 2_000);
    assert_eq!(ran.output, emulated.result.clone().unwrap_or_default(), "{action:02x?}: {:?}", emulated.result);
    if emulated.result.is_ok() {
        assert_eq!(ran.gas, emulated.gas + AROUND, "{action:02x?}: the meter is exact");
    }
    emulated.result
}

#[test]
fn all_that_rust_offers_is_the_same_in_native_code_the_emulator_and_the_evm() {
    let numbers =
        [0, 1, 2, 3, 7, 30, 31, 40, 97, 255, 1_000, 65_535, 65_537, 0x7fff_ffff, 0x8000_0000, 0xdead_beef, u32::MAX];
    let (rules, position) = (rules(), position());
    for what in 0..14 {
        for n in numbers {
            let action = action(what, n);
            let said = rules.apply(&position, Seat(0), &action).unwrap();
            let by = &DEEDS[usize::from([2, 4].contains(&what))];
            let answer = Answer::decode(&judged(by, &action).unwrap()).expect("a legal move");
            let told = (answer.mover, answer.payouts, answer.position);
            assert_eq!(told, (said.mover, said.payouts, said.position), "deed {what} with {n}");
        }
    }
    assert!(rules.apply(&position, Seat(0), &action(63, 0)).is_err());
    assert_eq!(judged(&DEEDS[0], &action(63, 0)), Ok(vec![]), "refused, and nothing worse");
}

/// The kind of a trap, without its place.
fn kind(result: &Result<Vec<u8>, Trap>) -> &'static str {
    match result {
        Ok(output) if output.is_empty() => "refused",
        Ok(_) => "legal",
        Err(Trap::Instruction { .. }) => "instruction",
        Err(Trap::Load { .. }) => "load",
        Err(Trap::Store { .. }) => "store",
        Err(Trap::Jump { .. }) => "jump",
        Err(Trap::Host { .. }) => "host",
        Err(Trap::OutOfGas { .. }) => "out of gas",
        Err(_) => "another",
    }
}

#[test]
fn whatever_stops_a_program_is_an_illegal_move() {
    // A panic is an instruction that there is not, and so is memory that is not there to be had.
    let expected: [(&str, u8, u32, &str); 42] = [
        ("an unwrap of nothing", 64, 0, "instruction"),
        ("an index out of bounds", 65, 3, "instruction"),
        ("code that is never reached", 66, 0, "instruction"),
        ("a panic", 67, 5, "instruction"),
        ("an assertion", 68, 5, "instruction"),
        ("a sum that overflows", 69, 1, "instruction"),
        ("a difference that overflows", 70, 1, "instruction"),
        ("a product that overflows", 71, 2, "instruction"),
        ("a division by zero", 72, 9, "instruction"),
        ("a remainder by zero, of 64 bits", 73, 9, "instruction"),
        ("the quotient that there is not", 74, 0, "instruction"),
        ("a second borrow", 75, 0, "instruction"),
        ("half a character", 76, 0, "instruction"),
        ("a vector as large as the memory", 77, MEMORY.size, "instruction"),
        ("a vector as large as half of all addresses", 77, 0x7fff_ffff, "instruction"),
        ("a vector larger than all addresses", 78, 0x2000_0000, "instruction"),
        ("recursion as deep as the stack is not", 79, 1_000, "store"),
        ("recursion without an end", 80, 0, "store"),
        ("a list that is dropped from the first to the last", 81, 1_500, "store"),
        ("a load behind the memory", 92, MEMORY.size, "load"),
        ("a load from where code would be", 92, 0x10_0000, "load"),
        ("a load from the last address", 92, u32::MAX, "load"),
        ("a store behind the memory", 93, MEMORY.size - 3, "store"),
        ("a store far away", 93, 0x8000_0000, "store"),
        ("a jump to nothing", 94, 0, "jump"),
        ("a jump to no entry", 94, 0x12_3456, "jump"),
        ("a jump to where code would be", 94, 0x10_0000, "jump"),
        ("a jump to the last address", 94, u32::MAX, "jump"),
        ("a loop without an end", 85, 0, "out of gas"),
        ("boxes without an end", 86, 0, "instruction"),
        ("a vector without an end", 87, 0, "instruction"),
        ("a breakpoint", 96, 0, "instruction"),
        ("no instruction", 97, 0, "instruction"),
        ("a call to the host that it does not have", 98, 0, "host"),
        ("a call to the host without a number", 99, 0, "host"),
        ("a hash of too much", 100, 0, "host"),
        ("an output of too much", 101, 0, "host"),
        ("a jump into the middle of an instruction", 102, 0, "jump"),
        ("a clock", 103, 0, "instruction"),
        ("a word of zeros", 104, 0, "instruction"),
        ("code that asks where it is", 105, 0, "instruction"),
        ("a move that there is not", 106, 0, "refused"),
    ];
    let mut kinds = BTreeMap::new();
    let mut wrong = Vec::new();
    for (what, which, n, trap) in expected {
        let result = judged(&TRAPS, &action(which, n));
        *kinds.entry(kind(&result)).or_insert(0) += 1;
        if kind(&result) != trap {
            wrong.push(format!("{what}: {result:?}, and not {trap}"));
        }
    }
    println!("{kinds:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An opponent's move that would stop native code, and the client with it, is judged by the program alone.
#[test]
fn a_move_that_stops_the_program_never_reaches_native_code() {
    let blob = Blob::new("hostile", 1, "rustc", BUDGET, TRAPS.program.clone()).unwrap();
    let refereed = Refereed::new(Arc::new(rules()), blob);
    for (what, n) in [(64, 0), (67, 5), (73, 9), (75, 0), (80, 0), (85, 0), (86, 0), (87, 0)] {
        let refused = refereed.apply(&position(), Seat(0), &action(what, n)).unwrap_err();
        let RulesError::Illegal(reason) = refused else { panic!("{what}: {refused}") };
        let trap = reason.downcast_ref().is_some_and(|refusal| matches!(refusal, Refusal::Trap(_)));
        assert!(trap, "{what}: {reason}");
    }
    // Where nothing stops, the native rules say why not.
    let refused = refereed.apply(&position(), Seat(0), &action(63, 0)).unwrap_err();
    assert!(refused.to_string().contains("refused"), "{refused}");
}

/// The same moves just before they go wrong.
#[test]
fn what_just_fits_is_legal() {
    for (what, n) in
        [(65, 2), (69, 0), (70, 0), (71, 1), (77, 20_000), (78, 100), (79, 20), (81, 50), (92, MEMORY.size - 4)]
    {
        assert_eq!(kind(&judged(&TRAPS, &action(what, n))), "legal", "{what} with {n}");
    }
}

/// A move has one encoding: what is longer, shorter or written in another way is no move.
#[test]
fn an_action_that_is_not_canonical_is_illegal() {
    let (rules, position) = (rules(), position());
    let right = action(0, 5);
    assert_eq!(kind(&judged(&DEEDS[0], &right)), "legal");
    let play = |play: &[u8]| Action::Play { play: play.to_vec(), link: None }.encode();
    let others = [
        play(&[0, 0x85, 0]),       // 5 in two bytes
        play(&[0, 0x85, 0x80, 0]), // and in three
        play(&[0, 5, 0]),          // something behind it
        play(&[0]),                // half of it
        play(&[]),
        play(&[0, 0xff, 0xff, 0xff, 0xff, 0x1f]), // more than 32 bits
        [&right[..], &[0]].concat(),
        right[..right.len() - 1].to_vec(),
        vec![],
        vec![0xff; 40],
    ];
    for other in others {
        assert!(rules.apply(&position, Seat(0), &other).is_err(), "{other:02x?}");
        assert_eq!(judged(&DEEDS[0], &other), Ok(vec![]), "{other:02x?}");
    }
}
