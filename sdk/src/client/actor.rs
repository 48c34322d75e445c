//! The task that owns a session: one socket, one store, one step at a time.

use std::{collections::BTreeMap, format, time::Duration};

use alloc::{string::String, string::ToString, vec::Vec};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    sync::{broadcast, mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        handshake::client::{Request, Response},
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

use super::{
    Client, ClientConfig, ClientError, ClientEvent, Clock, Command, Link, Match, MatchEvent, OwnChain, Seat, Snapshot,
    Store, Watchtower,
    towers::{Changed, Towers},
};
use crate::{
    abi::MatchId,
    chain::{ProviderError, Rpc},
    channel::Notice,
    session::{Session, SessionEffect, SessionInput, SessionNotice},
    wire::{self, About, MAX_FRAME, Refusal, SUBPROTOCOL, ToClient, ToServer, Welcome},
};

/// How long connecting and the server's first frames may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A sign of life is sent this often ...
const HEARTBEAT: Duration = Duration::from_secs(15);
/// ... and a server that gave none for this long is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// Pauses between attempts to reconnect, doubling from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Wishes that wait for the task.
const COMMANDS: usize = 64;
/// Events that a slow reader of [`Client::events`] may fall behind.
const EVENTS: usize = 256;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) async fn start<S: Store>(config: ClientConfig<S>) -> Result<Client, ClientError> {
    let ClientConfig { url, owner, signer, rules, mut store, clock, chain, exposure, towers } = config;
    let towers = towers.into_iter().map(|url| Watchtower::new(&url).map(|tower| (url, tower)));
    let towers = towers.collect::<Result<Vec<_>, _>>()?;
    let chain = chain.map(|node| OwnChain(Rpc(node)));
    let mut session = Session::new(owner, signer, rules, store.load()?)?;
    session.limit_exposure(exposure);
    let (socket, welcome) = connect(&url, &mut session, &mut store, &clock, chain.as_ref()).await?;

    let (commands, wishes) = mpsc::channel(COMMANDS);
    let (events, _) = broadcast::channel(EVENTS);
    let (link, links) = watch::channel(Link::Online);
    let client = Client {
        player: session.player(),
        welcome: welcome.clone(),
        commands: commands.clone(),
        events: events.clone(),
        link: links,
    };
    let mut actor = Actor {
        towers: Towers::start(towers, &session, &commands, &events),
        url,
        session,
        store,
        clock,
        chain,
        welcome,
        commands: commands.downgrade(),
        events,
        link,
        tags: 0,
        asked: BTreeMap::new(),
        seating: BTreeMap::new(),
        opening: BTreeMap::new(),
        matches: BTreeMap::new(),
        resumed: Vec::new(),
        pause: RETRY.0,
        looks: 0,
        held: Vec::new(),
    };
    let open: Vec<MatchId> = actor.session.open().map(|channel| channel.id()).collect();
    for id in open {
        let handle = actor.handle(id);
        actor.resumed.extend(handle);
    }
    tokio::spawn(async move { actor.run(socket, wishes).await });
    Ok(client)
}

/// Connects, checks the server, and logs in; what was missed follows.
async fn connect<S: Store>(
    url: &str,
    session: &mut Session,
    store: &mut S,
    clock: &Clock,
    chain: Option<&OwnChain>,
) -> Result<(Socket, Welcome), ClientError> {
    let unreachable = |reason: String| ClientError::Unreachable { url: url.to_string(), reason };
    let not_a_server = || ClientError::NotAServer(url.to_string());
    let mut request = url.into_client_request().map_err(|error| unreachable(error.to_string()))?;
    if request.uri().scheme_str() == Some("wss") && !cfg!(feature = "tls") {
        return Err(ClientError::NoTls { url: url.to_string() });
    }
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
    let (mut socket, _) = timeout(HANDSHAKE, dial(request, limits))
        .await
        .map_err(|_| unreachable("it does not answer".into()))?
        .map_err(|error| match &error {
            // What answers, but not as a WebSocket server does. One that is full says so.
            tungstenite::Error::Http(answer) if !answer.status().is_server_error() => not_a_server(),
            tungstenite::Error::Protocol(_) | tungstenite::Error::HttpFormat(_) => not_a_server(),
            _ => unreachable(error.to_string()),
        })?;

    let welcome = match timeout(HANDSHAKE, receive(&mut socket)).await {
        Ok(Ok(ToClient::Welcome(welcome))) => welcome,
        Ok(Ok(ToClient::Refused { refusal, .. })) => return Err(refusal.into()),
        _ => return Err(not_a_server()),
    };
    let (login, record) = session.login(&welcome)?;
    if let Some(chain) = chain {
        // Before the account is bound to this server, and before anything that it says of settlements counts.
        chain.check(&welcome).await?;
        let settled = chain.statement(&welcome, session.account()).await.map_err(ClientError::Chain)?;
        tell(session, SessionInput::OnChain(settled))?;
    }
    if let Some(record) = record {
        store.save(Vec::from([record])).await?;
        session.bind(&welcome);
    }
    send(&mut socket, &login).await.map_err(unreachable)?;
    let ready = match timeout(HANDSHAKE, receive(&mut socket)).await {
        Ok(Ok(ready @ ToClient::Ready(_))) => ready,
        Ok(Ok(ToClient::Refused { refusal, .. })) => return Err(refusal.into()),
        _ => return Err(not_a_server()),
    };
    tell(session, SessionInput::Time(clock.now()))?;
    let step = session.decide(SessionInput::Frame(ready))?;
    if !step.records().is_empty() {
        store.save(step.records().to_vec()).await?;
    }
    for effect in session.commit(step)? {
        if let SessionEffect::Send(frame) = effect {
            send(&mut socket, &frame).await.map_err(unreachable)?;
        }
    }
    Ok((socket, welcome))
}

