//! What the calls of a dispute cost: their calldata to the byte, their execution by a bound.
//!
//! ```text
//! gas = 21,000 + max(4 a zero byte + 16 another + execution, 10 a zero byte + 40 another)     (EIP-2028, EIP-7623)
//! ```
//!
//! The execution is bounded by a sum over what a call carries: so much for the call, each seat, each header, each payout of
//! each header, each signature, each 32 bytes of moves. The figures are fitted from above to receipts of the real court;
//! `tests/tests/budget.rs` measures it again for every demo game, and fails where a receipt is above the bound or a bound
//! is far above its receipt.
//!
//! They hold for accounts that have paid in, and for a pool that can pay what it owes.

use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;

use super::QUESTION_HEAD;
use crate::abi::{Arena, Court};

/// Gas of a transaction before its first byte.
const TRANSACTION: u64 = 21_000;
/// Bytes of an EVM word.
const WORD: u64 = 32;

/// What a call costs as a transaction of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes of calldata.
    pub bytes: u64,
    /// Gas at most.
    pub gas: u64,
}

/// A call of the court in a dispute.
pub trait DisputeCall: SolCall {
    /// Gas that the call takes at most, beside its transaction and its calldata.
    fn execution(&self) -> u64;

    /// What it costs.
    fn cost(&self) -> Cost {
        let calldata = self.abi_encode();
        let bytes = calldata.len() as u64;
        let zeros = calldata.iter().filter(|byte| **byte == 0).count() as u64;
        let standard = 4 * zeros + 16 * (bytes - zeros) + self.execution();
        let floor = 10 * zeros + 40 * (bytes - zeros);
        Cost { bytes, gas: TRANSACTION + standard.max(floor) }
    }
}

/// What one of each thing that a call carries adds to its execution, and each call by itself. A sixty-fourth that nobody may
/// pass on to the arena (EIP-150) is in them.
mod gas {
    /// A seat of the terms: checked and hashed.
    pub(super) const SEAT: u64 = 550;
    /// Two seats of the terms, compared.
    pub(super) const PAIR: u64 = 74;
    /// A seat of whom evidence may show a signature.
    pub(super) const SIGNER: u64 = 460;
    /// A signature: recovered, and its account derived.
    pub(super) const SIGNATURE: u64 = 3_620;
    /// A header of evidence: checked, linked and hashed.
    pub(super) const HEADER: u64 = 2_130;
    /// One seat's payout in it.
    pub(super) const PAYOUT: u64 = 104;
    /// A header of a trail: hashed.
    pub(super) const TRAIL: u64 = 470;
    /// One seat's payout in it.
    pub(super) const TRAIL_PAYOUT: u64 = 22;
    /// 32 bytes of a move: copied and hashed.
    pub(super) const WORD: u64 = 13;
    /// A seat whose account an outcome moves.
    pub(super) const ACCOUNT: u64 = 8_100;
    pub(super) const CHALLENGE: u64 = 34_000;
    pub(super) const RESPOND: u64 = 18_900;
    pub(super) const VOID: u64 = 32_500;
    pub(super) const FINALIZE: u64 = 25_300;
    /// Before the arbiters: with a bond, and a slot for who paid it.
    pub(super) const CONTEST: u64 = 43_400;
    /// Before a referee.
    pub(super) const TRIAL: u64 = 23_600;
    /// What has to be left beside the budget of a contract that judges one game (R7.8).
    pub(super) const AT_HAND: u64 = 5_000;
    /// What `Referee.sol` keeps for rules that a contest brings along, beside their budget: `TAIL`, `FRAME`, `WORD` and `REST` there.
    pub(super) const TAIL: u64 = 2_000;
    pub(super) const FRAME: u64 = 42_000;
    pub(super) const FRAME_WORD: u64 = 12;
    pub(super) const REST: u64 = 20_000;
    /// The referee's own work before it runs the rules, beside copying and hashing them.
    pub(super) const REFEREE: u64 = 1_500;
    /// 32 bytes hashed.
    pub(super) const HASHED: u64 = 6;
}

