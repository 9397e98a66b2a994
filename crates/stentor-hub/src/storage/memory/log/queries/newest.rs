//! The start of a reader.

use std::sync::Arc;

use super::{Stepped, rows_with};
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::memory::log::Log;
use crate::storage::query::Seek;
use crate::storage::result::SeekResult;
use crate::storage::ring::Ring;

/// See [`Storage::seek`](crate::storage::Storage::seek).
///
/// It goes back from one record to an older one, so records that are appended between two steps do not count.
pub(crate) struct SeekQuery {
    filters: Arc<Filters>,
    seek: Seek,
    newest: Option<Newest>,
}

/// A search for the oldest of the newest `count` events up to an offset.
struct Newest {
    until: Offset,
    count: usize,
    /// Records after this offset were considered.
    position: Offset,
    found: usize,
    oldest: Option<Offset>,
}

impl SeekQuery {
    pub(crate) fn new(filters: Arc<Filters>, seek: Seek) -> SeekQuery {
        SeekQuery { filters, seek, newest: None }
    }
}

impl Stepped for SeekQuery {
    type Output = SeekResult;

    fn step(&mut self, log: &mut Log, rows_max: usize) -> Option<SeekResult> {
        let records = log.records.read_lock();
        let after = match self.seek {
            Seek::Earliest => Offset::ZERO,
            Seek::Newest { count, before } => {
                let until = log.tail.min(before.previous());
                let newest = self.newest.get_or_insert_with(|| Newest::new(count, until));
                let is_complete = if self.filters.patterns().is_empty() {
                    newest.merge(&records.ring, &self.filters, rows_max)
                } else {
                    let rows = rows_with(&self.filters, rows_max);
                    newest.scan(&records.ring, &self.filters, rows)
                };
                if !is_complete {
                    return None;
                }
                newest.oldest.map_or(newest.until, Offset::previous)
            }
            Seek::Since(time) => {
                let first = records.ring.since(time);
                first.map_or(log.tail, |record| record.offset().previous())
            }
        };
        Some(SeekResult { after, tail: log.tail, removals: log.removals })
    }
}

impl Newest {
    fn new(count: usize, until: Offset) -> Newest {
        Newest { until, count, position: until, found: 0, oldest: None }
    }

    /// Goes back through the records of exact topics. Returns `true` if it is complete.
    fn merge(&mut self, ring: &Ring, filters: &Filters, rows_max: usize) -> bool {
        let topics = filters.exact().iter().map(|name| ring.of_topic_back(name, self.position));
        let mut heads: Vec<_> = topics.map(|mut topic| (topic.next(), topic)).collect();
        for _ in 0..rows_max {
            if self.found == self.count {
                return true;
            }
            let newest = heads
                .iter_mut()
                .max_by_key(|(head, _)| head.map_or(Offset::ZERO, |record| record.offset()));
            let Some((Some(record), _)) = &newest else { return true };
            self.position = record.offset().previous();
            if record.event().is_some() {
                self.found += 1;
                self.oldest = Some(record.offset());
            }
            if let Some((head, topic)) = newest {
                *head = topic.next();
            }
        }
        false
    }

    /// Goes back through all records. Returns `true` if it is complete.
    fn scan(&mut self, ring: &Ring, filters: &Filters, rows_max: usize) -> bool {
        let mut slots = ring.slots_back(self.position);
        for _ in 0..rows_max {
            if self.found == self.count {
                return true;
            }
            let Some((offset, record)) = slots.next() else { return true };
            self.position = offset.previous();
            if record.is_some_and(|it| it.event().is_some() && filters.matches(it.topic())) {
                self.found += 1;
                self.oldest = Some(offset);
            }
        }
        false
    }
}
