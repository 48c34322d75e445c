//! Fees: they age one to two exit windows, and go to those who had a share when they accrued (R6.13).

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256, aliases::U96};
use matchlock::{
    abi::Arena,
    chain::{ArenaRefusal, Revert},
};

use super::{Call, Model, ModelConfig, refuse, require};

/// Basis points of everything.
const WHOLE: u32 = 10_000;
/// Beneficiaries of one split.
const MAX_SHARES: usize = 8;
/// Fees of an epoch mature so many epochs later; so does a new split.
const AGE: u64 = 2;

/// Who gets fees, in which parts.
type Split = Vec<(Address, u16)>;

/// Fees on their way from the pool to the beneficiaries.
#[derive(Clone, Debug)]
pub(super) struct Revenue {
    /// Fees by epoch, until somebody is credited with them.
    fees: BTreeMap<u64, u128>,
    /// Splits, each with its first epoch.
    splits: Vec<(u64, Split)>,
    /// What each beneficiary was credited with and has not claimed.
    matured: BTreeMap<Address, u128>,
}

impl Revenue {
    pub(super) fn new(config: &ModelConfig) -> Revenue {
        let split = if config.split.is_empty() { vec![(config.operator, WHOLE as u16)] } else { config.split.clone() };
        Revenue { fees: BTreeMap::new(), splits: vec![(0, split)], matured: BTreeMap::new() }
    }

    /// Fees that nobody has claimed.
    pub(super) fn unclaimed(&self) -> u128 {
        self.fees.values().sum::<u128>() + self.matured.values().sum::<u128>()
    }

    pub(super) fn claimable(&self, beneficiary: Address, epoch: u64) -> u128 {
        let mut matured = self.clone();
        matured.mature(epoch);
        matured.matured.get(&beneficiary).copied().unwrap_or(0)
    }

    fn mature(&mut self, epoch: u64) {
        while let Some(first) = self.fees.first_entry().filter(|first| first.key() + AGE <= epoch) {
            let (accrued, fees) = first.remove_entry();
            let (_, split) = self.splits.iter().rfind(|(from, _)| *from <= accrued).expect("the first is from epoch 0");
            let mut rest = fees;
            for (beneficiary, points) in &split[1..] {
                let part = fees * u128::from(*points) / u128::from(WHOLE);
                *self.matured.entry(*beneficiary).or_default() += part;
                rest -= part;
            }
            // The first gets the dust, too.
            *self.matured.entry(split[0].0).or_default() += rest;
        }
    }
}

impl Model {
    /// The epoch of a time: exit windows since 1970, from 1 on.
    pub(super) fn epoch(&self, at: u64) -> u64 {
        at / self.exit_window() + 1
    }

    /// Fees have left the pool.
    pub(super) fn accrue(&mut self, call: &Call, fees: u128) -> Result<(), Revert> {
        let epoch = self.epoch(call.at);
        self.revenue.mature(epoch);
        let accrued = self.revenue.fees.entry(epoch).or_default();
        *accrued += fees;
        require(U96::try_from(*accrued).is_ok(), ArenaRefusal::TooMuch {})
    }

    pub(super) fn claim_revenue(&mut self, call: &Call, beneficiary: Address) -> Result<(), Revert> {
        self.revenue.mature(self.epoch(call.at));
        let owed = self.pool.owed;
        require(owed == 0, ArenaRefusal::PoolOwes { owed: U256::from(owed) })?; // R3.5
        let amount = self.revenue.matured.remove(&beneficiary).unwrap_or(0);
        require(amount > 0, ArenaRefusal::NothingToPay {})?;
        self.held[0] -= amount;
        self.log(Arena::RevenueClaimed { beneficiary, amount: U96::from(amount) });
        self.push(beneficiary)
    }

    pub(super) fn propose_split(
        &mut self,
        call: &Call,
        beneficiaries: &[Address],
        points: &[u16],
    ) -> Result<(), Revert> {
        self.expect_operator(call)?;
        let epoch = self.epoch(call.at);
        self.revenue.mature(epoch);
        let shares = beneficiaries.len();
        if shares == 0 || shares > MAX_SHARES || shares != points.len() {
            return refuse(ArenaRefusal::BadSplit {});
        }
        let split: Split = beneficiaries.iter().copied().zip(points.iter().copied()).collect();
        let nobody = split.iter().any(|(beneficiary, points)| *beneficiary == Address::ZERO || *points == 0);
        let sum: u32 = points.iter().map(|points| u32::from(*points)).sum();
        require(!nobody && sum == WHOLE, ArenaRefusal::BadSplit {})?;
        // One that is not in force yet is replaced.
        if self.revenue.splits.last().is_some_and(|(from, _)| *from > epoch) {
            self.revenue.splits.pop();
        }
        self.revenue.splits.push((epoch + AGE, split));
        self.log(Arena::SplitProposed {
            fromEpoch: (epoch + AGE).try_into().expect("40 bits hold epochs"),
            beneficiaries: beneficiaries.to_vec(),
            basisPoints: points.to_vec(),
        });
        Ok(())
    }
}
