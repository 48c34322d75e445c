//! The rules of Broadside.

use alloc::vec::Vec;
use core::fmt;

use matchlock::{
    game::{Game, Next, Pot, Seat},
    hidden::{Commitment, Opening},
};
use serde::{Deserialize, Serialize};

use super::{
    fleet::{Deployment, Fleet, FleetError},
    grid::{CELLS, Cell, Cells, FLEET_CELLS, Ship},
};

/// The rules; they have no parameters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Broadside;

/// Everything public: at most 200 bytes when encoded, since every move hashes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// What is due.
    pub stage: Stage,
    /// From whom; the winner at [`Stage::Over`].
    pub mover: Seat,
    /// Each seat's own water. Read it with [`water`](Board::water).
    waters: [Water; 2],
}

/// What the board asks of the mover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// To commit to its fleet.
    Commit,
    /// To fire the first shot.
    Fire,
    /// To answer the shot in the air, and to fire.
    Answer {
        /// Where the shot goes.
        shot: Cell,
    },
    /// To prove its fleet: it has sunk the other.
    Prove,
    /// Nothing: it has won.
    Over,
}

/// What everyone knows of one seat's water.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Water {
    /// The fleet, hidden; `None` until the seat has committed.
    pub commitment: Option<Commitment>,
    /// Opened cells without a ship.
    pub misses: Cells,
    /// Opened cells with one, in the order of the shots.
    pub hits: Vec<Hit>,
}

/// A cell that turned out to hold a ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Where.
    pub cell: Cell,
    /// Which.
    pub ship: Ship,
}

/// What a seat does in its turn. [`Fleet::act`] makes the right one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Move {
    /// At [`Stage::Commit`].
    Commit(Commitment),
    /// At [`Stage::Fire`].
    Fire(Cell),
    /// At [`Stage::Answer`].
    Answer {
        /// The cell that was shot at.
        opening: Opening<Option<Ship>>,
        /// The next shot; none exactly if the answer completes the loss of the own fleet.
        fire: Option<Cell>,
    },
    /// At [`Stage::Prove`].
    Prove(Deployment),
}

/// Why a move is illegal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Illegal {
    /// A move of another stage.
    #[error("{due} is due")]
    NotDue {
        /// What is due.
        due: Stage,
    },
    /// Not a commitment to a whole water.
    #[error("a commitment to {cells} cells; the water has 100")]
    WrongSize {
        /// Cells committed to.
        cells: u32,
    },
    /// The opponent's own commitment.
    #[error("this is the opponent's commitment")]
    Copied,
    /// A shot beyond the water.
    #[error("{0} is off the grid")]
    OffGrid(Cell),
    /// A shot at an opened cell.
    #[error("{0} was shot at before")]
    ShotBefore(Cell),
    /// The answer opens a cell that nobody asked for.
    #[error("the shot was at {shot}; the answer opens cell {opened}")]
    OtherCell {
        /// Where the shot went.
        shot: Cell,
        /// What was opened.
        opened: u32,
    },
    /// The opening is not of what the seat committed to.
    #[error("this is not what was committed to at {0}")]
    NotCommitted(Cell),
    /// What is open by now leaves a ship no place to lie: the fleet was never legal.
    #[error("there is no room left for the {0}")]
    NoRoom(Ship),
    /// The answer does not fire.
    #[error("the answer has to fire the next shot")]
    NoShot,
    /// A sunk fleet fires.
    #[error("the fleet is sunk; it fires no more")]
    Sunk,
    /// The proof is no legal fleet.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The proof is a legal fleet, but not the one committed to.
    #[error("this is not the fleet that was committed to")]
    OtherFleet,
}

impl Game for Broadside {
    const NAME: &'static str = "broadside";
    type Board = Board;
    type Move = Move;
    type Error = Illegal;

    /// Two commitments, 100 shots of seat 0 and 99 of seat 1, the last answer and the proof. No cell is shot at twice;
    /// and seat 1's answer to a hundredth shot fires no more: by then its water is open, so its fleet is sunk or
    /// [was never there](Illegal::NoRoom).
    fn max_turns(&self) -> u32 {
        let shots = 2 * u32::from(CELLS) - 1;
        2 + shots + 1 + 1
    }

