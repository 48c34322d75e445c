//! What a program costs over whole matches: the dearest move, and the registers that make it cheapest.

use alloc::{boxed::Box, vec, vec::Vec};

use alloy_primitives::B256;
use matchlock::{
    chance::LinkChain,
    game::{Amount, Game, Seat},
    local::{Bot, Dice},
    rules::{self, GameRules, Rules, RulesError},
};

use crate::{
    blob::MAX_BUDGET,
    emulate::{Emulator, Meter},
    machine::{Parts, Program},
    refereed::{Answer, question},
    translate::{TranslateError, Translation, hot, translate},
};

/// One legal move of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The encoded position before it.
    pub position: Vec<u8>,
    /// Who moves.
    pub seat: Seat,
    /// The encoded action.
    pub action: Vec<u8>,
}

/// Plays one match for every seed with bots made by `bot`, at every number of seats, and returns every move of them. Called as
/// [`check`](matchlock::check::check) is.
///
/// ```
/// use matchlock_demo::{Strength, tictactoe::{Noughts, TicTacToe}};
/// use matchlock_referee::{Blob, measure::{play, tune}};
///
/// let blob = Blob::decode(include_bytes!("../../../demo-game/rules/tictactoe.rules"))?;
/// let steps = play(&TicTacToe, 0..3, |_, seed| Box::new(Noughts::new(Strength::Easy, seed)))?;
/// let tuned = tune(blob.program(), &steps)?;
/// assert!(tuned.worst.gas < blob.budget().into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A bot's move was refused.
pub fn play<G: Game>(
    game: &G,
    seeds: core::ops::Range<u64>,
    mut bot: impl FnMut(Seat, u64) -> Box<dyn Bot<G>>,
) -> Result<Vec<Step>, RulesError> {
    let rules = GameRules::new(game.clone(), Default::default());
    let mut steps = Vec::new();
    for seed in seeds {
        for seats in game.seats() {
            let mut bots: Vec<_> = (0..seats).map(|seat| bot(Seat(seat as u8), seed)).collect();
            let choose = |position: &[u8], seat: Seat| {
                let action = bots[seat.index()].choose(&rules::board(position)?, seat);
                Ok(postcard::to_allocvec(&action).expect("a move always encodes"))
            };
            steps.extend(match_of(&rules, seats, seed, choose)?);
        }
    }
    Ok(steps)
}

/// The moves of one match between so many seats, whose encoded plays `choose` makes.
///
/// # Errors
/// A play was refused.
pub fn match_of(
    rules: &dyn Rules,
    seats: usize,
    seed: u64,
    mut choose: impl FnMut(&[u8], Seat) -> Result<Vec<u8>, RulesError>,
) -> Result<Vec<Step>, RulesError> {
    let mut dice = Dice::new(seed);
    let length = if rules.chance() { rules.max_turns() / 2 + 1 } else { 0 };
    let chains: Vec<_> = (0..seats).map(|_| LinkChain::new(B256::from(dice.bytes()), length)).collect();
    let anchors: Vec<_> = chains.iter().map(LinkChain::anchor).collect();
    // Large stakes take the most bytes, and unequal ones the most arithmetic.
    let stakes: Vec<_> = (0..seats).map(|seat| Amount::from_u64(u64::MAX / 8 - seat as u64)).collect();
    let mut placed = rules.start(&stakes, &anchors)?;
    let mut steps = Vec::new();
    while let Some(seat) = placed.mover {
        let link = |tip: &_| chains[seat.index()].after(tip);
        let (action, next) = match placed.reveal {
            true => rules.reveal(&placed.position, seat, &link)?,
            false => rules.compose(&placed.position, seat, choose(&placed.position, seat)?, &link)?,
        };
        steps.push(Step { position: placed.position, seat, action: action.encode() });
        placed = next;
    }
    Ok(steps)
}

/// The dearest of some moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worst {
    /// The move.
    pub step: Step,
    /// Gas of the code alone.
    pub gas: u64,
    /// Instructions that it takes.
    pub instructions: u64,
    /// Gas of the dispute's whole transaction, estimated.
    pub transaction: u64,
}

/// A program with the registers chosen that make the dearest move cheapest.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The program.
    pub program: Program,
    /// The dearest move.
    pub worst: Worst,
}

