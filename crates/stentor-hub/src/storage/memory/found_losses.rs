//! The losses of a reader that were found so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::topic::Removal;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::query::ReadRequest;
use crate::storage::result::Removed;
use crate::topic::TopicName;

/// The losses of a reader that were found so far.
///
/// While a search waits for its next step, the log adds each removal to it. So the search misses none, although it
/// visits each topic only once.
pub(super) struct FoundLosses {
    pub(super) filters: Arc<Filters>,
    pub(super) after: Offset,
    pub(super) reported: u64,
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

    /// Adds a removal of records of a topic that is not deleted, if the topic matches.
    pub(super) fn note(&mut self, name: &TopicName, removed: Removal) {
        if self.filters.matches(name) {
            self.note_matching(name, removed);
        }
    }

    /// Adds a removal of records of a matching topic that is not deleted.
    pub(super) fn note_matching(&mut self, name: &TopicName, removed: Removal) {
        if removed.is_unreported(self.after, self.reported) && !self.is_full() {
            self.topics.insert(name.clone(), removed.by_delete);
        }
    }

    /// Returns `true` if there are enough topics for a gap.
    pub(super) fn is_full(&self) -> bool {
        self.topics.len() >= Removed::TOPICS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Returns the losses. `unnamed` is `true` if topics lost records whose names are not known.
    pub(super) fn finish(self, removals: u64, unnamed: bool) -> Option<Removed> {
        if self.topics.is_empty() && !unnamed {
            return None;
        }
        let deleted = self.topics.values().next().is_some_and(|by_delete| *by_delete);
        let topics = self.topics.into_keys().collect();
        Some(Removed { deleted, topics, removals })
    }
}
