//! The sea: cells, sets of cells, ships and where they can lie.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Cells along each side.
pub const SIDE: u8 = 10;
/// Cells of one player's water.
pub const CELLS: u8 = SIDE * SIDE;
/// Cells that a whole fleet covers.
pub const FLEET_CELLS: usize = 17;

/// One cell, row by row from the top left. Numbers from [`CELLS`] on are off the grid, and rules refuse them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell(pub u8);

impl Cell {
    /// The cell at this column and row, both 0-based.
    pub fn at(column: u8, row: u8) -> Option<Cell> {
        (column < SIDE && row < SIDE).then(|| Cell(row * SIDE + column))
    }

    /// Every cell of the grid.
    pub fn all() -> impl Iterator<Item = Cell> + Clone {
        (0..CELLS).map(Cell)
    }

    /// Its column, 0-based from the left.
    pub fn column(self) -> u8 {
        self.0 % SIDE
    }

    /// Its row, 0-based from the top.
    pub fn row(self) -> u8 {
        self.0 / SIDE
    }

    /// Whether there is such a cell.
    pub fn on_grid(self) -> bool {
        self.0 < CELLS
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.on_grid() {
            write!(f, "{}{}", char::from(b'A' + self.column()), self.row() + 1)
        } else {
            write!(f, "cell {}", self.0)
        }
    }
}

/// A set of cells, one bit each: at most 15 bytes when encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cells(u128);

impl Cells {
    /// No cell.
    pub const NONE: Cells = Cells(0);
    /// Every cell.
    pub const ALL: Cells = Cells((1 << CELLS) - 1);

    /// The left column: the bit of every row's first cell.
    const LEFT: Cells = Cells(Cells::ALL.0 / ((1 << SIDE) - 1));
    /// The right column.
    const RIGHT: Cells = Cells(Cells::LEFT.0 << (SIDE - 1));
    /// The lowest row.
    const BOTTOM: Cells = Cells(Cells::ALL.0 - (Cells::ALL.0 >> SIDE));

    /// Whether the cell is in it.
    pub fn contains(self, cell: Cell) -> bool {
        self.0 & Cells::one(cell).0 != 0
    }

    /// The set with this cell.
    #[must_use]
    pub fn with(self, cell: Cell) -> Cells {
        self.union(Cells::one(cell))
    }

    /// All cells of both.
    #[must_use]
    pub fn union(self, other: Cells) -> Cells {
        Cells(self.0 | other.0)
    }

    /// The cells that are in both.
    #[must_use]
    pub fn intersection(self, other: Cells) -> Cells {
        Cells(self.0 & other.0)
    }

    /// The cells of this that are not in the other.
    #[must_use]
    pub fn without(self, other: Cells) -> Cells {
        Cells(self.0 & !other.0)
    }

    /// Whether they share a cell.
    pub fn meets(self, other: Cells) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every cell of the other is in this.
    pub fn covers(self, other: Cells) -> bool {
        other.0 & !self.0 == 0
    }

    /// The bows from which `length` cells, to the right or downwards, meet one of these.
    #[must_use]
    pub fn met_from(self, length: u8, down: bool) -> Cells {
        let mut step = self.intersection(Cells::ALL);
        let mut bows = step;
        for _ in 1..length {
            // No row goes on in the one above it.
            step = Cells(if down { step.0 >> SIDE } else { step.without(Cells::LEFT).0 >> 1 });
            bows = bows.union(step);
        }
        bows
    }

    /// The bows from which `length` cells, at least 2, to the right or downwards, stay on the grid.
    #[must_use]
    pub fn with_room_for(length: u8, down: bool) -> Cells {
        let edge = if down { Cells::BOTTOM } else { Cells::RIGHT };
        Cells::ALL.without(edge.met_from(length - 1, down))
    }

    /// How many cells.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its cells in order.
    pub fn iter(self) -> impl Iterator<Item = Cell> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let first = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(Cell(first as u8))
        })
    }

    /// What is off the grid is no bit. It is found by its byte, for the chain's processor shifts by 32 bits and no further.
    fn one(cell: Cell) -> Cells {
        let mut bytes = [0; 16];
        if cell.on_grid() {
            bytes[usize::from(cell.0 / 8)] = 1 << (cell.0 % 8);
        }
        Cells(u128::from_le_bytes(bytes))
    }
}

impl FromIterator<Cell> for Cells {
    fn from_iter<I: IntoIterator<Item = Cell>>(cells: I) -> Cells {
        cells.into_iter().fold(Cells::NONE, Cells::with)
    }
}

/// One of the five ships.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ship {
    /// Five cells.
    Carrier,
    /// Four cells.
    Battleship,
    /// Three cells.
    Cruiser,
    /// Three cells.
    Submarine,
    /// Two cells.
    Destroyer,
}

