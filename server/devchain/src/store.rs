//! The database: tables, consistent read views, and one atomic write per change of the chain.
//!
//! redb gives every reader a snapshot of the last commit, so reads run beside a commit and its `fsync`. A chain
//! without a data directory lives in the same tables over memory, so there is one code path.

mod record;

use std::{fs, io, ops::RangeInclusive, path::Path};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::Decodable;
use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition, WriteTransaction};
use revm::database_interface::DBErrorMarker;

pub(crate) use record::{Account, Block, Entry, Meta, Undo, UndoAccount, UndoSlot};

/// The layout of the tables below; another layout is refused, not guessed at.
pub(crate) const FORMAT: u32 = 1;

/// Enough for the working set of a development chain; redb's own default is a gigabyte.
const CACHE_BYTES: usize = 32 << 20;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const ACCOUNTS: TableDefinition<[u8; 20], [u8; 72]> = TableDefinition::new("accounts");
const SLOTS: TableDefinition<([u8; 20], [u8; 32]), [u8; 32]> = TableDefinition::new("slots");
const CODES: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("codes");
const HEADERS: TableDefinition<u64, &[u8]> = TableDefinition::new("headers");
const BODIES: TableDefinition<u64, &[u8]> = TableDefinition::new("bodies");
const NUMBERS: TableDefinition<[u8; 32], u64> = TableDefinition::new("numbers");
const TRANSACTIONS: TableDefinition<[u8; 32], (u64, u32)> = TableDefinition::new("transactions");
const UNDO: TableDefinition<u64, &[u8]> = TableDefinition::new("undo");
const POOL: TableDefinition<u64, &[u8]> = TableDefinition::new("pool");

/// Why the database could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database refused.
    #[error("chain database: {0}")]
    Database(Box<redb::Error>),
    /// The data directory could not be made.
    #[error("chain data directory: {0}")]
    Directory(#[from] io::Error),
    /// A record does not decode: the file was damaged or written by something else.
    #[error("chain database: damaged {0} record")]
    Corrupt(&'static str),
}

impl DBErrorMarker for StoreError {}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )*};
}
from_redb!(
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError
);

/// The open database.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
}

