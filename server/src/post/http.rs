//! HTTP of a post: what is entrusted, what is held, what is in dispute.

use std::{net::SocketAddr, sync::Arc};

use alloy_primitives::B256;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{self, get},
};
use matchlock::{
    abi::MatchId,
    entrust::{Entrust, EntrustError, MAX_REQUEST, OpenDispute},
};
use serde_json::{Value, json};

use super::Post;
use crate::{
    chain::At,
    court::{Disputes, shown},
    sync::lock,
};

/// So many bytes of a request count as one more.
const WEIGHT: usize = 64 * 1024;
/// Checks that are under way at once: each takes a processor.
const CHECKS: usize = 4;

#[derive(Clone)]
struct App {
    post: Arc<Post>,
    checks: Arc<tokio::sync::Semaphore>,
}

/// All routes.
pub(super) fn router(post: Arc<Post>) -> Router {
    let app = App { post, checks: Arc::new(tokio::sync::Semaphore::new(CHECKS)) };
    Router::new()
        .route("/", get(about))
        .route("/health", get(health))
        .route("/entrust", routing::post(entrust))
        .route("/matches/{id}", get(held))
        .route("/matches/{id}/transcript", get(transcript))
        .route("/disputes", get(disputes))
        .route("/disputes/{id}", get(dispute))
        // One byte more, so that what is too large is told apart from what is cut off.
        .layer(DefaultBodyLimit::max(MAX_REQUEST + 1))
        .with_state(app)
}

async fn about(State(app): State<App>) -> Json<Value> {
    let post = &app.post;
    let info = post.chain.arena();
    Json(json!({
        "post": if post.speaks.is_some() { "tower" } else { "arbiter" },
        "version": env!("CARGO_PKG_VERSION"),
        "chain_id": info.domain.chain_id,
        "arena": info.domain.arena,
        "operator": info.operator,
        "wallet": post.wallet(),
        "rules": post.games.values().map(|rules| json!({ "rules": rules.id().0, "name": rules.name() })).collect::<Vec<_>>(),
        "most_bytes": MAX_REQUEST,
    }))
}

/// 200 while it can act, 503 while its disk, its chain or its wallet fails.
async fn health(State(app): State<App>) -> Response {
    let post = &app.post;
    let (chain, sender) = (post.health.borrow().clone(), post.status.borrow().clone());
    let (matches, statements, bytes) = post.book.size();
    let (disputes, exits) = (lock(&post.disputes).open().len(), lock(&post.leavers).len());
    let store = post.store.healthy();
    let ok = store && chain.unreachable.is_none() && sender.waiting.is_none();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ok": ok,
        "store": if store { "ok" } else { "failing" },
        "matches": matches,
        "statements": statements,
        "bytes": bytes,
        "disputes": disputes,
        "exits": exits,
        "chain": {
            "head": chain.head,
            "confirmed": chain.confirmed,
            "unreachable": chain.unreachable.map(|(_, error)| error),
        },
        "transactions": {
            "queued": sender.queued,
            "in_flight": sender.in_flight,
            "waiting_for": sender.waiting.map(|waiting| format!("{waiting:?}")),
        },
    });
    (status, Json(body)).into_response()
}

/// An [`EntrustError`] as an answer: itself, and in words.
struct Refused(EntrustError);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            EntrustError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            EntrustError::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            EntrustError::UnknownMatch => StatusCode::NOT_FOUND,
            EntrustError::Gap { .. } | EntrustError::Forked { .. } | EntrustError::Older => StatusCode::CONFLICT,
            EntrustError::Over => StatusCode::GONE,
            EntrustError::Full { .. } | EntrustError::Storage => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut body = serde_json::to_value(&self.0).expect("an error always encodes");
        body["message"] = Value::String(self.0.to_string());
        (status, Json(body)).into_response()
    }
}

