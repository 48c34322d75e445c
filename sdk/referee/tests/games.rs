//! The demo games as programs: on every turn of whole matches, and on damaged ones, the program says what the rules say.
#![cfg(all(feature = "build", feature = "evm"))]

use std::path::Path;

use matchlock::{
    chance::LinkChain,
    game::{Amount, BasisPoints, Seat},
    local::Dice,
};
use matchlock_demo::{Strength, bots::player};
use matchlock_referee::{
    build::{Memory, Source, Toolchain, build},
    emulate::Emulator,
    link::link,
    refereed::{Answer, question},
    run::{AROUND, run},
    translate,
};

/// Gas for one move: more than any move of these games takes.
const BUDGET: u32 = 8_000_000;

/// Bytes with something wrong, or as they are.
fn damaged(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = dice.below(bytes.len() as u32) as usize;
    match dice.below(4) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.truncate(at),
        2 => bytes.insert(at, dice.below(256) as u8),
        _ => {}
    }
    bytes
}

/// Questions for every game: 5,000, or `MATCHLOCK_MOVES`.
fn questions() -> u32 {
    std::env::var("MATCHLOCK_MOVES").ok().and_then(|count| count.parse().ok()).unwrap_or(5_000)
}

/// Compiles a game and plays matches before the native rules, the emulator and the EVM.
fn agree(name: &str, value: &str) {
    let memory = Memory::default();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo-game/Cargo.toml");
    let source = Source { manifest, game: format!("matchlock_demo::{value}"), memory };
    let built = build(&source, &Toolchain::find().unwrap(), &home.join("rules")).unwrap();
    let program = link(&built.elf, memory.size).unwrap();
    let translation = translate(&program, BUDGET).unwrap();
    let emulator = Emulator::new(&program, translation.meter.clone());

    let games = matchlock_demo::games(BasisPoints::new(250).unwrap());
    let rules = games.into_iter().find(|rules| rules.name() == name).unwrap();
    let (mut legal, mut refused, mut spared, mut most) = (0, 0, 0, 0);
    let mut seed = 0;
    while legal + refused + spared < questions() {
        seed += 1;
        let mut dice = Dice::new(seed);
        let links = if rules.chance() { rules.max_turns() / 2 } else { 0 };
        let chains = [(); 2].map(|()| LinkChain::new(dice.bytes().into(), links));
        let anchors = chains.each_ref().map(LinkChain::anchor);
        let mut players = [Seat(0), Seat(1)].map(|seat| player(name, Strength::Fair, seat, seed).unwrap());
        let stakes = [Amount::from_u64(1_000_003), Amount::new(1 << 80).unwrap()];
        let mut placed = rules.start(&stakes, &anchors).unwrap();
        while let Some(seat) = placed.mover {
            let link = |tip: &_| chains[seat.index()].after(tip);
            let (action, next) = if placed.reveal {
                rules.reveal(&placed.position, seat, &link).unwrap()
            } else {
                let play = players[seat.index()].choose(&placed.position, seat).unwrap();
                rules.compose(&placed.position, seat, play, &link).unwrap()
            };
            let action = action.encode();
            for attempt in 0..4 {
                // The turn as it is, then by the wrong seat, then with damage to either part.
                let (mut position, mut action, mut by) = (placed.position.clone(), action.clone(), seat);
                match attempt {
                    0 => {}
                    1 => by = seat.opponent(),
                    2 => action = damaged(&mut dice, &action),
                    _ => position = damaged(&mut dice, &position),
                }
                let said = rules.apply(&position, by, &action).ok();
                let asked = question(&position, by, &action).unwrap();
                let answered = emulator.run(&asked, BUDGET.into());
                let output = answered.result.unwrap_or_default();
                let told = Answer::decode(&output).map(|answer| (answer.mover, answer.payouts, answer.position));
                let expected = said.map(|placed| (placed.mover, placed.payouts, placed.position));
                assert_eq!(told, expected, "{name}, seed {seed}, attempt {attempt}");
                match attempt {
                    0 => (legal, most) = (legal + 1, most.max(answered.gas)),
                    // Damage does not always do harm.
                    _ if expected.is_some() => spared += 1,
                    _ => refused += 1,
                }
                let ended = run(&translation.code, &asked, u64::from(BUDGET) * 2);
                assert_eq!(ended.output, output, "{name}, seed {seed}, attempt {attempt}");
                if !output.is_empty() {
                    assert_eq!(ended.gas, answered.gas + AROUND, "{name}, seed {seed}, attempt {attempt}");
                }
            }
            placed = next;
        }
    }
    let (text, code) = (built.size.text, translation.code.len());
    println!(
        "{name}: {text} bytes of text, {code} of EVM code; {legal} legal, {refused} refused, {spared} spared, {most} gas at most"
    );
    assert!(legal > 10 && refused > legal, "{legal} legal, {refused} refused");
}

#[test]
fn tictactoe_is_judged_on_the_chain_as_it_is_played() {
    agree("tictactoe", "tictactoe::TicTacToe");
}

#[test]
fn connect_four_is_judged_on_the_chain_as_it_is_played() {
    agree("connectfour", "connectfour::ConnectFour");
}

#[test]
fn broadside_is_judged_on_the_chain_as_it_is_played() {
    agree("broadside", "broadside::Broadside");
}

#[test]
fn pig_is_judged_on_the_chain_as_it_is_played() {
    agree("pig", "pig::Pig::default()");
}
