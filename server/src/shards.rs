//! A map behind several locks, so that connections that have nothing to do with each other rarely meet at one.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::Mutex,
};

use crate::sync::lock;

const SHARDS: usize = 64;

/// The map. Values are handles: they are cloned out, and no lock is held while one is used.
pub(crate) struct Shards<K, V> {
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<K, V>>>,
}

impl<K: Eq + Hash + Copy, V: Clone> Shards<K, V> {
    pub(crate) fn new() -> Shards<K, V> {
        Shards { hasher: RandomState::new(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, key: &K) -> &Mutex<HashMap<K, V>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    pub(crate) fn find(&self, key: &K) -> Option<V> {
        lock(self.shard(key)).get(key).cloned()
    }

    /// What is there, or what `make` makes. Two that make at once agree on the first.
    pub(crate) fn find_or_insert(&self, key: K, make: impl FnOnce() -> V) -> V {
        lock(self.shard(&key)).entry(key).or_insert_with(make).clone()
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        lock(self.shard(&key)).insert(key, value);
    }

    pub(crate) fn remove(&self, key: &K) {
        lock(self.shard(key)).remove(key);
    }

    /// Removes a value that `idle` says can go. Nobody can take a handle out of the map meanwhile.
    pub(crate) fn remove_if(&self, key: &K, idle: impl FnOnce(&V) -> bool) {
        let mut shard = lock(self.shard(key));
        if shard.get(key).is_some_and(idle) {
            shard.remove(key);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// All values, by their keys: what follows from an order must not differ from run to run.
    pub(crate) fn values(&self) -> Vec<V>
    where
        K: Ord,
    {
        let pairs = |shard: &Mutex<HashMap<K, V>>| {
            lock(shard).iter().map(|(key, value)| (*key, value.clone())).collect::<Vec<_>>()
        };
        let mut all: Vec<(K, V)> = self.shards.iter().flat_map(pairs).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter().map(|(_, value)| value).collect()
    }
}
