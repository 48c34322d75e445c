//! What answers requests to a chain.

use std::{boxed::Box, future::Future, pin::Pin, string::String, sync::Arc};

use serde_json::Value;

/// An answer on its way.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Value, ProviderError>> + Send + 'a>>;

/// Answers JSON-RPC requests: EIP-1193's `request`.
pub trait Provider: Send + Sync {
    /// Asks `method` with `params`.
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a>;
}

impl<P: Provider + ?Sized> Provider for &P {
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a> {
        (**self).request(method, params)
    }
}

impl<P: Provider + ?Sized> Provider for Arc<P> {
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a> {
        (**self).request(method, params)
    }
}

impl<P: Provider + ?Sized> Provider for Box<P> {
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a> {
        (**self).request(method, params)
    }
}

/// A request was not answered as it should.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// Not the address of an endpoint.
    #[error("{url:?} is no RPC endpoint ({reason}): give one like http://127.0.0.1:8545")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers there.
    #[error("the node at {url} cannot be reached ({reason}): check that it runs and that the URL is right")]
    Unreachable {
        /// The endpoint.
        url: String,
        /// How it failed.
        reason: String,
    },
    /// No answer in time.
    #[error("the node did not answer {method} within {seconds} s: try again, or use another node")]
    Timeout {
        /// What was asked.
        method: String,
        /// How long it had.
        seconds: u64,
    },
    /// The person at the wallet said no (EIP-1193's 4001).
    #[error("the request was rejected in the wallet: confirm it there to go on")]
    Rejected,
    /// The node or the wallet says no.
    #[error("{message} (code {code})")]
    Rpc {
        /// JSON-RPC's, EIP-1193's or EIP-1474's code.
        code: i64,
        /// In the node's words.
        message: String,
        /// For a revert, its data.
        data: Option<Value>,
    },
    /// An answer that is none.
    #[error(
        "the answer to {method} makes no sense ({reason}): check that the URL is an Ethereum node's JSON-RPC endpoint"
    )]
    Malformed {
        /// What was asked.
        method: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More than is read.
    #[error("the answer to {method} exceeds {limit} bytes: ask for less at a time")]
    TooLarge {
        /// What was asked.
        method: String,
        /// The most that is read.
        limit: usize,
    },
}

impl ProviderError {
    /// EIP-1193: the user rejected the request.
    pub const USER_REJECTED: i64 = 4001;
    /// EIP-1193: the account is not one of the wallet's.
    pub const UNAUTHORIZED: i64 = 4100;
    /// The parameters do not fit the method.
    pub const INVALID_PARAMS: i64 = -32602;

    /// What the `error` of an answer says.
    pub fn from_rpc(code: i64, message: String, data: Option<Value>) -> ProviderError {
        if code == Self::USER_REJECTED { Self::Rejected } else { Self::Rpc { code, message, data } }
    }

    /// Whether the node was there and understood: asking again will not help.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Rpc { .. } | Self::Rejected)
    }
}
