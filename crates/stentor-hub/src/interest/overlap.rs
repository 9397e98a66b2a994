//! Sets of filters of which several may match one topic.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The readers of a set of filters of which several may match one topic. They are counted once for each filter; a count
/// of the readers of a topic subtracts the rest.
#[derive(Debug)]
pub(super) struct Overlap {
    /// The addresses of the entries of the filters.
    entries: Box<[usize]>,
    readers: AtomicUsize,
}

impl Overlap {
    pub(super) fn new(entries: Box<[usize]>) -> Overlap {
        Overlap { entries, readers: AtomicUsize::new(0) }
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

    /// Number of filters of this set among these entries.
    pub(super) fn count_among(&self, entries: &HashSet<usize>) -> usize {
        self.entries.iter().filter(|entry| entries.contains(entry)).count()
    }
}

pub(super) fn address<T>(shared: &Arc<T>) -> usize {
    Arc::as_ptr(shared).addr()
}
