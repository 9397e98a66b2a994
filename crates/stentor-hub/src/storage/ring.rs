//! Records in memory, in log order, found by topic.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::page_builder::PageBuilder;
use super::{Budget, Page};
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Records in log order with an index by topic. It has no bound of its own: who owns it pops.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    places: VecDeque<Place>,
    /// How many of these places are empty: never more than half of them.
    empty: usize,
    topics: HashMap<TopicName, VecDeque<Arc<Record>>, RandomState>,
    bytes: usize,
}

/// Where a record is or was. What is taken out of the middle leaves its place behind, for moving all
/// others each time would make trimming many topics slow.
#[derive(Debug)]
struct Place {
    offset: Offset,
    time: Timestamp,
    record: Option<Arc<Record>>,
}

impl Ring {
    /// Adds a record behind all others. If its topic held a deletion last, that is the answer.
    pub(crate) fn push(&mut self, record: Arc<Record>) -> Option<Offset> {
        self.bytes += record.memory_bytes();
        let (offset, time) = (record.offset(), record.time());
        self.places.push_back(Place { offset, time, record: Some(Arc::clone(&record)) });
        let Some(of_topic) = self.topics.get_mut(record.topic()) else {
            self.topics.insert(record.topic().clone(), VecDeque::from([record]));
            return None;
        };
        let deletion = of_topic.back().filter(|last| last.is_deletion()).map(|last| last.offset());
        of_topic.push_back(record);
        deletion
    }

    /// Takes the oldest record out.
    pub(crate) fn pop(&mut self) -> Option<Arc<Record>> {
        let record = self.places.pop_front()?.record?;
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

    /// Takes the oldest record out, but never the only one.
    pub(crate) fn pop_unless_last(&mut self) -> Option<Arc<Record>> {
        if self.places.len() - self.empty > 1 { self.pop() } else { None }
    }

    /// Takes out what a topic holds up to an offset.
    pub(crate) fn remove(&mut self, topic: &TopicName, through: Offset) -> Vec<Arc<Record>> {
        let Some(of_topic) = self.topics.get_mut(topic) else { return Vec::new() };
        let kept = of_topic.split_off(of_topic.partition_point(|r| r.offset() <= through));
        let removed = Vec::from(std::mem::replace(of_topic, kept));
        if of_topic.is_empty() {
            self.topics.remove(topic);
        }
        for record in &removed {
            self.bytes -= record.memory_bytes();
            if let Ok(at) = self.find(record.offset())
                && let Some(place) = self.places.get_mut(at)
            {
                place.record = None;
                self.empty += 1;
            }
        }
        self.drop_empty_slots();
        removed
    }

    /// Holds to it that the first place has a record, and at least half of all.
    fn drop_empty_slots(&mut self) {
        while self.places.front().is_some_and(|place| place.record.is_none()) {
            self.places.pop_front();
            self.empty -= 1;
        }
        if self.empty > self.places.len() / 2 {
            self.places.retain(|place| place.record.is_some());
            self.empty = 0;
        }
    }

    /// About how many bytes the records take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest record.
    pub(crate) fn first(&self) -> Option<&Arc<Record>> {
        self.places.front()?.record.as_ref()
    }

    /// The record at an offset.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Arc<Record>> {
        self.places.get(self.find(offset).ok()?)?.record.as_ref()
    }

    fn find(&self, offset: Offset) -> Result<usize, usize> {
        self.places.binary_search_by_key(&offset, |place| place.offset)
    }

    /// What a topic holds, oldest first.
    pub(crate) fn of_topic(
        &self,
        topic: &TopicName,
    ) -> impl DoubleEndedIterator<Item = &Arc<Record>> {
        self.topics.get(topic).into_iter().flatten()
    }

    /// The topics that hold anything and that any of the filters asks for.
    pub(crate) fn matching<'a>(
        &'a self,
        filters: &'a Filters,
    ) -> impl Iterator<Item = &'a TopicName> {
        self.topics.keys().filter(|topic| filters.matches(topic))
    }

    /// The first record from this time on.
    pub(crate) fn since(&self, time: Timestamp) -> Option<&Arc<Record>> {
        let from = self.places.partition_point(|place| place.time < time);
        self.places.range(from..).find_map(|place| place.record.as_ref())
    }

    /// Reads matching records after `after` up to `until`, the end of what is held. `removed` of the
    /// page is left to the caller.
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
        Page { records, through: through.max(after), removed: None }
    }

    /// Few exact topics: always take the oldest of what each has next.
    fn merge(
        &self,
        filters: &Filters,
        after: Offset,
        until: Offset,
        page: &mut PageBuilder<Arc<Record>>,
    ) {
        let mut topics: Vec<_> =
            filters.exact().iter().filter_map(|name| self.topics.get(name)).collect();
        let mut places: Vec<_> = topics
            .iter_mut()
            .map(|of_topic| of_topic.range(first_after(of_topic, after)..).peekable())
            .collect();
        loop {
            let next = places
                .iter_mut()
                .filter_map(|place| {
                    place.peek().map(|record| record.offset()).map(|offset| (offset, place))
                })
                .min_by_key(|(offset, _)| *offset);
            let Some((offset, place)) = next else { return };
            if offset > until {
                return;
            }
            let Some(record) = place.next() else { return };
            if !take(page, record) {
                return;
            }
        }
    }

    /// Patterns: look at every record.
    fn scan(
        &self,
        filters: &Filters,
        after: Offset,
        until: Offset,
        page: &mut PageBuilder<Arc<Record>>,
    ) {
        let from = self.places.partition_point(|place| place.offset <= after);
        for record in self.places.range(from..).filter_map(|place| place.record.as_ref()) {
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

/// The place of the first record beyond an offset. Readers at the tail lack the last one or few, so it
/// is looked for from there: each step elsewhere would be into memory that nobody has touched lately.
fn first_after(records: &VecDeque<Arc<Record>>, offset: Offset) -> usize {
    const LOOKED_AT: usize = 4;
    let known = records.iter().rev().take(LOOKED_AT).position(|record| record.offset() <= offset);
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