impl Store {
    /// Opens or creates the database in `directory`, or one in memory.
    pub(crate) fn open(directory: Option<&Path>) -> Result<Self, StoreError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = match directory {
            Some(directory) => {
                fs::create_dir_all(directory)?;
                builder.create(directory.join("chain.redb"))?
            }
            None => builder.create_with_backend(redb::backends::InMemoryBackend::new())?,
        };
        Ok(Self { database })
    }

    /// The chain's row, or `None` in a new database.
    pub(crate) fn meta(&self) -> Result<Option<Meta>, StoreError> {
        match self.database.begin_read()?.open_table(META) {
            Ok(table) => read_meta(&table),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A consistent view of the last commit.
    pub(crate) fn view(&self) -> Result<View, StoreError> {
        let read = self.database.begin_read()?;
        let meta = read.open_table(META)?;
        Ok(View {
            meta: read_meta(&meta)?.ok_or(StoreError::Corrupt("meta"))?,
            accounts: read.open_table(ACCOUNTS)?,
            slots: read.open_table(SLOTS)?,
            codes: read.open_table(CODES)?,
            headers: read.open_table(HEADERS)?,
            bodies: read.open_table(BODIES)?,
            numbers: read.open_table(NUMBERS)?,
            transactions: read.open_table(TRANSACTIONS)?,
            undo: read.open_table(UNDO)?,
            pool: read.open_table(POOL)?,
        })
    }

    /// Applies `write` atomically and durably: when this returns, a crash keeps it; when it fails, nothing changed.
    pub(crate) fn commit(&self, write: impl FnOnce(&mut Batch) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut transaction = self.database.begin_write()?;
        // Otherwise opening after a kill walks the whole file.
        transaction.set_quick_repair(true);
        let mut batch = Batch { transaction };
        write(&mut batch)?;
        batch.transaction.commit()?;
        Ok(())
    }
}

fn read_meta(table: &ReadOnlyTable<&str, &[u8]>) -> Result<Option<Meta>, StoreError> {
    table
        .get("chain")?
        .map(|row| serde_json::from_slice(row.value()).map_err(|_| StoreError::Corrupt("meta")))
        .transpose()
}

/// A consistent view of the chain at one commit.
pub(crate) struct View {
    pub(crate) meta: Meta,
    accounts: ReadOnlyTable<[u8; 20], [u8; 72]>,
    slots: ReadOnlyTable<([u8; 20], [u8; 32]), [u8; 32]>,
    codes: ReadOnlyTable<[u8; 32], &'static [u8]>,
    headers: ReadOnlyTable<u64, &'static [u8]>,
    bodies: ReadOnlyTable<u64, &'static [u8]>,
    numbers: ReadOnlyTable<[u8; 32], u64>,
    transactions: ReadOnlyTable<[u8; 32], (u64, u32)>,
    undo: ReadOnlyTable<u64, &'static [u8]>,
    pool: ReadOnlyTable<u64, &'static [u8]>,
}

impl View {
    pub(crate) fn account(&self, address: Address) -> Result<Option<Account>, StoreError> {
        let row = self.accounts.get(address.into_array())?;
        Ok(row.map(|row| Account::from_bytes(&row.value())))
    }

    pub(crate) fn slot(&self, address: Address, slot: U256) -> Result<U256, StoreError> {
        let row = self.slots.get((address.into_array(), slot.to_be_bytes()))?;
        Ok(row.map_or(U256::ZERO, |row| U256::from_be_bytes(row.value())))
    }

    pub(crate) fn code(&self, hash: B256) -> Result<Option<Bytes>, StoreError> {
        let row = self.codes.get(hash.0)?;
        Ok(row.map(|row| Bytes::copy_from_slice(row.value())))
    }

    pub(crate) fn header(&self, number: u64) -> Result<Option<(B256, alloy_consensus::Header)>, StoreError> {
        self.headers.get(number)?.map(|row| record::decode_header(row.value())).transpose()
    }

    pub(crate) fn block(&self, number: u64) -> Result<Option<Block>, StoreError> {
        let Some((hash, header)) = self.header(number)? else {
            return Ok(None);
        };
        let body = self.bodies.get(number)?.ok_or(StoreError::Corrupt("block body"))?;
        Ok(Some(Block { hash, header, entries: record::decode_body(body.value())? }))
    }

    pub(crate) fn number_of(&self, hash: B256) -> Result<Option<u64>, StoreError> {
        Ok(self.numbers.get(hash.0)?.map(|row| row.value()))
    }

    /// Where a transaction was mined: its block and its index there.
    pub(crate) fn place_of(&self, transaction: B256) -> Result<Option<(u64, usize)>, StoreError> {
        let row = self.transactions.get(transaction.0)?;
        Ok(row.map(|row| {
            let (number, index) = row.value();
            (number, index as usize)
        }))
    }

    /// The undo entries with these keys, newest first.
    pub(crate) fn undo(
        &self,
        keys: RangeInclusive<u64>,
    ) -> Result<impl Iterator<Item = Result<(u64, Undo), StoreError>>, StoreError> {
        Ok(self.undo.range(keys)?.rev().map(|row| {
            let (key, value) = row?;
            let undo = Undo::decode(&mut value.value()).map_err(|_| StoreError::Corrupt("undo"))?;
            Ok((key.value(), undo))
        }))
    }

    /// The raw pending transactions in order of arrival, with their keys.
    pub(crate) fn pool(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.pool
            .range::<u64>(..)?
            .map(|row| {
                let (key, value) = row?;
                Ok((key.value(), value.value().to_vec()))
            })
            .collect()
    }
}

/// One atomic write under way.
pub(crate) struct Batch {
    transaction: WriteTransaction,
}

impl Batch {
    /// Makes every table exist, so that views never have to ask.
    pub(crate) fn create_tables(&mut self) -> Result<(), StoreError> {
        let write = &self.transaction;
        write.open_table(META)?;
        write.open_table(ACCOUNTS)?;
        write.open_table(SLOTS)?;
        write.open_table(CODES)?;
        write.open_table(HEADERS)?;
        write.open_table(BODIES)?;
        write.open_table(NUMBERS)?;
        write.open_table(TRANSACTIONS)?;
        write.open_table(UNDO)?;
        write.open_table(POOL)?;
        Ok(())
    }

    pub(crate) fn put_meta(&mut self, meta: &Meta) -> Result<(), StoreError> {
        let row = serde_json::to_vec(meta).map_err(|_| StoreError::Corrupt("meta"))?;
        self.transaction.open_table(META)?.insert("chain", row.as_slice())?;
        Ok(())
    }

    pub(crate) fn put_accounts<'a>(
        &mut self,
        accounts: impl IntoIterator<Item = (&'a Address, &'a Option<Account>)>,
    ) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(ACCOUNTS)?;
        for (address, account) in accounts {
            match account {
                Some(account) => table.insert(address.into_array(), account.to_bytes())?,
                None => table.remove(address.into_array())?,
            };
        }
        Ok(())
    }

    pub(crate) fn put_slots<'a>(
        &mut self,
        slots: impl IntoIterator<Item = (&'a (Address, U256), &'a U256)>,
    ) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(SLOTS)?;
        for ((address, slot), value) in slots {
            let key = (address.into_array(), slot.to_be_bytes());
            if value.is_zero() {
                table.remove(key)?;
            } else {
                table.insert(key, value.to_be_bytes())?;
            }
        }
        Ok(())
    }

    /// Codes are kept under their hash for good: accounts that share code share the row.
    pub(crate) fn put_codes<'a>(
        &mut self,
        codes: impl IntoIterator<Item = (&'a B256, &'a Bytes)>,
    ) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(CODES)?;
        for (hash, code) in codes {
            table.insert(hash.0, code.as_ref())?;
        }
        Ok(())
    }

    pub(crate) fn put_block(&mut self, block: &Block) -> Result<(), StoreError> {
        let number = block.header.number;
        let write = &self.transaction;
        write.open_table(HEADERS)?.insert(number, record::encode_header(block.hash, &block.header).as_slice())?;
        write.open_table(BODIES)?.insert(number, record::encode_body(&block.entries).as_slice())?;
        write.open_table(NUMBERS)?.insert(block.hash.0, number)?;
        let mut table = write.open_table(TRANSACTIONS)?;
        for (index, entry) in (0..).zip(&block.entries) {
            table.insert(entry.transaction.tx_hash().0, (number, index))?;
        }
        Ok(())
    }

    pub(crate) fn remove_block(&mut self, block: &Block) -> Result<(), StoreError> {
        let number = block.header.number;
        let write = &self.transaction;
        write.open_table(HEADERS)?.remove(number)?;
        write.open_table(BODIES)?.remove(number)?;
        write.open_table(NUMBERS)?.remove(block.hash.0)?;
        let mut table = write.open_table(TRANSACTIONS)?;
        for entry in &block.entries {
            table.remove(entry.transaction.tx_hash().0)?;
        }
        Ok(())
    }

    pub(crate) fn put_undo(&mut self, key: u64, undo: &Undo) -> Result<(), StoreError> {
        self.transaction.open_table(UNDO)?.insert(key, alloy_rlp::encode(undo).as_slice())?;
        Ok(())
    }

    /// Removes the undo entries above `key`.
    pub(crate) fn remove_undo_above(&mut self, key: u64) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(UNDO)?;
        table.retain_in(key.saturating_add(1).., |_, _| false)?;
        Ok(())
    }

    /// Removes undo entries of blocks below `floor`, oldest first.
    pub(crate) fn trim_undo(&mut self, floor: u64) -> Result<(), StoreError> {
        use redb::ReadableTable;
        let mut table = self.transaction.open_table(UNDO)?;
        loop {
            let oldest = match table.first()? {
                None => return Ok(()),
                Some((key, value)) => {
                    let undo = Undo::decode(&mut value.value()).map_err(|_| StoreError::Corrupt("undo"))?;
                    if undo.number >= floor {
                        return Ok(());
                    }
                    key.value()
                }
            };
            table.remove(oldest)?;
        }
    }

    pub(crate) fn put_pooled(&mut self, key: u64, raw: &[u8]) -> Result<(), StoreError> {
        self.transaction.open_table(POOL)?.insert(key, raw)?;
        Ok(())
    }

    pub(crate) fn remove_pooled(&mut self, key: u64) -> Result<(), StoreError> {
        self.transaction.open_table(POOL)?.remove(key)?;
        Ok(())
    }
}
