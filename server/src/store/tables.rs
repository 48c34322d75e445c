//! The tables, and changes to them.

use std::path::PathBuf;

use bytes::Bytes;
use matchlock::{abi::MatchId, account::AccountId};
use redb::{Database, Key, ReadableTable, Table, TableDefinition, Value, WriteTransaction};

use super::records::{AccountRow, BatchRow, LeafRow, MatchRow, encode_row};

/// Raised when a record changes its shape.
const SCHEMA: u32 = 3;

/// `schema`, and what belongs to the whole server.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const ACCOUNTS: TableDefinition<'_, &[u8; 20], &[u8]> = TableDefinition::new("accounts");
/// Matches by a running number, so that a match and its turns lie together.
pub(super) const MATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("matches");
pub(super) const MATCH_IDS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("match-ids");
/// Matches that have not ended.
pub(super) const LIVE: TableDefinition<'_, u64, ()> = TableDefinition::new("live");
/// Turns as they came, by match and number, each behind the Unix second in which it did.
pub(super) const TURNS: TableDefinition<'_, (u64, u32), (u64, &[u8])> = TableDefinition::new("turns");
/// Results by their match.
pub(super) const LEAVES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("leaves");
/// Results that no batch holds yet.
pub(super) const LOOSE: TableDefinition<'_, u64, ()> = TableDefinition::new("loose");
pub(super) const BATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("batches");
/// What the chain's sender and watcher have to remember.
pub(super) const NOTES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("notes");

/// Why the store could not be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory cannot be made or entered.
    #[error("the data directory {path} cannot be used: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("{path} is in use: another server runs on this data directory")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The database cannot be opened or read.
    #[error("the database: {0}")]
    Database(#[from] redb::Error),
    /// Written by another version.
    #[error("the data directory has format {found}, this version reads {SCHEMA}")]
    Schema {
        /// The format found.
        found: u32,
    },
    /// A record does not decode.
    #[error("a record of the database is damaged")]
    Damaged,
    /// The disk failed and has not come back.
    #[error("the disk fails")]
    Failing,
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> StoreError {
                StoreError::Database(error.into())
            }
        })*
    };
}
from_redb!(redb::TransactionError, redb::StorageError, redb::CommitError);

/// One change to one table.
pub(crate) enum Change {
    /// Something of the whole server.
    Meta(&'static str, Vec<u8>),
    /// An account's record.
    Account(AccountId, Vec<u8>),
    /// A match's record.
    Match(u64, Vec<u8>),
    /// A new match: it is live until [`Change::Ended`].
    NewMatch(u64, MatchId, Vec<u8>),
    /// The match is not live any more.
    Ended(u64),
    /// A turn, with the Unix second in which it came.
    Turn(u64, u32, u64, Bytes),
    /// A result that no batch holds yet.
    Leaf(u64, Vec<u8>),
    /// A result that a batch holds.
    BatchedLeaf(u64, Vec<u8>),
    /// A batch.
    Batch(u64, Vec<u8>),
    /// A note of the chain's sender or watcher; `None` forgets it.
    Note(String, Option<Vec<u8>>),
}

impl Change {
    /// An account's record.
    pub(crate) fn account(row: &AccountRow) -> Change {
        Change::Account(row.player.account(), encode_row(row))
    }

    /// A match's record.
    pub(crate) fn matched(seq: u64, row: &MatchRow) -> Change {
        Change::Match(seq, encode_row(row))
    }

    /// A new match.
    pub(crate) fn new_match(seq: u64, row: &MatchRow) -> Change {
        Change::NewMatch(seq, row.id, encode_row(row))
    }

    /// A result; loose as long as it names no batch.
    pub(crate) fn leaf(seq: u64, row: &LeafRow) -> Change {
        match row.batch {
            None => Change::Leaf(seq, encode_row(row)),
            Some(_) => Change::BatchedLeaf(seq, encode_row(row)),
        }
    }

