//! Transactions that wait for a block: out of order, or because automine is off.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256};

use crate::{error::Refusal, transaction::Signed};

/// Enough for any test; a full pool refuses, it never forgets.
pub(crate) const POOL_TRANSACTIONS: usize = 4_096;

/// By how many percent both fees must rise to replace a waiting transaction, as in geth and anvil.
const REPLACEMENT_PERCENT: u128 = 10;

/// A waiting transaction under the key it is stored with, which is its order of arrival.
#[derive(Debug)]
pub(crate) struct Pooled {
    pub(crate) key: u64,
    pub(crate) signed: Signed,
}

/// The waiting transactions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    senders: BTreeMap<Address, BTreeMap<u64, Arc<Pooled>>>,
    hashes: HashMap<B256, Arc<Pooled>>,
    next_key: u64,
}

impl Pool {
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(crate) fn next_key(&self) -> u64 {
        self.next_key
    }

    pub(crate) fn by_hash(&self, hash: B256) -> Option<&Arc<Pooled>> {
        self.hashes.get(&hash)
    }

    pub(crate) fn senders(&self) -> &BTreeMap<Address, BTreeMap<u64, Arc<Pooled>>> {
        &self.senders
    }

    /// The nonce after those in use and those waiting without a gap.
    pub(crate) fn pending_nonce(&self, sender: Address, account_nonce: u64) -> u64 {
        let mut next = account_nonce;
        if let Some(waiting) = self.senders.get(&sender) {
            while waiting.contains_key(&next) {
                next += 1;
            }
        }
        next
    }

    /// Whether `signed` may enter, and which waiting transaction it replaces.
    pub(crate) fn admit(&self, signed: &Signed) -> Result<Option<Arc<Pooled>>, Refusal> {
        if self.hashes.contains_key(&signed.hash()) {
            return Err(Refusal::AlreadyKnown);
        }
        let waiting = self.senders.get(&signed.sender).and_then(|waiting| waiting.get(&signed.nonce()));
        let Some(waiting) = waiting else {
            if self.len() >= POOL_TRANSACTIONS {
                return Err(Refusal::PoolFull { limit: POOL_TRANSACTIONS });
            }
            return Ok(None);
        };
        let max_fee = bumped(waiting.signed.envelope.max_fee_per_gas());
        let tip = bumped(waiting.signed.tip_cap());
        if signed.envelope.max_fee_per_gas() < max_fee || signed.tip_cap() < tip {
            return Err(Refusal::ReplacementUnderpriced { max_fee, tip });
        }
        Ok(Some(waiting.clone()))
    }

    pub(crate) fn insert(&mut self, pooled: Arc<Pooled>) {
        self.next_key = self.next_key.max(pooled.key + 1);
        let signed = &pooled.signed;
        self.hashes.insert(signed.hash(), pooled.clone());
        let replaced = self.senders.entry(signed.sender).or_default().insert(signed.nonce(), pooled.clone());
        if let Some(replaced) = replaced {
            self.hashes.remove(&replaced.signed.hash());
        }
    }

    pub(crate) fn remove(&mut self, pooled: &Pooled) {
        let signed = &pooled.signed;
        // A replacement may have taken the place already.
        if self.hashes.remove(&signed.hash()).is_none() {
            return;
        }
        if let Some(waiting) = self.senders.get_mut(&signed.sender) {
            waiting.remove(&signed.nonce());
            if waiting.is_empty() {
                self.senders.remove(&signed.sender);
            }
        }
    }

    /// Takes out what can never be mined because its nonce is used.
    pub(crate) fn take_stale<E>(
        &mut self,
        nonce_of: impl Fn(Address) -> Result<u64, E>,
    ) -> Result<Vec<Arc<Pooled>>, E> {
        let mut stale = Vec::new();
        for (sender, waiting) in &self.senders {
            let next = nonce_of(*sender)?;
            stale.extend(waiting.range(..next).map(|(_, pooled)| pooled.clone()));
        }
        for pooled in &stale {
            self.remove(pooled);
        }
        Ok(stale)
    }

    /// The transaction to mine next: the best tip among those whose nonce is due and whose fee and gas fit; among
    /// equals the first to arrive.
    pub(crate) fn best<E>(
        &self,
        nonce_of: impl Fn(Address) -> Result<u64, E>,
        base_fee: u64,
        gas_left: u64,
    ) -> Result<Option<Arc<Pooled>>, E> {
        let mut best: Option<(u128, &Arc<Pooled>)> = None;
        for (sender, waiting) in &self.senders {
            let Some(pooled) = waiting.get(&nonce_of(*sender)?) else {
                continue;
            };
            let envelope = &pooled.signed.envelope;
            let Some(tip) = envelope.effective_tip_per_gas(base_fee) else {
                continue;
            };
            if envelope.gas_limit() > gas_left {
                continue;
            }
            let better =
                best.is_none_or(|(other_tip, other)| tip > other_tip || (tip == other_tip && pooled.key < other.key));
            if better {
                best = Some((tip, pooled));
            }
        }
        Ok(best.map(|(_, pooled)| pooled.clone()))
    }
}

/// The least that counts as a rise. Rounded up, so that a tip of zero must become one.
fn bumped(fee: u128) -> u128 {
    let rise = (fee / 100).saturating_mul(REPLACEMENT_PERCENT) + (fee % 100 * REPLACEMENT_PERCENT).div_ceil(100);
    fee.saturating_add(rise.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bump_is_ten_percent_rounded_up_and_never_overflows() {
        assert_eq!(bumped(0), 1);
        assert_eq!(bumped(1), 2);
        assert_eq!(bumped(1_000_000_000), 1_100_000_000);
        assert_eq!(bumped(101), 112);
        assert_eq!(bumped(u128::MAX), u128::MAX);
    }
}
