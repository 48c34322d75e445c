//! Watchtowers: what a client entrusts to them, and how it talks to one.

use std::{
    format,
    string::{String, ToString},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use reqwest::{Client as Http, Response, StatusCode, Url, header::CONTENT_TYPE};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Notify, broadcast, mpsc, oneshot},
    time::sleep,
};

use super::{ClientEvent, Command};
use crate::{
    abi::MatchId,
    account::AccountId,
    chain::{cause, endpoint},
    channel::{self, Channel},
    entrust::{Entrust, EntrustError, Held, MAX_REQUEST, OpenDispute},
    session::{Record, Session},
    transcript::Transcript,
    wire::Turn,
};

/// How long a tower may take for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The least time between two requests to one tower: fast play is told of in fewer.
const GAP: Duration = Duration::from_millis(100);
/// Pauses before a tower that was away is told again, doubling from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// Bytes of turns that go into one request; the rest goes into the next.
const MOST_TURNS: usize = MAX_REQUEST / 2;

/// A tower, or a server or arbiter, which keep transcripts too.
#[derive(Clone, Debug)]
pub struct Watchtower {
    url: Url,
    http: Http,
}

/// Why a tower did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TowerError {
    /// The URL is none, or of a kind that this build cannot use.
    #[error("{url} is no tower's address: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It does not answer, or not as a tower does.
    #[error("the tower does not answer: {0}")]
    Away(String),
    /// It says no.
    #[error(transparent)]
    Refused(#[from] EntrustError),
}

/// How a client fares with a tower.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TowerState {
    /// It has everything up to now.
    Watching,
    /// It does not answer; it is told when it does.
    Away(String),
    /// It does not take something of a match; the client goes on with the others, and with the next turn.
    Refused {
        /// The match; `None` for an opponent's statement.
        match_id: Option<MatchId>,
        /// Why.
        error: EntrustError,
    },
}

impl Watchtower {
    /// The tower at `url`; nothing is sent yet.
    ///
    /// # Errors
    /// The URL is none, or of a kind that this build cannot use.
    pub fn new(url: &str) -> Result<Watchtower, TowerError> {
        let bad = |reason| TowerError::Url { url: url.to_string(), reason };
        let (mut url, http) = endpoint(url).map_err(bad)?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Watchtower { url, http })
    }

    /// Entrusts something; what the tower has of it then, durably.
    ///
    /// # Errors
    /// The tower is away, or says no.
    pub async fn entrust(&self, entrusted: &Entrust) -> Result<Held, TowerError> {
        let request = self.http.post(self.at("entrust")).header(CONTENT_TYPE, "application/octet-stream");
        let answer = request.body(entrusted.encode()).timeout(PATIENCE).send().await.map_err(away)?;
        let status = answer.status();
        let bytes = read(answer).await?;
        match serde_json::from_slice::<EntrustError>(&bytes) {
            Ok(error) if !status.is_success() => Err(error.into()),
            _ if status.is_success() => parse(&bytes),
            _ => Err(TowerError::Away(format!("HTTP status {status}"))),
        }
    }

    /// What it has of a match; `None`: nothing.
    ///
    /// # Errors
    /// The tower is away.
    pub async fn held(&self, match_id: MatchId) -> Result<Option<Held>, TowerError> {
        self.get(&format!("matches/{match_id}")).await?.map(|bytes| parse(&bytes)).transpose()
    }

    /// Everything signed of a match, as it would be entrusted; `None`: it has nothing of it. Nothing of this was checked.
    ///
    /// # Errors
    /// The tower is away.
    pub async fn transcript(&self, match_id: MatchId) -> Result<Option<Entrust>, TowerError> {
        let bytes = self.get(&format!("matches/{match_id}/transcript")).await?;
        Ok(bytes.map(|bytes| Entrust::decode(&bytes)).transpose()?)
    }

    /// Disputes that are open on the chain.
    ///
    /// # Errors
    /// It is away.
    pub async fn disputes(&self) -> Result<Vec<OpenDispute>, TowerError> {
        let bytes = self.get("disputes").await?;
        parse(&bytes.ok_or_else(|| TowerError::Away("it lists no disputes".into()))?)
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, TowerError> {
        let answer = self.http.get(self.at(path)).timeout(PATIENCE).send().await.map_err(away)?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => read(answer).await.map(Some),
            status => Err(TowerError::Away(format!("HTTP status {status}"))),
        }
    }

    fn at(&self, path: &str) -> Url {
        self.url.join(path).expect("a path of hexadecimal digits and slashes")
    }
}

