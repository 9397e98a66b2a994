//! Records in memory, in log order, with an index by topic.

mod blocks;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use self::blocks::Blocks;
use super::page_builder::PageBuilder;
use super::query::Budget;
use super::result::Page;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Records in log order with an index by topic. It has no bound; its owner removes records.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    slots: Blocks<Slot>,
    /// Number of slots without a record; at most half of all slots.
    empty: usize,
    topics: HashMap<TopicName, Blocks<Arc<Record>>, RandomState>,
    bytes: usize,
}

/// The slot of a record. It stays, empty, when the record is removed, because moving all later slots for each removal
/// would make trimming many topics slow.
#[derive(Debug)]
struct Slot {
    offset: Offset,
    record: Option<Arc<Record>>,
}

impl Ring {
    /// Adds the newest record. If the newest record of its topic was a deletion, returns the offset of the deletion.
    pub(crate) fn push(&mut self, record: Arc<Record>) -> Option<Offset> {
        self.bytes += record.memory_bytes();
        let offset = record.offset();
        self.slots.push_back(Slot { offset, record: Some(Arc::clone(&record)) });
        let of_topic = match self.topics.get_mut(record.topic()) {
            Some(of_topic) => of_topic,
            None => self.topics.entry(record.topic().clone()).or_default(),
        };
        let deletion = of_topic.back().filter(|last| last.is_deletion()).map(|last| last.offset());
        of_topic.push_back(record);
        deletion
    }

    /// Removes the oldest record.
    pub(crate) fn pop(&mut self) -> Option<Arc<Record>> {
        let record = self.slots.pop_front()?.record?;
        self.drop_empty_slots();
        self.bytes -= record.memory_bytes();
        if let Some(of_topic) = self.topics.get_mut(record.topic()) {
            of_topic.pop_front();
            if of_topic.is_empty() {
                self.topics.remove(record.topic());
            }
        }
        Some(record)
    }

    /// Removes the oldest record, unless it is the only one.
    pub(crate) fn pop_unless_last(&mut self) -> Option<Arc<Record>> {
        if self.slots.len() - self.empty > 1 { self.pop() } else { None }
    }

    /// Removes the records of a topic up to an offset and returns them, oldest first.
    pub(crate) fn remove(&mut self, topic: &TopicName, through: Offset) -> Vec<Arc<Record>> {
        let Some(of_topic) = self.topics.get_mut(topic) else { return Vec::new() };
        let count = of_topic.partition_point(|record| record.offset() <= through);
        let removed: Vec<_> = (0..count).map_while(|_| of_topic.pop_front()).collect();
        if of_topic.is_empty() {
            self.topics.remove(topic);
        }
        for record in &removed {
            self.bytes -= record.memory_bytes();
            if let Some(at) = self.find(record.offset())
                && let Some(slot) = self.slots.get_mut(at)
            {
                slot.record = None;
                self.empty += 1;
            }
        }
        self.drop_empty_slots();
        removed
    }

