//! What the hub asks of the chain, and what it is told.
//!
//! The hub never waits for the chain: it puts an [`Ask`] into a queue, and one task works them off.

use matchlock::account::AccountId;
use tokio::sync::oneshot;

use crate::chain::Submission;

pub(crate) use matchlock::chain::{ChainAccount, Pool};

/// Something the hub wants of the chain.
pub(crate) enum Ask {
    /// What the chain says of an account, at depth.
    Record(AccountId, oneshot::Sender<Option<ChainAccount>>),
    /// To get a call of the arena or its court mined.
    Submit(Submission),
    /// The submission of this key is over and dealt with.
    Forget(String),
}
