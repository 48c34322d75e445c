//! What a game developer writes: one [`Game`], pure functions over a board.

mod share;

use alloc::vec::Vec;
use core::{fmt, ops::RangeInclusive};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use share::{part, part_wide};

/// Fewest seats of a match.
pub const MIN_SEATS: usize = 2;
/// Most seats of a match (R2.6).
pub const MAX_SEATS: usize = 8;

/// The rules of a game.
///
/// The value itself holds the rules' parameters (board size, number of rounds); it is part of the rules' id, so two
/// players with different parameters never meet. Every function is pure: the same input gives the same output on every
/// machine, which [`check`](crate::check::check) tests for you. No clocks, no floats, no `HashMap` iteration, no randomness
/// other than [`Next::Roll`].
pub trait Game: Clone + fmt::Debug + Serialize + Send + Sync + 'static {
    /// Name of the game, unique on a server.
    const NAME: &'static str;
    /// Raised with every change of the rules: matches of different versions never mix.
    const VERSION: u32 = 1;
    /// Whether [`next`](Game::next) ever answers [`Next::Roll`].
    const CHANCE: bool = false;

    /// Everything public about a position. Encoded with postcard; hidden parts are committed to, see
    /// [`hidden`](crate::hidden).
    type Board: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What a player does in its turn.
    type Move: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Why a move is illegal.
    type Error: core::error::Error + Send + Sync + 'static;

    /// How many can play.
    fn seats(&self) -> RangeInclusive<usize> {
        2..=2
    }

    /// No match of this game lasts longer than this many turns, reveals of chance included (R5.12).
    fn max_turns(&self) -> u32;

    /// The first board for `seats` players.
    fn start(&self, seats: usize) -> Self::Board;

    /// Who acts on this board, or how the match ended.
    fn next(&self, board: &Self::Board, pot: &Pot) -> Next;

    /// The board after `seat`'s move. Only called for the seat that [`next`](Game::next) names.
    ///
    /// # Errors
    /// The move breaks the rules.
    fn play(&self, board: &Self::Board, seat: Seat, action: &Self::Move) -> Result<Self::Board, Self::Error>;

    /// The board after a roll, where [`next`](Game::next) answered [`Next::Roll`].
    ///
    /// Games that set [`CHANCE`](Game::CHANCE) implement it; others are never asked.
    fn roll(&self, board: &Self::Board, roll: Roll) -> Self::Board {
        let _ = roll;
        board.clone()
    }
}

/// A player's place in one match, 0-based.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seat(pub u8);

impl Seat {
    /// The seat as an index into lists of seats.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The seat after this one, around a table of `seats`.
    pub fn after(self, seats: usize) -> Seat {
        Seat(((self.index() + 1) % seats) as u8)
    }

    /// The only other seat at a table of two.
    pub fn opponent(self) -> Seat {
        Seat(1 - self.0.min(1))
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seat {}", self.0)
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Who acts next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This seat; `stall` is what everyone gets should it never act.
    Turn {
        /// The seat to act.
        seat: Seat,
        /// The outcome if it never does.
        stall: Outcome,
    },
    /// Nobody: the protocol rolls, then [`Game::roll`] is asked.
    Roll,
    /// The match is over.
    Over(Outcome),
}

impl Next {
    /// `seat` acts; should it stall, it forfeits and the others share the pot.
    pub fn turn(seat: Seat, pot: &Pot) -> Next {
        Next::Turn { seat, stall: pot.forfeit(seat) }
    }
}

/// A random number that no player could know or choose: a hash of one secret of every seat (R5.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roll(pub [u8; 32]);

impl Roll {
    /// A number in `0..sides`, unbiased. `which` tells several numbers of one roll apart.
    ///
    /// # Panics
    /// If `sides` is 0.
    pub fn below(&self, which: u32, sides: u32) -> u32 {
        assert!(sides > 0, "a die has at least one side");
        // Rejection keeps it unbiased; a draw is refused with probability below sides / 2^64.
        let limit = u64::MAX - (u64::MAX % u64::from(sides) + 1) % u64::from(sides);
        for attempt in 0u32.. {
            let mut preimage = [0u8; 40];
            preimage[..32].copy_from_slice(&self.0);
            preimage[32..36].copy_from_slice(&which.to_be_bytes());
            preimage[36..].copy_from_slice(&attempt.to_be_bytes());
            let hash = alloy_primitives::keccak256(preimage.as_slice());
            let draw = u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"));
            if draw <= limit {
                return (draw % u64::from(sides)) as u32;
            }
        }
        unreachable!("2^32 draws were refused")
    }
}

/// A sum of money in the asset's smallest unit (wei).
///
/// At most 2^96 - 1, what the contract stores (R3.6).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u128", into = "u128")]
pub struct Amount(u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);
    /// The most that fits.
    pub const MAX: Amount = Amount((1 << 96) - 1);