    /// A batch.
    pub(crate) fn batch(number: u64, row: &BatchRow) -> Change {
        Change::Batch(number, encode_row(row))
    }
}

/// Makes the tables, and checks that this version can read them.
pub(super) fn prepare(database: &Database) -> Result<(), StoreError> {
    let tx = database.begin_write()?;
    {
        let mut meta = tx.open_table(META)?;
        let found = meta.get("schema")?.map(|value| value.value().to_vec());
        match found {
            None => {
                meta.insert("schema", SCHEMA.to_le_bytes().as_slice())?;
            }
            Some(bytes) if bytes == SCHEMA.to_le_bytes() => {}
            Some(bytes) => {
                let found = bytes.try_into().map(u32::from_le_bytes).map_err(|_| StoreError::Damaged)?;
                return Err(StoreError::Schema { found });
            }
        }
        tx.open_table(ACCOUNTS)?;
        tx.open_table(MATCHES)?;
        tx.open_table(MATCH_IDS)?;
        tx.open_table(LIVE)?;
        tx.open_table(TURNS)?;
        tx.open_table(LEAVES)?;
        tx.open_table(LOOSE)?;
        tx.open_table(BATCHES)?;
        tx.open_table(NOTES)?;
    }
    tx.commit()?;
    Ok(())
}

/// Makes the changes, in order, in one transaction that is not committed yet.
///
/// A group that is all turns, as most are, opens one table.
pub(super) fn apply<'a>(tx: &WriteTransaction, changes: impl Iterator<Item = &'a Change>) -> Result<(), StoreError> {
    let (mut turns, mut accounts, mut matches, mut live) = (None, None, None, None);
    let (mut leaves, mut loose, mut notes) = (None, None, None);
    for change in changes {
        match change {
            Change::Turn(seq, turn, at, bytes) => {
                opened(&mut turns, tx, TURNS)?.insert((*seq, *turn), (*at, bytes.as_ref()))?;
            }
            Change::Account(id, row) => {
                opened(&mut accounts, tx, ACCOUNTS)?.insert(&id.0.0.0, row.as_slice())?;
            }
            Change::Match(seq, row) => {
                opened(&mut matches, tx, MATCHES)?.insert(*seq, row.as_slice())?;
            }
            Change::NewMatch(seq, id, row) => {
                opened(&mut matches, tx, MATCHES)?.insert(*seq, row.as_slice())?;
                opened(&mut live, tx, LIVE)?.insert(*seq, ())?;
                tx.open_table(MATCH_IDS)?.insert(&id.0.0, *seq)?;
            }
            Change::Ended(seq) => {
                opened(&mut live, tx, LIVE)?.remove(*seq)?;
            }
            Change::Leaf(seq, row) => {
                opened(&mut leaves, tx, LEAVES)?.insert(*seq, row.as_slice())?;
                opened(&mut loose, tx, LOOSE)?.insert(*seq, ())?;
            }
            Change::BatchedLeaf(seq, row) => {
                opened(&mut leaves, tx, LEAVES)?.insert(*seq, row.as_slice())?;
                opened(&mut loose, tx, LOOSE)?.remove(*seq)?;
            }
            Change::Batch(number, row) => {
                tx.open_table(BATCHES)?.insert(*number, row.as_slice())?;
            }
            Change::Note(name, Some(value)) => {
                opened(&mut notes, tx, NOTES)?.insert(name.as_str(), value.as_slice())?;
            }
            Change::Note(name, None) => {
                opened(&mut notes, tx, NOTES)?.remove(name.as_str())?;
            }
            Change::Meta(name, value) => {
                tx.open_table(META)?.insert(*name, value.as_slice())?;
            }
        }
    }
    Ok(())
}

fn opened<'a, 't, K: Key + 'static, V: Value + 'static>(
    slot: &'a mut Option<Table<'t, K, V>>,
    tx: &'t WriteTransaction,
    definition: TableDefinition<'_, K, V>,
) -> Result<&'a mut Table<'t, K, V>, StoreError> {
    if slot.is_none() {
        *slot = Some(tx.open_table(definition)?);
    }
    Ok(slot.as_mut().expect("just opened"))
}
