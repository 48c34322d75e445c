//! What the hub asks of the chain, and what it is told.
//!
//! The hub never waits for the chain: it puts an [`Ask`] into a queue, and one task works them off.

use alloy_primitives::{Address, U256};
use matchlock::account::AccountId;
use tokio::sync::oneshot;

pub(crate) use matchlock::chain::{ChainAccount, Pool};

/// Something the hub wants of the chain.
pub(crate) enum Ask {
    /// What the chain says of an account, at depth.
    Record(AccountId, oneshot::Sender<Option<ChainAccount>>),
    /// To get a call mined, under this key.
    Submit {
        /// Names it; the same key is never sent twice.
        key: String,
        /// The contract: the arena, or its court.
        to: Address,
        /// The call.
        calldata: Vec<u8>,
        /// What it brings, in the native coin.
        value: U256,
    },
    /// The submission of this key is over and dealt with.
    Forget(String),
}
