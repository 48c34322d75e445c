//! A bot for Broadside, in three strengths.

use alloc::vec::Vec;

use matchlock::{
    game::Seat,
    local::{Bot, Dice},
};

use super::{
    fleet::Fleet,
    grid::{CELLS, Cell, Cells, Ship},
    rules::{Board, Broadside, Move, Water},
};
use crate::bots::Strength;

/// Keeps a fleet and fires: anywhere; or next to its hits, and until there are any, on one colour of the chequered
/// water, which no ship fits between; or where most of what the remaining ships can do comes together.
#[derive(Clone, Debug)]
pub struct Captain {
    fleet: Fleet,
    strength: Strength,
    dice: Dice,
}

impl Captain {
    /// The bot of this seed, with the fleet of this seed.
    pub fn new(strength: Strength, seed: u64) -> Captain {
        let mut dice = Dice::new(seed);
        Captain { fleet: Fleet::random(&mut dice), strength, dice }
    }

    /// The same bot with a fleet of your choice.
    #[must_use]
    pub fn with_fleet(self, fleet: Fleet) -> Captain {
        Captain { fleet, ..self }
    }

    /// Its secret.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Where it would fire; `None` if every cell is open. Also a hint for people.
    pub fn aim(&mut self, board: &Board, seat: Seat) -> Option<Cell> {
        let free = board.targets(seat);
        let water = board.water(seat.opponent());
        let liked = match self.strength {
            Strength::Easy => free,
            Strength::Fair => hunt(water, free),
            Strength::Strong => densest(water, free),
        };
        let cells: Vec<Cell> = if liked.is_empty() { free } else { liked }.iter().collect();
        if cells.is_empty() { None } else { Some(*self.dice.pick(&cells)) }
    }
}

impl Bot<Broadside> for Captain {
    fn choose(&mut self, board: &Board, seat: Seat) -> Move {
        let target = self.aim(board, seat);
        // Nothing is asked of a board that is over or not of this fleet's match; rules refuse this shot on any.
        self.fleet.act(board, target).unwrap_or(Move::Fire(Cell(CELLS)))
    }
}

/// Next to the hits of ships still afloat, else one colour of the chequered water.
fn hunt(water: &Water, free: Cells) -> Cells {
    let wounded: Cells = Ship::ALL
        .into_iter()
        .filter(|ship| !water.has_lost(*ship))
        .flat_map(|ship| water.hits_of(ship).iter())
        .collect();
    let near: Cells = free.iter().filter(|cell| neighbours(*cell).any(|next| wounded.contains(next))).collect();
    if !near.is_empty() {
        return near;
    }
    free.iter().filter(|cell| (cell.row() + cell.column()) % 2 == 0).collect()
}

fn neighbours(cell: Cell) -> impl Iterator<Item = Cell> {
    let (column, row) = (cell.column(), cell.row());
    let left = column.checked_sub(1).and_then(|column| Cell::at(column, row));
    let up = row.checked_sub(1).and_then(|row| Cell::at(column, row));
    [left, up, Cell::at(column + 1, row), Cell::at(column, row + 1)].into_iter().flatten()
}

/// The free cells that most berths cover. A ship that was hit counts most: its berths are few and near.
fn densest(water: &Water, free: Cells) -> Cells {
    const WOUNDED: u32 = 1000;
    let mut density = [0u32; CELLS as usize];
    for ship in Ship::ALL.into_iter().filter(|ship| !water.has_lost(*ship)) {
        let weight = if water.hits_of(ship).is_empty() { 1 } else { WOUNDED };
        for cell in water.berths(ship).flat_map(|berth| berth.without(water.hits_of(ship)).iter()) {
            density[usize::from(cell.0)] += weight;
        }
    }
    let most = free.iter().map(|cell| density[usize::from(cell.0)]).max();
    free.iter().filter(|cell| Some(density[usize::from(cell.0)]) == most).collect()
}

#[cfg(test)]
mod tests {
    use matchlock::{game::Amount, local::Local};

    use super::*;

    #[test]
    fn neighbours_stay_on_the_grid() {
        let around = |cell| neighbours(Cell(cell)).map(|c| c.0).collect::<Vec<_>>();
        assert_eq!(around(0), [1, 10]);
        assert_eq!(around(99), [98, 89]);
        assert_eq!(around(19), [18, 9, 29]);
        assert_eq!(around(55), [54, 45, 56, 65]);
    }

    /// Wins of the second strength over the first, each in both seats.
    fn wins(weak: Strength, strong: Strength) -> u32 {
        let mut wins = 0;
        for seed in 0..25 {
            for seat in [Seat(0), Seat(1)] {
                let mut strengths = [weak; 2];
                strengths[seat.index()] = strong;
                let mut bots = [0, 1]
                    .map(|i| Box::new(Captain::new(strengths[i], seed * 2 + i as u64)) as Box<dyn Bot<Broadside>>);
                let mut table = Local::new(Broadside, &[Amount::from_u64(1); 2], seed).unwrap();
                table.play_out(&mut bots).unwrap();
                wins += u32::from(table.board().unwrap().mover == seat);
            }
        }
        wins
    }

    #[test]
    fn each_strength_beats_the_one_below() {
        // Of 50 matches with fixed seeds: exact, so that it cannot flake.
        let scores = [wins(Strength::Easy, Strength::Fair), wins(Strength::Fair, Strength::Strong)];
        assert!(scores.iter().all(|wins| *wins > 30), "{scores:?}");
    }
}
