//! The index over exact names.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;

use super::entry::Entry;
use super::shards::{Shards, shrink};
use crate::filter::TopicFilter;
use crate::topic::TopicName;

/// The exact names among all filters.
#[derive(Debug, Default)]
pub(super) struct Names {
    hasher: RandomState,
    count: AtomicUsize,
    shards: Shards<HashMap<TopicName, Arc<Entry>, RandomState>>,
}

impl Names {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Returns the entry of a name with one more claim. Creates it if needed.
    pub(super) fn claim(&self, name: &TopicName) -> Arc<Entry> {
        let hash = self.hasher.hash_one(name);
        if let Some(entry) = self.shards.read(hash).get(name) {
            return entry.claim();
        }
        let mut entries = self.shards.write(hash);
        let entry = entries.entry(name.clone()).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            Arc::new(Entry::new(TopicFilter::Exact(name.clone()), Box::default()))
        });
        entry.claim()
    }

    /// Removes a claim, and with the last claim the entry.
    pub(super) fn release(&self, name: &TopicName, entry: &Entry) {
        if entry.release_unless_last() {
            return;
        }
        let mut entries = self.shards.write(self.hasher.hash_one(name));
        if entry.release() && entries.remove(name).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
            shrink(&mut entries);
        }
    }

    #[cfg(test)]
    pub(super) fn lock_all(&self) -> impl Sized {
        self.shards.write_all()
    }

    /// Number of names in the tables.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.write_all().iter().map(|shard| shard.len()).sum()
    }

    /// Calls `found` if this name is among the filters.
    pub(super) fn find(&self, name: &TopicName, found: impl FnOnce(&Arc<Entry>)) {
        if !self.is_empty()
            && let Some(entry) = self.shards.read(self.hasher.hash_one(name)).get(name)
        {
            found(entry);
        }
    }
}
