//! The live window: the newest records with their frames, in memory.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::{Body, Record};
use crate::storage::{Budget, Page, Ring};

/// What readers at the tail read from, without asking the storage. Fed from the storage's tail
/// only, so what is visible here is durable.
pub(crate) struct LiveWindow(RwLock<Inner>);

struct Inner {
    ring: Ring,
    /// All records after this offset and up to the tail are here.
    floor: Offset,
    tail: Offset,
    bytes_max: usize,
}

impl LiveWindow {
    /// An empty window behind a log that ends at `tail`.
    pub(crate) fn new(tail: Offset, bytes_max: usize) -> LiveWindow {
        LiveWindow(RwLock::new(Inner { ring: Ring::default(), floor: tail, tail, bytes_max }))
    }

    /// The offset of the newest record.
    pub(crate) fn tail(&self) -> Offset {
        self.read_lock().tail
    }

    /// Whether everything after this offset is in the window.
    pub(crate) fn covers(&self, after: Offset) -> bool {
        after >= self.read_lock().floor
    }

    /// Takes in what the storage committed; the oldest records go when the window is full.
    pub(crate) fn push(&self, records: Vec<Arc<Record>>) {
        let mut inner = self.write_lock();
        for record in records {
            if *record.body() == Body::Deleted {
                // What was deleted is no longer to be read, also by those who are slightly behind.
                inner.ring.remove(record.topic(), record.offset());
            }
            inner.tail = record.offset();
            inner.ring.push(record);
        }
        while inner.ring.bytes() > inner.bytes_max {
            match inner.ring.pop_unless_last() {
                Some(record) => inner.floor = record.offset(),
                None => return,
            }
        }
    }

    /// Reads what matches after an offset, or `None` if that is behind the window.
    pub(crate) fn read(&self, filters: &Filters, after: Offset, budget: Budget) -> Option<Page> {
        let inner = self.read_lock();
        (after >= inner.floor).then(|| inner.ring.read(filters, after, inner.tail, budget))
    }

    /// The record at an offset, if it is in the window.
    pub(crate) fn get(&self, offset: Offset) -> Option<Arc<Record>> {
        self.read_lock().ring.get(offset).cloned()
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
