//! Accounts: who plays, and which of its matches are settled.

use core::fmt;

use alloy_primitives::{Address, keccak256};
use serde::{Deserialize, Serialize};

/// Matches that may stay open behind the newest settled one (section 3).
pub const WINDOW: u32 = 32;
/// `through` is below this (R3.6).
pub const MAX_THROUGH: u32 = 1 << 26;

/// Id of an account: the hash of owner and account key (R2.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub Address);

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A wallet and the account key that plays for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Player {
    /// The wallet that gets the money (R2.1).
    pub owner: Address,
    /// Signs in play, without a pop-up (R2.2).
    pub key: Address,
}

impl Player {
    /// The account of the two.
    pub fn account(&self) -> AccountId {
        let mut preimage = [0u8; 40];
        preimage[..20].copy_from_slice(self.owner.as_slice());
        preimage[20..].copy_from_slice(self.key.as_slice());
        AccountId(Address::from_word(keccak256(preimage)))
    }
}

/// Which of an account's matches are settled: all below `through`, but for those whose bit is set in `pending`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SettledSet {
    /// One more than the newest settled match's index.
    pub through: u32,
    /// Bit k set: match `through - 1 - k` is still open.
    pub pending: u32,
}

/// A match that cannot be settled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// It is in the set already.
    #[error("match {index} is settled already")]
    Settled {
        /// The match's index.
        index: u32,
    },
    /// An older open match would fall out of the window and never be settled (R6.4).
    #[error("match {index} cannot be settled before match {open}, which is more than {WINDOW} behind")]
    OutOfWindow {
        /// The match's index.
        index: u32,
        /// The open match that would be lost.
        open: u32,
    },
    /// The account has played all the matches that it can (R3.6).
    #[error("an account has at most {MAX_THROUGH} matches; open another account")]
    Exhausted,
}

impl SettledSet {
    /// Whether the match is settled.
    pub fn contains(&self, index: u32) -> bool {
        index < self.through && {
            let behind = self.through - 1 - index;
            behind >= WINDOW || self.pending & (1 << behind) == 0
        }
    }

    /// The oldest match that is not settled.
    pub fn oldest_open(&self) -> u32 {
        match self.pending {
            0 => self.through,
            pending => self.through - 1 - pending.ilog2(),
        }
    }

    /// The set with one more match.
    ///
    /// # Errors
    /// It is there already, or an open one would fall out of the window.
    pub fn with(&self, index: u32) -> Result<SettledSet, SetError> {
        if self.contains(index) {
            return Err(SetError::Settled { index });
        }
        if index < self.through {
            return Ok(SettledSet { pending: self.pending & !(1 << (self.through - 1 - index)), ..*self });
        }
        if index >= MAX_THROUGH - 1 {
            return Err(SetError::Exhausted);
        }
        let open = self.oldest_open();
        if index - open >= WINDOW {
            return Err(SetError::OutOfWindow { index, open });
        }
        // `index - through` matches in between stay open; the new one's own bit is clear.
        let shift = index + 1 - self.through;
        let pending = (u64::from(self.pending) << shift) | ((1u64 << shift) - 1) & !1;
        Ok(SettledSet { through: index + 1, pending: pending as u32 })
    }

    /// Whether this set holds all of `older` and more: what a statement must do to be settled over it (R6.7).
    pub fn exceeds(&self, older: &SettledSet) -> bool {
        if self.through < older.through || self == older || !self.is_canonical() {
            return false;
        }
        let still_open = self.pending.checked_shr(self.through - older.through).unwrap_or(0);
        still_open & !older.pending == 0
    }

    /// Whether this is the one spelling of the set that may be signed (R6.7): `through` is the highest settled index + 1, so
    /// that bit 0 of `pending` is clear, and no bit stands for a match before the first.
    pub fn is_canonical(&self) -> bool {
        let before_the_first = self.pending.checked_shr(self.through).unwrap_or(0);
        self.through < MAX_THROUGH && before_the_first == 0 && self.pending & 1 == 0
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;
    use crate::local::Dice;

    fn members(set: &SettledSet) -> BTreeSet<u32> {
        (0..set.through).filter(|index| set.contains(*index)).collect()
    }

    #[test]
    fn a_set_agrees_with_a_plain_set_over_random_insertions() {
        for seed in 0..200 {
            let mut dice = Dice::new(seed);
            let (mut set, mut plain) = (SettledSet::default(), BTreeSet::new());
            for _ in 0..300 {
                let index = set.oldest_open() + dice.below(40);
                let before = set;
                match set.with(index) {
                    Ok(grown) => {
                        assert!(plain.insert(index), "seed {seed}");
                        assert!(grown.exceeds(&before) && !before.exceeds(&grown) && !grown.exceeds(&grown));
                        set = grown;
                    }
                    Err(SetError::Settled { .. }) => assert!(plain.contains(&index), "seed {seed}"),
                    Err(SetError::OutOfWindow { open, .. }) => {
                        assert!(!plain.contains(&open) && index - open >= WINDOW, "seed {seed}");
                    }
                    Err(SetError::Exhausted) => unreachable!(),
                }
                assert_eq!(members(&set), plain, "seed {seed}");
                assert!(set.is_canonical());
            }
        }
    }

    #[test]
    fn exceeding_is_strict_inclusion() {
        for seed in 0..2_000 {
            let mut dice = Dice::new(seed);
            let mut random = || {
                let through = dice.below(40);
                let pending = dice.below(u32::MAX) & ((1u64 << through.min(32)) - 1) as u32;
                SettledSet { through, pending: pending & !1 }
            };
            let (a, b) = (random(), random());
            let strict = members(&a) != members(&b) && members(&a).is_superset(&members(&b));
            // A set whose newest match is open has a second spelling with a larger `through`, which nobody signs.
            assert_eq!(a.exceeds(&b), strict, "seed {seed}: {a:?} {b:?}");
        }
    }

    #[test]
    fn a_set_has_one_spelling() {
        let set = SettledSet { through: 3, pending: 0b010 };
        assert!(set.is_canonical() && set.exceeds(&SettledSet::default()));
        let open_above = SettledSet { through: 4, pending: 0b101 };
        assert_eq!(members(&set), members(&open_above));
        let before_the_first = SettledSet { through: 3, pending: 0b1000 };
        let too_many = SettledSet { through: MAX_THROUGH, pending: 0 };
        for other in [open_above, before_the_first, too_many] {
            assert!(!other.is_canonical(), "{other:?}");
            assert!(!other.exceeds(&SettledSet::default()), "{other:?} is not to be signed");
        }
    }

    #[test]
    fn an_exhausted_account_says_so() {
        let set = SettledSet { through: MAX_THROUGH - 1, pending: 0 };
        assert_eq!(set.with(MAX_THROUGH - 1), Err(SetError::Exhausted));
    }
}