#[cfg(not(feature = "tls"))]
async fn dial(request: Request, limits: WebSocketConfig) -> Result<(Socket, Response), tungstenite::Error> {
    tokio_tungstenite::connect_async_with_config(request, Some(limits), true).await
}

/// As `https://` endpoints are connected to: the system says whom to trust. The program's own choice of cryptography counts,
/// if it made one; rustls refuses to choose where two are linked.
#[cfg(feature = "tls")]
async fn dial(request: Request, limits: WebSocketConfig) -> Result<(Socket, Response), tungstenite::Error> {
    use alloc::{boxed::Box, sync::Arc};
    use rustls::{
        ClientConfig,
        crypto::{CryptoProvider, aws_lc_rs},
    };
    use rustls_platform_verifier::BuilderVerifierExt as _;
    use tokio_tungstenite::{Connector, connect_async_tls_with_config};

    let mut connector = Connector::Plain;
    if request.uri().scheme_str() == Some("wss") {
        let chosen = CryptoProvider::get_default().cloned();
        let provider = chosen.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_platform_verifier())
            .map_err(|error| tungstenite::error::TlsError::Rustls(Box::new(error)))?;
        connector = Connector::Rustls(Arc::new(config.with_no_client_auth()));
    }
    connect_async_tls_with_config(request, Some(limits), true, Some(connector)).await
}

async fn receive(socket: &mut Socket) -> Result<ToClient, String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return wire::decode(&bytes).map_err(|error| error.to_string()),
            Some(Ok(Message::Close(_))) | None => return Err("the server closed the connection".into()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
}

async fn send(socket: &mut Socket, frame: &ToServer) -> Result<(), String> {
    socket.send(Message::Binary(wire::encode(frame).into())).await.map_err(|error| error.to_string())
}

struct Actor<S> {
    url: String,
    towers: Towers,
    session: Session,
    store: S,
    clock: Clock,
    chain: Option<OwnChain>,
    welcome: Welcome,
    /// For handles of matches; weak, so that the task ends with the last handle.
    commands: mpsc::WeakSender<Command>,
    events: broadcast::Sender<ClientEvent>,
    link: watch::Sender<Link>,
    tags: u32,
    asked: BTreeMap<u32, oneshot::Sender<Result<SessionNotice, ClientError>>>,
    seating: BTreeMap<u32, Seat>,
    opening: BTreeMap<MatchId, oneshot::Sender<Result<Match, ClientError>>>,
    matches: BTreeMap<MatchId, MatchState>,
    resumed: Vec<Match>,
    /// Before the next attempt to reconnect.
    pause: Duration,
    /// How often the client's own node is being asked, and what waits for its answers.
    looks: usize,
    held: Vec<ToClient>,
}

struct MatchState {
    events: mpsc::UnboundedSender<MatchEvent>,
    snapshot: watch::Sender<Snapshot>,
}

/// Why a connection's loop ended.
enum End {
    Lost(String),
    Closed,
}

impl<S: Store> Actor<S> {
    async fn run(&mut self, mut socket: Socket, mut wishes: mpsc::Receiver<Command>) {
        while let End::Lost(reason) = self.converse(&mut socket, &mut wishes).await {
            self.offline(reason);
            match self.reconnect(&mut wishes).await {
                Some(again) => socket = again,
                None => break,
            }
        }
        let _ = socket.close(None).await;
        self.link.send_replace(Link::Closed);
    }

