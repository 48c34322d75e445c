//! What a player keeps to itself: where its ships lie, and the salt that hides it.

use alloc::{vec, vec::Vec};

use matchlock::{
    hidden::{Commitment, Secret},
    local::Dice,
};
use serde::{Deserialize, Serialize};

use super::{
    grid::{CELLS, Cell, Cells, Placement, Ship},
    rules::{Board, Move, Stage},
};

/// A legal fleet with its salt: all that a player has to keep, and to keep secret, for one match.
///
/// Store it before the match begins: without it no shot can be answered. Never use it twice: what one match has
/// opened, everyone knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Deployment", into = "Deployment")]
pub struct Fleet(Deployment);

/// Where somebody says that its ships lie; possibly nonsense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// One for each of [`Ship::ALL`].
    pub ships: [Placement; 5],
    /// What hides them.
    pub salt: [u8; 32],
}

/// Why a deployment is no legal fleet. Ships may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// A part of it would be off the grid.
    #[error("the {0} does not fit there")]
    OffGrid(Ship),
    /// Two ships on one cell.
    #[error("the {0} lies across another ship")]
    Overlap(Ship),
}

impl Fleet {
    /// These ships, in the order of [`Ship::ALL`]. `salt` is 32 random bytes that nobody else can guess.
    ///
    /// # Errors
    /// A ship off the grid or across another.
    pub fn new(ships: [Placement; 5], salt: [u8; 32]) -> Result<Fleet, FleetError> {
        let mut taken = Cells::NONE;
        for (ship, placement) in Ship::ALL.into_iter().zip(ships) {
            let cells = placement.cells(ship).ok_or(FleetError::OffGrid(ship))?;
            if cells.meets(taken) {
                return Err(FleetError::Overlap(ship));
            }
            taken = taken.union(cells);
        }
        Ok(Fleet(Deployment { ships, salt }))
    }

    /// Ships anywhere. The salt comes from the dice too, so for play among people seed them with a secret random
    /// number, or replace it [`with_salt`](Fleet::with_salt).
    pub fn random(dice: &mut Dice) -> Fleet {
        let mut taken = Cells::NONE;
        let ships = Ship::ALL.map(|ship| {
            // There is always room: at most 15 cells are taken, so some row has five free cells side by side.
            let free: Vec<_> = ship
                .placements()
                .filter_map(|placement| Some((placement, placement.cells(ship)?)))
                .filter(|(_, cells)| !cells.meets(taken))
                .collect();
            let (placement, cells) = dice.pick(&free);
            taken = taken.union(*cells);
            *placement
        });
        Fleet(Deployment { ships, salt: dice.bytes() })
    }

    /// The same ships behind another salt.
    #[must_use]
    pub fn with_salt(self, salt: [u8; 32]) -> Fleet {
        Fleet(Deployment { salt, ..self.0 })
    }

    /// Every ship and where it lies.
    pub fn ships(&self) -> impl Iterator<Item = (Ship, Placement)> + '_ {
        Ship::ALL.into_iter().zip(self.0.ships)
    }

    /// The ship on this cell.
    pub fn at(&self, cell: Cell) -> Option<Ship> {
        self.ships().find(|(ship, placement)| placement.cells(*ship).is_some_and(|c| c.contains(cell))).map(|(s, _)| s)
    }

    /// The cells as committed to.
    pub fn secret(&self) -> Secret<Option<Ship>> {
        let mut cells = vec![None; usize::from(CELLS)];
        for (ship, placement) in self.ships() {
            for cell in placement.line(ship).into_iter().flatten() {
                cells[usize::from(cell.0)] = Some(ship);
            }
        }
        Secret::new(cells, self.0.salt.into())
    }

    /// What goes into the board.
    pub fn commitment(&self) -> Commitment {
        self.secret().commitment()
    }

    /// The move that this board asks of this fleet's owner, where it is to move. A move that fires fires at `target`;
    /// `None` if it fires and there is no target, or if the match is over.
    ///
    /// So a client first tries without a target. What comes back needs no decision and is played at once, whatever the
    /// player feels: the last answer of a sunk fleet too, for the opponent has yet to prove its own. Otherwise it asks
    /// the player where to fire.
    pub fn act(&self, board: &Board, target: Option<Cell>) -> Option<Move> {
        match board.stage {
            Stage::Commit => Some(Move::Commit(self.commitment())),
            Stage::Fire => target.map(Move::Fire),
            Stage::Answer { shot } => {
                let opening = self.secret().open(u32::from(shot.0))?;
                let sunk = board.water(board.mover).is_sunk_by(opening.cell);
                let fire = if sunk { None } else { Some(target?) };
                Some(Move::Answer { opening, fire })
            }
            Stage::Prove => Some(Move::Prove(self.0.clone())),
            Stage::Over => None,
        }
    }
}

impl TryFrom<Deployment> for Fleet {
    type Error = FleetError;
    fn try_from(deployment: Deployment) -> Result<Fleet, FleetError> {
        Fleet::new(deployment.ships, deployment.salt)
    }
}

impl From<Fleet> for Deployment {
    fn from(fleet: Fleet) -> Deployment {
        fleet.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bows: [u8; 5]) -> [Placement; 5] {
        bows.map(|bow| Placement { bow: Cell(bow), down: false })
    }

    #[test]
    fn random_fleets_are_legal_and_differ() {
        let mut seen = Vec::new();
        for seed in 0..200 {
            let fleet = Fleet::random(&mut Dice::new(seed));
            let Deployment { ships, salt } = fleet.clone().into();
            assert_eq!(Fleet::new(ships, salt), Ok(fleet.clone()), "seed {seed}");
            assert!(!seen.contains(&fleet), "seed {seed}");
            seen.push(fleet);
        }
    }

    #[test]
    fn ships_may_touch_but_not_overlap_or_stick_out() {
        assert!(Fleet::new(rows([0, 10, 5, 14, 8]), [0; 32]).is_ok());
        assert_eq!(Fleet::new(rows([0, 4, 20, 30, 40]), [0; 32]), Err(FleetError::Overlap(Ship::Battleship)));
        assert_eq!(Fleet::new(rows([6, 10, 20, 30, 40]), [0; 32]), Err(FleetError::OffGrid(Ship::Carrier)));
        assert_eq!(Fleet::new(rows([0, 10, 20, 30, 200]), [0; 32]), Err(FleetError::OffGrid(Ship::Destroyer)));
    }

    #[test]
    fn an_illegal_deployment_does_not_decode_as_a_fleet() {
        let fleet = Fleet::random(&mut Dice::new(1));
        let bytes = postcard::to_allocvec(&fleet).unwrap();
        assert_eq!(postcard::from_bytes(&bytes), Ok(fleet));
        let illegal = postcard::to_allocvec(&Deployment { ships: rows([0; 5]), salt: [0; 32] }).unwrap();
        assert!(postcard::from_bytes::<Fleet>(&illegal).is_err());
    }

    #[test]
    fn the_secret_is_what_lies_on_each_cell() {
        for seed in 0..50 {
            let fleet = Fleet::random(&mut Dice::new(seed));
            let cells: Vec<_> = Cell::all().map(|cell| fleet.at(cell)).collect();
            assert_eq!(fleet.secret().cells(), cells, "seed {seed}");
        }
    }

    #[test]
    fn the_salt_hides_the_fleet() {
        let fleet = Fleet::random(&mut Dice::new(1));
        assert_ne!(fleet.commitment(), fleet.clone().with_salt([1; 32]).commitment());
        assert_eq!(fleet.secret().cells().iter().flatten().count(), super::super::grid::FLEET_CELLS);
    }
}
