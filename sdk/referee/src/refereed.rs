//! Rules whose verdicts are the blob's: native code predicts and draws, and the program that the court would run decides.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::ops::RangeInclusive;

use matchlock::{
    chance::Link,
    describe::Tree,
    game::{Amount, BasisPoints, MAX_SEATS, Seat},
    rules::{Action, MAX_POSITION, OnChain, Placed, Rules, RulesError, RulesId},
};

use crate::{
    blob::Blob,
    emulate::{Emulator, Run, Trap},
    translate::MAX_INIT_CODE,
};

/// What a program is asked (M10): `seat (1 byte) ‖ length of the position (2 bytes, big-endian) ‖ position ‖ action`.
///
/// `None` for a position that no length of two bytes describes: no program is asked, and the move is illegal.
pub fn question(position: &[u8], seat: Seat, action: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(position.len()).ok()?.to_be_bytes();
    Some([&[seat.0][..], &length, position, action].concat())
}

/// A program's answer to a legal move: `mover (1 byte, 255 when it is over) ‖ number of payouts (1 byte) ‖ payouts (12 bytes each,
/// big-endian) ‖ position`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who acts next; `None` when the match is over.
    pub mover: Option<Seat>,
    /// As in [`Placed`].
    pub payouts: Vec<Amount>,
    /// The encoded position afterwards.
    pub position: Vec<u8>,
}

impl Answer {
    /// Bytes of one payout.
    const PAYOUT: usize = 12;

    /// What the bytes say; `None` for what is no answer, which means "illegal". As `Referee.sol` reads them.
    pub fn decode(output: &[u8]) -> Option<Answer> {
        let [mover, count, rest @ ..] = output else { return None };
        let (payouts, position) = rest.split_at_checked(usize::from(*count) * Self::PAYOUT)?;
        if usize::from(*count) > MAX_SEATS || position.len() > MAX_POSITION {
            return None;
        }
        let payout = |bytes: &[u8]| {
            let units = bytes.iter().fold(0u128, |units, byte| units << 8 | u128::from(*byte));
            Amount::new(units).expect("96 bits are an amount")
        };
        Some(Answer {
            mover: (*mover != u8::MAX).then_some(Seat(*mover)),
            payouts: payouts.chunks_exact(Self::PAYOUT).map(payout).collect(),
            position: position.to_vec(),
        })
    }
}

/// Rules with a blob that decides.
#[derive(Debug)]
pub struct Refereed {
    native: Arc<dyn Rules>,
    /// Shared with the same rules at other fees.
    court: Arc<(Blob, Emulator)>,
}

/// Of a budget's hundred parts, what a client's own move may take: should gas cost more one day, its moves stay legal.
const OWN_MOVES: u64 = 80;

impl Refereed {
    /// `native` has to be the rules that the blob was built from; where the two differ, the blob is right.
    pub fn new(native: Arc<dyn Rules>, blob: Blob) -> Refereed {
        let emulator = Emulator::new(blob.program(), blob.translation().meter.clone());
        Refereed { native, court: Arc::new((blob, emulator)) }
    }

    /// The same blob over other native rules: those of another fee, which the blob finds in the position.
    pub fn over(&self, native: Arc<dyn Rules>) -> Refereed {
        Refereed { native, court: self.court.clone() }
    }

    /// The blob.
    pub fn blob(&self) -> &Blob {
        &self.court.0
    }

    /// Runs one move as the court would, and says what it costs. What does not fit behind the code is illegal there too.
    pub fn run(&self, position: &[u8], seat: Seat, action: &[u8]) -> Run {
        let budget = self.blob().budget().into();
        let fits = |input: &Vec<u8>| self.blob().translation().code.len() + input.len() <= MAX_INIT_CODE;
        match question(position, seat, action).filter(fits) {
            Some(input) => self.court.1.run(&input, budget),
            None => Run { result: Err(Trap::Input { length: position.len() + action.len() }), gas: 0 },
        }
    }

