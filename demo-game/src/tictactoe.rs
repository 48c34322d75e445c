//! Tic-tac-toe: three in a row wins, a full board is a draw. The smallest game worth reading.

use alloc::vec::Vec;

use matchlock::{
    game::{Game, Next, Pot, Seat},
    local::{Bot, Dice},
};
use serde::{Deserialize, Serialize};

use crate::bots::Strength;

/// The rules; they have no parameters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TicTacToe;

/// Who has which cell: row by row from the top left.
pub type Board = [Option<Seat>; 9];

/// Why a move is illegal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Illegal {
    /// Cells are 0 to 8.
    #[error("there is no cell {0}")]
    NoSuchCell(u8),
    /// Somebody has it.
    #[error("cell {0} is taken")]
    Taken(u8),
}

/// Every row, column and diagonal.
pub const LINES: [[usize; 3]; 8] =
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

impl Game for TicTacToe {
    const NAME: &'static str = "tictactoe";
    type Board = Board;
    type Move = u8;
    type Error = Illegal;

    fn max_turns(&self) -> u32 {
        9
    }

    fn start(&self, _seats: usize) -> Board {
        [None; 9]
    }

    fn next(&self, board: &Board, pot: &Pot) -> Next {
        if let Some((seat, _)) = row(board) {
            return Next::Over(pot.winner(seat));
        }
        match board.iter().flatten().count() {
            9 => Next::Over(pot.draw()),
            moves => Next::turn(Seat((moves % 2) as u8), pot),
        }
    }

    fn play(&self, board: &Board, seat: Seat, cell: &u8) -> Result<Board, Illegal> {
        let mut board = *board;
        match board.get_mut(usize::from(*cell)) {
            None => Err(Illegal::NoSuchCell(*cell)),
            Some(Some(_)) => Err(Illegal::Taken(*cell)),
            Some(free) => {
                *free = Some(seat);
                Ok(board)
            }
        }
    }
}

/// Who has three in a row, and where; `None` while nobody has.
pub fn row(board: &Board) -> Option<(Seat, [usize; 3])> {
    LINES.into_iter().find_map(|line @ [a, b, c]| {
        let seat = board[a]?;
        (board[b] == Some(seat) && board[c] == Some(seat)).then_some((seat, line))
    })
}

/// Plays at random, or takes and blocks rows, or never loses.
#[derive(Clone, Debug)]
pub struct Noughts {
    strength: Strength,
    dice: Dice,
}

impl Noughts {
    /// The bot of this seed.
    pub fn new(strength: Strength, seed: u64) -> Noughts {
        Noughts { strength, dice: Dice::new(seed) }
    }
}

impl Bot<TicTacToe> for Noughts {
    fn choose(&mut self, board: &Board, seat: Seat) -> u8 {
        let free: Vec<u8> = free(board).collect();
        let depth = match self.strength {
            Strength::Easy => 0,
            // Its own row and the opponent's answer.
            Strength::Fair => 2,
            // Against good play every first cell draws, so only the rest is worth searching.
            Strength::Strong => {
                if free.len() == 9 {
                    0
                } else {
                    9
                }
            }
        };
        let worth: Vec<i8> = free.iter().map(|cell| worth(&with(board, *cell, seat), seat, depth)).collect();
        let most = worth.iter().max().copied();
        let best: Vec<u8> = free.iter().zip(&worth).filter(|(_, w)| Some(**w) == most).map(|(cell, _)| *cell).collect();
        *self.dice.pick(&best)
    }
}

/// What a board is worth to the seat that has just played: wins above draws above losses, sooner above later.
fn worth(board: &Board, played: Seat, depth: u8) -> i8 {
    if depth == 0 {
        return 0;
    }
    if row(board).is_some() {
        return depth as i8;
    }
    let reply = played.opponent();
    free(board).map(|cell| -worth(&with(board, cell, reply), reply, depth - 1)).min().unwrap_or(0)
}

fn free(board: &Board) -> impl Iterator<Item = u8> + '_ {
    (0..9).filter(|cell| board[usize::from(*cell)].is_none())
}

fn with(board: &Board, cell: u8, seat: Seat) -> Board {
    let mut board = *board;
    board[usize::from(cell)] = Some(seat);
    board
}

#[cfg(test)]
mod tests {
    use matchlock::{
        budget::{Limits, budget},
        check::check,
        game::{Amount, BasisPoints},
        local::Local,
        rules::RulesError,
    };

    use super::*;

    const STAKES: [Amount; 2] = [Amount::from_u64(100), Amount::from_u64(50)];

