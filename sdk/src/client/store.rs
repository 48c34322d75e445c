//! Where a client keeps what it signed.

use std::{path::Path, sync::Arc};

use alloc::{string::String, vec::Vec};
use alloy_primitives::hex;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use crate::{abi::MatchId, session::Record};

/// Keeps a session's records. What is saved survives a crash of the process, and of the machine where the store says so.
pub trait Store: Send + 'static {
    /// Everything saved, in an order that restores the session.
    ///
    /// # Errors
    /// It cannot be read.
    fn load(&mut self) -> Result<Vec<Record>, StoreError>;

    /// Saves all records or none. Durable once it is done.
    ///
    /// # Errors
    /// Nothing was saved.
    fn save(&mut self, records: Vec<Record>) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why a store does not read or write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process plays this account.
    #[error("{0} is open in another process; close that one first")]
    InUse(String),
    /// The disk is full, or not there.
    #[error("{0}")]
    Io(String),
    /// Bytes that this version did not write.
    #[error("stored record {key} cannot be read; restore the file from a backup")]
    Corrupt {
        /// Its key.
        key: String,
    },
}

/// A store that forgets: for tests, and for load that does not measure a disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Vec<Record>);

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        Ok(self.0.clone())
    }

    async fn save(&mut self, records: Vec<Record>) -> Result<(), StoreError> {
        self.0.extend(records);
        Ok(())
    }
}

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// Settled matches: every event, under the match's id.
const HISTORY: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("history");

/// A store in one file, synchronised to the disk at every save.
#[derive(Clone)]
pub struct RedbStore {
    database: Arc<Database>,
    /// Counts the events of all matches, so that they come back in order.
    next: u64,
}

impl RedbStore {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// Another process has it open, or the disk says no.
    pub fn open(path: impl AsRef<Path>) -> Result<RedbStore, StoreError> {
        let path = path.as_ref();
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(alloc::format!("{}", path.display())),
            error => StoreError::Io(alloc::format!("{}: {error}", path.display())),
        })?;
        let write = database.begin_write().map_err(io)?;
        write.open_table(RECORDS).map_err(io)?;
        write.open_table(HISTORY).map_err(io)?;
        write.commit().map_err(io)?;
        Ok(RedbStore { database: Arc::new(database), next: 0 })
    }
}

impl Store for RedbStore {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let read = self.database.begin_read().map_err(io)?;
        let table = read.open_table(RECORDS).map_err(io)?;
        let mut records = Vec::new();
        for row in table.iter().map_err(io)? {
            let (key, value) = row.map_err(io)?;
            let record = postcard::from_bytes(value.value())
                .map_err(|_| StoreError::Corrupt { key: hex::encode(key.value()) })?;
            if let Record::Channel { .. } = record {
                let counter = key.value().last_chunk().map_or(0, |counter| u64::from_be_bytes(*counter));
                self.next = self.next.max(counter + 1);
            }
            records.push(record);
        }
        Ok(records)
    }

    async fn save(&mut self, records: Vec<Record>) -> Result<(), StoreError> {
        let (database, first) = (self.database.clone(), self.next);
        self.next += records.len() as u64;
        let written = tokio::task::spawn_blocking(move || write(&database, &records, first)).await;
        written.map_err(|error| StoreError::Io(alloc::format!("{error}")))?
    }
}

fn write(database: &Database, records: &[Record], first: u64) -> Result<(), StoreError> {
    let write = database.begin_write().map_err(io)?;
    {
        let mut table = write.open_table(RECORDS).map_err(io)?;
        let mut history = write.open_table(HISTORY).map_err(io)?;
        for (record, counter) in records.iter().zip(first..) {
            if let Record::Settled { match_id } = record {
                let (low, high) = (match_key(match_id.0, 0), match_key(match_id.0, u64::MAX));
                let mut events = Vec::new();
                for row in table.extract_from_if(&low[..]..=&high[..], |_, _| true).map_err(io)? {
                    events.push(row.map_err(io)?.1.value().to_vec());
                }
                let events = postcard::to_allocvec(&events).map_err(io)?;
                history.insert(match_id.0.as_slice(), &events[..]).map_err(io)?;
                table.remove(&clock_key(*match_id)[..]).map_err(io)?;
                continue;
            }
            let value = postcard::to_allocvec(record).map_err(io)?;
            table.insert(&key(record, counter)[..], &value[..]).map_err(io)?;
        }
    }
    write.commit().map_err(io)
}

/// Records of one kind replace each other; a match's events follow each other. The order of the first bytes is
/// the order in which [`Session::new`](crate::session::Session::new) wants them.
fn key(record: &Record, counter: u64) -> Vec<u8> {
    match record {
        Record::Server(_) => b"a".to_vec(),
        Record::Receipt { .. } => b"b".to_vec(),
        Record::Statement { .. } => b"c".to_vec(),
        Record::Opponent(pair) => [b"d", pair.player.account().0.as_slice()].concat(),
        Record::Channel { match_id, .. } => match_key(match_id.0, counter),
        Record::Settled { match_id } => [b"s", match_id.0.as_slice()].concat(),
        Record::Clock { match_id, .. } => clock_key(*match_id),
    }
}

fn clock_key(match_id: MatchId) -> Vec<u8> {
    [b"t", match_id.0.as_slice()].concat()
}

fn match_key(match_id: alloy_primitives::B256, counter: u64) -> Vec<u8> {
    [b"m", match_id.as_slice(), &counter.to_be_bytes()].concat()
}

fn io(error: impl core::fmt::Display) -> StoreError {
    StoreError::Io(alloc::format!("{error}"))
}
