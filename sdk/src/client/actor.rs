//! The task that owns a session: one socket, one store, one step at a time.

use std::{collections::BTreeMap, format, sync::Arc, time::Duration};

use alloc::{string::String, string::ToString, vec::Vec};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    Client, ClientConfig, ClientError, ClientEvent, Clock, Command, Link, Match, MatchEvent, OwnChain, Policy, Seat,
    Snapshot, Store, Watchtower,
    advocate::{self, Bench},
    link::{self, Socket, receive, send},
    towers::{Changed, Towers},
};
use crate::{
    abi::MatchId,
    chain::{ArenaChain, Provider, ProviderError, Rpc},
    channel::Notice,
    session::{Session, SessionEffect, SessionInput, SessionNotice},
    sign::Signer,
    wire::{About, Refusal, ToClient, ToServer, Welcome},
};

/// A sign of life is sent this often ...
const HEARTBEAT: Duration = Duration::from_secs(15);
/// ... and a server that gave none for this long is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// Pauses between attempts to reconnect, doubling from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often clocks of matches are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Wishes that wait for the task.
const COMMANDS: usize = 64;
/// Events that a slow reader of [`Client::events`] may fall behind.
const EVENTS: usize = 256;

pub(super) async fn start<S: Store>(config: ClientConfig<S>) -> Result<Client, ClientError> {
    let mut known = Known::load(config)?;
    let (socket, welcome) = known.connect().await?;
    run(known, Some(socket), welcome).await
}

pub(super) async fn resume<S: Store>(config: ClientConfig<S>) -> Result<Client, ClientError> {
    let mut known = Known::load(config)?;
    match known.connect().await {
        Ok((socket, welcome)) => run(known, Some(socket), welcome).await,
        Err(ClientError::Unreachable { .. }) => {
            let welcome = known.alone().await?;
            run(known, None, welcome).await
        }
        Err(error) => Err(error),
    }
}

/// What a client was given, with its session restored.
struct Known<S> {
    url: String,
    session: Session,
    store: S,
    clock: Clock,
    chain: Option<OwnChain>,
    wallet: Option<Arc<dyn Provider>>,
    policy: Policy,
    signer: Arc<dyn Signer>,
    towers: Vec<(String, Watchtower)>,
}

impl<S: Store> Known<S> {
    fn load(config: ClientConfig<S>) -> Result<Known<S>, ClientError> {
        let ClientConfig { url, owner, signer, rules, mut store, clock, chain, wallet, policy, exposure, towers } =
            config;
        let towers = towers.into_iter().map(|url| Watchtower::new(&url).map(|tower| (url, tower)));
        let towers = towers.collect::<Result<Vec<_>, _>>()?;
        let chain = chain.or_else(|| wallet.clone()).map(|node| OwnChain(Rpc(node)));
        let mut session = Session::new(owner, signer.clone(), rules, store.load()?)?;
        session.limit_exposure(exposure);
        Ok(Known { url, session, store, clock, chain, wallet, policy, signer, towers })
    }

    async fn connect(&mut self) -> Result<(Socket, Welcome), ClientError> {
        let socket = link::dial(&self.url).await?;
        link::log_in(socket, &self.url, &mut self.session, &mut self.store, self.chain.as_ref()).await
    }

    /// What a server would say first, as far as it is known without one.
    async fn alone(&mut self) -> Result<Welcome, ClientError> {
        let server = self.session.server().ok_or(ClientError::Unbound)?;
        let chain = self.chain.as_ref().ok_or(ClientError::NoWallet)?;
        let welcome = chain.welcome(server).await?;
        let settled = chain.statement(&welcome, self.session.account()).await.map_err(ClientError::Chain)?;
        tell(&mut self.session, SessionInput::OnChain(settled))?;
        Ok(welcome)
    }

    async fn bench(&self, welcome: &Welcome) -> Result<Option<Arc<Bench>>, ClientError> {
        let Some(node) = self.chain.clone() else { return Ok(None) };
        let provider = self.wallet.clone().unwrap_or_else(|| node.0.0.clone());
        let arena = ArenaChain::connect(provider, welcome.domain.arena).await.map_err(ClientError::from_arena)?;
        let (policy, signer, clock) = (self.policy, self.signer.clone(), self.clock.clone());
        Ok(Some(Arc::new(Bench { node, arena, has_wallet: self.wallet.is_some(), policy, signer, clock })))
    }
}

