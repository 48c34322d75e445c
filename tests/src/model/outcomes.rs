//! Outcomes that the chain itself applies (R6.1, R6.10 to R6.12).

use std::collections::BTreeSet;

use alloy_primitives::{FixedBytes, keccak256};
use alloy_sol_types::SolValue;
use matchlock::{
    abi::{Arena, Court, MatchId, OVER},
    account::AccountId,
    chain::{ArenaRefusal, Revert},
    game::Amount,
};

use super::{
    Model,
    accounts::{Account, MAX_CLAIMS},
    amounts,
    pool::QUEUE_STEP,
    refuse, require,
    terms::Table,
};

/// What the chain keeps of a match.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub(super) standing: Standing,
    /// Seats whose stakes are locked.
    pub(super) locks: BTreeSet<u8>,
}

/// How far a match is on the chain.
#[derive(Clone, Debug, Default)]
pub(super) enum Standing {
    #[default]
    None,
    Disputed(Court::Docket),
    Concluded {
        payouts: Vec<Amount>,
        /// Seats with a claim that no statement has absorbed.
        live: BTreeSet<u8>,
    },
}

impl Slot {
    pub(super) fn shown(&self) -> Arena::outcomeOfReturn {
        let bits = |seats: &BTreeSet<u8>| seats.iter().fold(0, |bits, seat| bits | 1 << seat);
        let locked = bits(&self.locks);
        // The chain keeps 29 bytes of a hash.
        let truncated = |encoded: Vec<u8>| FixedBytes::from_slice(&keccak256(encoded)[..29]);
        let (status, live, payouts) = match &self.standing {
            Standing::None => (0, 0, FixedBytes::ZERO),
            Standing::Disputed(docket) => (1, 0, truncated(docket.abi_encode())),
            Standing::Concluded { payouts, live } => {
                let words: Vec<alloy_primitives::aliases::U96> =
                    payouts.iter().map(|payout| (*payout).into()).collect();
                (2, bits(live), truncated(words.abi_encode()))
            }
        };
        Arena::outcomeOfReturn { status, locked, live, payouts }
    }
}

impl Model {
    /// A final state that all seats and the operator signed (R6.1).
    pub(super) fn conclude(&mut self, last: &Arena::concludeCall) -> Result<(), Revert> {
        require(last.last.mover == OVER, ArenaRefusal::NotFinal {})?;
        let table = self.open(&last.terms)?;
        let digest = self.digest(table.hash(&last.last).0);
        self.expect_everybody(&table, &last.owners, &last.signatures, digest)?;
        self.apply_outcome(&table, &amounts(&last.last.payouts))
    }

    /// Moves every seat whose settled set lacks the match by payout minus stake: debits first, then credits (R6.10).
    pub(super) fn apply_outcome(&mut self, table: &Table, payouts: &[Amount]) -> Result<(), Revert> {
        let slot = self.slots.get(&table.id).cloned().unwrap_or_default();
        require(!matches!(slot.standing, Standing::Concluded { .. }), ArenaRefusal::MatchConcluded {})?;
        require(payouts.len() == table.seats(), ArenaRefusal::BadPayouts {})?;
        self.outcome_applied = true;
        let deltas: Vec<i128> = (0..table.seats()).map(|seat| table.delta(seat, payouts)).collect();
        let mut live = BTreeSet::new();
        for (seat, delta) in deltas.iter().enumerate() {
            if slot.locks.contains(&(seat as u8)) {
                self.unlock(table, seat);
            }
            let (id, record) = self.seat(table, seat);
            if *delta < 0 && !record.set.contains(table.terms.indexes[seat]) {
                let mut debited = record.moved(*delta)?;
                // Without room for the claim it is for good (R6.11).
                if record.claims < MAX_CLAIMS {
                    debited.claims += 1;
                    live.insert(seat as u8);
                }
                self.transfer(id, debited)?;
            }
        }
        require(deltas.iter().sum::<i128>() <= 0, ArenaRefusal::BadPayouts {})?; // R4.7
        for (seat, delta) in deltas.iter().enumerate() {
            let (id, record) = self.seat(table, seat);
            // R6.11: without room for the claim there is no credit.
            if *delta > 0 && !record.set.contains(table.terms.indexes[seat]) && record.claims < MAX_CLAIMS {
                live.insert(seat as u8);
                self.credit(table.id, id, *delta)?;
            }
        }
        let standing = Standing::Concluded { payouts: payouts.to_vec(), live };
        self.slots.insert(table.id, Slot { standing, locks: BTreeSet::new() });
        self.pay_queue(QUEUE_STEP)?;
        let payouts = payouts.iter().map(|payout| (*payout).into()).collect();
        self.log(Arena::Concluded { matchId: table.id.0, payouts });
        Ok(())
    }

    /// Credits as much as the pool has behind what it owes, and queues the rest (R3.5).
    fn credit(&mut self, match_id: MatchId, id: AccountId, delta: i128) -> Result<(), Revert> {
        let record = self.record(id);
        // The rest of it repays debt (R3.1).
        let need = record.moved(delta)?.payable() - record.payable();
        let short = need.saturating_sub(self.pool.free());
        let credited = record.moved(delta - short as i128)?;
        self.transfer(id, Account { claims: record.claims + 1, ..credited })?;
        if short > 0 {
            self.enqueue(id, match_id, short);
        }
        Ok(())
    }

    /// The court keeps what it knows of a dispute in the match's own slot (R7.1); `from` is what it takes to stand there.
    pub(super) fn dispute(
        &mut self,
        id: MatchId,
        from: Option<&Court::Docket>,
        to: Court::Docket,
    ) -> Result<(), Revert> {
        let slot = self.slots.entry(id).or_default();
        match (&slot.standing, from) {
            (Standing::Concluded { .. }, _) => return refuse(ArenaRefusal::MatchConcluded {}),
            (Standing::Disputed(_), None) => return refuse(ArenaRefusal::MatchDisputed {}),
            (Standing::None, Some(_)) => return refuse(ArenaRefusal::OtherDocket {}),
            (Standing::Disputed(kept), Some(from)) if kept != from => return refuse(ArenaRefusal::OtherDocket {}),
            _ => {}
        }
        slot.standing = Standing::Disputed(to);
        Ok(())
    }

    fn seat(&self, table: &Table, seat: usize) -> (AccountId, Account) {
        let id = table.terms.seats[seat];
        (id, self.record(id))
    }
}
