//! The queries of the log in memory.

use std::ops::Bound::{Included, Unbounded};
use std::sync::Arc;

use super::Log;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::storage::memory::topic::Topic;
use crate::storage::query::{ReadRequest, Seek, TopicsQuery, TrimLimits};
use crate::storage::result::{Page, Removed, SeekResult, TopicInfo, TopicState};
use crate::storage::ring::Ring;
use crate::storage::trim_point::TrimPoint;
use crate::topic::TopicName;

impl Log {
    /// Implements [`Storage::fetch`](crate::storage::Storage::fetch).
    pub(crate) fn fetch(&self, offsets: &[Offset]) -> Vec<Arc<Record>> {
        let records = self.records.read_lock();
        offsets.iter().filter_map(|offset| records.ring.get(*offset).cloned()).collect()
    }

    pub(crate) fn read(&self, request: &ReadRequest) -> Page {
        let until = request.until.min(self.tail);
        let ReadRequest { filters, after, budget, .. } = request;
        let mut page = self.records.read_lock().ring.read(filters, *after, until, *budget);
        page.removed = self.removed(&request.filters, request.after, request.losses_reported);
        page
    }

    fn removed(&self, filters: &Filters, after: Offset, losses_reported: u64) -> Option<Removed> {
        if losses_reported == self.removals {
            return None;
        }
        let lost = |name: &TopicName, topic: &Topic| {
            let lost = topic.removed.is_unreported(after, losses_reported) && !topic.is_deleted();
            lost.then(|| (name.clone(), topic.removed.by_delete))
        };
        let mut topics: Vec<(TopicName, bool)> = if filters.patterns().is_empty() {
            let exact = filters.exact().iter();
            exact
                .filter_map(|name| self.topics.get(name).and_then(|topic| lost(name, topic)))
                .collect()
        } else {
            let matching = self.topics.iter().filter(|(name, _)| filters.matches(name));
            matching
                .filter_map(|(name, topic)| lost(name, topic))
                .take(Removed::TOPICS_MAX)
                .collect()
        };
        // For names that are no longer known, a false gap is better than a missed one.
        if self.floor.is_unreported(after, losses_reported) {
            let unknown = filters.exact().iter().filter(|name| !self.topics.contains_key(*name));
            topics.extend(unknown.map(|name| (name.clone(), false)));
            if topics.is_empty() && !filters.patterns().is_empty() {
                return Some(Removed {
                    deleted: false,
                    topics: Vec::new(),
                    removals: self.removals,
                });
            }
        }
        topics.truncate(Removed::TOPICS_MAX);
        let deleted = topics.first()?.1;
        let topics = topics.into_iter().map(|(name, _)| name).collect();
        Some(Removed { deleted, topics, removals: self.removals })
    }

    pub(crate) fn seek(&self, filters: &Filters, seek: Seek) -> SeekResult {
        let after = match seek {
            Seek::Earliest => Offset::ZERO,
            Seek::Newest { count, before } => self.before_newest(filters, count, before),
            Seek::Since(time) => {
                let records = self.records.read_lock();
                let first = records.ring.since(time);
                first.map_or(self.tail, |record| record.offset().previous())
            }
        };
        SeekResult { after, tail: self.tail, removals: self.removals }
    }

    fn before_newest(&self, filters: &Filters, count: usize, before: Offset) -> Offset {
        let end = self.tail.min(before.previous());
        let records = self.records.read_lock();
        let topics = records.ring.matching(filters);
        let mut offsets: Vec<Offset> =
            topics.flat_map(|name| newest(&records.ring, name, count, end)).collect();
        offsets.sort_unstable_by(|a, b| b.cmp(a));
        offsets.truncate(count);
        offsets.last().map_or(end, |oldest| oldest.previous())
    }

    pub(crate) fn newest_each(
        &self,
        filters: &Filters,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> Option<Vec<Offset>> {
        let mut offsets = Vec::new();
        let records = self.records.read_lock();
        for name in records.ring.matching(filters) {
            offsets.extend(newest(&records.ring, name, count, until));
            if offsets.len() > limit {
                return None;
            }
        }
        offsets.sort_unstable();
        Some(offsets)
    }

    pub(crate) fn state(&self, name: &TopicName) -> TopicState {
        match self.topics.get(name) {
            Some(topic) => TopicState {
                events: topic.events,
                bytes: topic.bytes,
                end: topic.end.clone(),
                removed_through: topic.removed.through,
            },
            None => TopicState { removed_through: self.floor.through, ..TopicState::default() },
        }
    }

    pub(crate) fn list(&self, query: &TopicsQuery) -> Vec<TopicInfo> {
        let after = query.after.as_deref().unwrap_or_default();
        let from = query.prefix.as_str().max(after);
        self.topics
            .range::<str, _>((Included(from), Unbounded))
            .take_while(|(name, _)| name.as_str().starts_with(&query.prefix))
            .filter(|(name, topic)| {
                name.as_str() > after
                    && (topic.events > 0 || topic.end.is_some())
                    && !topic.is_deleted()
            })
            .take(query.limit)
            .map(|(name, topic)| TopicInfo {
                topic: name.clone(),
                events: topic.events,
                bytes: topic.bytes,
                ended: topic.end.is_some(),
            })
            .collect()
    }

    /// Implements [`Storage::trim_point`](crate::storage::Storage::trim_point).
    pub(crate) fn trim_point(&self, name: &TopicName, limits: &TrimLimits) -> Option<Offset> {
        let topic = self.topics.get(name).filter(|topic| !topic.is_deleted())?;
        let mut trim_point =
            TrimPoint::new(*limits, topic.events, topic.bytes, topic.end.as_deref());
        let records = self.records.read_lock();
        for record in records.ring.of_topic(name).filter(|record| record.event().is_some()) {
            if !trim_point.takes(record.offset(), record.time(), record.body().bytes() as u64) {
                break;
            }
        }
        trim_point.through()
    }
}

/// The newest events of a topic up to `until`, newest first.
fn newest(
    ring: &Ring,
    name: &TopicName,
    count: usize,
    until: Offset,
) -> impl Iterator<Item = Offset> {
    let events = ring.of_topic(name).rev().filter(|record| record.event().is_some());
    events.map(|record| record.offset()).skip_while(move |offset| *offset > until).take(count)
}