    /// Drops empty slots, so that the first slot and at least half of all slots have a record.
    fn drop_empty_slots(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.record.is_none()) {
            self.slots.pop_front();
            self.empty -= 1;
        }
        if self.empty > self.slots.len() / 2 {
            self.slots.retain(|slot| slot.record.is_some());
            self.empty = 0;
        }
    }

    /// Approximate memory of the records, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest record.
    pub(crate) fn first(&self) -> Option<&Arc<Record>> {
        self.slots.front()?.record.as_ref()
    }

    /// The records after an offset, oldest first.
    pub(crate) fn after(&self, offset: Offset) -> impl Iterator<Item = &Arc<Record>> {
        let from = self.slots.partition_point(|slot| slot.offset <= offset);
        self.slots.iter_from(from).filter_map(|slot| slot.record.as_ref())
    }

    /// The record at an offset.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Arc<Record>> {
        self.slots.get(self.find(offset)?)?.record.as_ref()
    }

    /// The index of the slot of an offset.
    fn find(&self, offset: Offset) -> Option<usize> {
        let at = self.slots.partition_point(|slot| slot.offset < offset);
        self.slots.get(at).filter(|slot| slot.offset == offset).map(|_| at)
    }

    /// The records of a topic, oldest first.
    pub(crate) fn of_topic(
        &self,
        topic: &TopicName,
    ) -> impl DoubleEndedIterator<Item = &Arc<Record>> {
        self.topics.get(topic).into_iter().flat_map(Blocks::iter)
    }

    /// The records of a topic up to an offset, newest first.
    pub(crate) fn of_topic_back(
        &self,
        topic: &TopicName,
        until: Offset,
    ) -> impl Iterator<Item = &Arc<Record>> {
        self.topics.get(topic).into_iter().flat_map(move |records| {
            let end = first_after(records, until);
            (0..end).rev().filter_map(|at| records.get(at))
        })
    }

    /// The offsets up to `until`, newest first, each with its record unless that was removed.
    pub(crate) fn slots_back(
        &self,
        until: Offset,
    ) -> impl Iterator<Item = (Offset, Option<&Arc<Record>>)> {
        let end = self.slots.partition_point(|slot| slot.offset <= until);
        let slots = (0..end).rev().filter_map(|at| self.slots.get(at));
        slots.map(|slot| (slot.offset, slot.record.as_ref()))
    }

    /// The first record at or after this time.
    ///
    /// A binary search that looks for a record from the middle on. It examines each slot at most once, and few slots if
    /// few are empty.
    pub(crate) fn since(&self, time: Timestamp) -> Option<&Arc<Record>> {
        let (mut from, mut to, mut found) = (0, self.slots.len(), None);
        while from < to {
            let middle = from.midpoint(to);
            let next = (middle..to).find_map(|at| Some((at, self.slots.get(at)?.record.as_ref()?)));
            match next {
                Some((at, record)) if record.time() < time => from = at + 1,
                Some((_, record)) => (to, found) = (middle, Some(record)),
                None => to = middle,
            }
        }
        found
    }

    /// Reads matching records after `after`, up to `until`, which is at most the newest record. The caller sets
    /// `removed` of the page.
    pub(crate) fn read(
        &self,
        filters: &Filters,
        after: Offset,
        until: Offset,
        budget: Budget,
    ) -> Page {
        let mut page = PageBuilder::new(budget);
        if filters.patterns().is_empty() {
            self.merge(filters, after, until, &mut page);
        } else {
            self.scan(filters, after, until, &mut page);
        }
        let (records, through) = page.finish(until);
        Page { records, through: through.max(after), ..Page::default() }
    }

    /// Reads exact topics: takes the oldest of the next records of each, repeatedly.
    fn merge(
        &self,
        filters: &Filters,
        after: Offset,
        until: Offset,
        page: &mut PageBuilder<Arc<Record>>,
    ) {
        let topics = filters.exact().iter().filter_map(|name| self.topics.get(name));
        let mut cursors: Vec<_> =
            topics.map(|of_topic| (of_topic, first_after(of_topic, after))).collect();
        loop {
            let next =
                cursors.iter_mut().filter_map(|(of_topic, at)| Some((of_topic.get(*at)?, at)));
            let Some((record, at)) = next.min_by_key(|(record, _)| record.offset()) else { return };
            if record.offset() > until || !take(page, record) {
                return;
            }
            *at += 1;
        }
    }

    /// Reads patterns: examines every record.
    fn scan(
        &self,
        filters: &Filters,
        after: Offset,
        until: Offset,
        page: &mut PageBuilder<Arc<Record>>,
    ) {
        for record in self.after(after) {
            if record.offset() > until {
                return;
            }
            let goes_on = if filters.matches(record.topic()) {
                take(page, record)
            } else {
                page.pass(record.offset())
            };
            if !goes_on {
                return;
            }
        }
    }
}

/// The index of the first record after an offset. Readers near the tail miss only the newest few records, so these are
/// searched first: a binary search would touch memory that is not in the cache.
fn first_after(records: &Blocks<Arc<Record>>, offset: Offset) -> usize {
    const NEWEST: usize = 4;
    let known = records.iter().rev().take(NEWEST).position(|record| record.offset() <= offset);
    match known {
        Some(behind) => records.len() - behind,
        None => records.partition_point(|record| record.offset() <= offset),
    }
}

fn take(page: &mut PageBuilder<Arc<Record>>, record: &Arc<Record>) -> bool {
    page.take(Arc::clone(record), record.offset(), record.body().bytes())
}

#[cfg(test)]
mod tests;
