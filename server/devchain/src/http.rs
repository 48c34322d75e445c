//! JSON-RPC 2.0 over HTTP: bodies, batches, and what a browser needs.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{DevChain, RpcError};

/// The most bytes a request body may have; the largest transaction as hex fits many times.
pub const BODY_BYTES: usize = 4 << 20;

/// The most requests one batch may hold; viem's default batch is this large.
pub const BATCH_REQUESTS: usize = 1_000;

pub(crate) fn router(chain: DevChain) -> Router {
    Router::new().route("/", any(endpoint)).with_state(chain)
}

async fn endpoint(State(chain): State<DevChain>, request: Request<Body>) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        Method::POST => post(chain, request).await,
        _ => (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, "POST, OPTIONS")],
            "This is an Ethereum JSON-RPC endpoint: POST requests to it, or give its address to a wallet.\n",
        )
            .into_response(),
    };
    allow_browsers(response.headers_mut());
    response
}

/// Any page may talk to this chain, as to anvil's: it holds nothing but play money.
fn allow_browsers(headers: &mut HeaderMap) {
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    for (name, value) in allowed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Chrome asks before a public page may reach a machine on the local network.
    headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
}

async fn post(chain: DevChain, request: Request<Body>) -> Response {
    let body = match to_bytes(request.into_body(), BODY_BYTES).await {
        Ok(body) => body,
        Err(_) => {
            let error = RpcError::new(
                RpcError::INVALID_REQUEST,
                format!("request body cut off or larger than {BODY_BYTES} bytes; send smaller batches"),
            );
            return (StatusCode::PAYLOAD_TOO_LARGE, json_body(&failure(Value::Null, &error))).into_response();
        }
    };
    let answer = tokio::task::spawn_blocking(move || answer(&chain, &body)).await;
    match answer {
        Ok(Some(answer)) => json_body(&answer),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::error!(%error, "development chain request");
            let error = RpcError::new(RpcError::INTERNAL, "internal error; see the server's log");
            json_body(&failure(Value::Null, &error))
        }
    }
}

fn json_body(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// Answers a body; `None` when it held nothing but notifications.
fn answer(chain: &DevChain, body: &[u8]) -> Option<Value> {
    let refuse = |code, message: String| Some(failure(Value::Null, &RpcError::new(code, message)));
    let request: Value = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return refuse(RpcError::PARSE, format!("parse error: {error}")),
    };
    let Value::Array(batch) = request else {
        return answer_one(chain, request);
    };
    if batch.is_empty() {
        return refuse(RpcError::INVALID_REQUEST, "empty batch".into());
    }
    if batch.len() > BATCH_REQUESTS {
        let message =
            format!("batch of {} requests; at most {BATCH_REQUESTS} are allowed, send several batches", batch.len());
        return refuse(RpcError::INVALID_REQUEST, message);
    }
    let answers: Vec<Value> = batch.into_iter().filter_map(|request| answer_one(chain, request)).collect();
    (!answers.is_empty()).then_some(Value::Array(answers))
}

#[derive(Deserialize)]
struct Call {
    jsonrpc: Option<String>,
    method: String,
    #[serde(default)]
    params: Value,
}

fn answer_one(chain: &DevChain, request: Value) -> Option<Value> {
    let id = request.get("id").cloned();
    let refuse = |message: String| {
        let error = RpcError::new(RpcError::INVALID_REQUEST, message);
        Some(failure(id.clone().unwrap_or_default(), &error))
    };
    if !matches!(id, None | Some(Value::Null | Value::Number(_) | Value::String(_))) {
        return Some(failure(
            Value::Null,
            &RpcError::new(RpcError::INVALID_REQUEST, "`id` must be a number or a string"),
        ));
    }
    let call: Call = match serde_json::from_value(request) {
        Ok(call) => call,
        Err(error) => return refuse(format!("invalid request: {error}")),
    };
    if call.jsonrpc.as_deref() != Some("2.0") {
        return refuse("invalid request: `jsonrpc` must be \"2.0\"".into());
    }
    let result = chain.request_blocking(&call.method, call.params);
    // A request without an id is a notification: it is carried out and not answered.
    let id = id?;
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(id, &error),
    })
}

fn failure(id: Value, error: &RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}
