//! Dockets: what is known of a dispute, and its windows (R7.1, R7.5, R7.6).

use alloy_primitives::{B256, U256};
use matchlock::{
    abi::{Court, OVER},
    chain::{CourtRefusal, Revert},
    game::MAX_SEATS,
};

use super::{Call, Model, require, terms::Table};

/// Headers above the agreed one (R7.6).
pub(super) const MAX_HEADERS: u64 = 32;

/// How far a dispute is; no docket that the chain keeps is `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Headers were shown; the mover is to answer.
    Open,
    /// A foul was proved; only an agreed, newer state reopens (R7.7).
    Closed,
    /// Nothing was shown (R7.12).
    Doubted,
    Unknown,
}

/// A docket, unpacked. A forged one may hold anything; it is refused where it would be replaced.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The docket as it was given; `None` for a new dispute.
    pub(super) given: Option<Court::Docket>,
    /// The newest header; zero where nothing was shown.
    pub(super) top: B256,
    pub(super) turn: u64,
    pub(super) mover: u8,
    pub(super) phase: Phase,
    /// When the running window opened.
    pub(super) since: u64,
    /// Its last second.
    pub(super) until: u64,
    /// The turn of the header before the arbiters; zero for none.
    pub(super) contested: u64,
    /// Turns whose headers were ruled legal, modulo 64.
    pub(super) ruled: u64,
    /// The newest turn that each seat has signed.
    pub(super) acks: Vec<u64>,
    /// Seconds of each seat's chain time.
    pub(super) spent: Vec<u64>,
}

impl Case {
    pub(super) fn new(phase: Phase) -> Case {
        Case {
            given: None,
            top: B256::ZERO,
            turn: 0,
            mover: 0,
            phase,
            since: 0,
            until: 0,
            contested: 0,
            ruled: 0,
            acks: vec![0; MAX_SEATS],
            spent: vec![0; MAX_SEATS],
        }
    }

    pub(super) fn of(docket: &Court::Docket) -> Case {
        let bits =
            |from: usize, count: usize| -> u64 { ((docket.brief >> from) & ((U256::ONE << count) - U256::ONE)).to() };
        let seats =
            |words: U256| (0..MAX_SEATS).map(|seat| ((words >> (32 * seat)).wrapping_to::<u32>()).into()).collect();
        Case {
            given: Some(docket.clone()),
            top: docket.top,
            turn: bits(0, 32),
            mover: bits(32, 8) as u8,
            phase: match bits(40, 8) {
                1 => Phase::Open,
                2 => Phase::Closed,
                3 => Phase::Doubted,
                _ => Phase::Unknown,
            },
            since: bits(48, 40),
            until: bits(88, 40),
            contested: bits(128, 32),
            ruled: bits(160, 64),
            acks: seats(docket.acks),
            spent: seats(docket.spent),
        }
    }

    fn packed(&self) -> Court::Docket {
        let phase = match self.phase {
            Phase::Unknown => 0,
            Phase::Open => 1,
            Phase::Closed => 2,
            Phase::Doubted => 3,
        };
        let fields = [
            (self.turn, 0),
            (self.mover.into(), 32),
            (phase, 40),
            (self.since, 48),
            (self.until, 88),
            (self.contested, 128),
            (self.ruled, 160),
        ];
        let seats =
            |words: &[u64]| words.iter().rev().fold(U256::ZERO, |packed, word| packed << 32 | U256::from(*word as u32));
        Court::Docket {
            top: self.top,
            brief: fields.iter().fold(U256::ZERO, |brief, (field, at)| brief | U256::from(*field) << at),
            acks: seats(&self.acks),
            spent: seats(&self.spent),
        }
    }

    /// The agreed turn: every seat has signed it or one above it (R5.8).
    pub(super) fn agreed(&self, table: &Table) -> u64 {
        agreed(&self.acks, table)
    }

    pub(super) fn is_ruled(&self, turn: u64) -> bool {
        self.ruled >> (turn % 64) & 1 != 0
    }

    fn spent(&self, mover: u8) -> u64 {
        self.spent.get(usize::from(mover)).copied().unwrap_or(0)
    }
}

/// The newest turn that all of the table's seats have signed.
pub(super) fn agreed(acks: &[u64], table: &Table) -> u64 {
    acks[..table.seats()].iter().copied().min().unwrap_or(0)
}

impl Model {
    pub(super) fn minimum(&self) -> u64 {
        self.config.court.minimum.into()
    }

    pub(super) fn expect_running(&self, call: &Call, case: &Case) -> Result<(), Revert> {
        require(call.at <= case.until, CourtRefusal::WindowOver { until: U256::from(case.until) })
    }

    /// Opens the window that the case calls for (R7.5).
    pub(super) fn restart(&self, call: &Call, table: &Table, case: &mut Case) {
        let mut length = self.minimum();
        if case.phase == Phase::Open && case.mover != OVER {
            let left = u64::from(table.terms.chain_time).wrapping_sub(case.spent(case.mover));
            length += self.grace(table, case) + u64::from(table.terms.clock).saturating_sub(self.minimum()).min(left);
        }
        case.since = call.at;
        case.until = call.at + length;
    }

    /// Charges the mover, who has answered, with what it took beyond the minimum (R7.5).
    pub(super) fn charge(&self, call: &Call, table: &Table, case: &mut Case) {
        let free = case.since + self.minimum() + self.grace(table, case);
        if let Some(spent) = case.spent.get_mut(usize::from(case.mover)) {
            *spent += call.at.saturating_sub(free);
        }
    }

    /// Where as many headers as may be stand above the agreed one, the mover lets the others' window pass first (R7.6).
    fn grace(&self, table: &Table, case: &Case) -> u64 {
        if case.turn.wrapping_sub(case.agreed(table)) == MAX_HEADERS { self.minimum() } else { 0 }
    }

    /// Puts the case in the place of what the arena has of it; the docket, for the event.
    pub(super) fn docket_kept(&mut self, table: &Table, case: &Case) -> Result<Court::Docket, Revert> {
        let docket = case.packed();
        self.dispute(table.id, case.given.as_ref(), docket.clone())?;
        Ok(docket)
    }
}