    /// `units` of the asset's smallest unit.
    ///
    /// # Errors
    /// More than [`Amount::MAX`].
    pub const fn new(units: u128) -> Result<Amount, AmountError> {
        if units > Amount::MAX.0 { Err(AmountError::TooLarge) } else { Ok(Amount(units)) }
    }

    /// For constants: `units` of the asset's smallest unit.
    pub const fn from_u64(units: u64) -> Amount {
        Amount(units as u128)
    }

    /// In the asset's smallest unit.
    pub const fn units(self) -> u128 {
        self.0
    }

    /// As a signed number, for differences.
    pub const fn signed(self) -> i128 {
        self.0 as i128
    }

    /// The sum, or `None` above [`Amount::MAX`].
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        Amount::new(self.0 + other.0).ok()
    }

    /// The difference, or `None` below zero.
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        self.0.checked_sub(other.0).map(Amount)
    }

    /// The sum of many, or `None` above [`Amount::MAX`].
    pub fn total<'a>(amounts: impl IntoIterator<Item = &'a Amount>) -> Option<Amount> {
        amounts.into_iter().try_fold(Amount::ZERO, |sum, amount| sum.checked_add(*amount))
    }
}

impl TryFrom<u128> for Amount {
    type Error = AmountError;
    fn try_from(units: u128) -> Result<Amount, AmountError> {
        Amount::new(units)
    }
}

impl From<Amount> for u128 {
    fn from(amount: Amount) -> u128 {
        amount.0
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A number is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// More than 96 bits.
    #[error("an amount has at most 96 bits")]
    TooLarge,
}

/// What a match is played for: every seat's stake, and the operator's share of a decided pot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pot {
    stakes: Vec<Amount>,
    fee: BasisPoints,
}

/// Hundredths of a percent, at most 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct BasisPoints(u16);

impl BasisPoints {
    /// No fee.
    pub const ZERO: BasisPoints = BasisPoints(0);

    /// # Errors
    /// More than 10,000.
    pub const fn new(points: u16) -> Result<BasisPoints, PotError> {
        if points > 10_000 { Err(PotError::Fee) } else { Ok(BasisPoints(points)) }
    }