    fn start(&self, _seats: usize) -> Board {
        Board { stage: Stage::Commit, mover: Seat(0), waters: Default::default() }
    }

    fn next(&self, board: &Board, pot: &Pot) -> Next {
        match board.stage {
            Stage::Over => Next::Over(pot.winner(board.mover)),
            _ => Next::turn(board.mover, pot),
        }
    }

    fn play(&self, board: &Board, seat: Seat, action: &Move) -> Result<Board, Illegal> {
        let mut board = board.clone();
        match (board.stage, action) {
            (Stage::Commit, Move::Commit(commitment)) => board.commit(seat, *commitment)?,
            (Stage::Fire, Move::Fire(target)) => board.fire(seat, *target)?,
            (Stage::Answer { shot }, Move::Answer { opening, fire }) => {
                board.answer(seat, shot, opening)?;
                match (board.water(seat).is_sunk(), fire) {
                    (false, Some(target)) => board.fire(seat, *target)?,
                    (true, None) => (board.stage, board.mover) = (Stage::Prove, seat.opponent()),
                    (false, None) => return Err(Illegal::NoShot),
                    (true, Some(_)) => return Err(Illegal::Sunk),
                }
            }
            (Stage::Prove, Move::Prove(deployment)) => board.prove(seat, deployment)?,
            (due, _) => return Err(Illegal::NotDue { due }),
        }
        Ok(board)
    }
}

impl Board {
    /// What everyone knows of this seat's water.
    pub fn water(&self, seat: Seat) -> &Water {
        &self.waters[Board::side(seat)]
    }

    /// Where `seat` may fire.
    pub fn targets(&self, seat: Seat) -> Cells {
        Cell::all().collect::<Cells>().without(self.water(seat.opponent()).opened())
    }

    fn commit(&mut self, seat: Seat, commitment: Commitment) -> Result<(), Illegal> {
        if commitment.cells() != u32::from(CELLS) {
            return Err(Illegal::WrongSize { cells: commitment.cells() });
        }
        let other = self.water(seat.opponent()).commitment;
        if other == Some(commitment) {
            return Err(Illegal::Copied);
        }
        self.waters[Board::side(seat)].commitment = Some(commitment);
        self.mover = seat.opponent();
        self.stage = if other.is_some() { Stage::Fire } else { Stage::Commit };
        Ok(())
    }

    fn fire(&mut self, seat: Seat, target: Cell) -> Result<(), Illegal> {
        if !target.on_grid() {
            return Err(Illegal::OffGrid(target));
        }
        if self.water(seat.opponent()).opened().contains(target) {
            return Err(Illegal::ShotBefore(target));
        }
        self.mover = seat.opponent();
        self.stage = Stage::Answer { shot: target };
        Ok(())
    }

    fn answer(&mut self, seat: Seat, shot: Cell, opening: &Opening<Option<Ship>>) -> Result<(), Illegal> {
        if opening.index != u32::from(shot.0) {
            return Err(Illegal::OtherCell { shot, opened: opening.index });
        }
        let water = &mut self.waters[Board::side(seat)];
        if !water.commitment.is_some_and(|commitment| commitment.verify(opening)) {
            return Err(Illegal::NotCommitted(shot));
        }
        match opening.cell {
            Some(ship) => water.hits.push(Hit { cell: shot, ship }),
            None => water.misses = water.misses.with(shot),
        }
        let opened = water.opened();
        match Ship::ALL.into_iter().find(|ship| !water.has_berth(*ship, opened)) {
            Some(ship) => Err(Illegal::NoRoom(ship)),
            None => Ok(()),
        }
    }

    fn prove(&mut self, seat: Seat, deployment: &Deployment) -> Result<(), Illegal> {
        let fleet = Fleet::try_from(deployment.clone())?;
        if self.water(seat).commitment != Some(fleet.commitment()) {
            return Err(Illegal::OtherFleet);
        }
        self.stage = Stage::Over;
        Ok(())
    }

