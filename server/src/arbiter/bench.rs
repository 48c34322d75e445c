//! What an arbiter signs: one ruling for each header, for ever.

use std::{collections::HashMap, sync::Mutex};

use alloy_primitives::{Address, B256};
use matchlock::{
    abi::MatchTerms,
    abi::{Domain, StateHash},
    dispute::{Dispute, Judgment, Plea},
    sign::{Key, Signature, Signer, SignerError},
};

use crate::{
    chain::{Chain, ChainError},
    court::CourtInfo,
    store::{Change, Store, StoreError},
    sync::lock,
};

/// Notes of rulings are named so, and by their header, whose hash names its match.
const NOTE: &str = "ruling-";

/// The key of one of the court's arbiters, and what it has said.
pub(crate) struct Bench {
    key: Key,
    domain: Domain,
    quorum: usize,
    ruled: Mutex<HashMap<StateHash, bool>>,
}

/// Why a ruling is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BenchError {
    /// It contradicts one that was signed.
    #[error("this arbiter has ruled otherwise on this header, and stays with that")]
    Contradiction,
    /// The key does not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

impl Bench {
    /// The bench of this key; `None` where it is none of the court's arbiters'.
    pub(crate) async fn take(
        chain: &Chain,
        court: Option<CourtInfo>,
        key: &Key,
        store: &Store,
    ) -> Result<Option<Bench>, BenchStart> {
        let Some(court) = court else { return Ok(None) };
        if !court.seats(chain, key.address()).await? {
            return Ok(None);
        }
        let bench = Bench::new(key.clone(), chain.arena().domain, court.quorum);
        bench.restore(store)?;
        Ok(Some(bench))
    }

    fn new(key: Key, domain: Domain, quorum: usize) -> Bench {
        Bench { key, domain, quorum, ruled: Mutex::default() }
    }

    fn restore(&self, store: &Store) -> Result<(), StoreError> {
        for (name, bytes) in store.notes(NOTE)? {
            let header = name.strip_prefix(NOTE).and_then(|header| header.parse::<B256>().ok()).map(StateHash);
            let (Some(header), &[legal @ (0 | 1)]) = (header, &bytes[..]) else { return Err(StoreError::Damaged) };
            lock(&self.ruled).insert(header, legal == 1);
        }
        Ok(())
    }

    /// Who rules here.
    pub(crate) fn arbiter(&self) -> Address {
        self.key.address()
    }

    /// What this arbiter has ruled on a header.
    pub(crate) fn ruled(&self, header: StateHash) -> Option<bool> {
        lock(&self.ruled).get(&header).copied()
    }

    /// Signs a ruling. The change has to be durable before the signature leaves.
    pub(crate) fn sign(&self, judgment: &Judgment) -> Result<(Signature, Change), BenchError> {
        let ruling = judgment.ruling;
        if *lock(&self.ruled).entry(ruling.top).or_insert(ruling.legal) != ruling.legal {
            return Err(BenchError::Contradiction);
        }
        let signature = self.key.sign(self.domain.digest(ruling.struct_hash()))?;
        Ok((signature, Change::Note(format!("{NOTE}{}", ruling.top.0), Some(vec![u8::from(ruling.legal)]))))
    }

    /// How a signed ruling gets to the court: at once, where what others have said makes the quorum with it, or as a word of its own.
    pub(crate) fn plea(
        &self,
        terms: &MatchTerms,
        dispute: &Dispute,
        judgment: &Judgment,
        signature: Signature,
    ) -> Plea {
        match dispute.quorum(judgment, (self.arbiter(), signature), self.quorum) {
            Some(all) => judgment.rule(terms, dispute.docket(), &all),
            None => judgment.testify(&signature),
        }
    }
}

/// Why a bench is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchStart {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
