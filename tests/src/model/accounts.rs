//! Accounts: what each has, and which of its matches are settled (section 3).

use matchlock::{
    account::{AccountId, SettledSet, WINDOW},
    chain::{ArenaRefusal, ChainAccount, Revert},
    game::Amount,
};

use super::{Model, require};

/// The most that a signed amount can be: 2^95 - 1 (R3.6).
pub(super) const MAX_FUNDS: i128 = (1 << 95) - 1;
/// The least.
const MIN_FUNDS: i128 = -(1 << 95);
/// Claims that an account can have at once (R6.11).
pub(super) const MAX_CLAIMS: u8 = 31;

/// Both records of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Deposits less withdrawals, and outcomes that no statement has absorbed.
    pub(super) funds: i128,
    /// The newest settled statement's word.
    pub(super) net: i128,
    /// The matches that it settled.
    pub(super) set: SettledSet,
    /// Outcomes that no statement has absorbed (R6.10).
    pub(super) claims: u8,
    /// All withdrawals ever.
    pub(super) withdrawn: u128,
    /// Stakes kept back in an exit.
    pub(super) locked: u128,
    /// When the exit window ends; `None` before an exit.
    pub(super) exit_at: Option<u64>,
    /// Exits asked for so far.
    pub(super) exits: u64,
}

impl Account {
    /// R3.1.
    pub(super) fn equity(&self) -> i128 {
        self.funds + self.net
    }

    /// R3.2.
    pub(super) fn payable(&self) -> u128 {
        self.equity().max(0).unsigned_abs()
    }

    /// What it owes the pool (R3.1).
    pub(super) fn debt(&self) -> u128 {
        self.equity().min(0).unsigned_abs()
    }

    /// What can be paid out now (R3.4).
    pub(super) fn free(&self) -> u128 {
        self.payable().saturating_sub(self.locked)
    }

    /// With so much more in its funds.
    pub(super) fn moved(self, delta: i128) -> Result<Account, Revert> {
        let funds = self.funds + delta;
        require((MIN_FUNDS..=MAX_FUNDS).contains(&funds), ArenaRefusal::TooMuch {})?;
        Ok(Account { funds, ..self })
    }

    pub(super) fn shown(&self) -> ChainAccount {
        let amount = |units| Amount::new(units).expect("kept below 2^96");
        ChainAccount {
            funds: self.funds,
            net: self.net,
            set: self.set,
            claims: self.claims,
            special: self.exit_at.is_some(),
            withdrawn: amount(self.withdrawn),
            locked: amount(self.locked),
            exit_at: self.exit_at.unwrap_or(0),
            nonce: self.exits,
        }
    }
}

impl Model {
    pub(super) fn record(&self, id: AccountId) -> Account {
        self.accounts.get(&id).copied().unwrap_or_default()
    }

    /// Puts a record in the place of the one before: money that moves in or out, or none.
    pub(super) fn keep(&mut self, id: AccountId, account: Account) {
        self.accounts.insert(id, account);
    }

    /// Puts a record in the place of the one before; the pool changes by the opposite change of what it can pay (R3.2).
    pub(super) fn transfer(&mut self, id: AccountId, account: Account) -> Result<(), Revert> {
        let (before, after) = (self.record(id).payable(), account.payable());
        self.keep(id, account);
        if after < before { self.pool.receive(before - after) } else { self.pool.pay(after - before) }
    }
}

/// Whether a statement's set strictly contains the settled one (R6.7). As sets of all integers: a match before the first is
/// in every set, so one that a bit leaves open there is missing.
pub(super) fn grows(old: &SettledSet, new: &SettledSet) -> bool {
    // A set whose newest matches are all open has more than one spelling, and only those with as large a `through` count.
    if new.through < old.through {
        return false;
    }
    // Everything below is in both, and whatever is in between above is in the new one alone.
    let (window, through) = (i64::from(WINDOW), i64::from(old.through));
    let mut more = false;
    for index in through - window..(through + window + 1).min(new.through.into()) {
        match (contains(old, index), contains(new, index)) {
            (true, false) => return false,
            (false, true) => more = true,
            _ => {}
        }
    }
    more
}

fn contains(set: &SettledSet, index: i64) -> bool {
    let behind = i64::from(set.through) - 1 - index;
    behind >= 0 && (behind >= i64::from(WINDOW) || set.pending & (1 << behind) == 0)
}

#[cfg(test)]
mod tests {
    use matchlock::local::Dice;

    use super::*;

    #[test]
    fn on_the_spellings_that_are_signed_growing_is_what_the_sdk_says() {
        let mut both = [0; 2];
        for seed in 0..3_000 {
            let mut dice = Dice::new(seed);
            let mut random = || {
                let mut set = SettledSet::default();
                for _ in 0..dice.below(6) {
                    set = set.with(set.oldest_open() + dice.below(5)).unwrap_or(set);
                }
                set
            };
            let (old, new) = (random(), random());
            assert_eq!(grows(&old, &new), new.exceeds(&old), "seed {seed}: {old:?} {new:?}");
            both[usize::from(grows(&old, &new))] += 1;
        }
        assert!(both.iter().all(|count| *count > 300), "{both:?}");
    }

    #[test]
    fn an_open_match_before_the_first_makes_a_set_malformed() {
        let malformed = SettledSet { through: 3, pending: 0b1000 };
        assert!(!grows(&SettledSet::default(), &malformed));
        assert!(grows(&SettledSet::default(), &SettledSet { through: 3, pending: 0b110 }));
        assert!(grows(&SettledSet::default(), &SettledSet { through: 100, pending: u32::MAX }));
        assert!(!grows(&SettledSet::default(), &SettledSet { through: 30, pending: u32::MAX >> 2 }));
    }
}
