//! What waits to be sent to one connection: a bounded queue (R8.5).

use std::{
    fmt, mem,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use matchlock::{
    account::AccountId,
    wire::{self, About, Refusal, ToClient},
};
use tokio::sync::Notify;

use crate::sync::lock;

/// Bytes that may wait for a connection. A client reads faster than one match plays; one that lets so much pile up
/// does not read.
const MAX_BYTES: usize = 512 * 1024;
/// Frames that may wait for a connection; bounds what empty frames cost.
const MAX_FRAMES: usize = 4096;

/// The sending side of a logged-in connection. Clones are the same connection.
#[derive(Clone)]
pub(crate) struct Peer(Arc<Link>);

struct Link {
    account: AccountId,
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Default)]
struct Queue {
    frames: Vec<Bytes>,
    bytes: usize,
    closed: Option<Closed>,
    /// Somebody will see to it that what is queued is sent soon.
    soon: bool,
}

/// Why nothing more is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It did not read.
    Slow,
    /// The server ends the connection, for this reason.
    Ended(Refusal),
    /// The connection is gone.
    Gone,
}

impl Peer {
    pub(crate) fn new(account: AccountId) -> Peer {
        Peer(Arc::new(Link { account, queue: Mutex::default(), wake: Notify::new() }))
    }

    /// Who is logged in there.
    pub(crate) fn account(&self) -> AccountId {
        self.0.account
    }

    /// Queues a frame.
    pub(crate) fn send(&self, frame: &ToClient) {
        self.send_bytes(wire::encode(frame).into());
    }

    /// Queues a refusal.
    pub(crate) fn refuse(&self, about: About, refusal: Refusal) {
        self.send(&ToClient::Refused { about, refusal });
    }

    /// Queues an encoded frame. A peer that has too much waiting is disconnected; it resumes later.
    pub(crate) fn send_bytes(&self, frame: Bytes) {
        self.push(&mut lock(&self.0.queue), frame);
        self.0.wake.notify_one();
    }

    /// Queues a frame that goes out with the next one, or when [`Peer::wake`] is called: `true` asks for that.
    ///
    /// Acknowledgements are half of all frames, and nobody waits for one: alone they would cost a system call each.
    pub(crate) fn send_soon(&self, frame: &ToClient) -> bool {
        let mut queue = lock(&self.0.queue);
        self.push(&mut queue, wire::encode(frame).into());
        !std::mem::replace(&mut queue.soon, true)
    }

    /// Sends what is queued, if anything is.
    pub(crate) fn wake(&self) {
        let mut queue = lock(&self.0.queue);
        queue.soon = false;
        if !queue.frames.is_empty() {
            self.0.wake.notify_one();
        }
    }

    fn push(&self, queue: &mut Queue, frame: Bytes) {
        if queue.closed.is_some() {
            return;
        }
        if queue.frames.len() >= MAX_FRAMES || queue.bytes + frame.len() > MAX_BYTES {
            queue.closed = Some(Closed::Slow);
            queue.frames = Vec::new();
        } else {
            queue.bytes += frame.len();
            queue.frames.push(frame);
        }
    }

    /// Ends the connection; what is queued is still sent, and the reason.
    pub(crate) fn close(&self, closed: Closed) {
        lock(&self.0.queue).closed.get_or_insert(closed);
        self.0.wake.notify_one();
    }

    /// Whether this connection takes no more frames.
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.0.queue).closed.is_some()
    }

    /// Whether the two are one connection.
    pub(crate) fn is(&self, other: &Peer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Waits for frames, and swaps them with the emptied `frames`.
    pub(crate) async fn drain(&self, frames: &mut Vec<Bytes>) -> Option<Closed> {
        loop {
            if let Some(closed) = self.take(frames) {
                return closed;
            }
            self.0.wake.notified().await;
        }
    }

    /// What is queued now, if anything.
    pub(crate) fn take(&self, frames: &mut Vec<Bytes>) -> Option<Option<Closed>> {
        let mut queue = lock(&self.0.queue);
        if queue.frames.is_empty() && queue.closed.is_none() {
            return None;
        }
        mem::swap(&mut queue.frames, frames);
        queue.bytes = 0;
        Some(queue.closed.clone())
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.0.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_does_not_read_is_cut_off_and_its_queue_freed() {
        let peer = Peer::new(AccountId(Default::default()));
        for _ in 0..MAX_FRAMES {
            peer.send(&ToClient::Pong);
        }
        assert!(!peer.is_closed());
        peer.send(&ToClient::Pong);
        let mut frames = Vec::new();
        assert_eq!(peer.take(&mut frames), Some(Some(Closed::Slow)));
        assert!(frames.is_empty());
    }

    #[test]
    fn what_is_queued_before_the_end_is_still_sent() {
        let peer = Peer::new(AccountId(Default::default()));
        peer.send(&ToClient::Pong);
        peer.close(Closed::Ended(Refusal::Superseded));
        peer.send(&ToClient::Pong);
        let mut frames = Vec::new();
        assert_eq!(peer.take(&mut frames), Some(Some(Closed::Ended(Refusal::Superseded))));
        assert_eq!(frames.len(), 1);
    }
}
