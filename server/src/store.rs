//! The server's memory: one redb file, written by one thread in groups.
//!
//! Whoever changes something queues a [`Write`] and goes on; the writer takes all that is queued, commits it as one
//! transaction and then tells each [`Pending`]. What the operator signed leaves only from there: durable first.
//!
//! A disk that fails or is full does not lose what was queued: the writer keeps it, refuses more ([`Store::check`]),
//! and tries again until the disk is back or the process ends. Nobody was told that any of it was done.

mod records;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc, Condvar, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use matchlock::{abi::MatchId, account::AccountId};
use redb::{Database, ReadableDatabase, ReadableTable, TableError};

pub(crate) use records::{
    AccountRow, AppliedClaim, BatchRow, Ending, HeldWithdrawal, LeafRow, MatchRow, StatementDue, decode_row, encode_row,
};
pub(crate) use tables::Change;
pub use tables::StoreError;
use tables::{ACCOUNTS, BATCHES, LEAVES, LIVE, LOOSE, MATCH_IDS, MATCHES, META, NOTES, TURNS, prepare};

use crate::sync::lock;

/// Writes that may wait for the disk. Beyond it the server takes no more, instead of growing without bound (R8.5).
const QUEUE_LIMIT: usize = 200_000;
/// Memory that redb may use for pages.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// What waits for a write.
pub(crate) trait Pending: Send {
    /// It is durable.
    fn stored(self: Box<Self>);
    /// The disk failed; the write stays queued and [`stored`](Pending::stored) may still follow.
    fn stalled(&self) {}
}

impl<F: FnOnce() + Send> Pending for F {
    fn stored(self: Box<Self>) {
        self()
    }
}

/// Changes that become durable together, and who waits for them.
pub(crate) struct Write {
    changes: Changes,
    pending: Option<Box<dyn Pending>>,
}

/// One change needs no list of its own: moves are single changes.
enum Changes {
    One(Change),
    Many(Vec<Change>),
}

impl Changes {
    fn iter(&self) -> std::slice::Iter<'_, Change> {
        match self {
            Changes::One(change) => std::slice::from_ref(change).iter(),
            Changes::Many(changes) => changes.iter(),
        }
    }
}

type OpenDatabase = Box<dyn Fn() -> Result<Database, StoreError> + Send + Sync>;

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    database: RwLock<Option<Database>>,
    open: OpenDatabase,
    healthy: AtomicBool,
}

#[derive(Default)]
struct Queue {
    writes: Vec<Write>,
    /// Somebody waits for one of them.
    urgent: bool,
    closing: bool,
}