    fn decide(&self, position: &[u8], seat: Seat, action: &[u8], limit: u64) -> Result<Placed, RulesError> {
        let run = self.run(position, seat, action);
        let answer = match run.result {
            Ok(output) => Answer::decode(&output).ok_or(Refusal::Illegal),
            Err(trap) => Err(Refusal::Trap(trap)),
        };
        match answer {
            Ok(_) if run.gas > limit => {
                Err(illegal(Refusal::NearBudget { gas: run.gas, budget: self.blob().budget() }))
            }
            Ok(Answer { mover, payouts, position }) => {
                // Whether a link is due is for drawing and composing alone.
                let reveal = self.chance() && self.native.place(&position).is_ok_and(|placed| placed.reveal);
                Ok(Placed { position, mover, reveal, payouts })
            }
            // What stops the program would stop native code too, and whoever runs it: a panic, a stack too deep, a loop without an end.
            Err(refusal @ Refusal::Trap(_)) => Err(illegal(refusal)),
            // The native rules know why, if they agree.
            Err(refusal) => Err(self.native.apply(position, seat, action).err().unwrap_or_else(|| illegal(refusal))),
        }
    }

    /// What the native rules composed, if the blob agrees that it is legal.
    fn confirm(&self, position: &[u8], seat: Seat, action: Action) -> Result<(Action, Placed), RulesError> {
        let limit = u64::from(self.blob().budget()) * OWN_MOVES / 100;
        let placed = self.decide(position, seat, &action.encode(), limit)?;
        Ok((action, placed))
    }
}

fn illegal(refusal: Refusal) -> RulesError {
    RulesError::Illegal(Box::new(refusal))
}

/// Why the blob refuses what the native rules would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It says so.
    #[error("the rules on the chain do not allow it")]
    Illegal,
    /// It stopped.
    #[error("the rules on the chain stop: {0}")]
    Trap(Trap),
    /// Legal, but so dear that it might not stay so.
    #[error("the move takes {gas} gas of the {budget} that the match allows; a client makes none above {OWN_MOVES} %")]
    NearBudget {
        /// What it takes.
        gas: u64,
        /// What is allowed.
        budget: u32,
    },
}

impl Rules for Refereed {
    /// The code's hash: the fee is not in it, since it is in the position that everybody signs.
    fn id(&self) -> RulesId {
        RulesId(self.blob().hash())
    }

    fn name(&self) -> &'static str {
        self.native.name()
    }

    fn seats(&self) -> RangeInclusive<usize> {
        self.native.seats()
    }

    fn max_turns(&self) -> u32 {
        self.native.max_turns()
    }

    fn chance(&self) -> bool {
        self.native.chance()
    }

    fn fee(&self) -> BasisPoints {
        self.native.fee()
    }

    fn on_chain(&self) -> Option<OnChain<'_>> {
        let budget = self.blob().budget().into();
        Some(OnChain { hash: self.blob().hash(), budget, code: &self.blob().translation().code })
    }

    fn start(&self, stakes: &[Amount], anchors: &[Link]) -> Result<Placed, RulesError> {
        self.native.start(stakes, anchors)
    }

    fn compose(
        &self,
        position: &[u8],
        seat: Seat,
        play: Vec<u8>,
        link: &dyn Fn(&Link) -> Option<Link>,
    ) -> Result<(Action, Placed), RulesError> {
        let (action, _) = self.native.compose(position, seat, play, link)?;
        self.confirm(position, seat, action)
    }

    fn reveal(
        &self,
        position: &[u8],
        seat: Seat,
        link: &dyn Fn(&Link) -> Option<Link>,
    ) -> Result<(Action, Placed), RulesError> {
        let (action, _) = self.native.reveal(position, seat, link)?;
        self.confirm(position, seat, action)
    }

    fn apply(&self, position: &[u8], seat: Seat, action: &[u8]) -> Result<Placed, RulesError> {
        self.decide(position, seat, action, u64::MAX)
    }

    fn place(&self, position: &[u8]) -> Result<Placed, RulesError> {
        self.native.place(position)
    }

    fn describe(&self, position: &[u8]) -> Result<Tree, RulesError> {
        self.native.describe(position)
    }

    fn describe_action(&self, action: &[u8]) -> Result<Tree, RulesError> {
        self.native.describe_action(action)
    }
}
