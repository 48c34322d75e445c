//! Connect four: drop stones into seven columns; four in a row win, in any direction. A full board is a draw.
//!
//! The board is one bit for each cell and seat, column by column, with an empty row above the top one, so that rows are
//! found by shifting and none runs from one column into the next. It is small where it is kept and cheap where
//! it is judged: nothing is searched cell by cell.

mod stacker;
#[cfg(test)]
mod tests;

use matchlock::game::{Game, Next, Pot, Seat};
use serde::{Deserialize, Serialize};

pub use stacker::Stacker;

/// Columns of the board.
pub const COLUMNS: u8 = 7;
/// Cells of a column.
pub const ROWS: u8 = 6;

/// Bits of a column: its cells, and the row above that stays empty.
const HEIGHT: u8 = ROWS + 1;
/// The lowest cell of every column.
const FLOOR: u64 = {
    let (mut floor, mut column) = (0, 0);
    while column < COLUMNS {
        floor |= 1 << (column * HEIGHT);
        column += 1;
    }
    floor
};
/// Every cell there is.
const CELLS: u64 = FLOOR * ((1 << ROWS) - 1);

/// The rules; they have no parameters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ConnectFour;

/// Which cells each seat has: at most 14 bytes when encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Board {
    stones: [u64; 2],
}

/// Why a move is illegal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Illegal {
    /// Columns are 0 to 6.
    #[error("there is no column {0}")]
    NoSuchColumn(u8),
    /// It has six stones.
    #[error("column {0} is full")]
    Full(u8),
}

impl Game for ConnectFour {
    const NAME: &'static str = "connectfour";
    type Board = Board;
    /// A column, 0-based from the left.
    type Move = u8;
    type Error = Illegal;

    fn max_turns(&self) -> u32 {
        u32::from(COLUMNS) * u32::from(ROWS)
    }

    fn start(&self, _seats: usize) -> Board {
        Board::default()
    }

    fn next(&self, board: &Board, pot: &Pot) -> Next {
        match board.winner() {
            Some(seat) => Next::Over(pot.winner(seat)),
            None if board.is_full() => Next::Over(pot.draw()),
            None => Next::turn(board.mover(), pot),
        }
    }

    fn play(&self, board: &Board, seat: Seat, column: &u8) -> Result<Board, Illegal> {
        if *column >= COLUMNS {
            return Err(Illegal::NoSuchColumn(*column));
        }
        board.with(*column, seat).ok_or(Illegal::Full(*column))
    }
}

impl Board {
    /// Whose stone lies here: columns from the left, rows from the floor, 0-based. `None` where none does.
    pub fn at(&self, column: u8, row: u8) -> Option<Seat> {
        let cell = if column < COLUMNS && row < ROWS { 1 << (column * HEIGHT + row) } else { 0 };
        [Seat(0), Seat(1)].into_iter().find(|seat| self.of(*seat) & cell != 0)
    }

    /// Columns that are not full, from the left.
    pub fn open(&self) -> impl Iterator<Item = u8> + '_ {
        (0..COLUMNS).filter(|column| self.with(*column, Seat(0)).is_some())
    }

    /// Whether no stone has room.
    pub fn is_full(&self) -> bool {
        self.taken() & CELLS == CELLS
    }

    /// Who drops the next stone, while the match is on.
    pub fn mover(&self) -> Seat {
        // Seats take turns: an odd number of stones is the second one's to go on from.
        Seat((self.taken().count_ones() % 2) as u8)
    }

    /// Who has four in a row.
    pub fn winner(&self) -> Option<Seat> {
        [Seat(0), Seat(1)].into_iter().find(|seat| has_four(self.of(*seat)))
    }

    /// The board with one more stone in this column; `None` where that is full, or is none.
    pub fn with(&self, column: u8, seat: Seat) -> Option<Board> {
        if column >= COLUMNS {
            return None;
        }
        let free = (((1 << ROWS) - 1) << (column * HEIGHT)) & !self.taken();
        // The lowest bit of it.
        let stone = free & free.wrapping_neg();
        if stone == 0 {
            return None;
        }
        let mut board = *self;
        board.stones[side(seat)] |= stone;
        Some(board)
    }

    fn of(&self, seat: Seat) -> u64 {
        self.stones[side(seat)]
    }

    fn taken(&self) -> u64 {
        self.stones[0] | self.stones[1]
    }
}

/// Any seat is one of two, so that a stranger's bytes cannot index beyond them.
fn side(seat: Seat) -> usize {
    seat.index().min(1)
}

/// Whether four of these cells are in a row: upwards, to the right, or along a diagonal.
fn has_four(stones: u64) -> bool {
    [1, HEIGHT, HEIGHT - 1, HEIGHT + 1].into_iter().any(|step| {
        let pairs = stones & stones >> step;
        pairs & pairs >> (2 * step) != 0
    })
}
