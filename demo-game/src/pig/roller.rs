//! A bot for Pig, in three strengths.

use matchlock::{
    game::Seat,
    local::{Bot, Dice},
};

use super::{Board, Move, Pig};
use crate::bots::Strength;

/// Tosses a coin; or holds at 20; or keeps pace and races for the target when somebody is near it, after Neller and
/// Presser, "Practical Play of the Dice Game Pig" (2010).
#[derive(Clone, Debug)]
pub struct Roller {
    game: Pig,
    strength: Strength,
    dice: Dice,
}

impl Roller {
    /// The bot of this seed for a game with these parameters.
    pub fn new(game: Pig, strength: Strength, seed: u64) -> Roller {
        Roller { game, strength, dice: Dice::new(seed) }
    }
}

impl Bot<Pig> for Roller {
    fn choose(&mut self, board: &Board, seat: Seat) -> Move {
        let roll = board.rolls == 0
            || match self.strength {
                Strength::Easy => self.dice.below(2) == 0,
                Strength::Fair => board.pile < 20,
                Strength::Strong => self.goes_on(board, seat),
            };
        if roll { Move::Roll } else { Move::Hold }
    }
}

impl Roller {
    fn goes_on(&self, board: &Board, seat: Seat) -> bool {
        const NEAR: u16 = 29;
        let others = || (0..board.scores.len()).filter(|other| *other != seat.index()).map(|other| board.scores[other]);
        let rival = others().max().unwrap_or(0);
        let own = board.score(seat);
        let last_round = board.round + 1 >= self.game.rounds();
        if last_round && board.would_have() <= rival {
            return true;
        }
        if rival.max(own) + NEAR >= self.game.target() {
            return true;
        }
        let lag = i32::from(rival) - i32::from(own);
        i32::from(board.pile) < 21 + (lag + lag.signum() * 4) / 8
    }
}
