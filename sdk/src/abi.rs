//! What is signed and what the contract is called with, in one place (section 4).

mod arena;
mod trial;
mod typed;

pub use arena::{Arena, Court, Referee};
pub use trial::{MAX_BUDGET, Trial};
pub(crate) use typed::digest;
pub use typed::{
    Arrival, Domain, Exit, Login, MatchId, MatchTerms, OVER, Receipt, Ruling, State, StateHash, Statement, TermsError,
    Withdrawal,
};
