//! An RPC endpoint over HTTP.

use core::time::Duration;
use std::{
    borrow::ToOwned,
    boxed::Box,
    error::Error,
    format,
    string::{String, ToString},
    sync::atomic::{AtomicU64, Ordering},
    vec::Vec,
};

use reqwest::{Client, Url, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Provider, ProviderError};

/// How long an endpoint has for an answer, unless told otherwise.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// The most that is read of one answer: several times what a node returns for the widest range of logs.
pub const ANSWER_LIMIT: usize = 32 << 20;

/// An RPC endpoint.
///
/// `https://` endpoints need the feature `tls`.
#[derive(Debug)]
pub struct HttpProvider {
    url: Url,
    client: Client,
    timeout: Duration,
    limit: usize,
    next: AtomicU64,
}

impl HttpProvider {
    /// The endpoint at `url`; nothing is sent yet.
    ///
    /// # Errors
    /// The URL is none, or of a kind that this build cannot use.
    pub fn new(url: &str) -> Result<HttpProvider, ProviderError> {
        let (url, client) = endpoint(url).map_err(|reason| ProviderError::Url { url: url.to_owned(), reason })?;
        Ok(HttpProvider { url, client, timeout: REQUEST_TIMEOUT, limit: ANSWER_LIMIT, next: AtomicU64::new(1) })
    }

    /// Waits so long for each answer.
    pub fn with_timeout(mut self, timeout: Duration) -> HttpProvider {
        self.timeout = timeout;
        self
    }

    /// Reads at most so many bytes of each answer.
    pub fn with_limit(mut self, limit: usize) -> HttpProvider {
        self.limit = limit;
        self
    }

    async fn exchange(&self, method: &str, params: Value) -> Result<Value, ProviderError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        let request = self
            .client
            .post(self.url.clone())
            .timeout(self.timeout)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let failed = |error: reqwest::Error| self.failed(method, &error);
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > self.limit {
                return Err(ProviderError::TooLarge { method: method.to_owned(), limit: self.limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        let malformed = |reason: String| ProviderError::Malformed { method: method.to_owned(), reason };
        // Some nodes send a JSON-RPC error with an HTTP status to match; it says more than the status.
        match serde_json::from_slice::<Envelope>(&bytes) {
            Ok(Envelope { error: Some(error), .. }) => {
                Err(ProviderError::from_rpc(error.code, error.message, error.data))
            }
            Ok(_) | Err(_) if status.as_u16() == 429 || status.is_server_error() => {
                let reason = format!("it answers with HTTP status {status}");
                Err(ProviderError::Unreachable { url: self.shown(), reason })
            }
            Ok(_) | Err(_) if !status.is_success() => Err(malformed(format!("HTTP status {status}"))),
            Ok(envelope) if envelope.id != Some(json!(id)) => Err(malformed("it answers another request".to_owned())),
            Ok(envelope) => Ok(envelope.result),
            Err(error) => Err(malformed(error.to_string())),
        }
    }

    fn failed(&self, method: &str, error: &reqwest::Error) -> ProviderError {
        if error.is_timeout() {
            return ProviderError::Timeout { method: method.to_owned(), seconds: self.timeout.as_secs() };
        }
        ProviderError::Unreachable { url: self.shown(), reason: cause(error) }
    }

    /// The URL without what may be a secret: many providers put their key into the path.
    fn shown(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }
}

/// What talks to the HTTP server of this URL, or why nothing can.
pub(crate) fn endpoint(url: &str) -> Result<(Url, Client), String> {
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    match parsed.scheme() {
        "http" => {}
        "https" if cfg!(feature = "tls") => {}
        "https" => return Err("this build has no TLS; build with the feature `tls`".to_owned()),
        other => return Err(format!("{other}:// is neither http:// nor https://")),
    }
    // No proxy: the endpoint is where the URL says. No redirects: they would turn POST into GET.
    let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
    Ok((parsed, client.map_err(|error| error.to_string())?))
}

/// The innermost cause says what happened; the outer ones repeat the URL, which may hold a secret.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl Provider for HttpProvider {
    fn request<'a>(&'a self, method: &'a str, params: Value) -> Answer<'a> {
        Box::pin(self.exchange(method, params))
    }
}

#[derive(Deserialize)]
struct Envelope {
    id: Option<Value>,
    #[serde(default)]
    result: Value,
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    #[serde(default)]
    message: String,
    data: Option<Value>,
}