    /// Serves one connection until it ends.
    async fn converse(&mut self, socket: &mut Socket, wishes: &mut mpsc::Receiver<Command>) -> End {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let mut heard = Instant::now();
        loop {
            let silence = self.session.silence_at().map(|at| Duration::from_secs(at.saturating_sub(self.clock.now())));
            let out = tokio::select! {
                frame = receive(socket) => match frame {
                    Ok(frame) => {
                        heard = Instant::now();
                        match self.frame(frame).await {
                            Ok(out) => {
                                self.pause = RETRY.0;
                                out
                            }
                            Err(end) => return end,
                        }
                    }
                    Err(reason) => return End::Lost(reason),
                },
                wish = wishes.recv() => match wish {
                    Some(Command::Close(done)) => {
                        let _ = done.send(());
                        return End::Closed;
                    }
                    Some(wish) => self.wish(wish).await,
                    None => return End::Closed,
                },
                _ = heartbeat.tick() => {
                    if heard.elapsed() > SILENCE {
                        return End::Lost("the server is silent".into());
                    }
                    Vec::from([ToServer::Ping])
                }
                () = tokio::time::sleep(silence.unwrap_or_default()), if silence.is_some() => {
                    self.step(SessionInput::Silence).await.unwrap_or_default()
                }
            };
            for frame in &out {
                if let Err(reason) = send(socket, frame).await {
                    return End::Lost(reason);
                }
            }
        }
    }

    /// Tries until it works; meanwhile moves are signed, stored, and sent when the connection is back.
    async fn reconnect(&mut self, wishes: &mut mpsc::Receiver<Command>) -> Option<Socket> {
        loop {
            let retry = tokio::time::sleep(self.pause);
            self.pause = (self.pause * 2).min(RETRY.1);
            tokio::pin!(retry);
            loop {
                tokio::select! {
                    () = &mut retry => break,
                    wish = wishes.recv() => match wish? {
                        Command::Close(done) => {
                            let _ = done.send(());
                            return None;
                        }
                        Command::Ask(_, answer) => drop(answer.send(Err(self.unreachable("offline")))),
                        Command::Seat(_, seat) => drop(seat.opened.send(Err(self.unreachable("offline")))),
                        wish => drop(self.wish(wish).await),
                    },
                }
            }
            match connect(&self.url, &mut self.session, &mut self.store, &self.clock, self.chain.as_ref()).await {
                Ok((socket, _)) => {
                    self.link.send_replace(Link::Online);
                    let _ = self.events.send(ClientEvent::Link(Link::Online));
                    return Some(socket);
                }
                Err(ClientError::Store(error)) => drop(self.events.send(ClientEvent::NotStored(error))),
                Err(error) => drop(self.events.send(ClientEvent::Suspicious(error.to_string()))),
            }
        }
    }

    fn offline(&mut self, reason: String) {
        self.link.send_replace(Link::Offline);
        let _ = self.events.send(ClientEvent::Link(Link::Offline));
        // Questions died with the connection, and so did seats at tables. Matches go on.
        for (_, answer) in core::mem::take(&mut self.asked) {
            let _ = answer.send(Err(self.unreachable(&reason)));
        }
        for (_, seat) in core::mem::take(&mut self.seating) {
            let _ = seat.opened.send(Err(self.unreachable(&reason)));
        }
    }

    fn unreachable(&self, reason: &str) -> ClientError {
        ClientError::Unreachable { url: self.url.clone(), reason: reason.into() }
    }

    async fn wish(&mut self, wish: Command) -> Vec<ToServer> {
        match wish {
            Command::Input(input, answer) => {
                let (result, out) = split(self.step(input).await);
                let _ = answer.send(result);
                out
            }
            Command::Seat(input, seat) => {
                let tag = self.tag();
                let (result, out) = split(self.step(input(tag)).await);
                match result {
                    Ok(()) => drop(self.seating.insert(tag, seat)),
                    Err(error) => drop(seat.opened.send(Err(error))),
                }
                out
            }
            Command::Ask(input, answer) => {
                let tag = self.tag();
                let (result, out) = split(self.step(input(tag)).await);
                match result {
                    Ok(()) => drop(self.asked.insert(tag, answer)),
                    Err(error) => drop(answer.send(Err(error))),
                }
                out
            }
            Command::Look(look) => {
                look(&self.session);
                Vec::new()
            }
            Command::Resume(answer) => {
                let _ = answer.send(core::mem::take(&mut self.resumed));
                Vec::new()
            }
            Command::OnChain(seen, frame) => self.on_chain(seen, frame).await,
            Command::Close(_) => Vec::new(),
        }
    }