/// Reads an answer up to what a match may have.
async fn read(mut answer: Response) -> Result<Vec<u8>, TowerError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(away)? {
        if bytes.len() + chunk.len() > MAX_REQUEST {
            return Err(TowerError::Away("its answer is too large".into()));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, TowerError> {
    serde_json::from_slice(bytes).map_err(|error| TowerError::Away(format!("it answers as no tower does: {error}")))
}

fn away(error: reqwest::Error) -> TowerError {
    TowerError::Away(cause(&error))
}

/// The towers of a client: a task for each tells it what has changed. Play never waits for them.
pub(super) struct Towers(Vec<Arc<Mailbox>>);

/// What a tower has not been told. A match in it stands for everything of it that is new, so it grows no larger than the client's
/// open matches and opponents.
#[derive(Default)]
struct Mailbox {
    news: Mutex<News>,
    wake: Notify,
}

#[derive(Clone, Default)]
struct News {
    matches: BTreeSet<MatchId>,
    pairs: BTreeSet<AccountId>,
    closed: bool,
}

/// What became durable in a step of the session.
#[derive(Default)]
pub(super) struct Changed {
    matches: BTreeSet<MatchId>,
    pairs: BTreeSet<AccountId>,
}

impl Changed {
    pub(super) fn of(records: &[Record]) -> Changed {
        let mut changed = Changed::default();
        for record in records {
            match record {
                Record::Channel { match_id, .. } => drop(changed.matches.insert(*match_id)),
                Record::Opponent(pair) => drop(changed.pairs.insert(pair.player.account())),
                _ => {}
            }
        }
        changed
    }

    fn all(session: &Session) -> Changed {
        Changed {
            matches: session.channels().map(Channel::id).collect(),
            pairs: session.opponents().map(|pair| pair.player.account()).collect(),
        }
    }
}

impl Towers {
    /// Begins to tell these towers of everything that the session has open.
    pub(super) fn start(
        towers: Vec<(String, Watchtower)>,
        session: &Session,
        commands: &mpsc::Sender<Command>,
        events: &broadcast::Sender<ClientEvent>,
    ) -> Towers {
        let mailboxes = towers.into_iter().map(|(url, tower)| {
            let mailbox = Arc::new(Mailbox::default());
            let (commands, events) = (commands.downgrade(), events.clone());
            let teller =
                Teller { url, tower, mailbox: mailbox.clone(), commands, events, held: BTreeMap::new(), state: None };
            tokio::spawn(teller.run());
            mailbox
        });
        let towers = Towers(mailboxes.collect());
        towers.tell(&Changed::all(session));
        towers
    }

    /// To be called once it is durable.
    pub(super) fn tell(&self, changed: &Changed) {
        if changed.matches.is_empty() && changed.pairs.is_empty() {
            return;
        }
        for mailbox in &self.0 {
            mailbox.put(&changed.matches, &changed.pairs);
            mailbox.wake.notify_one();
        }
    }
}

impl Drop for Towers {
    fn drop(&mut self) {
        for mailbox in &self.0 {
            mailbox.lock().closed = true;
            mailbox.wake.notify_one();
        }
    }
}

impl Mailbox {
    fn put(&self, matches: &BTreeSet<MatchId>, pairs: &BTreeSet<AccountId>) {
        let mut news = self.lock();
        news.matches.extend(matches);
        news.pairs.extend(pairs);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells one tower.
struct Teller {
    url: String,
    tower: Watchtower,
    mailbox: Arc<Mailbox>,
    commands: mpsc::WeakSender<Command>,
    events: broadcast::Sender<ClientEvent>,
    /// The newest turn that the tower said it has.
    held: BTreeMap<MatchId, u32>,
    state: Option<TowerState>,
}

/// The client is closed.
struct Closed;

impl Teller {
    async fn run(mut self) {
        let mut pause = RETRY.0;
        loop {
            self.mailbox.wake.notified().await;
            loop {
                let news = {
                    let mut mailbox = self.mailbox.lock();
                    let closed = mailbox.closed;
                    News { closed, ..core::mem::take(&mut *mailbox) }
                };
                if news.closed {
                    return;
                }
                if news.matches.is_empty() && news.pairs.is_empty() {
                    break;
                }
                match self.deliver(&news).await {
                    Err(Closed) => return,
                    Ok(None) => {
                        pause = RETRY.0;
                        self.show(TowerState::Watching);
                        sleep(GAP).await;
                    }
                    Ok(Some(wait)) => {
                        // What is not delivered is still new.
                        self.mailbox.put(&news.matches, &news.pairs);
                        sleep(wait.unwrap_or(pause)).await;
                        pause = (pause * 2).min(RETRY.1);
                    }
                }
            }
        }
    }

    /// Tells the tower; if it is away or busy, how long to wait, where that is known.
    async fn deliver(&mut self, news: &News) -> Result<Option<Option<Duration>>, Closed> {
        for match_id in &news.matches {
            if let Some(wait) = self.deliver_match(*match_id).await? {
                return Ok(Some(wait));
            }
        }
        for account in news.pairs.iter().copied() {
            let find = move |session: &Session| {
                session.opponents().find(|pair| pair.player.account() == account).map(|pair| Entrust::Pair(*pair))
            };
            let Some(request) = self.look(find).await? else { continue };
            match self.tower.entrust(&request).await {
                Ok(_) | Err(TowerError::Refused(EntrustError::Older)) => {}
                Err(error) => {
                    if let Some(wait) = self.failed(None, error) {
                        return Ok(Some(wait));
                    }
                }
            }
        }
        Ok(None)
    }

    async fn deliver_match(&mut self, match_id: MatchId) -> Result<Option<Option<Duration>>, Closed> {
        // A tower that forgot, or was told by somebody else, says what it has; then it is told the rest.
        let mut strayed = 0;
        loop {
            let held = self.held.get(&match_id).copied();
            let find = move |session: &Session| session.channel(match_id).and_then(|channel| request(channel, held));
            let Some((request, last)) = self.look(find).await? else {
                self.held.remove(&match_id);
                return Ok(None);
            };
            match self.tower.entrust(&request).await {
                Ok(Held::Match { turn, .. }) => {
                    // What it has beyond is another's word, to be compared with what comes next.
                    self.held.insert(match_id, turn.min(last));
                    if turn >= last {
                        return Ok(None);
                    }
                    strayed += u32::from(held == Some(turn));
                }
                Ok(_) => strayed += 1,
                Err(TowerError::Refused(EntrustError::UnknownMatch)) => {
                    self.held.remove(&match_id);
                    strayed += 1;
                }
                Err(TowerError::Refused(EntrustError::Gap { held })) => {
                    self.held.insert(match_id, held);
                    strayed += 1;
                }
                Err(error) => {
                    if let TowerError::Refused(EntrustError::Forked { turn, .. }) = &error {
                        // Sent again from there with the next turn.
                        self.held.insert(match_id, turn.saturating_sub(1));
                    }
                    return Ok(self.failed(Some(match_id), error));
                }
            }
            if strayed > 3 {
                return Ok(self.failed(Some(match_id), TowerError::Away("it says now this, now that".into())));
            }
        }
    }

    /// Notes a failure; how long to wait if it is worth trying again.
    fn failed(&mut self, match_id: Option<MatchId>, error: TowerError) -> Option<Option<Duration>> {
        match error {
            TowerError::Refused(EntrustError::RateLimited { retry_ms }) => {
                Some(Some(Duration::from_millis(retry_ms.into()).min(RETRY.1)))
            }
            TowerError::Refused(error @ EntrustError::Storage) => {
                self.show(TowerState::Away(error.to_string()));
                Some(None)
            }
            TowerError::Refused(error) => {
                self.show(TowerState::Refused { match_id, error });
                None
            }
            error => {
                self.show(TowerState::Away(error.to_string()));
                Some(None)
            }
        }
    }

    /// Tells whoever listens, if it is new.
    fn show(&mut self, state: TowerState) {
        let refused = matches!(self.state, Some(TowerState::Refused { .. }));
        let news = self.state.as_ref() != Some(&state) && !(refused && state == TowerState::Watching);
        if news {
            self.state = Some(state.clone());
            let _ = self.events.send(ClientEvent::Tower { url: self.url.clone(), state });
        } else if refused {
            // A refusal was of one request; what comes next is told again.
            self.state = None;
        }
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Session) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Closed> {
        let commands = self.commands.upgrade().ok_or(Closed)?;
        let (answer, answered) = oneshot::channel();
        let look = Command::Look(Box::new(move |session| drop(answer.send(look(session)))));
        commands.send(look).await.map_err(|_| Closed)?;
        drop(commands);
        answered.await.map_err(|_| Closed)
    }
}

/// What a tower is to be told that has a match up to a turn, and the newest turn of it; `None`: nothing yet.
fn request(channel: &Channel, held: Option<u32>) -> Option<(Entrust, u32)> {
    let (match_id, last) = (channel.id(), channel.turns_from(1).len() as u32);
    channel.have()?;
    let (turns, all) = fitting(channel.turns_from(held.unwrap_or(0) + 1));
    let conclusion = channel.conclusion().filter(|_| all).unwrap_or_default().to_vec();
    let request = match held {
        Some(_) => Entrust::Turns { match_id, turns, conclusion },
        None => {
            let (start, _) = channel::start(channel.terms(), &**channel.rules()).ok()?;
            Entrust::Match {
                start,
                transcript: Box::new(Transcript {
                    turns,
                    conclusion,
                    fork: None,
                    arrivals: Vec::new(),
                    ..channel.transcript()?
                }),
            }
        }
    };
    Some((request, last))
}

/// As many of these as fit a request, and whether they are all.
fn fitting(turns: &[Turn]) -> (Vec<Turn>, bool) {
    let mut size = 0;
    // A header and its signature take less than half a kilobyte, whatever the number of seats.
    let fits = turns.iter().take_while(|turn| {
        size += turn.action.len() + 512;
        size <= MOST_TURNS
    });
    let some = fits.cloned().collect::<Vec<_>>();
    let all = some.len() == turns.len();
    (some, all)
}
