//! Records in memory, in log order, found by topic.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::filling::Filling;
use super::{Budget, Page};
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::topic::TopicName;

/// Records in log order with an index by topic. It has no bound of its own: who owns it pops.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    records: VecDeque<Arc<Record>>,
    topics: HashMap<TopicName, VecDeque<Arc<Record>>>,
    bytes: usize,
}

impl Ring {
    /// Adds a record behind all others.
    pub(crate) fn push(&mut self, record: Arc<Record>) {
        self.bytes += record.memory_bytes();
        self.topics.entry(record.topic().clone()).or_default().push_back(Arc::clone(&record));
        self.records.push_back(record);
    }

    /// Takes the oldest record out.
    pub(crate) fn pop(&mut self) -> Option<Arc<Record>> {
        let record = self.records.pop_front()?;
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
        if self.records.len() > 1 { self.pop() } else { None }
    }

    /// Takes out what a topic holds up to an offset.
    pub(crate) fn remove(&mut self, topic: &TopicName, through: Offset) -> Vec<Arc<Record>> {
        let Some(of_topic) = self.topics.get_mut(topic) else { return Vec::new() };
        let kept = of_topic.split_off(of_topic.partition_point(|r| r.offset() <= through));
        let removed = Vec::from(std::mem::replace(of_topic, kept));
        if of_topic.is_empty() {
            self.topics.remove(topic);
        }
        self.bytes -= removed.iter().map(|record| record.memory_bytes()).sum::<usize>();
        if !removed.is_empty() {
            self.records.retain(|record| record.offset() > through || record.topic() != topic);
        }
        removed
    }

    /// About how many bytes the records take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest record.
    pub(crate) fn first(&self) -> Option<&Arc<Record>> {
        self.records.front()
    }

    /// The record at an offset.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Arc<Record>> {
        let at = self.records.binary_search_by_key(&offset, |record| record.offset()).ok()?;
        self.records.get(at)
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

    /// All records from the first with this place on, oldest first.
    pub(crate) fn partition(
        &self,
        before: impl FnMut(&Arc<Record>) -> bool,
    ) -> Option<&Arc<Record>> {
        self.records.get(self.records.partition_point(before))
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
        let mut page = Filling::new(budget);
        if filters.globs().is_empty() {
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
        page: &mut Filling<Arc<Record>>,
    ) {
        let mut topics: Vec<_> =
            filters.exact().iter().filter_map(|name| self.topics.get(name)).collect();
        let mut places: Vec<_> = topics
            .iter_mut()
            .map(|of_topic| {
                of_topic.range(of_topic.partition_point(|r| r.offset() <= after)..).peekable()
            })
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
        page: &mut Filling<Arc<Record>>,
    ) {
        let from = self.records.partition_point(|record| record.offset() <= after);
        for record in self.records.range(from..) {
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

fn take(page: &mut Filling<Arc<Record>>, record: &Arc<Record>) -> bool {
    page.take(Arc::clone(record), record.offset(), record.body().bytes())
}
