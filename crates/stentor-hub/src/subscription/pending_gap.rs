//! A gap that is to be reported with the next batch.

use crate::filter::Filters;
use crate::gap::GapReason;
use crate::storage::{Damaged, Removed};
use crate::topic::TopicName;

/// A gap that is to be reported with the next batch. Until then it takes further losses.
#[derive(Debug)]
pub(super) struct PendingGap {
    /// The cursor that the reader sent, or its last known position.
    pub(super) requested: String,
    /// The reason, if the cursor itself causes the gap.
    by_cursor: Option<GapReason>,
    removed: Option<Removed>,
    damaged: Option<Damaged>,
}

impl PendingGap {
    /// The gap that a cursor itself causes.
    pub(super) fn by_cursor(reason: GapReason, requested: String) -> PendingGap {
        PendingGap { requested, by_cursor: Some(reason), removed: None, damaged: None }
    }

    /// The gap of a reader at a position after which records were lost. Add the losses.
    pub(super) fn by_loss(requested: String) -> PendingGap {
        PendingGap { requested, by_cursor: None, removed: None, damaged: None }
    }

    /// Adds removals that a later read found.
    pub(super) fn add(&mut self, later: Removed) {
        match &mut self.removed {
            Some(removed) => removed.add(later),
            None => self.removed = Some(later),
        }
    }

    /// Adds damage that a later read found.
    pub(super) fn add_damaged(&mut self, later: Damaged) {
        self.damaged.get_or_insert_default().add_all(later);
    }

    /// The reason. A gap by the cursor itself covers all losses, and damage is the worst of the others.
    pub(super) fn reason(&self) -> GapReason {
        self.by_cursor.unwrap_or_else(|| {
            let deleted = self.removed.as_ref().is_some_and(|removed| removed.deleted);
            match &self.damaged {
                Some(_) => GapReason::Damaged,
                None if deleted => GapReason::Deleted,
                None => GapReason::Trimmed,
            }
        })
    }

    /// The topics that lost events. After a gap by the cursor itself, each topic that the filters name may be one.
    pub(super) fn topics(&self, filters: &Filters) -> Vec<String> {
        let named = if self.by_cursor.is_some() { filters.exact() } else { &[] };
        let removed = self.removed.as_ref().map_or(&[][..], |removed| &removed.topics);
        let damaged = self.damaged.as_ref().map_or(&[][..], |damaged| &damaged.topics);
        let damaged = damaged.iter().filter(|topic| !removed.contains(topic));
        let others = removed.iter().chain(damaged).filter(|topic| !named.contains(topic));
        let topics = named.iter().chain(others).take(Removed::TOPICS_MAX);
        topics.map(TopicName::to_string).collect()
    }
}
