//! What has to survive the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::OutboxError;

/// A small durable map: transactions on their way and the watcher's place.
///
/// Calls may block (they wait for the disk); they are made off the runtime's threads.
pub trait Outbox: Send + Sync + 'static {
    /// Stores `value` under `key`. It is durable when this returns, and the old value stays if it fails.
    ///
    /// # Errors
    /// The disk is full or broken.
    fn put(&self, key: &str, value: &[u8]) -> Result<(), OutboxError>;

    /// Forgets `key`; nothing happens if there is no such key.
    ///
    /// # Errors
    /// As for `put`.
    fn remove(&self, key: &str) -> Result<(), OutboxError>;

    /// Every key that starts with `prefix`, in order, with its value.
    ///
    /// # Errors
    /// As for `put`.
    fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, OutboxError>;
}

/// An outbox that lasts as long as the process; for tests and throw-away chains.
#[derive(Debug, Default)]
pub struct MemoryOutbox {
    entries: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Outbox for MemoryOutbox {
    fn put(&self, key: &str, value: &[u8]) -> Result<(), OutboxError> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn remove(&self, key: &str) -> Result<(), OutboxError> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, OutboxError> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let from = entries.range(prefix.to_owned()..);
        Ok(from
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

/// Runs what may wait for the disk where waiting holds nobody up.
pub(crate) async fn off_runtime<T: Send + 'static>(
    outbox: &Arc<dyn Outbox>,
    work: impl FnOnce(&dyn Outbox) -> Result<T, OutboxError> + Send + 'static,
) -> Result<T, OutboxError> {
    let outbox = outbox.clone();
    let work = tokio::task::spawn_blocking(move || work(&*outbox));
    work.await.unwrap_or_else(|error| Err(OutboxError(error.to_string())))
}
