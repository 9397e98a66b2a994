//! The live window: the newest records with their frames, in memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::{Body, Record};
use crate::storage::{Budget, Page, Ring};
use crate::topic::TopicName;

/// What readers at the tail read from, without asking the storage. Fed from the storage's tail
/// only, so what is visible here is durable.
pub(crate) struct LiveWindow(RwLock<Inner>);

struct Inner {
    ring: Ring,
    /// Topics that were deleted and began anew within the window, and their last deletions: readers
    /// before these have a gap, and only the storage tells gaps. The first record of the new topic is
    /// in the ring, which bounds this.
    reborn: HashMap<TopicName, Offset>,
    /// No deletion in `reborn` lies beyond this.
    reborn_through: Offset,
    /// All records after this offset and up to the tail are here.
    floor: Offset,
    tail: Offset,
    bytes_max: usize,
}

impl LiveWindow {
    /// An empty window behind a log that ends at `tail`.
    pub(crate) fn new(tail: Offset, bytes_max: usize) -> LiveWindow {
        LiveWindow(RwLock::new(Inner {
            ring: Ring::default(),
            reborn: HashMap::new(),
            reborn_through: Offset::ZERO,
            floor: tail,
            tail,
            bytes_max,
        }))
    }

    /// The offset of the newest record.
    pub(crate) fn tail(&self) -> Offset {
        self.read_lock().tail
    }

    /// Whether everything that a reader after this offset is to be told is in the window.
    pub(crate) fn covers(&self, filters: &Filters, after: Offset) -> bool {
        self.read_lock().covers(filters, after)
    }

    /// Takes in what the storage committed; the oldest records go when the window is full.
    pub(crate) fn push(&self, records: Vec<Arc<Record>>) {
        let mut inner = self.write_lock();
        for record in records {
            inner.push(record);
        }
        while inner.ring.bytes() > inner.bytes_max {
            match inner.ring.pop_unless_last() {
                Some(record) => {
                    inner.floor = record.offset();
                    inner.reborn.remove(record.topic());
                }
                None => return,
            }
        }
    }

    /// Reads what matches after an offset, or `None` if the window does not cover that.
    pub(crate) fn read(&self, filters: &Filters, after: Offset, budget: Budget) -> Option<Page> {
        let inner = self.read_lock();
        inner.covers(filters, after).then(|| inner.ring.read(filters, after, inner.tail, budget))
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
    fn push(&mut self, record: Arc<Record>) {
        let topic = record.topic();
        if *record.body() == Body::Deleted {
            // What was deleted is no longer to be read, also by those who are slightly behind.
            self.ring.remove(topic, record.offset());
            self.reborn.remove(topic);
        } else if let Some(deletion) = self.deletion_of(topic) {
            self.ring.remove(topic, deletion);
            self.reborn.insert(topic.clone(), deletion);
            self.reborn_through = self.reborn_through.max(deletion);
        }
        self.tail = record.offset();
        self.ring.push(record);
    }

    /// The deletion of a topic, if that is the last that the ring has of it.
    fn deletion_of(&self, topic: &TopicName) -> Option<Offset> {
        let last = self.ring.of_topic(topic).next_back()?;
        (*last.body() == Body::Deleted).then(|| last.offset())
    }

    fn covers(&self, filters: &Filters, after: Offset) -> bool {
        after >= self.floor && (after >= self.reborn_through || !self.lost_topic(filters, after))
    }

    /// Whether one of the topics asked for was deleted after this offset and began anew.
    fn lost_topic(&self, filters: &Filters, after: Offset) -> bool {
        let is_after = |deletion: &Offset| *deletion > after;
        if filters.globs().is_empty() {
            return filters.exact().iter().filter_map(|topic| self.reborn.get(topic)).any(is_after);
        }
        self.reborn.iter().any(|(topic, deletion)| is_after(deletion) && filters.matches(topic))
    }
}
