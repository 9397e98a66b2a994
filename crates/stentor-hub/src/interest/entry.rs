//! A filter with its readers and listeners.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::listener::Listener;
use super::overlap::{Overlap, address};
use super::shards::{read, shrink, write};
use super::step::Step;
use crate::cursor::Offset;
use crate::filter::TopicFilter;

/// A filter of at least one subscription.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) filter: TopicFilter,
    /// The steps of a pattern after the literal prefix that selects its trie. Empty for a name.
    pub(super) steps: Box<[Step]>,
    /// Number of sets of filters with this filter. The entry leaves the index with the last of them.
    claims: AtomicUsize,
    readers: AtomicUsize,
    listeners: RwLock<Vec<Listed>>,
    /// The sets in which another filter may match the same topics, by address. `None` if it never had any.
    overlaps: Mutex<Option<Box<Overlaps>>>,
}

type Overlaps = HashMap<usize, Arc<Overlap>>;

/// A listener in the list of an entry.
#[derive(Debug)]
struct Listed {
    listener: Arc<Listener>,
    /// The index of the entry in the listener's set of filters.
    filter: usize,
}

impl Entry {
    /// Creates an entry without claims.
    pub(super) fn new(filter: TopicFilter, steps: Box<[Step]>) -> Entry {
        Entry {
            filter,
            steps,
            claims: AtomicUsize::new(0),
            readers: AtomicUsize::new(0),
            listeners: RwLock::default(),
            overlaps: Mutex::default(),
        }
    }

    /// Adds a claim. The caller holds the lock of the entry's shard.
    pub(super) fn claim(self: &Arc<Entry>) -> Arc<Entry> {
        self.claims.fetch_add(1, Ordering::Relaxed);
        Arc::clone(self)
    }

    /// Removes a claim, unless it is the last one. Returns `true` if it was removed. Needs no lock.
    pub(super) fn release_unless_last(&self) -> bool {
        let fewer = |claims: usize| (claims > 1).then(|| claims - 1);
        self.claims.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }

    /// Removes a claim. Returns `true` if none is left. The caller holds the write lock of the entry's shard.
    pub(super) fn release(&self) -> bool {
        self.claims.fetch_sub(1, Ordering::Relaxed) == 1
    }

    pub(super) fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }

    pub(super) fn add_readers(&self, count: usize) {
        self.readers.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn remove_readers(&self, count: usize) {
        self.readers.fetch_sub(count, Ordering::Relaxed);
    }

    /// Notifies the listeners of a record at this offset.
    pub(super) fn notify(&self, offset: Offset) {
        for listed in &*read(&self.listeners) {
            listed.listener.notify(offset);
        }
    }

    /// Adds a listener, for the filter with this index in its set of filters.
    pub(super) fn add_listener(&self, listener: &Arc<Listener>, filter: usize) {
        let mut listeners = write(&self.listeners);
        listener.set_place(filter, listeners.len());
        listeners.push(Listed { listener: Arc::clone(listener), filter });
    }

    /// Removes a listener. The last listener of the list moves to its place.
    pub(super) fn remove_listener(&self, listener: &Listener, filter: usize) {
        let mut listeners = write(&self.listeners);
        let place = listener.place(filter);
        if place >= listeners.len() {
            return;
        }
        listeners.swap_remove(place);
        if let Some(moved) = listeners.get(place) {
            moved.listener.set_place(moved.filter, place);
        }
        if listeners.len() < listeners.capacity() / 4 {
            listeners.shrink_to_fit();
        }
    }

    pub(super) fn add_overlap(&self, overlap: &Arc<Overlap>) {
        let mut overlaps = self.lock_overlaps();
        overlaps.get_or_insert_default().insert(address(overlap), Arc::clone(overlap));
    }

    pub(super) fn remove_overlap(&self, overlap: &Arc<Overlap>) {
        if let Some(overlaps) = &mut *self.lock_overlaps() {
            overlaps.remove(&address(overlap));
            shrink(overlaps);
        }
    }

    /// Number of sets in which another filter may match the same topics.
    pub(super) fn overlaps(&self) -> usize {
        self.lock_overlaps().as_ref().map_or(0, |overlaps| overlaps.len())
    }

    /// At most `limit` of the sets in which another filter may match the same topics.
    pub(super) fn overlapping(&self, limit: usize) -> Vec<Arc<Overlap>> {
        let overlaps = self.lock_overlaps();
        overlaps.iter().flat_map(|all| all.values()).take(limit).map(Arc::clone).collect()
    }

    fn lock_overlaps(&self) -> MutexGuard<'_, Option<Box<Overlaps>>> {
        self.overlaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
