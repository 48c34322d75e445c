//! Calls of the arena that pay, settle and conclude.

use alloy_primitives::{Address, B256, Bytes, U256, aliases::U96};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Arena, MatchId, Statement},
    account::SettledSet,
    game::Amount,
    settle,
    sign::{Signature, Signer},
};

use super::{Attempt, Play, cast::sign, court::high, stage::dev_key};

/// More than any record holds, or just as much.
const GIANTS: [u128; 4] = [(1 << 95) - 1, 1 << 95, 1 << 94, (1 << 96) - 1];

impl Play {
    pub(super) fn pay(&mut self) -> Attempt {
        if self.poor {
            return self.pay_late();
        }
        let claimable = self.model.revenue_of(dev_key(0).address(), self.now) > 0 && self.model.pool().owed == 0;
        match self.dice.below(40) {
            0..=4 if claimable => self.revenue_call(),
            0..=4 => self.deposit(),
            5..=8 => self.fund(),
            9..=15 => self.settle(),
            16..=20 => self.settle_signed(),
            21..=27 => self.settle_claimed(),
            28..=32 => self.conclude(),
            33 => self.pool_call(),
            34 | 35 => self.revenue_call(),
            36 => self.pay_owed(),
            37 => self.reading(),
            _ => self.pool_call(),
        }
    }

    /// Nobody pays in before the pool owes more than one call looks at; then what comes in ranks behind it (R3.5).
    fn pay_late(&mut self) -> Attempt {
        if self.owed_added < 10 {
            return if self.dice.below(8) == 0 { self.settle() } else { self.conclude() };
        }
        match self.dice.below(8) {
            0 | 1 => {
                let mut attempt = self.fund();
                let owed = self.model.pool().owed;
                attempt.value = U256::from(owed.saturating_sub(u128::from(self.dice.below(30))));
                attempt
            }
            2 => self.deposit(),
            3 => self.revenue_call(),
            4 => self.pay_owed(),
            5 => self.settle_claimed(),
            _ => self.settle(),
        }
    }

    fn deposit(&mut self) -> Attempt {
        let person = self.somebody();
        let account = if self.dice.below(40) == 0 { Address::ZERO } else { self.cast.players[person].id.0 };
        let from = self.anybody();
        let mut attempt = self.to_arena(from, &Arena::depositCall { account });
        let debt = self.model.account(self.cast.players[person].id).equity().min(0).unsigned_abs();
        attempt.value = U256::from(match self.dice.below(8) {
            0 => debt,
            1 => debt + 1,
            2 => debt.saturating_sub(1),
            _ => self.dice.below(900).into(),
        });
        if self.dice.below(15) == 0 {
            (attempt.from, attempt.value) = (dev_key(9).address(), U256::from(*self.dice.pick(&GIANTS)));
        }
        attempt
    }

    fn fund(&mut self) -> Attempt {
        let from = self.anybody();
        let mut attempt = self.to_arena(from, &Arena::fundCall {});
        attempt.value = U256::from(self.dice.below(700));
        if self.dice.below(15) == 0 {
            (attempt.from, attempt.value) = (dev_key(9).address(), U256::from(*self.dice.pick(&GIANTS)));
        }
        attempt
    }

    pub(super) fn settle(&mut self) -> Attempt {
        let mut entries: Vec<u8> = (0..1 + self.dice.below(4))
            .flat_map(|_| {
                let person = self.payee();
                let statement = self.statement(person);
                self.entry(person, &statement)
            })
            .collect();
        if self.model.pool().owed > 0 && self.dice.below(2) == 0 {
            entries.extend(self.debit_and_credit());
        }
        entries.extend(self.down_to_the_floor());
        let entries = self.cut(entries);
        let free = self.model.pool().equity.to::<u128>().saturating_sub(self.model.pool().owed);
        let fees = match self.dice.below(4) {
            0 | 2 => self.dice.below(60).into(),
            1 if self.dice.below(6) == 0 => free + 1,
            _ => 0,
        };
        let root = if self.dice.below(3) == 0 { B256::ZERO } else { self.dice.bytes().into() };
        let call = Arena::settleCall { entries, resultsRoot: root, matches: self.dice.below(9), fees: U96::from(fees) };
        let from = self.operator_or_not();
        self.to_arena(from, &call)
    }

