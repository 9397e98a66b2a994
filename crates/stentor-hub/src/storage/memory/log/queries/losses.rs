//! Removed records that a reader has not read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::name_walk::NameWalk;
use super::rows_with;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::memory::log::Log;
use crate::storage::memory::topic::{Removal, Topic};
use crate::storage::query::ReadRequest;
use crate::storage::result::Removed;
use crate::topic::TopicName;

/// The losses of a reader that were found so far.
///
/// While a search waits for its next step, the log adds each removal to it. So the search misses none, although it
/// visits each topic only once.
pub(in crate::storage::memory) struct FoundLosses {
    filters: Arc<Filters>,
    after: Offset,
    reported: u64,
    /// For each topic: `true` if it was deleted, `false` if it was trimmed.
    topics: BTreeMap<TopicName, bool>,
}

impl FoundLosses {
    pub(super) fn of(request: &ReadRequest) -> FoundLosses {
        FoundLosses {
            filters: Arc::clone(&request.filters),
            after: request.after,
            reported: request.losses_reported,
            topics: BTreeMap::new(),
        }
    }

    /// Adds a removal of records of a topic that is not deleted.
    pub(in crate::storage::memory) fn note(&mut self, name: &TopicName, removed: Removal) {
        if removed.is_unreported(self.after, self.reported) && self.filters.matches(name) {
            self.add(name, removed);
        }
    }

    fn add(&mut self, name: &TopicName, removed: Removal) {
        if self.topics.len() < Removed::TOPICS_MAX {
            self.topics.insert(name.clone(), removed.by_delete);
        }
    }

    /// Continues the search for matching topics. Returns `true` if it is complete.
    pub(super) fn search(&mut self, log: &Log, walk: &mut NameWalk, rows_max: usize) -> bool {
        let (after, reported) = (self.after, self.reported);
        let rows = rows_with(&self.filters, rows_max);
        let is_complete = walk.go_on(&log.topics, rows, |name: &TopicName, topic: &Topic| {
            if topic.removed.is_unreported(after, reported) && !topic.is_deleted() {
                self.add(name, topic.removed);
            }
            match self.topics.len() {
                Removed::TOPICS_MAX => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        is_complete || self.topics.len() == Removed::TOPICS_MAX
    }

    /// Returns all losses of the reader, once the search is complete.
    pub(super) fn finish(mut self, log: &Log) -> Option<Removed> {
        let (after, reported, removals) = (self.after, self.reported, log.removals);
        // For names that are no longer known, a false gap is better than a missed one.
        let mut unnamed = false;
        if log.floor.is_unreported(after, reported) {
            for name in self.filters.exact().iter().filter(|name| !log.topics.contains_key(*name)) {
                if log.forgotten.of_name(name.as_str()).is_unreported(after, reported) {
                    self.topics.entry(name.clone()).or_insert(false);
                }
            }
            unnamed = self.topics.is_empty()
                && !self.filters.patterns().is_empty()
                && log.forgotten.concerns(&self.filters, after, reported);
        }
        if self.topics.is_empty() && !unnamed {
            return None;
        }
        let deleted = self.topics.values().next().is_some_and(|by_delete| *by_delete);
        let topics = self.topics.into_keys().take(Removed::TOPICS_MAX).collect();
        Some(Removed { deleted, topics, removals })
    }
}
