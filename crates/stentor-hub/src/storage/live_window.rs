//! The live window: the newest records with their frames, in memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::query::Budget;
use super::result::Page;
use super::ring::Ring;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::topic::TopicName;

/// The newest records, from which readers near the tail read without a query to the storage.
///
/// A record is visible here only after the storage's commit, so it is durable.
///
/// A log in memory and its live window are one ring, so that each record is indexed once. Then the log adds and
/// removes the records, and the window is the part of the ring after its floor. Clones share the window.
#[derive(Clone, Debug)]
pub struct LiveWindow(Arc<RwLock<Window>>);

/// Maximum number of topics in [`Window::lost`]. With more, the window is cut to begin after all their losses.
const LOST_MAX: usize = 1_000;

/// When a window over the ring of a log is full, this part of it is cut off at once: 1/64. Finding its beginning in the
/// ring costs a search.
const CUT: usize = 64;

/// The state of a window.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) ring: Ring,
    /// `true` if the ring is the log itself. Then only the log adds and removes records.
    is_of_log: bool,
    /// Topics that lost records of the window, each with the highest lost offset. The records were trimmed, or the
    /// topic was deleted and used again. A reader at a lower offset has a gap, which only the storage can report. At
    /// most [`LOST_MAX`] topics.
    lost: HashMap<TopicName, Offset>,
    /// The highest offset in `lost`.
    lost_through: Offset,
    /// All records after this offset, up to the tail, are in the window.
    floor: Offset,
    /// The newest record that was committed. The log adds records to its ring before that.
    tail: Offset,
    /// Memory of the records after the floor.
    bytes: usize,
    bytes_max: usize,
}

impl LiveWindow {
    /// Creates an empty window for a log whose tail is `tail`.
    pub(crate) fn new(tail: Offset, bytes_max: usize) -> LiveWindow {
        LiveWindow(Arc::new(RwLock::new(Window {
            ring: Ring::default(),
            is_of_log: false,
            lost: HashMap::new(),
            lost_through: Offset::ZERO,
            floor: tail,
            tail,
            bytes: 0,
            bytes_max,
        })))
    }

    /// Creates an empty log in memory, which is its own window.
    pub(super) fn of_log() -> LiveWindow {
        let window = LiveWindow::new(Offset::ZERO, usize::MAX);
        window.write().is_of_log = true;
        window
    }

    /// Begins a window of about `bytes_max` bytes at the tail of a log in memory.
    pub(super) fn begin(&self, tail: Offset, bytes_max: usize) {
        let mut window = self.write();
        (window.floor, window.tail, window.bytes, window.bytes_max) = (tail, tail, 0, bytes_max);
        window.lost.clear();
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

    /// Adds committed records. If the window is full, the oldest records leave it.
    pub(crate) fn push(&self, records: &[Arc<Record>]) {
        let mut window = self.write();
        for record in records {
            window.push(record);
        }
        window.cut();
    }

    /// Removes records that the storage trimmed, for each topic up to an offset. A log in memory has done so itself.
    pub(crate) fn trim(&self, topics: &[(TopicName, Offset)]) {
        let mut window = self.write();
        if !window.is_of_log {
            for (topic, through) in topics {
                window.trim(topic, *through);
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
        let window = self.read_lock();
        if !window.covers(filters, after) {
            return None;
        }
        let page = window.ring.read(filters, after, window.tail, budget);
        let is_last = page.through >= window.tail;
        Some((page, is_last))
    }

    /// The record at an offset, if it is in the window.
    pub(crate) fn get(&self, offset: Offset) -> Option<Arc<Record>> {
        let window = self.read_lock();
        let is_within = offset > window.floor && offset <= window.tail;
        if is_within { window.ring.get(offset).cloned() } else { None }
    }

    pub(super) fn read_lock(&self) -> RwLockReadGuard<'_, Window> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Window> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// Adds a committed record. The log in memory has added it already.
    fn push(&mut self, record: &Arc<Record>) {
        self.tail = record.offset();
        if record.is_deletion() {
            if !self.is_of_log {
                // Deleted records are no longer readable, not even by readers slightly behind the tail.
                self.remove(record.topic(), record.offset());
            }
            self.lost.remove(record.topic());
        }
        if !self.is_of_log
            && let Some(deletion) = self.append(Arc::clone(record))
        {
            self.trim(record.topic(), deletion);
        }
    }

    /// Adds a record to the ring. If the newest record of its topic was a deletion, returns the offset of the deletion.
    pub(super) fn append(&mut self, record: Arc<Record>) -> Option<Offset> {
        self.bytes += record.memory_bytes();
        self.ring.push(record)
    }

    /// Removes the records of a topic up to an offset and returns them, oldest first.
    pub(super) fn remove(&mut self, topic: &TopicName, through: Offset) -> Vec<Arc<Record>> {
        let removed = self.ring.remove(topic, through);
        let within = removed.iter().filter(|record| record.offset() > self.floor);
        self.bytes -= within.map(|record| record.memory_bytes()).sum::<usize>();
        removed
    }

    /// Removes records like [`Window::remove`], and notes that their readers have a gap.
    pub(super) fn trim(&mut self, topic: &TopicName, through: Offset) -> Vec<Arc<Record>> {
        let removed = self.remove(topic, through);
        if let Some(last) = removed.last()
            && last.offset() > self.floor
        {
            self.note_lost(topic, last.offset());
        }
        removed
    }

    /// Removes the oldest record, unless it is the only one.
    pub(super) fn pop_unless_last(&mut self) -> Option<Arc<Record>> {
        let record = self.ring.pop_unless_last()?;
        if record.offset() > self.floor {
            self.leave(&record);
        }
        Some(record)
    }

    /// Moves the floor to the first record of the window.
    fn leave(&mut self, record: &Record) {
        self.bytes -= record.memory_bytes();
        self.floor = record.offset();
        if !self.lost.is_empty() {
            self.lost.remove(record.topic());
        }
    }

    /// Removes the oldest records from the window if it is full, but never the newest one.
    fn cut(&mut self) {
        if self.bytes <= self.bytes_max {
            return;
        }
        if !self.is_of_log {
            while self.bytes > self.bytes_max && self.pop_unless_last().is_some() {}
            return;
        }
        let (mut left, bytes_max) = (self.bytes, self.bytes_max - self.bytes_max / CUT);
        let (mut leaving, mut records) = (Vec::new(), self.ring.after(self.floor).peekable());
        while left > bytes_max
            && let Some(record) = records.next()
            && records.peek().is_some()
        {
            left -= record.memory_bytes();
            leaving.push(Arc::clone(record));
        }
        drop(records);
        for record in leaving {
            self.leave(&record);
        }
    }

    /// Notes that a topic lost records up to an offset.
    fn note_lost(&mut self, topic: &TopicName, through: Offset) {
        self.lost.insert(topic.clone(), through);
        self.lost_through = self.lost_through.max(through);
        if self.lost.len() <= LOST_MAX {
            return;
        }
        self.lost.clear();
        if self.is_of_log {
            let leaving = self.ring.after(self.floor);
            let leaving = leaving.take_while(|record| record.offset() <= self.lost_through);
            self.bytes -= leaving.map(|record| record.memory_bytes()).sum::<usize>();
        } else {
            while self.ring.first().is_some_and(|first| first.offset() <= self.lost_through) {
                let oldest = self.ring.pop();
                self.bytes -= oldest.map_or(0, |record| record.memory_bytes());
            }
        }
        self.floor = self.floor.max(self.lost_through);
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
