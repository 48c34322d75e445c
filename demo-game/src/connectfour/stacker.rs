//! A bot for connect four, in three strengths.

use alloc::vec::Vec;

use matchlock::{
    game::Seat,
    local::{Bot, Dice},
};

use super::{Board, COLUMNS, ConnectFour};
use crate::bots::Strength;

/// Turns that the strong bot looks ahead, its own among them.
const AHEAD: u8 = 6;
/// Columns as the strong bot tries them: more rows run through the middle, and the best first saves the most search.
const FROM_THE_MIDDLE: [u8; COLUMNS as usize] = [3, 2, 4, 1, 5, 0, 6];

/// Drops at random; or takes and blocks fours; or looks six turns ahead.
#[derive(Clone, Debug)]
pub struct Stacker {
    strength: Strength,
    dice: Dice,
}

impl Stacker {
    /// The bot of this seed.
    pub fn new(strength: Strength, seed: u64) -> Stacker {
        Stacker { strength, dice: Dice::new(seed) }
    }
}

impl Bot<ConnectFour> for Stacker {
    fn choose(&mut self, board: &Board, seat: Seat) -> u8 {
        let depth = match self.strength {
            Strength::Easy => 0,
            // Its own four and the opponent's answer.
            Strength::Fair => 2,
            Strength::Strong => AHEAD,
        };
        let worth: Vec<(u8, i8)> = board
            .open()
            .filter_map(|column| Some((column, worth(&board.with(column, seat)?, seat, depth, [-i8::MAX, i8::MAX]))))
            .collect();
        let most = worth.iter().map(|(_, worth)| *worth).max();
        let mut best: Vec<u8> = worth.iter().filter(|(_, w)| Some(*w) == most).map(|(column, _)| *column).collect();
        if self.strength == Strength::Strong {
            best.sort_by_key(|column| column.abs_diff(COLUMNS / 2));
            best.truncate(2);
        }
        *self.dice.pick(&best)
    }
}

/// What a board is worth to the seat that has just played: a win more than nothing, sooner more than later. Exact within
/// the window.
fn worth(board: &Board, played: Seat, depth: u8, [least, most]: [i8; 2]) -> i8 {
    if depth == 0 {
        return 0;
    }
    if board.winner().is_some() {
        return depth as i8;
    }
    let reply = played.opponent();
    let mut best_reply = None;
    for board in FROM_THE_MIDDLE.into_iter().filter_map(|column| board.with(column, reply)) {
        let best = best_reply.unwrap_or(-i8::MAX);
        let told = worth(&board, reply, depth - 1, [best.max(-most), -least]);
        best_reply = Some(best.max(told));
        if told >= -least {
            break;
        }
    }
    -best_reply.unwrap_or(0)
}
