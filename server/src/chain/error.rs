//! What can go wrong with the chain.

use alloy_primitives::{Address, B256};
use matchlock::{
    chain::{ArenaError, ProviderError, Revert},
    sign::SignerError,
};

/// The chain could not be read, or is not the one that was meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The node does not answer, or refuses.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The node is on another chain.
    #[error("the node is on chain {found}, not on chain {expected}: check the RPC URL and the chain id")]
    WrongChain {
        /// The chain that was meant.
        expected: u64,
        /// The node's.
        found: u64,
    },
    /// No contract there, or another one.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// The key is not this arena's operator's.
    #[error("the arena's operator is {found}, the key given is that of {given}: use the operator's key")]
    WrongOperator {
        /// Address of the key given.
        given: Address,
        /// The arena's operator.
        found: Address,
    },
    /// The outbox failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The key does not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// No randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(String),
    /// The deployment reverted.
    #[error("the arena was not deployed: {0}")]
    Deployment(Revert),
    /// The deployment was sent and is not mined.
    #[error("the deployment {tx} has not been mined after {seconds} s: look it up before you deploy again")]
    DeploymentPending {
        /// The transaction.
        tx: B256,
        /// How long it was waited for.
        seconds: u64,
    },
}

/// The outbox failed; what was stored before is still there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox failed: {0}")]
pub struct OutboxError(pub String);

/// A submission was not taken. Nothing was sent, and nothing will be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The key names another transaction.
    #[error("{0:?} is the key of another transaction")]
    KeyTaken(String),
    /// Too many wait.
    #[error("{0} transactions are waiting already")]
    Full(usize),
    /// Too large for a node to take.
    #[error("{given} bytes of calldata; a node takes at most {limit}")]
    Calldata {
        /// What was given.
        given: usize,
        /// What is possible.
        limit: usize,
    },
    /// It could not be made durable.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The sender has been shut down.
    #[error("the sender has been shut down")]
    Closed,
}
