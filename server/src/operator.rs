//! What the operator promises: its signatures, and the pool behind them (R5.1, R6.6).

use std::sync::Mutex;

use alloy_primitives::{Address, B256};
use matchlock::{
    abi::{Domain, MatchTerms},
    sign::{self, Key, Signature, SignatureError, Signer, SignerError},
    wire::Refusal,
};
use serde::Serialize;

use crate::{account::Book, chain::PoolNotice, ledger::Pool, sync::lock};

/// The operator's key, where its signatures count, and what they promise.
pub(crate) struct Operator {
    key: Key,
    domain: Domain,
    /// Hashed once, not for every signature.
    separator: B256,
    pool: Mutex<PoolBook>,
}

/// What the pool has, and what it is promised for.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PoolBook {
    /// Equity on the chain, at depth, less what it owes there.
    pub equity: u128,
    /// What the operator has announced to withdraw: gone from the announcement on.
    pub announced: u128,
    /// Winnings that are not settled yet, losses not counted against them.
    pub unsettled: u128,
    /// The most that can be won in open matches.
    pub open: u128,
}

impl PoolBook {
    /// What can still be promised.
    pub fn free(&self) -> u128 {
        self.equity.saturating_sub(self.announced).saturating_sub(self.unsettled).saturating_sub(self.open)
    }
}

impl Operator {
    pub(crate) fn new(key: Key, domain: Domain) -> Operator {
        Operator { key, domain, separator: domain.separator(), pool: Mutex::default() }
    }

    pub(crate) fn address(&self) -> Address {
        self.key.address()
    }

    pub(crate) fn domain(&self) -> &Domain {
        &self.domain
    }

    /// What is signed for a struct of this hash.
    pub(crate) fn digest(&self, struct_hash: B256) -> B256 {
        let mut preimage = [0u8; 66];
        preimage[..2].copy_from_slice(&[0x19, 0x01]);
        preimage[2..34].copy_from_slice(self.separator.as_slice());
        preimage[34..].copy_from_slice(struct_hash.as_slice());
        alloy_primitives::keccak256(preimage)
    }

    /// Signs. What it signs leaves only once it is durable.
    pub(crate) fn sign(&self, digest: B256) -> Result<Signature, SignerError> {
        self.key.sign(digest)
    }

    /// Whether `key` signed this digest.
    pub(crate) fn verify(&self, digest: B256, signature: &Signature, key: Address) -> Result<(), Refusal> {
        sign::verify(digest, signature, key).map_err(|error| match error {
            SignatureError::HighS => Refusal::HighS,
            SignatureError::WrongSigner { expected, .. } => Refusal::WrongSigner { signer: expected },
            _ => Refusal::BadSignature,
        })
    }

    pub(crate) fn pool(&self) -> PoolBook {
        *lock(&self.pool)
    }

    /// What the chain says of the pool now; a notice that lapsed counts no more.
    pub(crate) fn set_pool(&self, pool: &Pool, notice: PoolNotice, chain_time: u64) {
        let mut book = lock(&self.pool);
        book.equity = pool.equity.units().saturating_sub(pool.owed);
        book.announced = if notice.until > chain_time { notice.amount.units() } else { 0 };
    }

    /// Promises the largest gains of a match (R6.6).
    pub(crate) fn promise(&self, largest_gain: u128) -> Result<(), Refusal> {
        let mut pool = lock(&self.pool);
        if largest_gain > pool.free() {
            return Err(Refusal::PoolShort);
        }
        pool.open += largest_gain;
        Ok(())
    }

    /// Counts a match that was promised before a restart.
    pub(crate) fn promised(&self, largest_gain: u128) {
        lock(&self.pool).open += largest_gain;
    }

    /// The match is over: what was won counts as unsettled from here.
    pub(crate) fn release(&self, largest_gain: u128) {
        let mut pool = lock(&self.pool);
        pool.open = pool.open.saturating_sub(largest_gain);
    }

    /// Counts what an account has won and not settled; call it after every change of its book.
    pub(crate) fn recount(&self, book: &mut Book) {
        let gain = if book.chain.is_some() { book.unsettled_gain() } else { 0 };
        let mut pool = lock(&self.pool);
        pool.unsettled = (pool.unsettled + gain).saturating_sub(book.gain);
        book.gain = gain;
    }
}

/// The most that all winners of a match together can gain: everything but the smallest stake, which a winner that
/// takes the whole pot gets back.
pub(crate) fn largest_gain(terms: &MatchTerms) -> u128 {
    let pot: u128 = terms.stakes.iter().map(|stake| stake.units()).sum();
    pot - terms.stakes.iter().map(|stake| stake.units()).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use matchlock::game::Amount;

    use super::*;

    #[test]
    fn an_announced_withdrawal_guarantees_nothing_until_it_lapses() {
        let key = Key::from_bytes(&B256::repeat_byte(1)).expect("a key");
        let operator = Operator::new(key, Domain { chain_id: 1, arena: Address::repeat_byte(7), salt: B256::ZERO });
        let pool = Pool { equity: Amount::from_u64(100), owed: 10, batches: 0 };
        let notice = PoolNotice { amount: Amount::from_u64(60), until: 500 };
        operator.set_pool(&pool, notice, 499);
        assert_eq!(operator.pool().free(), 30);
        assert_eq!(operator.promise(31), Err(Refusal::PoolShort));
        operator.promise(30).expect("that is there");
        operator.set_pool(&pool, notice, 500);
        assert_eq!(operator.pool().free(), 60);
    }
}