    /// Somebody's loss and somebody's gain of not more: what comes in belongs to those whom the pool owes (R3.5).
    fn debit_and_credit(&mut self) -> Vec<u8> {
        let plain = |at: &usize| {
            let record = self.model.account(self.cast.players[*at].id);
            record.claims == 0 && !record.special
        };
        let plain: Vec<usize> = (0..self.cast.players.len() - 1).filter(plain).collect();
        let payable = |at: &usize| self.model.account(self.cast.players[*at].id).payable();
        let Some(loser) = plain.iter().copied().max_by_key(payable) else { return Vec::new() };
        let loss = i128::from(self.dice.below(100)).min(payable(&loser).signed());
        let winner = *self.dice.pick(&plain);
        let gain = i128::from(self.dice.below(loss as u32 + 1));
        [(loser, -loss), (winner, gain)]
            .into_iter()
            .flat_map(|(person, delta)| {
                let record = self.model.account(self.cast.players[person].id);
                let set = record.set.with(record.set.oldest_open()).unwrap_or(record.set);
                self.entry(person, &Statement { net: record.net + delta, set })
            })
            .collect()
    }

    /// A loss that leaves an account with its locked stake, or with one unit less (R3.4).
    fn down_to_the_floor(&mut self) -> Vec<u8> {
        let Some(person) = self.held_back() else { return Vec::new() };
        let record = self.model.account(self.cast.players[person].id);
        let set = record.set.with(record.set.oldest_open()).unwrap_or(record.set);
        let net = record.net + record.locked.signed() - record.equity() - i128::from(self.dice.below(2));
        self.entry(person, &Statement { net, set })
    }

    /// Somebody who has money and a locked stake.
    pub(super) fn held_back(&self) -> Option<usize> {
        (0..self.cast.players.len()).find(|at| {
            let record = self.model.account(self.cast.players[*at].id);
            record.claims == 0 && record.locked.units() > 0 && record.payable() >= record.locked
        })
    }

    /// Somebody, rather on the way out with money in the arena than not.
    fn payee(&mut self) -> usize {
        let leaving = |at: &usize| {
            let record = self.model.account(self.cast.players[*at].id);
            record.special && record.payable().units() > 0
        };
        let leaving: Vec<usize> = (0..self.cast.players.len()).filter(leaving).collect();
        if leaving.is_empty() || self.dice.below(2) == 0 {
            return self.somebody();
        }
        let at = *self.dice.pick(&leaving);
        // After its window what is due is paid first (R3.7).
        if self.dice.below(12) == 0 {
            self.now = self.now.max(self.model.account(self.cast.players[at].id).exit_at);
        }
        at
    }

    fn settle_signed(&mut self) -> Attempt {
        let entries: Vec<u8> = (0..1 + self.dice.below(3))
            .flat_map(|_| {
                let person = self.payee();
                let statement = self.statement(person);
                [&self.entry(person, &statement)[..], &self.receipt(person, &statement).0].concat()
            })
            .collect();
        let entries = self.cut(entries);
        let from = self.anybody();
        self.to_arena(from, &Arena::settleSignedCall { entries })
    }

    fn settle_claimed(&mut self) -> Attempt {
        // Mostly somebody with something to claim.
        let mut person = self.somebody();
        for _ in 0..4 {
            if self.model.account(self.cast.players[person].id).claims > 0 {
                break;
            }
            person = self.somebody();
        }
        let (mut claims, mut statement) = (Vec::new(), self.statement(person));
        let mut set = self.model.account(self.cast.players[person].id).set;
        for at in 0..self.cast.bouts.len() {
            let bout = &self.cast.bouts[at];
            let Some(seat) = bout.seats.iter().position(|seat| *seat == person) else { continue };
            let outcome = self.model.outcome(bout.id);
            let (live, locked) = (outcome.live >> seat & 1 != 0, outcome.locked >> seat & 1 != 0);
            let (index, payouts) = (bout.terms.indexes[seat], self.model.payouts(bout.id).unwrap_or_default());
            if live || (locked && self.dice.below(3) > 0) || self.dice.below(30) == 0 {
                let mut payouts: Vec<U96> = payouts.iter().map(|payout| (*payout).into()).collect();
                if self.dice.below(40) == 0 {
                    payouts.push(U96::ZERO);
                }
                let seat = if self.dice.below(40) == 0 { self.dice.below(9) as u8 } else { seat as u8 };
                claims.push((bout.id, Arena::Claim { terms: (&bout.terms).into(), payouts, seat }));
                if self.dice.below(5) > 0 {
                    set = set.with(index).unwrap_or(set);
                }
            }
        }
        claims.sort_unstable_by_key(|(id, _): &(MatchId, _)| *id);
        if self.dice.below(3) > 0 {
            statement.set = set;
        }
        match self.dice.below(25) {
            0 => claims.reverse(),
            1 => _ = claims.pop(),
            2 => claims.extend(claims.first().cloned()),
            _ => {}
        }
        let mut entry = self.entry(person, &statement);
        if self.dice.below(60) == 0 {
            entry.pop();
        }
        let from = self.operator_or_not();
        let receipt = match self.dice.below(3) {
            0 => Bytes::new(),
            _ => self.receipt(person, &statement).0.into(),
        };
        let claims = claims.into_iter().map(|(_, claim)| claim).collect();
        self.to_arena(from, &Arena::settleClaimedCall { entry: entry.into(), receipt, claims })
    }

