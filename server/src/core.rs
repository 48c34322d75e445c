//! The server without sockets, threads and clocks: for a simulator, which drives it step by step in virtual time.
//!
//! It is the same hub, store, watcher and sender that [`Server`](crate::Server) runs; that one only adds a socket to each
//! [`Link`], a thread to the store and a task to each loop. Nothing happens here unless somebody calls for it, so two runs with the
//! same calls, clock and randomness are the same.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use alloy_primitives::B256;
use bytes::Bytes;
use matchlock::{
    account::AccountId,
    chain::ProviderError,
    rules::Rules,
    wire::{self, About, Refusal, ToClient, ToServer},
};
use redb::StorageBackend;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    account::Account,
    chain::{At, Chain, Done, Look, Outcome, Queue, Watcher},
    connection::{check_login, ready},
    court::Venue,
    follow::{self, Notes},
    hub::Hub,
    ledger::{Ask, ChainAccount},
    machine::Machine,
    operator::Operator,
    peer::{Closed, Peer},
    server::StartError,
    settings::Settings,
    store::{Store, StoreError},
    sync::lock,
};

/// A disk in memory: what was written to it survives the [`Core`] that wrote it.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Vec<u8>>>);

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        let bytes = lock(&self.0);
        out.copy_from_slice(bytes.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        lock(&self.0).resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = offset as usize;
        let mut bytes = lock(&self.0);
        bytes.get_mut(at..at + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}

/// A running server.
pub struct Core {
    hub: Arc<Hub>,
    chain: Chain,
    queue: Arc<Queue>,
    watcher: Watcher,
    done: Done,
    asked: mpsc::UnboundedReceiver<Ask>,
    outcomes: VecDeque<Outcome>,
    started: Instant,
    started_at: u64,
}

/// A logged-in connection.
#[derive(Clone)]
pub struct Link {
    account: Arc<Account>,
    peer: Peer,
}

impl Core {
    /// Starts a server on this disk, as [`Server::start`](crate::Server::start) does.
    ///
    /// # Errors
    /// As there.
    pub async fn start(
        settings: Settings,
        machine: Machine,
        chain: Chain,
        games: Vec<Arc<dyn Rules>>,
        disk: &Disk,
    ) -> Result<Core, StartError> {
        let disk = disk.clone();
        let store = Store::open_by_hand(Box::new(move || {
            redb::Builder::new().create_with_backend(disk.clone()).map_err(|error| StoreError::Database(error.into()))
        }))?;
        let info = *chain.arena();
        let operator = Operator::new(chain.config().key.clone(), info.domain);
        let venue = Venue::read(&chain, &store).await?;
        let (asks, asked) = mpsc::unbounded_channel();
        let started_at = machine.now();
        let hub = Arc::new(Hub::new(settings, machine, operator, venue, games, store, asks)?);
        hub.take_up(&chain).await?;
        let notes: Arc<dyn crate::chain::Outbox> = Arc::new(Notes(hub.clone()));
        let queue = Arc::new(Queue::load(&chain, notes.clone()).await.map_err(crate::chain::ChainError::from)?);
        let watcher = Watcher::load(chain.clone(), &notes).await.map_err(crate::chain::ChainError::from)?;
        let done = watcher.done(notes);
        let outcomes = queue.outcomes().await.into();
        Ok(Core { hub, chain, queue, watcher, done, asked, outcomes, started: Instant::now(), started_at })
    }

    /// What it says first to a connection.
    pub fn welcome(&self, nonce: B256) -> Vec<u8> {
        wire::encode(&ToClient::Welcome(self.hub.welcome(nonce)))
    }

    /// Takes the first frame of a connection that got this nonce.
    ///
    /// # Errors
    /// Not a login, or not a good one.
    pub async fn log_in(&self, nonce: B256, frame: &[u8]) -> Result<Link, Refusal> {
        let ToServer::Login { player, signature, resume } = wire::decode(frame)? else {
            return Err(Refusal::NotLoggedIn);
        };
        check_login(&self.hub, player, nonce, &signature)?;
        let account = self.hub.account(player)?;
        if lock(&account.book).chain.is_none()
            && let Ok(record) = self.chain.record(account.id, At::Confirmed).await
        {
            self.hub.observe(&account, record, 0);
        }
        let peer = Peer::new(account.id);
        ready(&self.hub, &account, &peer);
        for resuming in self.hub.to_resume(&account, &resume) {
            let mut at = Some(resuming);
            while let Some(resuming) = at {
                at = self.hub.resume_step(&account, &peer, resuming);
            }
        }
        self.hub.resume_account(&account, &peer);
        Ok(Link { account, peer })
    }

    /// Takes a frame.
    pub fn receive(&self, link: &Link, bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        match wire::decode::<ToServer>(&bytes) {
            Ok(frame) => self.hub.receive(&link.peer, &link.account, frame, bytes),
            Err(error) => link.peer.refuse(About::Session, error.into()),
        }
    }

    /// The frames that wait to be sent; `false`: and then the connection ends.
    pub fn take(&self, link: &Link) -> (Vec<Bytes>, bool) {
        let mut frames = Vec::new();
        match link.peer.take(&mut frames) {
            None => (frames, true),
            Some(closed) => (frames, closed.is_none()),
        }
    }

    /// The connection is gone.
    pub fn hang_up(&self, link: Link) {
        link.peer.close(Closed::Gone);
        self.hub.vacate(&link.account, &link.peer);
        self.hub.forget(link.account);
    }

    /// What the clock calls for.
    pub fn tick(&self) {
        self.hub.tick();
        self.hub.tick_second();
    }

    /// Makes the oldest queued writes durable, at most so many, and does what follows; the number of those left.
    ///
    /// # Errors
    /// The disk fails.
    pub fn flush(&self, most: usize) -> Result<usize, StoreError> {
        self.hub.store.flush(most)
    }

    /// Works off what the hub asked of the chain.
    pub async fn answer(&mut self) {
        while let Ok(ask) = self.asked.try_recv() {
            follow::answer(&self.chain, &self.queue, ask).await;
        }
    }

    /// Looks at the chain once; whether there may be more.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn look(&mut self) -> Result<bool, ProviderError> {
        match self.watcher.look().await? {
            Look::Nothing => Ok(false),
            Look::More => Ok(true),
            Look::Event(event) => {
                follow::take(&self.hub, &self.chain, &event).await;
                if let Err(error) = self.done.note(&event).await {
                    tracing::warn!(%error, "the watcher's place is not kept; its events come again");
                }
                self.hub.settle();
                Ok(true)
            }
        }
    }

    /// Sees to its transactions once.
    ///
    /// # Errors
    /// The node does not answer, or the disk fails.
    pub async fn send(&mut self) -> Result<(), String> {
        let passed = Duration::from_secs(self.hub.now().saturating_sub(self.started_at));
        let step = self.queue.step(self.started + passed).await.map_err(|error| format!("{error:?}"))?;
        self.outcomes.extend(step.outcomes);
        while let Some(outcome) = self.outcomes.pop_front() {
            self.hub.submitted(&outcome);
        }
        self.hub.settle();
        Ok(())
    }

    /// Stops at once, and loses what is not durable.
    pub fn kill(self) {
        self.hub.store.kill();
    }

    /// What the chain said of an account last.
    pub fn record(&self, id: AccountId) -> Option<ChainAccount> {
        lock(&self.hub.accounts.find(&id)?.book).chain
    }

    /// Newest confirmed block.
    pub fn height(&self) -> u64 {
        self.hub.height.load(Ordering::Relaxed)
    }
}