/// A handle to the open store.
pub(crate) struct Store {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store of this name in this directory, making both where they do not exist.
    pub(crate) fn open(directory: &Path, file: &str) -> Result<Store, StoreError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| StoreError::Directory { path: directory.to_owned(), source })?;
        let path = directory.join(file);
        Store::open_with(Box::new(move || {
            redb::Builder::new().set_cache_size(CACHE_BYTES).create(&path).map_err(|error| match error {
                redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.clone() },
                error => StoreError::Database(error.into()),
            })
        }))
    }

    /// A store that opens its database so; tests put a failing disk here.
    pub(crate) fn open_with(open: OpenDatabase) -> Result<Store, StoreError> {
        let store = Store::open_by_hand(open)?;
        *lock(&store.writer) = Some(writer::spawn(store.shared.clone()));
        Ok(store)
    }

    /// A store without a thread: what is queued becomes durable by [`Store::flush`] alone, for a simulator.
    pub(crate) fn open_by_hand(open: OpenDatabase) -> Result<Store, StoreError> {
        let database = open()?;
        prepare(&database)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            database: RwLock::new(Some(database)),
            open,
            healthy: AtomicBool::new(true),
        });
        Ok(Store { shared, writer: Mutex::new(None) })
    }

    /// Whether writes are taken now.
    pub(crate) fn check(&self) -> Result<(), Overload> {
        if !self.healthy() {
            return Err(Overload::Failing);
        }
        if lock(&self.shared.queue).writes.len() >= QUEUE_LIMIT {
            return Err(Overload::Full);
        }
        Ok(())
    }

    /// Whether the last write succeeded.
    pub(crate) fn healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed)
    }

    /// Queues changes that belong together. Writes become durable in the order in which they were queued.
    pub(crate) fn write(&self, changes: Vec<Change>, stored: impl FnOnce() + Send + 'static) {
        self.push(Write { changes: Changes::Many(changes), pending: Some(Box::new(stored)) }, true);
    }

    /// The same, with somebody who wants to hear of a failing disk too.
    pub(crate) fn write_for(&self, changes: Vec<Change>, pending: impl Pending + 'static) {
        self.push(Write { changes: Changes::Many(changes), pending: Some(Box::new(pending)) }, true);
    }

    /// Queues a single change that nobody waits for: a turn. It may be gathered with others for a moment.
    pub(crate) fn write_one(&self, change: Change, pending: impl Pending + 'static) {
        self.push(Write { changes: Changes::One(change), pending: Some(Box::new(pending)) }, false);
    }

    /// Makes changes durable and returns then. Blocks: not for the runtime's threads.
    pub(crate) fn write_now(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let (done, wait) = std::sync::mpsc::channel();
        struct Now(std::sync::mpsc::Sender<bool>);
        impl Pending for Now {
            fn stored(self: Box<Self>) {
                let _ = self.0.send(true);
            }
            fn stalled(&self) {
                let _ = self.0.send(false);
            }
        }
        self.write_for(changes, Now(done));
        if lock(&self.writer).is_none() {
            self.flush(usize::MAX)?;
        }
        match wait.recv() {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(StoreError::Failing),
        }
    }

    /// Without a thread: makes the oldest writes durable, at most so many, and tells who waits for them. The number of those that
    /// are left.
    pub(crate) fn flush(&self, most: usize) -> Result<usize, StoreError> {
        let mut writes = std::mem::take(&mut lock(&self.shared.queue).writes);
        let later = writes.split_off(most.min(writes.len()));
        lock(&self.shared.queue).writes.splice(0..0, later);
        if !writes.is_empty() {
            writer::attempt(&self.shared, &writes)?;
        }
        writes.into_iter().filter_map(|write| write.pending).for_each(Pending::stored);
        Ok(lock(&self.shared.queue).writes.len())
    }

    fn push(&self, write: Write, urgent: bool) {
        let mut queue = lock(&self.shared.queue);
        if queue.closing {
            return;
        }
        queue.writes.push(write);
        if queue.writes.len() == 1 || urgent && !queue.urgent {
            queue.urgent |= urgent;
            self.shared.wake.notify_one();
        }
    }

    /// Makes everything queued durable and closes the file.
    pub(crate) fn close(&self) {
        lock(&self.shared.queue).closing = true;
        self.shared.wake.notify_one();
        match lock(&self.writer).take() {
            Some(writer) => drop(writer.join()),
            // Without a thread: what is queued is the caller's business.
            None => *self.shared.database.write().unwrap_or_else(std::sync::PoisonError::into_inner) = None,
        }
    }

    /// Drops what is queued and closes the file: what a killed process leaves behind.
    pub(crate) fn kill(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.writes.clear();
        queue.closing = true;
        drop(queue);
        self.close();
    }

    fn read<T>(&self, read: impl FnOnce(&redb::ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let database = self.shared.database.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Failing)?;
        read(&database.begin_read().map_err(StoreError::from)?)
    }

    /// A note by its name.
    pub(crate) fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|tx| Ok(tx.open_table(META)?.get(name)?.map(|value| value.value().to_vec())))
    }

    /// What is known of an account.
    pub(crate) fn account(&self, id: AccountId) -> Result<Option<AccountRow>, StoreError> {
        self.read(|tx| {
            let value = tx.open_table(ACCOUNTS)?.get(&id.0.0.0)?;
            value.map(|value| decode_row(value.value())).transpose()
        })
    }

    /// Every account.
    pub(crate) fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        self.read(|tx| tx.open_table(ACCOUNTS)?.iter()?.map(|item| decode_row(item?.1.value())).collect())
    }

    /// A match and its number here.
    pub(crate) fn match_by_id(&self, id: MatchId) -> Result<Option<(u64, MatchRow)>, StoreError> {
        self.read(|tx| {
            let Some(seq) = tx.open_table(MATCH_IDS)?.get(&id.0.0)?.map(|seq| seq.value()) else { return Ok(None) };
            let value = tx.open_table(MATCHES)?.get(seq)?;
            value.map(|value| Ok((seq, decode_row(value.value())?))).transpose()
        })
    }

    /// Matches that have not ended.
    pub(crate) fn live_matches(&self) -> Result<Vec<(u64, MatchRow)>, StoreError> {
        self.read(|tx| {
            let matches = tx.open_table(MATCHES)?;
            let mut live = Vec::new();
            for item in tx.open_table(LIVE)?.iter()? {
                let seq = item?.0.value();
                if let Some(row) = matches.get(seq)? {
                    live.push((seq, decode_row(row.value())?));
                }
            }
            Ok(live)
        })
    }

    /// The number after the newest match's.
    pub(crate) fn next_match(&self) -> Result<u64, StoreError> {
        self.read(|tx| Ok(tx.open_table(MATCHES)?.last()?.map_or(0, |(seq, _)| seq.value() + 1)))
    }

    /// Encoded turns of a match from `from` on, in order, up to about `limit` bytes but at least one.
    pub(crate) fn turns(&self, seq: u64, from: u32, limit: usize) -> Result<Vec<Bytes>, StoreError> {
        self.read(|tx| {
            let table = tx.open_table(TURNS)?;
            let (mut turns, mut size) = (Vec::new(), 0);
            for item in table.range((seq, from)..=(seq, u32::MAX))? {
                let bytes = Bytes::copy_from_slice(item?.1.value().1);
                size += bytes.len();
                if size > limit && !turns.is_empty() {
                    break;
                }
                turns.push(bytes);
            }
            Ok(turns)
        })
    }

    /// The newest turn of a match.
    pub(crate) fn last_turn(&self, seq: u64) -> Result<Option<Bytes>, StoreError> {
        self.read(|tx| {
            let table = tx.open_table(TURNS)?;
            let last = table.range((seq, 0)..=(seq, u32::MAX))?.next_back();
            Ok(last.transpose()?.map(|(_, value)| Bytes::copy_from_slice(value.value().1)))
        })
    }

    /// At most `count` turns of a match from `from` on, in order, with the Unix seconds in which they came.
    pub(crate) fn arrivals(&self, seq: u64, from: u32, count: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        self.read(|tx| {
            let table = tx.open_table(TURNS)?;
            let rows = table.range((seq, from)..=(seq, u32::MAX))?.take(count);
            rows.map(|row| {
                let value = row?.1;
                let (at, bytes) = value.value();
                Ok((at, Bytes::copy_from_slice(bytes)))
            })
            .collect()
        })
    }

    /// A match's result.
    pub(crate) fn leaf(&self, seq: u64) -> Result<Option<LeafRow>, StoreError> {
        self.read(|tx| {
            let value = tx.open_table(LEAVES)?.get(seq)?;
            value.map(|value| decode_row(value.value())).transpose()
        })
    }

    /// Results that no batch holds yet.
    pub(crate) fn loose_leaves(&self) -> Result<Vec<(u64, LeafRow)>, StoreError> {
        self.read(|tx| {
            let leaves = tx.open_table(LEAVES)?;
            let mut loose = Vec::new();
            for item in tx.open_table(LOOSE)?.iter()? {
                let seq = item?.0.value();
                if let Some(row) = leaves.get(seq)? {
                    loose.push((seq, decode_row(row.value())?));
                }
            }
            Ok(loose)
        })
    }

    /// A batch by its number here.
    pub(crate) fn batch(&self, number: u64) -> Result<Option<BatchRow>, StoreError> {
        self.read(|tx| {
            let value = tx.open_table(BATCHES)?.get(number)?;
            value.map(|value| decode_row(value.value())).transpose()
        })
    }

    /// The newest batch.
    pub(crate) fn last_batch(&self) -> Result<Option<(u64, BatchRow)>, StoreError> {
        self.read(|tx| {
            let table = tx.open_table(BATCHES)?;
            let last = table.last()?;
            last.map(|(number, value)| Ok((number.value(), decode_row(value.value())?))).transpose()
        })
    }

    /// Notes of the chain's sender and watcher whose names start so.
    pub(crate) fn notes(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.read(|tx| {
            let table = tx.open_table(NOTES)?;
            let mut notes = Vec::new();
            for item in table.range(prefix..)? {
                let (name, value) = item?;
                if !name.value().starts_with(prefix) {
                    break;
                }
                notes.push((name.value().to_owned(), value.value().to_vec()));
            }
            Ok(notes)
        })
    }
}

impl AsRef<Store> for Store {
    fn as_ref(&self) -> &Store {
        self
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Why no write is taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overload {
    /// The disk fails.
    Failing,
    /// Too much waits for the disk.
    Full,
}

impl From<TableError> for StoreError {
    fn from(error: TableError) -> StoreError {
        StoreError::Database(error.into())
    }
}
