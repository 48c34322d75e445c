//! An account leaves (R3.7) while those whom it owes are away: it pays first for what it lost, and leaves behind what it may still
//! lose.

use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, MatchId},
    account::AccountId,
    game::{BasisPoints, Seat},
    settle,
    wire::Pair,
};

use super::Post;
use crate::{chain::ChainAccount, sync::lock, tower::Kept};

impl Post {
    /// Does what is due about accounts that leave.
    pub(super) fn answer_exits(&self, patience: BasisPoints) {
        let leavers: Vec<(AccountId, ChainAccount)> =
            lock(&self.leavers).iter().map(|(id, record)| (*id, *record)).collect();
        let window = u64::from(self.chain.arena().exit_window);
        let wait = window * u64::from(patience.points()) / 10_000;
        for (account, record) in leavers {
            // The operator goes first: every answer costs gas, and only one counts.
            if self.moment().now < record.exit_at.saturating_sub(window) + wait {
                continue;
            }
            let pair = self.book.pair_of(&account).filter(|pair| pair.statement.set.exceeds(&record.set));
            if let Some(pair) = &pair {
                self.settle(account, &record, pair);
            }
            for (match_id, kept) in self.book.matches_of(&account) {
                let Some(seat) = kept.terms().seat_of(account) else { continue };
                let index = kept.terms().indexes[seat.index()];
                let is_signed = pair.is_some_and(|pair| pair.statement.set.contains(index));
                if !is_signed && !record.set.contains(index) && !lock(&self.over).contains_key(&match_id) {
                    self.keep_in(account, &record, match_id, &kept, seat);
                }
            }
        }
    }

    /// Brings the leaver's newest statement to the chain.
    fn settle(&self, account: AccountId, record: &ChainAccount, pair: &Pair) {
        if record.claims != 0 {
            // It takes the terms and the payouts of each (R6.10), which the operator has.
            tracing::warn!(%account, claims = record.claims, "a leaver's statement has to absorb the chain's outcomes first");
            return;
        }
        let set = pair.statement.set;
        let call = Arena::settleSignedCall { entries: settle::signed_entry(pair).into() };
        let key = format!("settle-{account}-{}-{}", set.through, set.pending);
        self.submit_once(key, "a leaver's newest statement", call.abi_encode());
    }

    /// What a leaver lost is applied, what it may still lose is locked.
    fn keep_in(&self, account: AccountId, record: &ChainAccount, match_id: MatchId, kept: &Kept, seat: Seat) {
        if kept.is_concluded() {
            // To bring a win is the winner's business, and worth its gas.
            if kept.delta(account).is_some_and(|delta| delta < 0)
                && let Ok(Some(file)) = self.book.file(match_id)
                && let Some(plea) = file.counsel().conclude()
            {
                self.submit_once(plea.key, "a leaver's result", plea.calldata);
            }
            return;
        }
        let moment = self.moment();
        let in_dispute = lock(&self.disputes).find(&match_id).is_some();
        // Afterwards the chain takes no lock, and has paid.
        if record.exit_at > moment.passed && (in_dispute || moment.now <= kept.terms().expiry) {
            let call = Arena::lockCall::of(kept.terms(), seat, &kept.owners(), kept.guarantee());
            self.submit_once(format!("lock-{match_id}-{}", seat.0), "a leaver's stake", call.abi_encode());
        }
    }
}
