//! One WebSocket connection: welcome, login, then frames both ways (section 8).

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_util::SinkExt;
use matchlock::{
    abi::Login,
    account::Player,
    sign::Signature,
    wire::{self, About, Have, MAX_FRAME, Refusal, ToClient, ToServer},
};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite;

use crate::{
    account::Account,
    hub::Hub,
    peer::{Closed, Peer},
    sync::lock,
};

/// Frames that are none before the connection is closed.
const MAX_STRIKES: u32 = 16;
/// How long a login waits for the chain; after it the account can go on with its matches, but open none.
const CHAIN_PATIENCE: Duration = Duration::from_secs(5);

/// Serves one connection to its end.
pub(crate) async fn serve(hub: Arc<Hub>, mut socket: WebSocket) {
    hub.connections.fetch_add(1, Ordering::Relaxed);
    match log_in(&hub, &mut socket).await {
        Ok(Some(login)) => {
            let LoggedIn { account, resume } = login;
            let peer = Peer::new(account.id);
            let mut connection = Connection::new(hub.clone(), socket, account.clone(), peer.clone());
            // However it ends, the rest is the same.
            let _ = connection.run(resume).await;
            drop(connection);
            peer.close(Closed::Gone);
            hub.vacate(&account, &peer);
            hub.forget(account);
        }
        Ok(None) => {}
        Err(refusal) => refuse(&mut socket, refusal).await,
    }
    hub.connections.fetch_sub(1, Ordering::Relaxed);
}

struct LoggedIn {
    account: Arc<Account>,
    resume: Vec<Have>,
}

/// Says welcome and takes the login (R8.4). `None`: the connection ended.
async fn log_in(hub: &Arc<Hub>, socket: &mut WebSocket) -> Result<Option<LoggedIn>, Refusal> {
    let nonce = hub.machine.random();
    let welcome = wire::encode(&ToClient::Welcome(hub.welcome(nonce)));
    if socket.send(Message::Binary(welcome.into())).await.is_err() {
        return Ok(None);
    }
    let first = timeout(hub.settings.login_timeout, first_frame(socket)).await.map_err(|_| Refusal::TimedOut)?;
    let Some(frame) = first? else { return Ok(None) };
    if hub.closing.load(Ordering::Relaxed) {
        return Err(Refusal::Closing);
    }
    let ToServer::Login { player, signature, resume } = frame else { return Err(Refusal::NotLoggedIn) };
    check_login(hub, player, nonce, &signature)?;
    let account = hub.account(player)?;
    if lock(&account.book).chain.is_none() {
        match timeout(CHAIN_PATIENCE, hub.record(account.id)).await {
            Ok(Some(chain)) => hub.observe(&account, chain, 0),
            _ => tracing::warn!(account = %account.id, "logged in without a word of the chain"),
        }
    }
    Ok(Some(LoggedIn { account, resume }))
}

pub(crate) fn check_login(
    hub: &Hub,
    player: Player,
    nonce: alloy_primitives::B256,
    signature: &Signature,
) -> Result<(), Refusal> {
    if player.key == hub.operator.address() {
        // R2.4: no statement of such an account could be settled.
        return Err(Refusal::WrongSigner { signer: player.key });
    }
    let login = Login { account: player.account(), nonce };
    hub.operator.verify(hub.operator.digest(login.struct_hash()), signature, player.key)
}

/// The login is good: from here on, what happens to the account is sent here, and an older connection of it is closed.
pub(crate) fn ready(hub: &Hub, account: &Account, peer: &Peer) {
    peer.send(&ToClient::Ready(lock(&account.book).view(hub.moment())));
    if let Some(older) = lock(&account.peer).replace(peer.clone()) {
        older.close(Closed::Ended(Refusal::Superseded));
    }
}

async fn first_frame(socket: &mut WebSocket) -> Result<Option<ToServer>, Refusal> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(Some(wire::decode(&bytes)?)),
            Some(Ok(Message::Text(_))) => return Err(Refusal::Malformed),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Err(error)) if is_too_large(&error) => return Err(Refusal::TooLarge { limit: MAX_FRAME as u32 }),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
        }
    }
}

struct Connection {
    hub: Arc<Hub>,
    socket: WebSocket,
    account: Arc<Account>,
    peer: Peer,
    outgoing: Vec<Bytes>,
    frames: Bucket,
    requests: Bucket,
    strikes: u32,
    heard: Instant,
}

/// The connection has to end.
struct Ended;

impl Connection {
    fn new(hub: Arc<Hub>, socket: WebSocket, account: Arc<Account>, peer: Peer) -> Connection {
        let frames = Bucket::new(hub.settings.frames_per_second);
        let requests = Bucket::new(hub.settings.requests_per_second);
        let (outgoing, heard) = (Vec::new(), Instant::now());
        Connection { hub, socket, account, peer, outgoing, frames, requests, strikes: 0, heard }
    }

