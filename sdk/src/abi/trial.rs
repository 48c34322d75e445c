//! Who judges a contested move, as the terms say it.

use alloy_primitives::Address;

use super::MatchTerms;
use crate::rules::Rules;

/// Most gas that a court lets terms promise for one move: with more, it takes the match for one that arbiters rule on.
pub const MAX_BUDGET: u64 = 10_000_000;

/// Who re-runs a contested move, and with how much gas (R7.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The contract; zero for arbiters.
    pub referee: Address,
    /// Gas that one move may take; 0 for arbiters.
    pub budget: u64,
}

impl Trial {
    /// What these rules call for in an arena whose court has this referee; zero: there is none, and arbiters rule. Nobody honest
    /// proposes or signs terms with anything else.
    pub fn of(rules: &dyn Rules, referee: Address) -> Trial {
        // A contest brings the code that the terms name: rules with another id could never be tried.
        let on_chain = rules
            .on_chain()
            .filter(|on_chain| on_chain.hash == rules.id().0 && on_chain.budget <= MAX_BUDGET && !referee.is_zero());
        match on_chain {
            Some(on_chain) => Trial { referee, budget: on_chain.budget },
            None => Trial { referee: Address::ZERO, budget: 0 },
        }
    }
}

impl MatchTerms {
    /// Who judges a contested move of this match.
    pub fn trial(&self) -> Trial {
        Trial { referee: self.referee, budget: self.budget }
    }
}
