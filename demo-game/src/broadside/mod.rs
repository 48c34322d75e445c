//! Broadside: two fleets in hidden waters, five ships each (5, 4, 3, 3 and 2 cells) on 10 by 10 cells.
//!
//! # How it is played
//!
//! Both seats commit to where their ships lie, then fire in turn. One move answers the opponent's shot and fires the
//! next; the answer opens the one cell that was shot at, and says which ship was hit. Who sinks the whole fleet of the
//! other wins, once it has shown that its own was legal. Ships may touch.
//!
//! # Why cheating does not pay
//!
//! - A *lie* about a cell is no opening of what was committed to and is refused ([`Illegal::NotCommitted`]).
//! - A *fleet that was never there*: an answer is refused as soon as what is open leaves some ship no place to lie
//!   ([`Illegal::NoRoom`]), so nobody answers forever from an empty sea; and when all 17 hits are open, they are a legal
//!   fleet, so a sunk fleet needs no further proof.
//! - A *cheat that sinks the other first* has to prove its own fleet before it is paid. The proof is the fleet
//!   itself: the rules commit to it anew and compare. No legal fleet gives an illegal one's commitment, so the cheat
//!   has no legal move left, and its stall pays everything to the seat that it sank.
//!
//! Wherever a move is due, never making it forfeits the pot, so a stall never pays more than going on (R5.14), and a
//! sunk player loses nothing by answering: it still wins if the other cannot prove. What no rules can prevent is that
//! a player who stops playing forfeits to whoever sits opposite, honest or not.

mod captain;
mod fleet;
mod grid;
mod rules;
#[cfg(test)]
mod tests;

pub use captain::Captain;
pub use fleet::{Deployment, Fleet, FleetError};
pub use grid::{CELLS, Cell, Cells, FLEET_CELLS, Placement, SIDE, Ship};
pub use rules::{Board, Broadside, Hit, Illegal, Move, Stage, Water};
