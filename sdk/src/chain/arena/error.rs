//! Why there is no arena, and why a call to one did not do what it was to do.

use std::string::String;

use alloy_primitives::{Address, B256};

use crate::chain::{ProviderError, Revert};

/// There is no arena where one should be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// The chain could not be read.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Nothing there.
    #[error("there is no contract at {arena} on chain {chain_id}: check the address, and that it is of this chain")]
    NoCode {
        /// The address.
        arena: Address,
        /// The chain.
        chain_id: u64,
    },
    /// Something else there.
    #[error("the contract at {arena} is no Matchlock arena of version 1 ({reason}): check the address")]
    NotAnArena {
        /// The address.
        arena: Address,
        /// What gives it away.
        reason: String,
    },
}

/// A call to the arena did not do what it was to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The chain could not be asked, or the wallet refuses.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The contract refuses. Nothing was sent.
    #[error(transparent)]
    Refused(#[from] Revert),
    /// It was mined and reverted: it cost gas and changed nothing.
    #[error("transaction {hash} reverted: {revert}")]
    Reverted {
        /// The transaction.
        hash: B256,
        /// Why.
        revert: Revert,
    },
    /// It was sent and is not mined yet; it may still be.
    #[error("transaction {hash} was not mined within {seconds} s: it may still be, so look before you try again")]
    Pending {
        /// The transaction.
        hash: B256,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The wallet shows no account.
    #[error("the wallet has no account: unlock it, or connect it to this site")]
    NoAccount,
    /// The arena was deployed without a court.
    #[error("this arena has no court: its matches cannot be disputed")]
    NoCourt,
    /// More than fits.
    #[error("an amount exceeds 96 bits")]
    TooMuch,
}
