//! Calls of the arena on the way out: withdrawals, exits, locks.

use alloy_primitives::{Address, Bytes, aliases::U96};
use matchlock::{
    abi::{Arena, Exit, Receipt, Withdrawal},
    game::Amount,
    settle,
    sign::Signer,
};

use super::{Attempt, Play, cast::sign};

impl Play {
    pub(super) fn leave(&mut self) -> Attempt {
        let leaving = self.cast.players.iter().any(|person| self.model.account(person.id).special);
        match self.dice.below(20) {
            4 | 5 => self.exit(),
            6..=13 if leaving => self.lock(),
            14 | 15 if leaving => self.release(),
            16..=19 if leaving => self.finish_exit(),
            0..=3 => self.withdraw(),
            _ => self.pay(),
        }
    }

    fn withdraw(&mut self) -> Attempt {
        let at = self.somebody();
        let person = self.cast.players[at].clone();
        let record = self.model.account(person.id);
        let amount = match self.dice.below(6) {
            0 => record.free().units() + 1,
            1 => record.free().units(),
            2 => 0,
            3 => record.payable().units(),
            _ => self.dice.below(200).into(),
        };
        let total = (record.withdrawn.units() + amount).min(Amount::MAX.units());
        let mut withdrawal = Withdrawal {
            account: person.id,
            total: Amount::new(total).expect("capped"),
            deadline: self.now + u64::from(self.dice.below(20)),
            receipt: record.statement().receipt_hash(person.id),
        };
        match self.dice.below(12) {
            0 => withdrawal.deadline = self.now - 1,
            1 => withdrawal.receipt = Receipt::default(),
            _ => {}
        }
        let digest = self.model.config().domain.digest(withdrawal.struct_hash());
        let mut by_account = sign(&person.key, digest).0.to_vec();
        let mut by_operator = sign(&self.cast.operator, digest).0.to_vec();
        match self.dice.below(40) {
            0 => by_account.push(0),
            1 => _ = by_operator.pop(),
            2 => by_account = by_operator.clone(),
            3 => by_operator = by_account.clone(),
            _ => {}
        }
        let call = Arena::withdrawCall {
            owner: person.owner,
            key: person.key.address(),
            total: U96::from(total),
            deadline: withdrawal.deadline,
            accountSig: by_account.into(),
            operatorSig: by_operator.into(),
        };
        let from = self.anybody();
        self.to_arena(from, &call)
    }

    fn exit(&mut self) -> Attempt {
        let at = self.somebody();
        let person = self.cast.players[at].clone();
        let (mut entry, mut receipt) = (Bytes::new(), Receipt::default());
        if self.dice.below(3) > 0 {
            let statement = self.statement(at);
            receipt = statement.receipt_hash(person.id);
            let signature = self.receipt(at, &statement);
            entry = settle::exit_entry(&statement, &signature).into();
            if self.dice.below(30) == 0 {
                entry = entry.slice(1..);
            }
        }
        let nonce = self.model.account(person.id).nonce + u64::from(self.dice.below(15) == 0);
        let order = Exit { account: person.id, receipt, nonce };
        let digest = self.model.config().domain.digest(order.struct_hash());
        let mut signature = sign(&person.key, digest).0.to_vec();
        if self.dice.below(40) == 0 {
            signature.pop();
        }
        let from = if self.dice.below(2) == 0 { self.sender(person.owner) } else { self.anybody() };
        let call = Arena::exitCall { owner: person.owner, key: person.key.address(), entry, exitSig: signature.into() };
        self.to_arena(from, &call)
    }

    fn lock(&mut self) -> Attempt {
        let (at, seat) = match self.locked() {
            Some(again) if self.dice.below(6) == 0 => again,
            _ => self.seat(),
        };
        let bout = self.cast.bouts[at].clone();
        let (owners, signatures) = self.everybody(&bout, bout.id.0);
        let from = self.anybody();
        self.to_arena(from, &Arena::lockCall { terms: (&bout.terms).into(), seat, owners, signatures })
    }