impl Tuned {
    /// Twice what the dearest move takes, in whole 10,000 gas, and no more than the court grants: random play is not the worst that
    /// there is.
    pub fn budget(&self) -> u32 {
        const UNIT: u64 = 10_000;
        (2 * self.worst.gas).next_multiple_of(UNIT).min(MAX_BUDGET.into()) as u32
    }
}

/// Tries which registers to keep on the EVM's stack: those that the text names most, those that the moves use most, and what is between.
///
/// # Errors
/// The rules refuse one of the moves, or have no translation.
pub fn tune(program: &Program, steps: &[Step]) -> Result<Tuned, MeasureError> {
    let counting = Emulator::new(program, Meter::instructions(program));
    let mut uses = vec![0u64; program.instructions().len() + 1];
    for step in steps.iter().take(SAMPLE) {
        if let Some(input) = question(&step.position, step.seat, &step.action) {
            counting.observe(&input, u64::MAX, &mut |index| uses[index] += 1);
        }
    }
    let most = uses.iter().copied().max().unwrap_or(0).max(1);
    let weights: [&dyn Fn(usize) -> u64; 4] =
        [&|_| 1, &|index| uses[index], &|index| u64::from(uses[index] > 0), &|index| 1 + 16 * uses[index] / most];
    let mut best: Option<Tuned> = None;
    for weight in weights {
        let parts = Parts { hot: hot(program, weight), ..program.parts().clone() };
        let program = Program::new(parts).expect("other registers make no other program");
        let worst = worst(&program, steps)?;
        if best.as_ref().is_none_or(|best| worst.transaction < best.worst.transaction) {
            best = Some(Tuned { program, worst });
        }
    }
    best.ok_or(MeasureError::NoMoves)
}

/// Moves that a profile is made of.
const SAMPLE: usize = 2_000;

/// The dearest of these moves, by the whole transaction.
///
/// # Errors
/// The rules refuse one of the moves, or have no translation.
pub fn worst(program: &Program, steps: &[Step]) -> Result<Worst, MeasureError> {
    let translation = translate(program, u32::MAX)?;
    let metered = Emulator::new(program, translation.meter.clone());
    let mut worst: Option<(u64, u64, &Step)> = None;
    for step in steps {
        let input = question(&step.position, step.seat, &step.action).ok_or(MeasureError::Refused(step.clone()))?;
        let run = metered.run(&input, u64::MAX);
        if !run.result.is_ok_and(|output| Answer::decode(&output).is_some()) {
            return Err(MeasureError::Refused(step.clone()));
        }
        let transaction = transaction(&translation, step, run.gas);
        if worst.is_none_or(|(most, ..)| transaction > most) {
            worst = Some((transaction, run.gas, step));
        }
    }
    let (transaction, gas, step) = worst.ok_or(MeasureError::NoMoves)?;
    let input = question(&step.position, step.seat, &step.action).unwrap_or_default();
    let instructions = Emulator::new(program, Meter::instructions(program)).run(&input, u64::MAX).gas;
    Ok(Worst { step: step.clone(), gas, instructions, transaction })
}

/// What a contest of this move costs, roughly: the larger of what calldata costs at least (EIP-7623) and of all that is done. The
/// benchmark `referee.gas` measures it.
fn transaction(translation: &Translation, step: &Step, gas: u64) -> u64 {
    const INTRINSIC: u64 = 21_000;
    // Terms, docket and trail of a contest with two seats, and what court and referee do beside the rules.
    const AROUND: (u64, u64) = (3_300, 75_000);
    let of = |bytes: &[u8]| bytes.iter().map(|byte| if *byte == 0 { 1 } else { 4 }).sum::<u64>();
    let tokens = AROUND.0 + of(&translation.code) + of(&step.position) + of(&step.action);
    let words = (translation.code.len() as u64).div_ceil(32);
    INTRINSIC + (10 * tokens).max(4 * tokens + AROUND.1 + 30 * words + gas)
}

/// Moves or a program that cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// There is nothing to measure.
    #[error("no move was played")]
    NoMoves,
    /// The native rules made it, and the program does not take it: one of the two is not deterministic, or the memory is too small.
    #[error("the program refuses {seat}'s move {action:02x?} on {position:02x?}", seat = .0.seat, action = .0.action, position = .0.position)]
    Refused(Step),
    /// Too large for the chain.
    #[error(transparent)]
    Translate(#[from] TranslateError),
}