async fn run<S: Store>(known: Known<S>, socket: Option<Socket>, welcome: Welcome) -> Result<Client, ClientError> {
    let bench = known.bench(&welcome).await?;
    let Known { url, session, store, clock, chain, towers, .. } = known;
    let (commands, wishes) = mpsc::channel(COMMANDS);
    let (events, _) = broadcast::channel(EVENTS);
    let state = if socket.is_some() { Link::Online } else { Link::Offline };
    let (link, links) = watch::channel(state);
    let client = Client {
        player: session.player(),
        welcome: welcome.clone(),
        commands: commands.clone(),
        events: events.clone(),
        link: links,
        bench: bench.clone(),
    };
    if let Some(bench) = bench {
        tokio::spawn(advocate::run(bench, commands.downgrade(), events.clone()));
    }
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
    async fn run(&mut self, mut socket: Option<Socket>, mut wishes: mpsc::Receiver<Command>) {
        loop {
            let Some(line) = &mut socket else {
                socket = self.reconnect(&mut wishes).await;
                if socket.is_none() {
                    break;
                }
                continue;
            };
            match self.converse(line, &mut wishes).await {
                End::Lost(reason) => {
                    self.offline(reason);
                    socket = None;
                }
                End::Closed => {
                    let _ = line.close(None).await;
                    break;
                }
            }
        }
        self.link.send_replace(Link::Closed);
    }

    /// Serves one connection until it ends.
    async fn converse(&mut self, socket: &mut Socket, wishes: &mut mpsc::Receiver<Command>) -> End {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let mut tick = tokio::time::interval(TICK);
        let mut heard = Instant::now();
        loop {
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
                _ = tick.tick() => match self.session.silence_at() {
                    Some(at) if at <= self.clock.now() => self.step(SessionInput::Silence).await.unwrap_or_default(),
                    _ => {
                        self.time();
                        Vec::new()
                    }
                },
                _ = heartbeat.tick() => {
                    if heard.elapsed() > SILENCE {
                        return End::Lost("the server is silent".into());
                    }
                    Vec::from([ToServer::Ping])
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
        let mut tick = tokio::time::interval(TICK);
        loop {
            // Beside everything else: a host that is gone without a word lets the dialler wait.
            let (url, pause) = (self.url.clone(), self.pause);
            let dialling = async {
                tokio::time::sleep(pause).await;
                link::dial(&url).await
            };
            self.pause = (self.pause * 2).min(RETRY.1);
            tokio::pin!(dialling);
            let dialled = loop {
                tokio::select! {
                    dialled = &mut dialling => break dialled,
                    _ = tick.tick() => self.time(),
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
            };
            let logged_in = match dialled {
                Ok(line) => link::log_in(line, &url, &mut self.session, &mut self.store, self.chain.as_ref()).await,
                Err(error) => Err(error),
            };
            match logged_in {
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
            Command::Tell(event, everybody) => {
                if let Some((id, event)) = event {
                    self.match_event(id, event);
                }
                let _ = self.events.send(everybody);
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

    /// Tells the session the time, and the player what that calls for.
    fn time(&mut self) {
        let step = self.session.decide(SessionInput::Time(self.clock.now()));
        // The time is no wish, and nothing comes between deciding and committing.
        for effect in step.and_then(|step| self.session.commit(step)).unwrap_or_default() {
            if let SessionEffect::Notify(notice) = effect {
                self.notify(notice);
            }
        }
    }

    /// Decide, store, commit: what may be sent afterwards.
    async fn step(&mut self, input: SessionInput) -> Result<Vec<ToServer>, ClientError> {
        self.time();
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
            notice => {
                if let Some((id, event)) = MatchEvent::of(notice) {
                    self.match_event(id, event);
                }
            }
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
        if let Some(answer) = self.opening.remove(&id) {
            let result = match notice {
                Notice::Cancelled => Err(ClientError::Cancelled),
                _ => self.handle(id).ok_or(ClientError::Closed),
            };
            let _ = answer.send(result);
        }
        self.match_event(id, notice.clone().into());
    }

    fn match_event(&mut self, id: MatchId, event: MatchEvent) {
        if let Some(state) = self.matches.get(&id) {
            if let Some(snapshot) = Snapshot::of(&self.session, id) {
                state.snapshot.send_replace(snapshot);
            }
            let _ = state.events.send(event);
        }
    }

    fn handle(&mut self, id: MatchId) -> Option<Match> {
        let channel = self.session.channel(id)?;
        let (events, events_in) = mpsc::unbounded_channel();
        let (snapshot, snapshots) = watch::channel(Snapshot::of(&self.session, id)?);
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
pub(super) fn tell(session: &mut Session, input: SessionInput) -> Result<(), ClientError> {
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