    /// Somebody with money leaves in mid-match, the stake is kept back, and then what was lost is settled (R3.4).
    pub(super) fn hold_back(&mut self) -> Option<Attempt> {
        if self.dice.below(2) == 0 && self.held_back().is_some() {
            return Some(self.settle());
        }
        let seats =
            self.cast.bouts.iter().enumerate().flat_map(|(at, bout)| (0..bout.seats.len()).map(move |seat| (at, seat)));
        let can_be_held = |(at, seat): &(usize, usize)| {
            let bout = &self.cast.bouts[*at];
            let (record, outcome) = (self.model.account(bout.terms.seats[*seat]), self.model.outcome(bout.id));
            let runs = outcome.status == 0 && outcome.locked >> seat & 1 == 0 && self.now <= bout.terms.expiry;
            let pays = record.claims == 0 && record.free() >= bout.terms.stakes[*seat];
            runs && pays && (!record.special || self.now < record.exit_at)
        };
        let found: Vec<(usize, usize)> = seats.filter(can_be_held).collect();
        let (at, seat) = *found.first()?;
        let bout = self.cast.bouts[at].clone();
        if self.model.account(bout.terms.seats[seat]).special {
            let (owners, signatures) = self.everybody(&bout, bout.id.0);
            let call = Arena::lockCall { terms: (&bout.terms).into(), seat: seat as u8, owners, signatures };
            let from = self.anybody();
            return Some(self.to_arena(from, &call));
        }
        let person = self.cast.players[bout.seats[seat]].clone();
        let nothing = Bytes::new();
        let call = Arena::exitCall {
            owner: person.owner,
            key: person.key.address(),
            entry: nothing.clone(),
            exitSig: nothing,
        };
        Some(self.to_arena(person.owner, &call)).filter(|_| person.owner == self.sender(person.owner))
    }

    fn release(&mut self) -> Attempt {
        let (at, seat) = self.seat();
        self.release_of(at, seat)
    }

    /// A dispute outlives the expiry, and so do the stakes in it (R7.14): disputes a match with a locked stake, waits until it
    /// is past its expiry, asks for the stake.
    pub(super) fn outlive(&mut self) -> Option<Attempt> {
        let (at, seat) = self.locked()?;
        let bout = &self.cast.bouts[at];
        let (status, expiry) = (self.model.outcome(bout.id).status, bout.terms.expiry);
        if status == 0 {
            return Some(self.challenge(at));
        }
        self.now = self.now.max(expiry + 1);
        Some(self.release_of(at, seat))
    }

    /// A match and its first seat with a locked stake.
    fn locked(&self) -> Option<(usize, u8)> {
        let locked = |at: usize| self.model.outcome(self.cast.bouts[at].id).locked;
        let at = (0..self.cast.bouts.len()).rev().find(|at| locked(*at) != 0)?;
        Some((at, locked(at).trailing_zeros() as u8))
    }

    fn release_of(&mut self, at: usize, seat: u8) -> Attempt {
        let terms = (&self.cast.bouts[at].terms).into();
        let from = self.anybody();
        self.to_arena(from, &Arena::releaseCall { terms, seat })
    }

    fn finish_exit(&mut self) -> Attempt {
        let mut at = self.somebody();
        for _ in 0..8 {
            let record = self.model.account(self.cast.players[at].id);
            if record.special && record.free().units() > 0 {
                break;
            }
            at = self.somebody();
        }
        let person = self.cast.players[at].clone();
        let exit_at = self.model.account(person.id).exit_at;
        // The window's first moment after its end, or the one before.
        if exit_at > self.now && self.dice.below(6) == 0 {
            self.now = (exit_at - u64::from(self.dice.below(3) == 0)).max(self.now);
        }
        let from = self.anybody();
        self.to_arena(from, &Arena::finishExitCall { owner: person.owner, key: person.key.address() })
    }

    /// Some seat of some match, mostly of somebody who is leaving.
    fn seat(&mut self) -> (usize, u8) {
        let mut found = (0, 0);
        for _ in 0..6 {
            let at = self.some_bout();
            let beyond = u32::from(self.dice.below(30) == 0);
            let bout = &self.cast.bouts[at];
            let seat = self.dice.below(bout.seats.len() as u32 + beyond) as u8;
            found = (at, seat);
            let leaving = bout.terms.seats.get(usize::from(seat)).map(|id| {
                let (record, outcome) = (self.model.account(*id), self.model.outcome(bout.id));
                record.exit_at > self.now || outcome.locked != 0
            });
            if leaving.unwrap_or(true) {
                break;
            }
        }
        found
    }

    /// The owner, where it is a wallet that the chain signs for.
    fn sender(&mut self, owner: Address) -> Address {
        if owner == self.model.config().court.address { self.anybody() } else { owner }
    }
}