    async fn frame(&mut self, frame: ToClient) -> Result<Vec<ToServer>, End> {
        if let (Some(chain), ToClient::Settled { .. } | ToClient::Ruled { .. }) = (&self.chain, &frame) {
            // Asked beside the match that is being played; counts when the answer is there.
            self.looks += 1;
            let (chain, welcome, account) = (chain.clone(), self.welcome.clone(), self.session.account());
            let commands = self.commands.clone();
            tokio::spawn(async move {
                let seen = chain.look(&welcome, account, &frame).await;
                if let Some(commands) = commands.upgrade() {
                    let _ = commands.send(Command::OnChain(seen, frame)).await;
                }
            });
            return Ok(Vec::new());
        }
        if self.looks > 0 && matches!(&frame, ToClient::StatementDue { .. }) {
            // It may be for the result that is being looked up.
            self.held.push(frame);
            return Ok(Vec::new());
        }
        // The same account is played elsewhere: to reconnect would only throw that one out again, without end.
        let superseded = matches!(&frame, ToClient::Refused { about: About::Session, refusal: Refusal::Superseded });
        let proposed = match &frame {
            ToClient::Proposal { table, .. } => Some(*table),
            _ => None,
        };
        let error = match self.step(SessionInput::Frame(frame)).await {
            Ok(_) if superseded => return Err(End::Closed),
            Ok(out) => return Ok(out),
            Err(error) => error,
        };
        // What is not stored has not happened: the server sends it again after the next login.
        let end = match &error {
            ClientError::Store(error) => {
                let _ = self.events.send(ClientEvent::NotStored(error.clone()));
                Err(End::Lost(error.to_string()))
            }
            error => {
                let _ = self.events.send(ClientEvent::Suspicious(error.to_string()));
                Ok(Vec::new())
            }
        };
        // Whoever waits for a match that this player did not agree to waits in vain.
        let tag = proposed.and_then(|table| self.seating.iter().find(|(_, seat)| seat.at == Some(table)));
        if let Some(seat) = tag.map(|(tag, _)| *tag).and_then(|tag| self.seating.remove(&tag)) {
            let _ = seat.opened.send(Err(error));
        }
        end
    }

    /// What the server says of the chain counts if the client's own node says so too.
    async fn on_chain(&mut self, seen: Result<Option<SessionInput>, ProviderError>, frame: ToClient) -> Vec<ToServer> {
        let mut out = self.seen(seen, frame).await;
        self.looks -= 1;
        if self.looks == 0 {
            for frame in core::mem::take(&mut self.held) {
                match self.step(SessionInput::Frame(frame)).await {
                    Ok(more) => out.extend(more),
                    Err(error) => drop(self.events.send(ClientEvent::Suspicious(error.to_string()))),
                }
            }
        }
        out
    }

    async fn seen(&mut self, seen: Result<Option<SessionInput>, ProviderError>, frame: ToClient) -> Vec<ToServer> {
        let doubt = match seen {
            Ok(Some(input)) => match self.believe(input, frame).await {
                Ok(out) => return out,
                Err(error) => error.to_string(),
            },
            Ok(None) => "the server says of the chain what the chain does not have".into(),
            Err(error) => format!("what the server says of the chain cannot be checked: {error}"),
        };
        let _ = self.events.send(ClientEvent::Suspicious(doubt));
        Vec::new()
    }

    async fn believe(&mut self, input: SessionInput, frame: ToClient) -> Result<Vec<ToServer>, ClientError> {
        let mut out = self.step(input).await?;
        if matches!(frame, ToClient::Settled { .. }) {
            out.extend(self.step(SessionInput::Frame(frame)).await?);
        }
        Ok(out)
    }

    /// Decide, store, commit: what may be sent afterwards.
    async fn step(&mut self, input: SessionInput) -> Result<Vec<ToServer>, ClientError> {
        tell(&mut self.session, SessionInput::Time(self.clock.now()))?;
        let step = self.session.decide(input)?;
        if !step.records().is_empty() {
            self.store.save(step.records().to_vec()).await?;
        }
        let changed = Changed::of(step.records());
        let mut out = Vec::new();
        for effect in self.session.commit(step)? {
            match effect {
                SessionEffect::Send(frame) => out.push(frame),
                SessionEffect::Notify(notice) => self.notify(notice),
            }
        }
        self.towers.tell(&changed);
        Ok(out)
    }

