//! What is known of a topic as a whole.

use std::sync::Arc;

use crate::cursor::Offset;
use crate::record::Record;

/// A topic that holds something, or did.
#[derive(Default)]
pub(super) struct Topic {
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) end: Option<Arc<Record>>,
    pub(super) removed: Removal,
}

/// What a topic lost last.
#[derive(Clone, Copy, Default)]
pub(super) struct Removal {
    pub(super) through: Offset,
    pub(super) by_delete: bool,
    /// The log's count of removals with this one.
    pub(super) count: u64,
}

impl Removal {
    /// Whether a reader lost something by it and was not told.
    pub(super) fn is_news(self, after: Offset, losses_reported: u64) -> bool {
        self.through > after && self.count > losses_reported
    }
}

impl Topic {
    pub(super) fn is_deleted(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.is_deletion())
    }
}
