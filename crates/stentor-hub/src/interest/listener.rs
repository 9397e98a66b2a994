//! Listeners: they are notified of records that match their filters.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::consumer::Consumer;
use crate::cursor::Offset;

/// A consumer that is woken for a set of filters.
#[derive(Debug)]
pub(super) struct Listener {
    consumer: Consumer,
    key: Option<usize>,
    /// `true` if it was notified and not re-armed since.
    is_notified: AtomicBool,
    /// Offset of the record of the last notification.
    notified_of: AtomicU64,
    /// Its index in the list of each entry. Written under the lock of the list.
    places: Box<[AtomicUsize]>,
}

impl Listener {
    /// Creates an armed listener for a number of filters.
    pub(super) fn new(consumer: Consumer, key: Option<usize>, filters: usize) -> Listener {
        let places =
            std::iter::repeat_with(|| AtomicUsize::new(usize::MAX)).take(filters).collect();
        let (is_notified, notified_of) = (AtomicBool::new(false), AtomicU64::new(0));
        Listener { consumer, key, is_notified, notified_of, places }
    }

    /// Notifies the consumer of a record, once until the listener is re-armed. Commits call this one at a time, in log
    /// order.
    pub(super) fn notify(&self, offset: Offset) {
        if self.is_notified.load(Ordering::Acquire) {
            return;
        }
        self.notified_of.store(offset.get(), Ordering::Relaxed);
        self.is_notified.store(true, Ordering::Release);
        match self.key {
            Some(key) => self.consumer.notify(key),
            None => self.consumer.wake(),
        }
    }

    /// Re-arms the listener. If it was notified since it was last re-armed, returns the offset of the first record that
    /// it was notified of, or a lower one.
    pub(super) fn rearm(&self) -> Option<Offset> {
        // Read first: after the swap, the next notification may write it. An old value is lower, which is safe.
        let notified_of = self.notified_of.load(Ordering::Relaxed);
        let was_notified = self.is_notified.swap(false, Ordering::AcqRel);
        was_notified.then(|| Offset::new(notified_of))
    }

    /// Returns the offset of the first record that it was notified of since it was last re-armed.
    pub(super) fn notified_of(&self) -> Option<Offset> {
        let is_notified = self.is_notified.load(Ordering::Acquire);
        is_notified.then(|| Offset::new(self.notified_of.load(Ordering::Relaxed)))
    }

    pub(super) fn place(&self, filter: usize) -> usize {
        self.places.get(filter).map_or(usize::MAX, |place| place.load(Ordering::Relaxed))
    }

    pub(super) fn set_place(&self, filter: usize, index: usize) {
        if let Some(place) = self.places.get(filter) {
            place.store(index, Ordering::Relaxed);
        }
    }
}