impl Ship {
    /// The fleet.
    pub const ALL: [Ship; 5] = [Ship::Carrier, Ship::Battleship, Ship::Cruiser, Ship::Submarine, Ship::Destroyer];

    /// How many cells it covers.
    pub const fn length(self) -> u8 {
        match self {
            Ship::Carrier => 5,
            Ship::Battleship => 4,
            Ship::Cruiser | Ship::Submarine => 3,
            Ship::Destroyer => 2,
        }
    }

    /// Its place in [`Ship::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Every way it fits on the grid.
    pub fn placements(self) -> impl Iterator<Item = Placement> + Clone {
        Cell::all()
            .flat_map(|bow| [Placement { bow, down: false }, Placement { bow, down: true }])
            .filter(move |placement| placement.cells(self).is_some())
    }
}

impl fmt::Display for Ship {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ship::Carrier => "carrier",
            Ship::Battleship => "battleship",
            Ship::Cruiser => "cruiser",
            Ship::Submarine => "submarine",
            Ship::Destroyer => "destroyer",
        })
    }
}

/// Where a ship lies: from its bow to the right, or downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Its first cell.
    pub bow: Cell,
    /// Downwards instead of to the right.
    pub down: bool,
}

impl Placement {
    /// The cells that `ship` covers here; `None` if it does not fit on the grid.
    pub fn cells(self, ship: Ship) -> Option<Cells> {
        self.line(ship).map(Iterator::collect)
    }

    /// The same, one by one from the bow.
    pub fn line(self, ship: Ship) -> Option<impl Iterator<Item = Cell>> {
        let along = if self.down { self.bow.row() } else { self.bow.column() };
        let fits = self.bow.on_grid() && along + ship.length() <= SIDE;
        let step = if self.down { SIDE } else { 1 };
        fits.then(|| (0..ship.length()).map(move |i| Cell(self.bow.0 + i * step)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ships_fit_as_often_as_arithmetic_says() {
        for ship in Ship::ALL {
            let starts = usize::from(SIDE - ship.length() + 1);
            assert_eq!(ship.placements().count(), 2 * usize::from(SIDE) * starts, "{ship}");
            assert!(ship.placements().all(|p| p.cells(ship).unwrap().len() == usize::from(ship.length())));
        }
        assert_eq!(Ship::ALL.iter().map(|ship| usize::from(ship.length())).sum::<usize>(), FLEET_CELLS);
        assert!(Ship::ALL.iter().enumerate().all(|(i, ship)| ship.index() == i));
    }

    #[test]
    fn no_ship_wraps_around_an_edge() {
        let at = |column, row, down| Placement { bow: Cell::at(column, row).unwrap(), down }.cells(Ship::Cruiser);
        assert_eq!(at(7, 9, false), Some(Cells::from_iter([Cell(97), Cell(98), Cell(99)])));
        assert_eq!(at(8, 0, false), None);
        assert_eq!(at(9, 7, true), Some(Cells::from_iter([Cell(79), Cell(89), Cell(99)])));
        assert_eq!(at(0, 8, true), None);
        assert_eq!(Placement { bow: Cell(255), down: true }.cells(Ship::Destroyer), None);
    }

    #[test]
    fn bows_are_where_a_line_meets_a_cell_and_where_it_fits() {
        let set = Cells::from_iter([0, 9, 10, 47, 90, 99].map(Cell));
        for (ship, down) in Ship::ALL.into_iter().flat_map(|ship| [(ship, false), (ship, true)]) {
            let met = set.met_from(ship.length(), down);
            let room = Cells::with_room_for(ship.length(), down);
            for bow in Cell::all() {
                let cells = Placement { bow, down }.cells(ship);
                assert_eq!(room.contains(bow), cells.is_some(), "{ship} at {bow}, down: {down}");
                if let Some(cells) = cells {
                    assert_eq!(met.contains(bow), cells.meets(set), "{ship} at {bow}, down: {down}");
                }
            }
        }
    }

    #[test]
    fn sets_ignore_what_is_off_the_grid() {
        let set = Cells::NONE.with(Cell(0)).with(Cell(99)).with(Cell(100)).with(Cell(255));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Cell(0), Cell(99)]);
        assert!(!set.contains(Cell(128)));
        let all: Cells = Cell::all().collect();
        assert_eq!(postcard::to_allocvec(&all).unwrap().len(), 15);
    }

    #[test]
    fn cells_are_named_as_players_name_them() {
        assert_eq!(
            [Cell(0), Cell(9), Cell(10), Cell(99), Cell(100)].map(|c| c.to_string()),
            ["A1", "J1", "A2", "J10", "cell 100"]
        );
        assert_eq!((Cell::at(9, 9), Cell::at(10, 0), Cell::at(0, 10)), (Some(Cell(99)), None, None));
    }
}
