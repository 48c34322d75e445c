//! One call in a test finds what would break a game online: [`check`].

use alloc::{boxed::Box, vec::Vec};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    game::{Amount, Game, Seat},
    local::{Bot, Dice, Local},
    rules::{self, Rules, RulesError},
};

/// What random play has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Matches played to the end.
    pub matches: u32,
    /// Turns of all of them, reveals included.
    pub turns: u64,
    /// Turns of the longest.
    pub longest: u32,
    /// Bytes of the largest position.
    pub largest_position: usize,
    /// Bytes of the largest action.
    pub largest_action: usize,
}

/// What is wrong with a game, with the seed that shows it.
#[derive(Debug, thiserror::Error)]
#[error("{game}, seed {seed}, turn {turn}: {fault}")]
pub struct CheckError {
    /// The game.
    pub game: &'static str,
    /// The match's seed: `check` with `seed..seed + 1` shows it again.
    pub seed: u64,
    /// The turn, reveals included.
    pub turn: u32,
    /// What happened there.
    pub fault: Fault,
}

/// What can be wrong with a game.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A bot's move was refused, or the rules broke their contract.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Two calls with one input differ: a clock, a `HashMap`, a static, uninitialised memory.
    #[error("the same move from the same position gave two results; rules must be pure")]
    NotDeterministic,
    /// The encoding loses something.
    #[error("a {what} does not survive encoding; serde must round-trip every field")]
    NoRoundTrip {
        /// A board or a move.
        what: &'static str,
    },
    /// The match went on (R5.12).
    #[error("the match outlasts max_turns = {max_turns}")]
    TooLong {
        /// What the game promises.
        max_turns: u32,
    },
    /// Stalling pays (R5.14).
    #[error("{seat} gets {stall} for never acting here, but only {played} by playing on; a stall must never pay more")]
    StallPays {
        /// Who would stall.
        seat: Seat,
        /// What the stall pays.
        stall: Amount,
        /// What this playout paid.
        played: Amount,
    },
    /// A seat could move out of turn.
    #[error("{seat} could move out of turn")]
    OutOfTurn {
        /// Who could.
        seat: Seat,
    },
}

/// Plays one match for every seed with bots made by `bot`, at every number of seats, and tests at every turn that the rules are
/// deterministic, that boards and moves survive their encoding, that only the mover can move, that the match ends within
/// [`Game::max_turns`], that damaged actions are refused without a panic, and that stalling never pays (R5.14).
///
/// # Errors
/// The first fault found, with its seed.
pub fn check<G: Game>(
    game: &G,
    seeds: core::ops::Range<u64>,
    mut bot: impl FnMut(Seat, u64) -> Box<dyn Bot<G>>,
) -> Result<Report, CheckError> {
    let mut report = Report::default();
    for seed in seeds {
        for seats in game.seats() {
            let mut turn = 0;
            let mut bots: Vec<_> = (0..seats).map(|i| bot(Seat(i as u8), seed)).collect();
            playout(game, seats, seed, &mut bots, &mut turn, &mut report).map_err(|fault| CheckError {
                game: G::NAME,
                seed,
                turn,
                fault,
            })?;
        }
    }
    Ok(report)
}

fn playout<G: Game>(
    game: &G,
    seats: usize,
    seed: u64,
    bots: &mut [Box<dyn Bot<G>>],
    turn: &mut u32,
    report: &mut Report,
) -> Result<(), Fault> {
    // Stakes that differ and do not divide show rounding.
    let stakes: Vec<_> = (0..seats as u64).map(|i| Amount::from_u64(1_000_003 + i)).collect();
    let max_turns = game.max_turns();
    let mut damage = Dice::new(seed ^ 0xdead);
    let mut table = Local::new(game.clone(), &stakes, seed)?;
    let mut stalls: Vec<(Seat, Amount)> = Vec::new();
    while let Some(seat) = table.mover() {
        *turn = table.turn();
        if *turn >= max_turns {
            return Err(Fault::TooLong { max_turns });
        }
        stalls.push((seat, table.payouts()[seat.index()]));
        let board = table.board()?;
        round_trips(&board, "board")?;
        let action = bots[seat.index()].choose(&board, seat);
        round_trips(&action, "move")?;

        let (composed, placed) = table.compose(seat, &action)?;
        let bytes = composed.encode();
        let again = table.rules().apply(&table.placed().position, seat, &bytes)?;
        if again != placed || table.rules().place(&placed.position)? != placed {
            return Err(Fault::NotDeterministic);
        }
        for other in (0..seats as u8).map(Seat).filter(|other| *other != seat) {
            if table.rules().apply(&table.placed().position, other, &bytes).is_ok() {
                return Err(Fault::OutOfTurn { seat: other });
            }
        }
        // Only that it neither panics nor is taken for something else: the answer itself may be yes.
        let mut damaged = bytes.clone();
        let at = damage.below(damaged.len() as u32) as usize;
        damaged[at] ^= 1 << damage.below(8);
        let _ = table.rules().apply(&table.placed().position, seat, &damaged);
        let _ = table.rules().apply(&table.placed().position, seat, &bytes[..at]);

        report.largest_position = report.largest_position.max(placed.position.len());
        report.largest_action = report.largest_action.max(bytes.len());
        table.play(seat, &action)?;
    }
    *turn = table.turn();
    if *turn > max_turns {
        return Err(Fault::TooLong { max_turns });
    }
    for (seat, stall) in stalls {
        let played = table.payouts()[seat.index()];
        if stall > played {
            return Err(Fault::StallPays { seat, stall, played });
        }
    }
    report.matches += 1;
    report.turns += u64::from(table.turn());
    report.longest = report.longest.max(table.turn());
    Ok(())
}

fn round_trips<T: PartialEq + Serialize + DeserializeOwned>(value: &T, what: &'static str) -> Result<(), Fault> {
    let bytes = postcard::to_allocvec(value).map_err(|_| Fault::NoRoundTrip { what })?;
    let back: T = rules::decode(&bytes, what, rules::MAX_POSITION).map_err(|_| Fault::NoRoundTrip { what })?;
    if back == *value { Ok(()) } else { Err(Fault::NoRoundTrip { what }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doc::TicTacToe;

    struct Random(Dice);

    impl Bot<TicTacToe> for Random {
        fn choose(&mut self, board: &[Option<Seat>; 9], _: Seat) -> u8 {
            let free: Vec<u8> = (0..9).filter(|cell| board[usize::from(*cell)].is_none()).collect();
            *self.0.pick(&free)
        }
    }

    #[test]
    fn a_sound_game_passes() {
        let report = check(&TicTacToe, 0..50, |seat, seed| Box::new(Random(Dice::new(seed * 8 + u64::from(seat.0)))))
            .expect("sound");
        assert_eq!(report.matches, 50);
        assert!(report.longest <= 9);
    }
}