    async fn run(&mut self, named: Vec<Have>) -> Result<(), Ended> {
        ready(&self.hub, &self.account, &self.peer);
        for resuming in self.hub.to_resume(&self.account, &named) {
            let mut at = Some(resuming);
            while let Some(resuming) = at {
                at = self.hub.resume_step(&self.account, &self.peer, resuming);
                self.write_queued().await?;
            }
        }
        self.hub.resume_account(&self.account, &self.peer);

        let mut heartbeat = interval(self.hub.settings.idle_timeout / 3);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                closed = self.peer.drain(&mut self.outgoing) => self.write(closed).await?,
                message = self.socket.recv() => self.take(message).await?,
                _ = heartbeat.tick() => self.beat().await?,
            }
        }
    }

    /// Writes what is queued, if anything is.
    async fn write_queued(&mut self) -> Result<(), Ended> {
        match self.peer.take(&mut self.outgoing) {
            Some(closed) => self.write(closed).await,
            None => Ok(()),
        }
    }

    /// Writes the frames taken from the queue, in as few system calls as it takes.
    async fn write(&mut self, closed: Option<Closed>) -> Result<(), Ended> {
        let Connection { socket, outgoing, .. } = self;
        let writing = async {
            for frame in outgoing.drain(..) {
                socket.feed(Message::Binary(frame)).await?;
            }
            socket.flush().await
        };
        let written = timeout(self.hub.settings.write_timeout, writing).await;
        match (written, closed) {
            (Ok(Ok(())), None) => Ok(()),
            (Ok(Ok(())), Some(Closed::Ended(refusal))) => {
                refuse(&mut self.socket, refusal).await;
                Err(Ended)
            }
            _ => Err(Ended),
        }
    }

    async fn take(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Ended> {
        self.heard = Instant::now();
        match message {
            Some(Ok(Message::Binary(bytes))) => {
                if let Some(wait) = self.frames.take() {
                    // Not reading is what slows a sender down; nothing is lost.
                    sleep(wait).await;
                }
                self.frame(bytes)
            }
            Some(Ok(Message::Text(_))) => self.strike(Refusal::Malformed),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Err(error)) if is_too_large(&error) => {
                // What follows in the stream is the rest of that message: the connection cannot go on.
                refuse(&mut self.socket, Refusal::TooLarge { limit: MAX_FRAME as u32 }).await;
                Err(Ended)
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Ended),
        }
    }

    fn frame(&mut self, bytes: Bytes) -> Result<(), Ended> {
        let frame = match wire::decode::<ToServer>(&bytes) {
            Ok(frame) => frame,
            Err(error) => return self.strike(error.into()),
        };
        if let (Some(tag), Some(wait)) = (request(&frame), self.requests.peek()) {
            let retry_ms = wait.as_millis().try_into().unwrap_or(u32::MAX).max(1);
            self.peer.refuse(About::Request(tag), Refusal::RateLimited { retry_ms });
            return Ok(());
        } else if request(&frame).is_some() {
            self.requests.take();
        }
        self.hub.receive(&self.peer, &self.account, frame, bytes);
        Ok(())
    }

    fn strike(&mut self, refusal: Refusal) -> Result<(), Ended> {
        self.strikes += 1;
        if self.strikes >= MAX_STRIKES || matches!(refusal, Refusal::Version { .. }) {
            self.peer.close(Closed::Ended(refusal));
        } else {
            self.peer.refuse(About::Session, refusal);
        }
        Ok(())
    }

    /// Pings, and gives up a connection that has been silent for too long.
    async fn beat(&mut self) -> Result<(), Ended> {
        if self.heard.elapsed() >= self.hub.settings.idle_timeout {
            return Err(Ended);
        }
        let ping = timeout(self.hub.settings.write_timeout, self.socket.send(Message::Ping(Bytes::new())));
        ping.await.map_err(|_| Ended)?.map_err(|_| Ended)
    }
}

/// Says why, and closes.
async fn refuse(socket: &mut WebSocket, refusal: Refusal) {
    let reason = refusal.to_string();
    let frame = wire::encode(&ToClient::Refused { about: About::Session, refusal });
    let close = CloseFrame { code: 1000, reason: reason.into() };
    let farewell = async {
        socket.send(Message::Binary(frame.into())).await?;
        socket.send(Message::Close(Some(close))).await
    };
    // Whoever does not listen will not miss it.
    let _ = timeout(Duration::from_secs(1), farewell).await;
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(tungstenite::Error::Capacity(_)) = error.downcast_ref() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The tag of a lobby or account request: what is limited by number, because each costs more than relaying a frame.
fn request(frame: &ToServer) -> Option<u32> {
    match frame {
        ToServer::Create { tag, .. }
        | ToServer::Join { tag, .. }
        | ToServer::Quick { tag, .. }
        | ToServer::Leave { tag, .. }
        | ToServer::List { tag, .. }
        | ToServer::Withdraw { tag, .. }
        | ToServer::Account { tag }
        | ToServer::Prove { tag, .. }
        | ToServer::Turns { tag, .. }
        | ToServer::Arrivals { tag, .. } => Some(*tag),
        _ => None,
    }
}

/// So many a second, and twice as many at once.
struct Bucket {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn new(per_second: u32) -> Bucket {
        let per_second = f64::from(per_second.max(1));
        Bucket { per_second, tokens: per_second * 2.0, filled: Instant::now() }
    }

    /// How long until there is a token; `None` if there is one.
    fn peek(&mut self) -> Option<Duration> {
        let now = Instant::now();
        self.tokens += now.duration_since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = self.tokens.min(self.per_second * 2.0);
        self.filled = now;
        (self.tokens < 1.0).then(|| Duration::from_secs_f64((1.0 - self.tokens) / self.per_second))
    }

    /// Takes a token, in advance if there is none: says how long to wait then.
    fn take(&mut self) -> Option<Duration> {
        let wait = self.peek();
        self.tokens -= 1.0;
        wait
    }
}