async fn entrust(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Refused> {
    let post = app.post;
    let too_large = || Refused(EntrustError::TooLarge { limit: MAX_REQUEST as u64 });
    // Even what is too large has cost something.
    let bytes = body.as_ref().map_or(MAX_REQUEST, Bytes::len);
    take(&post, from, 1 + (bytes / WEIGHT) as u32)?;
    let body = body.map_err(|_| too_large())?;
    let entrusted = Entrust::decode(&body).map_err(Refused)?;
    post.admit(&entrusted).await.map_err(Refused)?;
    let Ok(_check) = app.checks.acquire().await else { return Err(Refused(EntrustError::Storage)) };
    let book = post.book.clone();
    let kept = tokio::task::spawn_blocking(move || book.entrust(entrusted)).await;
    let held = kept.unwrap_or(Err(EntrustError::Storage)).map_err(Refused)?;
    Ok(Json(held).into_response())
}

fn take(post: &Post, from: SocketAddr, cost: u32) -> Result<(), Refused> {
    post.limiter.take(from.ip(), cost).map_err(|retry_ms| Refused(EntrustError::RateLimited { retry_ms }))
}

async fn held(State(app): State<App>, Path(id): Path<B256>) -> Result<Response, Refused> {
    let held = app.post.book.held(MatchId(id)).ok_or(Refused(EntrustError::UnknownMatch))?;
    Ok(Json(held).into_response())
}

async fn transcript(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(id): Path<B256>,
) -> Result<Response, Refused> {
    take(&app.post, from, 4)?;
    let book = app.post.book.clone();
    let file = tokio::task::spawn_blocking(move || book.file(MatchId(id))).await;
    let file = file.ok().and_then(Result::ok).ok_or(Refused(EntrustError::Storage))?;
    let file = file.ok_or(Refused(EntrustError::UnknownMatch))?;
    Ok(bytes(file.entrusted().encode()))
}

/// Bytes as `POST /entrust` takes them.
fn bytes(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

async fn disputes(State(app): State<App>) -> Json<Vec<OpenDispute>> {
    let disputes = lock(&app.post.disputes);
    Json(
        disputes
            .open()
            .into_iter()
            .map(|(id, _)| app.post.listed(&disputes, id))
            .collect::<Option<_>>()
            .unwrap_or_default(),
    )
}

async fn dispute(State(app): State<App>, Path(id): Path<B256>) -> Result<Json<OpenDispute>, Refused> {
    let disputes = lock(&app.post.disputes);
    app.post.listed(&disputes, MatchId(id)).map(Json).ok_or(Refused(EntrustError::UnknownMatch))
}

impl Post {
    /// What costs a question to the chain: a match that is new here has to be open there.
    async fn admit(&self, entrusted: &Entrust) -> Result<(), EntrustError> {
        let accounts = match entrusted {
            Entrust::Match { transcript, .. } => {
                let terms = &transcript.terms;
                let id = terms.id(&self.domain());
                if self.book.find(&id).is_some() {
                    return Ok(());
                }
                let in_dispute = lock(&self.disputes).find(&id).is_some();
                // An arbiter keeps what it may have to rule on.
                let is_void = transcript.conclusion.is_empty() && self.moment().passed > terms.expiry;
                if !in_dispute && (self.speaks.is_none() || is_void) {
                    return Err(EntrustError::Over);
                }
                if self.chain.concluded(id, At::Confirmed).await.unwrap_or(false) {
                    return Err(EntrustError::Over);
                }
                terms.seats.clone()
            }
            Entrust::Pair(_) if self.speaks.is_none() => return Err(EntrustError::Over),
            Entrust::Pair(pair) => vec![pair.player.account()],
            _ => return Ok(()),
        };
        // Their exits may be open already.
        lock(&self.unread).extend(accounts);
        Ok(())
    }

    fn listed(&self, disputes: &Disputes, id: MatchId) -> Option<OpenDispute> {
        let held = self.book.find(&id).map(|kept| kept.turn());
        shown(disputes, id, held, self.bench.as_deref())
    }
}