    /// As a number.
    pub const fn points(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for BasisPoints {
    type Error = PotError;
    fn try_from(points: u16) -> Result<BasisPoints, PotError> {
        BasisPoints::new(points)
    }
}

impl From<BasisPoints> for u16 {
    fn from(points: BasisPoints) -> u16 {
        points.0
    }
}

impl Pot {
    /// # Errors
    /// Fewer than 2 or more than 8 stakes, or a sum above [`Amount::MAX`].
    pub fn new(stakes: Vec<Amount>, fee: BasisPoints) -> Result<Pot, PotError> {
        if !(MIN_SEATS..=MAX_SEATS).contains(&stakes.len()) {
            return Err(PotError::Seats { seats: stakes.len() });
        }
        Amount::total(&stakes).ok_or(PotError::TooLarge)?;
        Ok(Pot { stakes, fee })
    }

    /// How many play.
    pub fn seats(&self) -> usize {
        self.stakes.len()
    }

    /// Every seat's stake.
    pub fn stakes(&self) -> &[Amount] {
        &self.stakes
    }

    /// The operator's share of a decided pot.
    pub fn fee(&self) -> BasisPoints {
        self.fee
    }

    /// The sum of all stakes.
    pub fn total(&self) -> Amount {
        Amount(self.stakes.iter().map(|stake| stake.0).sum())
    }

    /// The pot less the fee: what a decided match pays.
    pub fn prize(&self) -> Amount {
        let total = self.total().0;
        Amount(total - part(total, self.fee.0, 10_000).0)
    }

    /// One seat takes the prize.
    pub fn winner(&self, seat: Seat) -> Outcome {
        self.shared(seat, true)
    }

    /// Everyone gets its stake back; no fee.
    pub fn draw(&self) -> Outcome {
        Outcome { payouts: self.stakes.clone() }
    }

    /// One seat gets nothing, the others share the prize.
    pub fn forfeit(&self, seat: Seat) -> Outcome {
        self.shared(seat, false)
    }

    /// The prize in proportion to each seat's weight; what cannot be divided goes to the first seats with a
    /// weight. Without any weight it is a [`draw`](Pot::draw).
    pub fn split(&self, weight: impl Fn(Seat) -> u32) -> Outcome {
        let weights: Vec<u32> = (0..self.seats()).map(|i| weight(Seat(i as u8))).collect();
        self.weighed(&weights)
    }

    /// This seat alone, or all others but this seat, share the prize.
    fn shared(&self, seat: Seat, alone: bool) -> Outcome {
        let shares = |i: usize| (Seat(i as u8) == seat) == alone;
        // As many as there are seats, which a position has no room for 2^16 of.
        let sharing = (0..self.seats()).filter(|i| shares(*i)).count() as u16;
        if sharing == 0 {
            return self.draw();
        }
        let (each, mut rest) = part(self.prize().0, 1, sharing);
        // What cannot be divided goes to the first of them, one unit each.
        let payout = |i| {
            if !shares(i) {
                return Amount::ZERO;
            }
            let unit = rest.min(1);
            rest -= unit;
            Amount(each + u128::from(unit))
        };
        Outcome { payouts: (0..self.seats()).map(payout).collect() }
    }

    fn weighed(&self, weights: &[u32]) -> Outcome {
        let sum: u64 = weights.iter().copied().map(u64::from).sum();
        if sum == 0 {
            return self.draw();
        }
        let prize = self.prize().0;
        let share = |weight: u32| match u16::try_from(sum) {
            Ok(sum) => part(prize, weight as u16, sum).0,
            Err(_) => part_wide(prize, weight, sum).0,
        };
        let mut payouts: Vec<Amount> = weights.iter().map(|weight| Amount(share(*weight))).collect();
        let mut rest = prize - payouts.iter().map(|payout| payout.0).sum::<u128>();
        for (payout, _) in payouts.iter_mut().zip(weights).filter(|(_, weight)| **weight > 0) {
            let unit = rest.min(1);
            payout.0 += unit;
            rest -= unit;
        }
        Outcome { payouts }
    }

    /// Exactly these payouts.
    ///
    /// # Errors
    /// Not one for each seat, or more than the pot.
    pub fn payouts(&self, payouts: Vec<Amount>) -> Result<Outcome, PotError> {
        if payouts.len() != self.seats() {
            return Err(PotError::Payouts { seats: self.seats(), payouts: payouts.len() });
        }
        let sum = Amount::total(&payouts).ok_or(PotError::TooLarge)?;
        if sum > self.total() {
            return Err(PotError::Overdrawn { pot: self.total(), payouts: sum });
        }
        Ok(Outcome { payouts })
    }
}

/// Who gets what. Can only be had from a [`Pot`], so its sum never exceeds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    payouts: Vec<Amount>,
}

impl Outcome {
    /// One payout for each seat.
    pub fn payouts(&self) -> &[Amount] {
        &self.payouts
    }

    /// The same, taken.
    pub fn into_payouts(self) -> Vec<Amount> {
        self.payouts
    }
}

/// Stakes or payouts that are no pot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PotError {
    /// Not a table.
    #[error("a match has 2 to 8 seats, not {seats}")]
    Seats {
        /// How many there were.
        seats: usize,
    },
    /// Not one payout a seat.
    #[error("{payouts} payouts for {seats} seats")]
    Payouts {
        /// Seats of the pot.
        seats: usize,
        /// Payouts given.
        payouts: usize,
    },
    /// More than the pot.
    #[error("payouts of {payouts} exceed the pot of {pot}")]
    Overdrawn {
        /// The pot.
        pot: Amount,
        /// The sum of the payouts.
        payouts: Amount,
    },
    /// More than 96 bits.
    #[error("the stakes' sum exceeds 96 bits")]
    TooLarge,
    /// More than the whole.
    #[error("a fee is at most 10,000 basis points")]
    Fee,
}
