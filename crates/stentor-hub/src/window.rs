//! The live window: the newest records with their frames, in memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::storage::{Budget, Page, Ring};
use crate::topic::TopicName;

/// The newest records, from which readers near the tail read without a query to the storage.
///
/// It gets its records only from the storage's commits, so a record that is visible here is durable.
pub(crate) struct LiveWindow(RwLock<Inner>);

/// Maximum number of topics in [`Inner::lost`]. With more, the window is cut to begin after all their losses.
const LOST_MAX: usize = 1_000;

struct Inner {
    ring: Ring,
    /// Topics that lost records of the window, each with the highest lost offset. The records were trimmed, or the
    /// topic was deleted and used again. A reader at a lower offset has a gap, which only the storage can report. At
    /// most [`LOST_MAX`] topics.
    lost: HashMap<TopicName, Offset>,
    /// The highest offset in `lost`.
    lost_through: Offset,
    /// All records after this offset, up to the tail, are in the window.
    floor: Offset,
    tail: Offset,
    bytes_max: usize,
}

impl LiveWindow {
    /// Creates an empty window for a log whose tail is `tail`.
    pub(crate) fn new(tail: Offset, bytes_max: usize) -> LiveWindow {
        LiveWindow(RwLock::new(Inner {
            ring: Ring::default(),
            lost: HashMap::new(),
            lost_through: Offset::ZERO,
            floor: tail,
            tail,
            bytes_max,
        }))
    }

    /// The offset of the newest record.
    pub(crate) fn tail(&self) -> Offset {
        self.read_lock().tail
    }

    /// Returns `true` if a reader at this offset needs nothing from the storage: the window has all later records, and
    /// no matching topic lost any of them.
    pub(crate) fn covers(&self, filters: &Filters, after: Offset) -> bool {
        self.read_lock().covers(filters, after)
    }

    /// Adds committed records. If the window is full, the oldest records are removed.
    pub(crate) fn push(&self, records: &[Arc<Record>]) {
        let mut inner = self.write_lock();
        for record in records {
            inner.push(record);
        }
        while inner.ring.bytes() > inner.bytes_max {
            match inner.ring.pop_unless_last() {
                Some(record) => inner.begin_after(&record),
                None => return,
            }
        }
    }

    /// Removes records that the storage trimmed, for each topic up to an offset.
    pub(crate) fn trim(&self, topics: &[(TopicName, Offset)]) {
        let mut inner = self.write_lock();
        for (topic, through) in topics {
            if let Some(last) = inner.ring.remove(topic, *through).last() {
                inner.note_lost(topic, last.offset());
            }
        }
    }

    /// Reads matching records after an offset. `None` if the window does not cover that. The page is followed by
    /// `true` if it reaches the tail.
    pub(crate) fn read(
        &self,
        filters: &Filters,
        after: Offset,
        budget: Budget,
    ) -> Option<(Page, bool)> {
        let inner = self.read_lock();
        if !inner.covers(filters, after) {
            return None;
        }
        let page = inner.ring.read(filters, after, inner.tail, budget);
        let is_last = page.through >= inner.tail;
        Some((page, is_last))
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

impl Inner {
    fn push(&mut self, record: &Arc<Record>) {
        self.tail = record.offset();
        if record.is_deletion() {
            // Deleted records are no longer readable, not even by readers slightly behind the tail.
            self.ring.remove(record.topic(), record.offset());
            self.lost.remove(record.topic());
        }
        if let Some(deletion) = self.ring.push(Arc::clone(record)) {
            self.ring.remove(record.topic(), deletion);
            self.note_lost(record.topic(), deletion);
        }
    }

    /// Notes that a topic lost records up to an offset.
    fn note_lost(&mut self, topic: &TopicName, through: Offset) {
        self.lost.insert(topic.clone(), through);
        self.lost_through = self.lost_through.max(through);
        if self.lost.len() > LOST_MAX {
            while self.ring.first().is_some_and(|first| first.offset() <= self.lost_through) {
                self.ring.pop();
            }
            self.floor = self.floor.max(self.lost_through);
            self.lost.clear();
        }
    }

    /// Moves the floor to a record that was removed as the oldest.
    fn begin_after(&mut self, record: &Record) {
        self.floor = record.offset();
        if !self.lost.is_empty() {
            self.lost.remove(record.topic());
        }
    }

    fn covers(&self, filters: &Filters, after: Offset) -> bool {
        after >= self.floor && (after >= self.lost_through || !self.has_loss(filters, after))
    }

    /// Returns `true` if a matching topic lost records after this offset.
    fn has_loss(&self, filters: &Filters, after: Offset) -> bool {
        let is_after = |through: &Offset| *through > after;
        if filters.patterns().is_empty() {
            return filters.exact().iter().filter_map(|topic| self.lost.get(topic)).any(is_after);
        }
        self.lost.iter().any(|(topic, through)| is_after(through) && filters.matches(topic))
    }
}
