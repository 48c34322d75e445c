//! The example game of the documentation: tic-tac-toe in about 50 lines.

use crate::game::{Game, Next, Pot, Seat};
use serde::{Deserialize, Serialize};

/// Three in a row wins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TicTacToe;

/// Why a move is illegal.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Illegal {
    /// Cells are 0 to 8.
    #[error("there is no cell {0}")]
    NoSuchCell(u8),
    /// Somebody has it.
    #[error("cell {0} is taken")]
    Taken(u8),
}

const LINES: [[usize; 3]; 8] = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

impl Game for TicTacToe {
    const NAME: &'static str = "tictactoe";
    type Board = [Option<Seat>; 9];
    type Move = u8;
    type Error = Illegal;

    fn max_turns(&self) -> u32 {
        9
    }

    fn start(&self, _seats: usize) -> Self::Board {
        [None; 9]
    }

    fn next(&self, board: &Self::Board, pot: &Pot) -> Next {
        for [a, b, c] in LINES {
            if let (Some(seat), true) = (board[a], board[a] == board[b] && board[b] == board[c]) {
                return Next::Over(pot.winner(seat));
            }
        }
        match board.iter().flatten().count() {
            9 => Next::Over(pot.draw()),
            moves => Next::turn(Seat((moves % 2) as u8), pot),
        }
    }

    fn play(&self, board: &Self::Board, seat: Seat, cell: &u8) -> Result<Self::Board, Illegal> {
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