    fn conclude(&mut self) -> Attempt {
        let at = self.some_bout();
        let last = self.last(at);
        let bout = self.cast.bouts[at].clone();
        let mut last = bout.nodes[last].state.clone();
        if self.poor && last.payouts.len() == bout.seats.len() {
            // The same ones win again and again, so that nobody's debt pays for what is owed.
            let winner = (0..bout.seats.len()).min_by_key(|seat| bout.seats[*seat]).unwrap_or(0);
            last.payouts.fill(Amount::ZERO);
            last.payouts[winner] = Amount::total(&bout.terms.stakes).unwrap_or_default();
        }
        match self.dice.below(25) {
            0 => last.mover = 0,
            1 => {
                last.payouts[0] =
                    bout.terms.stakes.iter().fold(last.payouts[0], |sum, stake| sum.checked_add(*stake).unwrap_or(sum))
            }
            2 => _ = last.payouts.pop(),
            _ => {}
        }
        let digest = self.model.config().domain.digest(last.hash(bout.id).0);
        let (owners, signatures) = self.everybody(&bout, digest);
        let mut terms = Arena::Match::from(&bout.terms);
        match self.dice.below(50) {
            0 => terms.seats[0] = terms.seats[1],
            1 => terms.seats[0] = Address::ZERO,
            2 => _ = terms.indexes.pop(),
            3 => terms.seeds.push(B256::ZERO),
            4 => terms.salt = B256::ZERO,
            _ => {}
        }
        let from = self.anybody();
        self.to_arena(from, &Arena::concludeCall { terms, last: (&last).into(), owners, signatures })
    }

    fn pool_call(&mut self) -> Attempt {
        let from = self.operator_or_not();
        if self.notice < self.now || self.dice.below(4) == 0 {
            let amount = U96::from(self.dice.below(400));
            self.notice = self.now + u64::from(self.model.config().exit_window);
            return self.to_arena(from, &Arena::requestPoolCall { amount });
        }
        // On to when the notice matures, or to the second before.
        if self.dice.below(3) == 0 {
            self.now = self.notice - u64::from(self.dice.below(3) == 0);
        }
        self.to_arena(from, &Arena::withdrawPoolCall {})
    }

    fn revenue_call(&mut self) -> Attempt {
        if self.dice.below(3) > 0 {
            // On to when fees of now will have matured (R6.13).
            if self.dice.below(6) == 0 {
                self.now += 2 * u64::from(self.model.config().exit_window);
            }
            let beneficiary = match self.dice.below(10) {
                0 => self.model.config().court.address,
                1..=6 => dev_key(0).address(),
                _ => dev_key(9).address(),
            };
            let from = self.anybody();
            return self.to_arena(from, &Arena::claimRevenueCall { beneficiary });
        }
        let count = self.dice.below(10) as usize;
        let mut beneficiaries: Vec<Address> = (0..count).map(|_| self.anybody()).collect();
        let mut points = vec![1; count];
        if let Some(first) = points.first_mut() {
            *first = 10_000 - (count as u16 - 1);
        }
        match self.dice.below(12) {
            0 if count > 0 => points[0] -= 1,
            1 => points.push(1),
            2 if count > 0 => beneficiaries[0] = Address::ZERO,
            3 if count > 1 => points[1] = 0,
            _ => {}
        }
        let from = self.operator_or_not();
        self.to_arena(from, &Arena::proposeSplitCall { beneficiaries, basisPoints: points })
    }

    fn pay_owed(&mut self) -> Attempt {
        let n = match self.dice.below(4) {
            0 => U256::MAX,
            _ => U256::from(self.dice.below(4)),
        };
        let from = self.anybody();
        self.to_arena(from, &Arena::payOwedCall { n })
    }

