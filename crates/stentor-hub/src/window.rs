//! The live window: the newest records with their frames, in memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::storage::{Budget, Page, Ring};
use crate::topic::TopicName;

/// What readers at the tail read from, without asking the storage. Fed from the storage's tail
/// only, so what is visible here is durable.
pub(crate) struct LiveWindow(RwLock<Inner>);

/// Topics that lost records and of which the window knows that; with more, it begins behind them all.
const LOST_MAX: usize = 1_000;

struct Inner {
    ring: Ring,
    /// Topics that were trimmed, or deleted and begun anew, within the window, and up to where: readers
    /// before that have a gap, and only the storage tells gaps. At most [`LOST_MAX`].
    lost: HashMap<TopicName, Offset>,
    /// Nothing in `lost` lies beyond this.
    lost_through: Offset,
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

    /// Whether everything that a reader after this offset is to be told is in the window.
    pub(crate) fn covers(&self, filters: &Filters, after: Offset) -> bool {
        self.read_lock().covers(filters, after)
    }

    /// Takes in what the storage committed; the oldest records go when the window is full.
    pub(crate) fn push(&self, records: &[Arc<Record>]) {
        let mut inner = self.write_lock();
        for record in records {
            inner.push(record);
        }
        while inner.ring.bytes() > inner.bytes_max {
            match inner.ring.pop_unless_last() {
                Some(record) => inner.begin_behind(&record),
                None => return,
            }
        }
    }

    /// Takes out what the storage trimmed, each topic up to an offset.
    pub(crate) fn trim(&self, topics: &[(TopicName, Offset)]) {
        let mut inner = self.write_lock();
        for (topic, through) in topics {
            if let Some(last) = inner.ring.remove(topic, *through).last() {
                inner.lose(topic, last.offset());
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
    fn push(&mut self, record: &Arc<Record>) {
        self.tail = record.offset();
        if record.is_deletion() {
            // What was deleted is no longer to be read, also by those who are slightly behind.
            self.ring.remove(record.topic(), record.offset());
            self.lost.remove(record.topic());
        }
        if let Some(deletion) = self.ring.push(Arc::clone(record)) {
            self.ring.remove(record.topic(), deletion);
            self.lose(record.topic(), deletion);
        }
    }

    /// Notes that a topic lost records up to an offset.
    fn lose(&mut self, topic: &TopicName, through: Offset) {
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

    /// The window begins behind this record, which left it.
    fn begin_behind(&mut self, record: &Record) {
        self.floor = record.offset();
        if !self.lost.is_empty() {
            self.lost.remove(record.topic());
        }
    }

    fn covers(&self, filters: &Filters, after: Offset) -> bool {
        after >= self.floor && (after >= self.lost_through || !self.lost_topic(filters, after))
    }

    /// Whether one of the topics asked for lost records after this offset.
    fn lost_topic(&self, filters: &Filters, after: Offset) -> bool {
        let is_after = |through: &Offset| *through > after;
        if filters.patterns().is_empty() {
            return filters.exact().iter().filter_map(|topic| self.lost.get(topic)).any(is_after);
        }
        self.lost.iter().any(|(topic, through)| is_after(through) && filters.matches(topic))
    }
}
