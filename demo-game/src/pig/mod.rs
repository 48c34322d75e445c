//! Pig: roll as often as you dare and hold before a one takes it all. For 2 to 8 seats.
//!
//! In its turn a seat rolls one die as often as it likes. Every roll from 2 to 6 is added to the turn's pile; a 1 loses
//! the pile and ends the turn; holding banks the pile and ends the turn. The first to reach the target wins, at once: a
//! pile that reaches it is banked without asking.
//!
//! So that a match is bounded, a turn has a limited number of rolls, after which the pile is banked, and a match has a
//! limited number of rounds, after which the leaders share the pot.
//!
//! Every roll is made of one fresh link of every seat (R5.13), so nobody knows it before the choice to roll. The seat
//! that gives the last link sees the roll first, but can only complete it or stall, and a stall forfeits (R5.14).
//!
//! A forfeited match is shared by all the others, whatever their points: from three seats on, two who play together
//! can spoil a third one's lead at the price of one's stake. Play with more than two where that is not worth it.

mod roller;
#[cfg(test)]
mod tests;

use alloc::{vec, vec::Vec};
use core::ops::RangeInclusive;

use matchlock::game::{Game, MAX_SEATS, MIN_SEATS, Next, Pot, Roll, Seat};
use serde::{Deserialize, Serialize};

pub use roller::Roller;

/// Sides of the die.
pub const SIDES: u8 = 6;

/// The rules. By default to 50 points in at most 10 rounds of at most 8 rolls a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pig {
    target: u16,
    rounds: u8,
    rolls: u8,
}

/// Everything about a position; there is nothing hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// Points banked, by seat.
    pub scores: Vec<u16>,
    /// Whose turn it is.
    pub mover: Seat,
    /// Rounds completed.
    pub round: u8,
    /// Points of this turn, not yet banked.
    pub pile: u16,
    /// Rolls of this turn.
    pub rolls: u8,
    /// Whether the die is in the air.
    pub rolling: bool,
    /// What the die showed last, whoever rolled it; 0 before the first roll.
    pub die: u8,
}

/// What a seat does in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Move {
    /// Roll the die.
    Roll,
    /// Bank the pile.
    Hold,
}

/// Why a move is illegal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Illegal {
    /// The turn has not rolled yet.
    #[error("there is nothing to hold before the first roll")]
    NothingToHold,
}

/// Parameters that are no game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// One of them is zero.
    #[error("a game needs a target, a round and a roll")]
    Zero,
}

impl Pig {
    /// To `target` points, in at most `rounds` rounds of at most `rolls` rolls a turn.
    ///
    /// # Errors
    /// One of them is zero.
    pub const fn new(target: u16, rounds: u8, rolls: u8) -> Result<Pig, ParameterError> {
        if target == 0 || rounds == 0 || rolls == 0 {
            Err(ParameterError::Zero)
        } else {
            Ok(Pig { target, rounds, rolls })
        }
    }

    /// Points that win.
    pub fn target(&self) -> u16 {
        self.target
    }

    /// Most rounds of a match.
    pub fn rounds(&self) -> u8 {
        self.rounds
    }

    /// Most rolls of a turn.
    pub fn rolls(&self) -> u8 {
        self.rolls
    }
}

impl Default for Pig {
    fn default() -> Pig {
        Pig { target: 50, rounds: 10, rolls: 8 }
    }
}

impl Game for Pig {
    const NAME: &'static str = "pig";
    const CHANCE: bool = true;
    type Board = Board;
    type Move = Move;
    type Error = Illegal;

    fn seats(&self) -> RangeInclusive<usize> {
        MIN_SEATS..=MAX_SEATS
    }

    /// Every seat has one turn a round. A roll takes a turn of the protocol from every seat: the choice of the one, the
    /// reveals of the others. The longest turn rolls as often as it may, for holding costs the last roll and takes less.
    fn max_turns(&self) -> u32 {
        let seats = MAX_SEATS as u32;
        let longest_turn = u32::from(self.rolls) * seats;
        u32::from(self.rounds) * seats * longest_turn
    }

    fn start(&self, seats: usize) -> Board {
        Board { scores: vec![0; seats], mover: Seat(0), round: 0, pile: 0, rolls: 0, rolling: false, die: 0 }
    }

    fn next(&self, board: &Board, pot: &Pot) -> Next {
        let best = board.best();
        if best >= self.target || board.round >= self.rounds {
            // Only one seat can have reached the target: the match ended with its turn.
            return Next::Over(pot.split(|seat| u32::from(board.score(seat) == best)));
        }
        if board.rolling { Next::Roll } else { Next::turn(board.mover, pot) }
    }

    fn play(&self, board: &Board, _seat: Seat, action: &Move) -> Result<Board, Illegal> {
        let mut board = board.clone();
        match action {
            Move::Roll => board.rolling = true,
            Move::Hold if board.rolls == 0 => return Err(Illegal::NothingToHold),
            Move::Hold => board.bank(),
        }
        Ok(board)
    }

    fn roll(&self, board: &Board, roll: Roll) -> Board {
        let mut board = board.clone();
        board.rolling = false;
        board.rolls = board.rolls.saturating_add(1);
        board.die = roll.below(0, u32::from(SIDES)) as u8 + 1;
        if board.die == 1 {
            board.pass();
        } else {
            board.pile = board.pile.saturating_add(u16::from(board.die));
            if board.would_have() >= self.target || board.rolls >= self.rolls {
                board.bank();
            }
        }
        board
    }
}

impl Board {
    /// Points that this seat has banked.
    pub fn score(&self, seat: Seat) -> u16 {
        self.scores.get(seat.index()).copied().unwrap_or(0)
    }

    /// The most points that any seat has banked.
    pub fn best(&self) -> u16 {
        self.scores.iter().max().copied().unwrap_or(0)
    }

    /// What the mover would have, if it held now.
    pub fn would_have(&self) -> u16 {
        self.score(self.mover).saturating_add(self.pile)
    }

    fn bank(&mut self) {
        let score = self.would_have();
        if let Some(banked) = self.scores.get_mut(self.mover.index()) {
            *banked = score;
        }
        self.pass();
    }

    fn pass(&mut self) {
        self.pile = 0;
        self.rolls = 0;
        // At least one seat, for a stranger's bytes may have none.
        self.mover = self.mover.after(self.scores.len().max(1));
        if self.mover == Seat(0) {
            self.round = self.round.saturating_add(1);
        }
    }
}
