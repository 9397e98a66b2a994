//! Sharded locks and hash tables.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Number of locks of an index. Adding or removing a filter takes one of them.
const SHARDS: usize = 64;

/// Values that are distributed over several locks by a hash.
#[derive(Debug)]
pub(super) struct Shards<T>(Box<[RwLock<T>; SHARDS]>);

impl<T: Default> Default for Shards<T> {
    fn default() -> Shards<T> {
        Shards(Box::new(std::array::from_fn(|_| RwLock::default())))
    }
}

impl<T> Shards<T> {
    pub(super) fn read(&self, hash: u64) -> RwLockReadGuard<'_, T> {
        read(self.lock(hash))
    }

    pub(super) fn write(&self, hash: u64) -> RwLockWriteGuard<'_, T> {
        write(self.lock(hash))
    }

    /// Locks everything.
    #[cfg(test)]
    pub(super) fn write_all(&self) -> Vec<RwLockWriteGuard<'_, T>> {
        self.0.iter().map(write).collect()
    }

    fn lock(&self, hash: u64) -> &RwLock<T> {
        // Hash tables use the lowest and the highest bits of a hash.
        let [first, ..] = &*self.0;
        let index = usize::try_from(hash >> 32).unwrap_or(0) % SHARDS;
        self.0.get(index).unwrap_or(first)
    }
}

pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Gives memory back after many entries have left.
pub(super) fn shrink<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}