    fn table(cells: &[u8]) -> Local<TicTacToe> {
        let mut table = Local::new(TicTacToe, &STAKES, 1).unwrap();
        for (cell, turn) in cells.iter().zip(0u8..) {
            table.play(Seat(turn % 2), cell).unwrap();
        }
        table
    }

    fn units(table: &Local<TicTacToe>) -> [u128; 2] {
        [table.payouts()[0].units(), table.payouts()[1].units()]
    }

    #[test]
    fn the_rules_are_sound() {
        for strength in Strength::ALL {
            let report =
                check(&TicTacToe, 0..200, |seat, seed| Box::new(Noughts::new(strength, seed * 2 + u64::from(seat.0))));
            assert!(report.unwrap().longest <= 9);
        }
    }

    #[test]
    fn a_dispute_stays_within_its_budget() {
        let bot = |seat: Seat, seed| {
            Box::new(Noughts::new(Strength::Easy, seed * 2 + u64::from(seat.0))) as Box<dyn Bot<TicTacToe>>
        };
        let limits = Limits { calldata: 2_400, gas: 95_000, griefing: 105, ..Limits::default() };
        println!("{}", budget(&TicTacToe, 0..50, bot, &limits).unwrap_or_else(|error| panic!("{error}")));
        // With a referee contract, all of whose gas is spent.
        let limits = Limits { gas: 280_000, referee: 200_000, ..limits };
        println!("{}", budget(&TicTacToe, 0..50, bot, &limits).unwrap_or_else(|error| panic!("{error}")));
    }

    #[test]
    fn every_line_wins_for_either_seat() {
        for line in LINES {
            for winner in [Seat(0), Seat(1)] {
                let mut board = TicTacToe.start(2);
                line.into_iter().for_each(|cell| board[cell] = Some(winner));
                let pot = Pot::new(STAKES.to_vec(), BasisPoints::ZERO).unwrap();
                assert_eq!(TicTacToe.next(&board, &pot), Next::Over(pot.winner(winner)));
                assert_eq!(row(&board), Some((winner, line)));
            }
        }
    }

    #[test]
    fn a_full_board_gives_the_stakes_back() {
        let table = table(&[0, 1, 2, 4, 3, 5, 7, 6, 8]);
        assert_eq!((table.mover(), units(&table)), (None, [100, 50]));
    }

    #[test]
    fn a_stall_forfeits() {
        assert_eq!(units(&table(&[])), [0, 150]);
        assert_eq!(units(&table(&[4])), [150, 0]);
    }

    #[test]
    fn illegal_moves_are_refused_and_change_nothing() {
        let mut table = table(&[4]);
        let before = table.placed().clone();
        for (cell, why) in [(4, Illegal::Taken(4)), (9, Illegal::NoSuchCell(9)), (255, Illegal::NoSuchCell(255))] {
            match table.play(Seat(1), &cell) {
                Err(RulesError::Illegal(error)) => assert_eq!(error.downcast_ref(), Some(&why)),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(table.play(Seat(0), &0), Err(RulesError::NotYourTurn { .. })));
        assert_eq!(*table.placed(), before);
    }

    #[test]
    fn nothing_is_played_after_the_end() {
        let mut table = table(&[0, 3, 1, 4, 2]);
        assert_eq!(units(&table), [150, 0]);
        assert!(matches!(table.play(Seat(1), &5), Err(RulesError::Over)));
    }

    #[test]
    fn the_strong_bot_never_loses() {
        for seed in 0..100 {
            for strong in [Seat(0), Seat(1)] {
                let mut table = Local::new(TicTacToe, &STAKES, seed).unwrap();
                let mut bots = [Strength::Easy, Strength::Easy];
                bots[strong.index()] = Strength::Strong;
                let mut bots = bots.map(|strength| Box::new(Noughts::new(strength, seed)) as Box<dyn Bot<_>>);
                table.play_out(&mut bots).unwrap();
                let winner = row(&table.board().unwrap()).map(|(seat, _)| seat);
                assert_ne!(winner, Some(strong.opponent()), "seed {seed}");
            }
        }
    }

    #[test]
    fn the_fair_bot_takes_and_blocks_rows() {
        let taken = |cells: &[u8]| {
            let table = table(cells);
            Noughts::new(Strength::Fair, 3).choose(&table.board().unwrap(), table.mover().unwrap())
        };
        assert_eq!(taken(&[0, 3, 1, 4]), 2, "wins rather than blocks");
        assert_eq!(taken(&[0, 8, 1]), 2, "blocks");
    }
}