impl DisputeCall for Court::challengeCall {
    fn execution(&self) -> u64 {
        gas::CHALLENGE + gas::SIGNATURE + terms(&self.terms) + evidence(&self.terms, &self.shown)
    }
}

impl DisputeCall for Court::respondCall {
    fn execution(&self) -> u64 {
        gas::RESPOND + terms(&self.terms) + evidence(&self.terms, &self.shown) + trail(&self.fork)
    }
}

/// With a referee, the whole budget of the terms counts as spent.
impl DisputeCall for Court::contestCall {
    fn execution(&self) -> u64 {
        let budget = self.terms.budget;
        let tried = match self.terms.referee.is_zero() {
            true => gas::CONTEST,
            // The position and the move are hashed, and then copied into the question.
            false if self.code.is_empty() => {
                gas::TRIAL + gas::AT_HAND + budget + budget / 63 + 2 * copied([&self.position, &self.action])
            }
            false => {
                let asked = copied([&self.position, &self.action]) + copied([&self.code, &self.position, &self.action]);
                gas::TRIAL + asked + passing(refereed(self))
            }
        };
        tried + terms(&self.terms) + trail(&self.trail)
    }
}

/// What the court's referee needs to be left with for a question.
fn refereed(call: &Court::contestCall) -> u64 {
    let bytes = call.code.len() + QUESTION_HEAD + call.position.len() + call.action.len();
    let words = (bytes as u64).div_ceil(WORD);
    let run = passing(call.terms.budget + gas::TAIL) + gas::FRAME + gas::FRAME_WORD * words;
    let copied = words * (gas::WORD + gas::HASHED) + words * words / 512;
    gas::REFEREE + copied + passing(run) + gas::REST
}

/// So much has to be left that this much gas is passed on (EIP-150).
fn passing(gas: u64) -> u64 {
    gas + gas / 63 + 1
}

impl DisputeCall for Court::voidCall {
    fn execution(&self) -> u64 {
        gas::VOID + terms(&self.terms) + (seats(&self.terms) + 1) * gas::SIGNATURE
    }
}

impl DisputeCall for Court::finalizeCall {
    fn execution(&self) -> u64 {
        let top = core::slice::from_ref(&self.top);
        gas::FINALIZE + terms(&self.terms) + seats(&self.terms) * gas::ACCOUNT + headers(top)
    }
}

fn seats(terms: &Arena::Match) -> u64 {
    terms.seats.len() as u64
}

fn terms(terms: &Arena::Match) -> u64 {
    let seats = seats(terms);
    seats * gas::SEAT + seats * seats.saturating_sub(1) / 2 * gas::PAIR
}

fn evidence(terms: &Arena::Match, shown: &Court::Evidence) -> u64 {
    headers(core::slice::from_ref(&shown.base))
        + headers(&shown.headers)
        + seats(terms) * gas::SIGNER
        + shown.owners.len() as u64 * gas::SIGNATURE
        + copied(&shown.moves)
}

fn headers(states: &[Arena::State]) -> u64 {
    states.iter().map(|state| gas::HEADER + gas::PAYOUT * state.payouts.len() as u64).sum()
}

fn trail(states: &[Arena::State]) -> u64 {
    states.iter().map(|state| gas::TRAIL + gas::TRAIL_PAYOUT * state.payouts.len() as u64).sum()
}

/// What bytes cost that the court copies into memory, where all of them stay: memory grows dearer by the square.
fn copied<'a>(parts: impl IntoIterator<Item = &'a Bytes>) -> u64 {
    let words: u64 = parts.into_iter().map(|part| (part.len() as u64).div_ceil(WORD)).sum();
    words * gas::WORD + words * words / 512
}