    /// Brings a notice to whom it concerns: who asked, the match's handle, or everybody.
    fn notify(&mut self, notice: SessionNotice) {
        match &notice {
            SessionNotice::Matched { tag, match_id } => {
                if let Some(seat) = self.seating.remove(tag) {
                    self.opening.insert(*match_id, seat.opened);
                }
            }
            SessionNotice::Match { match_id, notice } => return self.match_notice(*match_id, notice),
            SessionNotice::Settled { batch, matches, .. } => {
                for match_id in matches {
                    if let Some(state) = self.matches.remove(match_id) {
                        let _ = state.events.send(MatchEvent::Settled { batch: *batch });
                    }
                }
            }
            SessionNotice::Tables { tag, .. }
            | SessionNotice::Account { tag, .. }
            | SessionNotice::Withdrawal { tag, .. }
            | SessionNotice::Left { tag, .. }
            | SessionNotice::Proof { tag, .. } => {
                if let Some(answer) = self.asked.remove(tag) {
                    let _ = answer.send(Ok(notice));
                    return;
                }
            }
            SessionNotice::Seated { tag, table } => {
                if let Some(seat) = self.seating.get_mut(tag) {
                    seat.at = Some(*table);
                    if let Some(seated) = seat.table.take() {
                        let _ = seated.send(*table);
                    }
                }
            }
            SessionNotice::Unseated { tag } => {
                if let Some(seat) = self.seating.remove(tag) {
                    let _ = seat.opened.send(Err(ClientError::Cancelled));
                }
            }
            SessionNotice::Refused { about: About::Request(tag), refusal } => self.refused(*tag, refusal),
            _ => {}
        }
        let _ = self.events.send(ClientEvent::Notice(notice));
    }

    fn refused(&mut self, tag: u32, refusal: &Refusal) {
        if let Some(answer) = self.asked.remove(&tag) {
            let _ = answer.send(Err(refusal.clone().into()));
        } else if let Some(seat) = self.seating.remove(&tag) {
            let _ = seat.opened.send(Err(refusal.clone().into()));
        }
    }

    fn match_notice(&mut self, id: MatchId, notice: &Notice) {
        if let (Some(state), Some(channel)) = (self.matches.get(&id), self.session.channel(id)) {
            state.snapshot.send_replace(Snapshot::of(channel));
        }
        if let Some(answer) = self.opening.remove(&id) {
            let result = match notice {
                Notice::Cancelled => Err(ClientError::Cancelled),
                _ => self.handle(id).ok_or(ClientError::Closed),
            };
            let _ = answer.send(result);
        }
        let event = match notice {
            Notice::Opened => MatchEvent::Opened,
            Notice::Turned { seat, turn } => MatchEvent::Turned { seat: *seat, turn: *turn },
            Notice::Over { payouts } => MatchEvent::Over { payouts: payouts.clone() },
            Notice::Concluded => MatchEvent::Concluded,
            Notice::Faulted(evidence) => MatchEvent::Faulted(evidence.clone()),
            Notice::Cancelled => MatchEvent::Cancelled,
            Notice::Void => MatchEvent::Void,
            Notice::Ruled { payouts } => MatchEvent::Ruled { payouts: payouts.clone() },
            Notice::Arrived(arrived) => MatchEvent::Arrived(*arrived),
        };
        if let Some(state) = self.matches.get(&id) {
            let _ = state.events.send(event);
        }
    }

    fn handle(&mut self, id: MatchId) -> Option<Match> {
        let channel = self.session.channel(id)?;
        let (events, events_in) = mpsc::unbounded_channel();
        let (snapshot, snapshots) = watch::channel(Snapshot::of(channel));
        let handle = Match {
            id,
            seat: channel.seat(),
            terms: channel.terms().clone(),
            players: channel.players().to_vec(),
            rules: channel.rules().clone(),
            events: events_in,
            snapshot: snapshots,
            commands: self.commands.upgrade()?,
        };
        self.matches.insert(id, MatchState { events, snapshot });
        Some(handle)
    }

    fn tag(&mut self) -> u32 {
        self.tags = self.tags.wrapping_add(1).max(1);
        self.tags
    }
}

/// Nothing of it has to be durable.
fn tell(session: &mut Session, input: SessionInput) -> Result<(), ClientError> {
    let step = session.decide(input)?;
    session.commit(step)?;
    Ok(())
}

fn split(result: Result<Vec<ToServer>, ClientError>) -> (Result<(), ClientError>, Vec<ToServer>) {
    match result {
        Ok(out) => (Ok(()), out),
        Err(error) => (Err(error), Vec::new()),
    }
}
