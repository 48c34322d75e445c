//! Dice that no player can know early or choose: hash chains (R5.13, R5.14).
//!
//! Every seat commits to the end of a keccak256 chain before the match and walks it backwards: each roll takes one
//! fresh link of every seat. The scheme is Lamport's one-time password chain (1981).

use alloc::vec::Vec;

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::game::{Roll, Seat};

/// One value of a seat's chain; its keccak256 is the link revealed before it.
pub type Link = B256;

/// A seat's secret chain.
#[derive(Clone)]
pub struct LinkChain {
    /// `links[0]` is the anchor, each next one the preimage of the one before.
    links: Vec<Link>,
}

impl LinkChain {
    /// A chain with `length` links to reveal, grown from `secret`.
    pub fn new(secret: B256, length: u32) -> LinkChain {
        let mut links = Vec::with_capacity(length as usize + 1);
        let mut link = secret;
        for _ in 0..length {
            links.push(link);
            link = keccak256(link);
        }
        links.push(link);
        links.reverse();
        LinkChain { links }
    }

    /// What the seat commits to before the match.
    pub fn anchor(&self) -> Link {
        self.links[0]
    }

    /// The link that follows `tip`, the newest one revealed. `None` if `tip` is not of this chain or its last.
    pub fn after(&self, tip: &Link) -> Option<Link> {
        let at = self.links.iter().position(|link| link == tip)?;
        self.links.get(at + 1).copied()
    }
}

/// A match's state of chance, part of its position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chance {
    /// The newest link of every seat; empty in a game without chance.
    tips: Vec<Link>,
    /// Seats that have revealed for the roll under way, in the order they did; empty when none is.
    revealed: Vec<Seat>,
    /// Whether a roll is under way.
    rolling: bool,
}

impl Chance {
    pub(crate) fn new(anchors: &[Link]) -> Chance {
        Chance { tips: anchors.to_vec(), ..Chance::default() }
    }

    pub(crate) fn tip(&self, seat: Seat) -> Option<&Link> {
        self.tips.get(seat.index())
    }

    pub(crate) fn begin(&mut self) {
        self.rolling = true;
    }

    /// The seat whose link is due: after the chooser, around the table; seat 0 where nobody chose.
    pub(crate) fn due(&self, seats: usize) -> Option<Seat> {
        if !self.rolling {
            return None;
        }
        Some(self.revealed.last().map_or(Seat(0), |last| last.after(seats)))
    }

    /// Takes `seat`'s next link; the roll, once every seat has given one.
    pub(crate) fn reveal(&mut self, seat: Seat, link: Link) -> Result<Option<Roll>, WrongLink> {
        let tip = self.tips.get_mut(seat.index()).ok_or(WrongLink)?;
        if keccak256(link.as_slice()) != *tip {
            return Err(WrongLink);
        }
        *tip = link;
        self.revealed.push(seat);
        if self.revealed.len() < self.tips.len() {
            return Ok(None);
        }
        self.revealed.clear();
        self.rolling = false;
        let links: Vec<u8> = self.tips.iter().flat_map(|tip| tip.0).collect();
        Ok(Some(Roll(keccak256(links.as_slice()).0)))
    }
}

/// The link is not the preimage of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this link does not follow the seat's newest one")]
pub struct WrongLink;