    /// What changes nothing, or belongs to others.
    fn reading(&mut self) -> Attempt {
        let (from, account) = (self.anybody(), self.cast.players[0].id.0);
        let bout = self.cast.bouts[0].clone();
        match self.dice.below(8) {
            0 => self.to_arena(from, &Arena::accountOfCall { account }),
            1 => self.to_arena(from, &Arena::matchIdCall { terms: (&bout.terms).into() }),
            2 => self.to_arena(from, &Arena::depositTokenCall { account, amount: U96::from(5) }),
            3 => self.to_arena(from, &Arena::fundTokenCall { amount: U96::from(5) }),
            4 => {
                let payouts = bout.terms.stakes.iter().map(|stake| (*stake).into()).collect();
                self.to_arena(from, &Arena::outcomeCall { terms: (&bout.terms).into(), payouts })
            }
            5 => {
                let (id, to) = (bout.id.0, alloy_primitives::FixedBytes::repeat_byte(7));
                self.to_arena(from, &Arena::disputeCall { id, from: alloy_primitives::FixedBytes::ZERO, to })
            }
            6 => {
                let mut attempt = self.to_arena(from, &Arena::poolCall {});
                attempt.data = Bytes::new();
                attempt
            }
            _ => {
                let mut attempt = self.to_arena(from, &Arena::poolCall {});
                let unknown = Bytes::from_static(&[1, 2, 3, 4]);
                attempt.data = [unknown, Arena::poolCall {}.abi_encode().into()].concat().into();
                attempt
            }
        }
    }

    // ---------------------------------------------------------------------------------------------------- statements

    /// What an account might say next; mostly more than it has said.
    pub(super) fn statement(&mut self, person: usize) -> Statement {
        let record = self.model.account(self.cast.players[person].id);
        let mut set = record.set;
        for _ in 0..1 + self.dice.below(2) {
            set = set.with(set.oldest_open() + self.dice.below(4)).unwrap_or(set);
        }
        let through = record.set.through;
        match self.dice.below(24) {
            0 => set = record.set,
            1 => set = SettledSet { through: through.saturating_sub(1), pending: record.set.pending >> 1 },
            2 => set = SettledSet { through: through + self.dice.below(40), pending: self.dice.below(u32::MAX) },
            3 => set.pending |= 1,
            4 if self.dice.below(3) == 0 => {
                set = SettledSet { through: (1 << 26) - 1 + self.dice.below(2), pending: 0 }
            }
            5 => set = SettledSet { through: through + 33 + self.dice.below(3), pending: u32::MAX - 1 },
            _ => {}
        }
        let (equity, locked) = (record.equity(), record.locked.signed());
        let pool = self.model.pool();
        let free = (pool.equity.to::<u128>() as i128) - (pool.owed as i128);
        let small = i128::from(self.dice.below(201)) - 100;
        let delta = match self.dice.below(if locked > 0 { 40 } else { 20 }) {
            20..=30 => locked - equity - 1,
            31..=39 => locked - equity,
            0 => -equity,
            1 => -equity - 1,
            2 => locked - equity,
            3 => locked - equity - 1,
            4 => free,
            5 => free + 1,
            6 => free - equity.min(0),
            7 => free - equity.min(0) + 1,
            8 => 0,
            9 => -equity + 1,
            _ => small,
        };
        let mut net = record.net + delta;
        if self.dice.below(60) == 0 {
            net = *self.dice.pick(&[(1 << 95) - 1, -(1 << 95)]);
        }
        Statement { net: net.clamp(-(1 << 95), (1 << 95) - 1), set }
    }

    pub(super) fn entry(&mut self, person: usize, statement: &Statement) -> Vec<u8> {
        let person = &self.cast.players[person];
        let digest = self.model.config().domain.digest(statement.struct_hash(person.owner));
        let mut signature = sign(&person.key, digest);
        match self.dice.below(80) {
            0 => signature = high(&signature),
            1 => signature = Signature([0; 64]),
            2 => signature.0[7] ^= 1,
            _ => {}
        }
        settle::entry(person.owner, statement, &signature).to_vec()
    }

    /// The operator's signature for a statement; now and then somebody else's.
    pub(super) fn receipt(&mut self, person: usize, statement: &Statement) -> Signature {
        let digest = self.model.config().domain.digest(statement.receipt_hash(self.cast.players[person].id).0);
        match self.dice.below(30) {
            0 => sign(&self.cast.players[person].key, digest),
            1 => high(&sign(&self.cast.operator, digest)),
            _ => sign(&self.cast.operator, digest),
        }
    }

    fn cut(&mut self, mut entries: Vec<u8>) -> Bytes {
        if self.dice.below(50) == 0 {
            entries.truncate(entries.len() - 1 - self.dice.below(60) as usize);
        }
        entries.into()
    }

    fn operator_or_not(&mut self) -> Address {
        if self.dice.below(25) == 0 { self.anybody() } else { dev_key(0).address() }
    }
}
