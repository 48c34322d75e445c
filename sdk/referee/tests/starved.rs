//! Whoever brings how much gas: the code says all that it has to say, or nothing; and what it says does not depend on more of it.

use matchlock::{
    game::BasisPoints,
    local::Dice,
    rules::{GameRules, Rules},
};
use matchlock_demo::tictactoe::TicTacToe;
use matchlock_referee::{
    Blob,
    emulate::{Emulator, Trap},
    measure::{Step, match_of},
    refereed::{Answer, question},
    run::{self, AROUND},
    translate,
};

const TICTACTOE: &[u8] = include_bytes!("../../../demo-game/rules/tictactoe.rules");

/// What the referee leaves beside the budget, for the code to say that it kept to it (`Referee.sol`, TAIL).
const TAIL: u64 = 2_000;

/// The moves of one match, in free cells from the first.
fn moves() -> Vec<Step> {
    let rules = GameRules::new(TicTacToe, BasisPoints::ZERO);
    let mut dice = Dice::new(5);
    let choose = |position: &[u8], seat| {
        let start = dice.below(9) as u8;
        let mut cells = (0..9).map(|at| vec![(start + at) % 9]);
        let free = cells.find(|cell| rules.compose(position, seat, cell.clone(), &|_| None).is_ok());
        Ok(free.expect("a free cell"))
    };
    match_of(&rules, 2, 5, choose).expect("a match")
}

#[test]
fn with_however_much_gas_a_legal_move_is_answered_in_full_or_not_at_all() {
    let blob = Blob::decode(TICTACTOE).expect("rules of this version");
    let (translation, budget) = (blob.translation(), u64::from(blob.budget()));
    let emulator = Emulator::new(blob.program(), translation.meter.clone());
    for step in moves() {
        let input = question(&step.position, step.seat, &step.action).expect("a short position");
        let run = emulator.run(&input, budget);
        let full = run.result.expect("a legal move");
        assert!(Answer::decode(&full).is_some());
        let least = run.gas + AROUND;
        let coarse = (0..budget + 2 * TAIL).step_by(211);
        let fine = least - 300..least + 300;
        let few = 0..300;
        for gas in coarse.chain(fine).chain(few) {
            let output = run::run(&translation.code, &input, gas).output;
            assert_eq!(output.is_empty(), gas < least, "{gas} gas, of {least}");
            assert!(output.is_empty() || output == full, "{gas} gas");
        }
        // The court's promise, and far more than that.
        for gas in [budget + TAIL, 2 * budget, 30_000_000, u64::MAX / 2] {
            assert_eq!(run::run(&translation.code, &input, gas).output, full);
        }
        assert!(least <= budget + TAIL);
    }
}

#[test]
fn a_move_dearer_than_the_budget_is_illegal_with_however_much_gas() {
    let blob = Blob::decode(TICTACTOE).expect("rules of this version");
    for step in moves() {
        let input = question(&step.position, step.seat, &step.action).expect("a short position");
        let meter = blob.translation().meter.clone();
        let gas = Emulator::new(blob.program(), meter).run(&input, blob.budget().into()).gas;
        for (budget, legal) in [(gas as u32, true), (gas as u32 - 1, false), (gas as u32 / 2, false), (0, false)] {
            let translation = translate(blob.program(), budget).expect("it has a translation");
            let emulated = Emulator::new(blob.program(), translation.meter.clone()).run(&input, budget.into()).result;
            assert_eq!(emulated.is_ok(), legal);
            if !legal {
                assert_eq!(emulated, Err(Trap::OutOfGas { budget: budget.into() }));
            }
            for brought in [gas + AROUND, gas + TAIL, 2 * gas, 30_000_000, u64::MAX / 2] {
                let output = run::run(&translation.code, &input, brought).output;
                assert_eq!(output.is_empty(), !legal, "{budget} of {gas}, with {brought}");
            }
        }
    }
}
