//! The state of a topic in memory.

use std::sync::Arc;

use crate::cursor::Offset;
use crate::record::Record;
use crate::topic::TopicName;

/// A topic that has records, or had some.
pub(super) struct Topic {
    /// The name that all its records share.
    pub(super) name: TopicName,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) end: Option<Arc<Record>>,
    pub(super) removed: Removal,
}

/// The last removal of records of a topic.
#[derive(Clone, Copy, Default)]
pub(super) struct Removal {
    pub(super) through: Offset,
    pub(super) by_delete: bool,
    /// The log's count of removals including this one.
    pub(super) count: u64,
}

impl Removal {
    /// Returns `true` if a reader at `after` lost records by this removal and it was not reported.
    pub(super) fn is_unreported(self, after: Offset, losses_reported: u64) -> bool {
        self.through > after && self.count > losses_reported
    }
}

impl Topic {
    /// A topic without records.
    pub(super) fn new(name: TopicName, removed: Removal) -> Topic {
        Topic { name, events: 0, bytes: 0, end: None, removed }
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.is_deletion())
    }
}
