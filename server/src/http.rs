//! HTTP beside the WebSocket: what this is, how it is, and on the embedded chain its RPC and a faucet.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use alloy_primitives::{Address, B256};
use axum::{
    Json, Router,
    extract::{ConnectInfo, Path, State, WebSocketUpgrade},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use matchlock::{
    abi::MatchId,
    entrust::{MAX_REQUEST, OpenDispute},
    wire::{MAX_FRAME, SUBPROTOCOL},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use crate::{
    chain::{Health, SenderStatus},
    connection,
    embedded::Embedded,
    hub::Hub,
    limiter::Limiter,
    sync::lock,
};

/// Bytes read from a connection at once. Thousands of idle ones each hold a buffer of this size.
const READ_BUFFER: usize = 2 * 1024;
/// Transcripts that one address may read in a second: they are read from the disk, and large.
const TRANSCRIPTS_PER_SECOND: u32 = 5;
/// Bytes that a connection's writes are gathered to.
const WRITE_BUFFER: usize = 4 * 1024;

/// What HTTP requests see.
#[derive(Clone)]
pub(crate) struct App {
    hub: Arc<Hub>,
    places: Arc<Semaphore>,
    health: watch::Receiver<Health>,
    sender: watch::Receiver<SenderStatus>,
    embedded: Option<Embedded>,
    limiter: Arc<Limiter>,
}

impl App {
    pub(crate) fn new(
        hub: &Arc<Hub>,
        places: Arc<Semaphore>,
        health: watch::Receiver<Health>,
        sender: watch::Receiver<SenderStatus>,
        embedded: Option<Embedded>,
    ) -> App {
        let limiter = Arc::new(Limiter::new(TRANSCRIPTS_PER_SECOND));
        App { hub: hub.clone(), places, health, sender, embedded, limiter }
    }
}

/// All routes.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new()
        .route("/", get(about))
        .route("/games", get(games))
        .route("/health", get(health))
        .route("/disputes", get(disputes))
        .route("/disputes/{id}", get(dispute))
        .route("/matches/{id}/transcript", get(transcript))
        .route("/ws", get(socket));
    if let Some(embedded) = &app.embedded {
        router = router.route("/faucet", post(faucet)).nest_service("/rpc", embedded.router());
    }
    router.with_state(app)
}

async fn socket(State(app): State<App>, upgrade: WebSocketUpgrade) -> Response {
    let Ok(place) = app.places.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many connections; try again later\n").into_response();
    };
    upgrade
        .protocols([SUBPROTOCOL])
        // A frame that is a little too large gets a refusal, a larger one ends the connection.
        .max_message_size(2 * MAX_FRAME)
        .max_frame_size(2 * MAX_FRAME)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .on_upgrade(async move |socket| {
            connection::serve(app.hub, socket).await;
            drop(place);
        })
}

async fn about(State(app): State<App>) -> Json<Value> {
    let domain = app.hub.operator.domain();
    Json(json!({
        "server": "matchlock",
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": SUBPROTOCOL,
        "connect": "/ws",
        "chain_id": domain.chain_id,
        "arena": domain.arena,
        "operator": app.hub.operator.address(),
        "token": app.hub.token,
        "rpc": app.embedded.as_ref().map(|_| "/rpc"),
        "faucet": app.embedded.as_ref().map(|_| "/faucet"),
    }))
}

async fn games(State(app): State<App>) -> Json<Value> {
    let games = app.hub.games.values().map(|rules| {
        json!({
            "rules": rules.id().0,
            "name": rules.name(),
            "seats": [rules.seats().start(), rules.seats().end()],
            "fee_basis_points": rules.fee().points(),
            "max_turns": rules.max_turns(),
        })
    });
    Json(Value::Array(games.collect()))
}

/// 200 while the server takes everything, 503 while its disk or its chain fails.
async fn health(State(app): State<App>) -> Response {
    let hub = &app.hub;
    let pool = hub.operator.pool();
    let chain = app.health.borrow().clone();
    let sender = app.sender.borrow().clone();
    let (waiting, under_way) = lock(&hub.settler).status();
    let (tables, store) = (lock(&hub.lobby).len(), hub.store.healthy());
    let ok = store && chain.unreachable.is_none() && !hub.closing.load(Ordering::Relaxed);
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Sums of money are strings: they do not fit JSON's numbers.
    let body = json!({
        "ok": ok,
        "uptime_seconds": hub.started.elapsed().as_secs(),
        "store": if store { "ok" } else { "failing" },
        "connections": hub.connections.load(Ordering::Relaxed),
        "tables": tables,
        "matches": hub.matches.len(),
        "chain": {
            "head": chain.head,
            "confirmed": chain.confirmed,
            "unreachable": chain.unreachable.map(|(_, error)| error),
        },
        "pool": {
            "equity": pool.equity.to_string(),
            "announced": pool.announced.to_string(),
            "unsettled_gains": pool.unsettled.to_string(),
            "open_matches": pool.open.to_string(),
            "free": pool.free().to_string(),
        },
        "settlement": {
            "accounts_waiting": waiting,
            "batch_under_way": under_way,
            "queued": sender.queued,
            "in_flight": sender.in_flight,
            "waiting_for": sender.waiting.map(|waiting| format!("{waiting:?}")),
        },
    });
    (status, Json(body)).into_response()
}

async fn disputes(State(app): State<App>) -> Json<Vec<OpenDispute>> {
    let open = lock(&app.hub.disputes).open();
    Json(open.iter().filter_map(|(id, _)| app.hub.listed(*id)).collect())
}

async fn dispute(State(app): State<App>, Path(id): Path<B256>) -> Result<Json<OpenDispute>, StatusCode> {
    app.hub.listed(MatchId(id)).map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// Everything signed of a match that was opened, as `POST /entrust` of a tower or an arbiter takes it: it belongs to its players and
/// their judges, and nothing of it is a secret.
async fn transcript(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(id): Path<B256>,
) -> Result<Response, StatusCode> {
    app.limiter.take(from.ip(), 1).map_err(|_| StatusCode::TOO_MANY_REQUESTS)?;
    let read = tokio::task::spawn_blocking(move || app.hub.entrusted(MatchId(id))).await;
    let found = read.ok().and_then(Result::ok).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let encoded = found.ok_or(StatusCode::NOT_FOUND)?.encode();
    if encoded.len() > MAX_REQUEST {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], encoded).into_response())
}

#[derive(Deserialize)]
struct Thirsty {
    address: Address,
}

/// Play money, on the embedded chain only.
async fn faucet(State(app): State<App>, Json(thirsty): Json<Thirsty>) -> Response {
    let Some(embedded) = &app.embedded else { return StatusCode::NOT_FOUND.into_response() };
    match embedded.faucet(thirsty.address).await {
        Ok(hash) => Json(json!({ "transaction": hash })).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