    /// Any seat is one of two, so that a stranger's bytes cannot index beyond them.
    fn side(seat: Seat) -> usize {
        seat.index().min(1)
    }
}

impl Water {
    /// Every opened cell.
    pub fn opened(&self) -> Cells {
        self.hits.iter().fold(self.misses, |cells, hit| cells.with(hit.cell))
    }

    /// Where this ship was hit.
    pub fn hits_of(&self, ship: Ship) -> Cells {
        self.hits.iter().filter(|hit| hit.ship == ship).map(|hit| hit.cell).collect()
    }

    /// Whether every cell of this ship was hit.
    pub fn has_lost(&self, ship: Ship) -> bool {
        self.hits_of(ship).len() >= usize::from(ship.length())
    }

    /// Whether every ship is lost.
    pub fn is_sunk(&self) -> bool {
        self.hits.len() >= FLEET_CELLS
    }

    /// Whether opening this cell next completes the loss of the fleet.
    pub fn is_sunk_by(&self, cell: Option<Ship>) -> bool {
        self.hits.len() + usize::from(cell.is_some()) >= FLEET_CELLS
    }

    /// Everywhere that this ship can lie, as far as anyone can tell: on all of its hits, and on no other opened cell.
    pub fn berths(&self, ship: Ship) -> impl Iterator<Item = Cells> {
        let hits = self.hits_of(ship);
        let blocked = self.opened().without(hits);
        ship.placements()
            .filter_map(move |placement| placement.cells(ship))
            .filter(move |cells| cells.covers(hits) && !cells.meets(blocked))
    }

    /// Whether there is one of them, without trying: all bows at once.
    fn has_berth(&self, ship: Ship, opened: Cells) -> bool {
        let hits = self.hits_of(ship);
        let blocked = opened.without(hits);
        let length = ship.length();
        // So that no water costs more than another.
        let fits = hits.len() <= usize::from(length);
        fits && [false, true].into_iter().any(|down| {
            let free = Cells::with_room_for(length, down).without(blocked.met_from(length, down));
            let reaches = |bows: Cells, hit| bows.intersection(Cells::NONE.with(hit).met_from(length, down));
            !hits.iter().fold(free, reaches).is_empty()
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Commit => f.write_str("a commitment"),
            Stage::Fire => f.write_str("the first shot"),
            Stage::Answer { shot } => write!(f, "an answer to the shot at {shot}"),
            Stage::Prove => f.write_str("proof of the fleet"),
            Stage::Over => f.write_str("nothing more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use matchlock::local::Dice;

    use super::*;

    #[test]
    fn there_is_a_berth_exactly_where_trying_finds_one() {
        let mut found = [0; 2];
        for seed in 0..2_000 {
            let mut dice = Dice::new(seed);
            let shots = dice.below(100);
            let misses = (0..shots).map(|_| Cell(dice.below(256) as u8)).collect();
            // Some hits lie where a ship can, some anywhere.
            let ship = *dice.pick(&Ship::ALL);
            let near = dice.below(u32::from(CELLS)) as u8;
            let hits = (0..dice.below(6)).map(|i| {
                let cell = if dice.below(4) > 0 { near + i as u8 } else { dice.below(256) as u8 };
                Hit { cell: Cell(cell), ship: if dice.below(6) > 0 { ship } else { *dice.pick(&Ship::ALL) } }
            });
            let hits: Vec<_> = hits.collect();
            let mut water = Water { commitment: None, misses, hits };
            // A stranger's bytes may have bits beyond the water.
            if dice.below(4) == 0 {
                let bits = u128::from_le_bytes(dice.bytes()[..16].try_into().unwrap());
                let bytes = postcard::to_allocvec(&(bits << 100)).unwrap();
                water.misses = water.misses.union(postcard::from_bytes(&bytes).unwrap());
            }
            for ship in Ship::ALL {
                let told = water.has_berth(ship, water.opened());
                assert_eq!(told, water.berths(ship).next().is_some(), "seed {seed}: {ship}, {water:?}");
                found[usize::from(told)] += 1;
            }
        }
        assert!(found.iter().all(|found| *found > 500), "{found:?}");
    }
}
