//! The one thread that writes.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Pending, Shared, Write, tables};
use crate::{store::StoreError, sync::lock};

/// How long turns are gathered for one commit. They have been passed on already and nobody waits for their being stored;
/// what somebody waits for is written at once, and takes them along.
const GATHER: Duration = Duration::from_millis(10);
/// How long to wait before a failing disk is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Starts the writer. It ends when the store is closing and nothing is queued, or the disk does not take it.
pub(super) fn spawn(shared: Arc<Shared>) -> JoinHandle<()> {
    thread::Builder::new()
        .name("store".into())
        .spawn(move || {
            // Consequences run beside the next commit.
            let (committed, tell) = mpsc::channel::<Vec<Box<dyn Pending>>>();
            let teller = thread::Builder::new()
                .name("stored".into())
                .spawn(move || tell.into_iter().flatten().for_each(Pending::stored))
                .expect("the system starts a thread");
            let mut last = Instant::now();
            while let Some(mut writes) = next(&shared, last) {
                if !write(&shared, &mut writes) {
                    break;
                }
                let pending = writes.into_iter().filter_map(|write| write.pending).collect();
                let _ = committed.send(pending);
                last = Instant::now();
            }
            drop(committed);
            let _ = teller.join();
            *shared.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        })
        .expect("the system starts a thread")
}

/// Everything queued, as soon as it is to be written; `None` at the end.
fn next(shared: &Shared, last: Instant) -> Option<Vec<Write>> {
    let mut queue = lock(&shared.queue);
    while queue.writes.is_empty() {
        if queue.closing {
            return None;
        }
        queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    while !queue.urgent && !queue.closing {
        let Some(wait) = GATHER.checked_sub(last.elapsed()).filter(|wait| !wait.is_zero()) else { break };
        queue = shared.wake.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
    queue.urgent = false;
    Some(std::mem::take(&mut queue.writes))
}

/// Writes one group, however often it takes; `false` if the store closes before it succeeds.
///
/// What is queued while the disk fails joins the group, so that whoever waits for it hears of the failure too.
fn write(shared: &Shared, writes: &mut Vec<Write>) -> bool {
    let mut told = 0;
    loop {
        match attempt(shared, writes) {
            Ok(()) => {
                if told > 0 {
                    tracing::info!("the disk is back");
                    shared.healthy.store(true, Ordering::Relaxed);
                }
                return true;
            }
            Err(error) if told == 0 => {
                tracing::error!(%error, "the disk fails: nothing more is accepted until it is back");
                shared.healthy.store(false, Ordering::Relaxed);
            }
            Err(error) => tracing::debug!(%error, "the disk still fails"),
        }
        // Without the queue's lock: who waits for a write may hold a lock of its own while it queues another.
        writes[told..].iter().filter_map(|write| write.pending.as_ref()).for_each(|pending| pending.stalled());
        told = writes.len();
        let queue = lock(&shared.queue);
        if queue.closing {
            tracing::error!(writes = writes.len(), "closing without the disk: nobody was told that these were done");
            return false;
        }
        // Wakes early when more is queued or the store closes; an early try does no harm.
        let waited = shared.wake.wait_timeout(queue, RETRY);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        writes.append(&mut queue.writes);
        drop(queue);
        reopen(shared);
    }
}

pub(super) fn attempt(shared: &Shared, writes: &[Write]) -> Result<(), StoreError> {
    let database = shared.database.read().unwrap_or_else(PoisonError::into_inner);
    let tx = database.as_ref().ok_or(StoreError::Failing)?.begin_write()?;
    tables::apply(&tx, writes.iter().flat_map(|write| write.changes.iter()))?;
    tx.commit()?;
    Ok(())
}

/// After a failure redb answers nothing any more until the file is opened anew.
fn reopen(shared: &Shared) {
    let mut database = shared.database.write().unwrap_or_else(PoisonError::into_inner);
    *database = None;
    match (shared.open)() {
        Ok(opened) => *database = Some(opened),
        Err(error) => tracing::debug!(%error, "the database does not open"),
    }
}
