//! The oldest remaining record.

use tokio::time::Instant;

use super::history::{SentEvent, Write};
use super::log::{LoggedRecord, offset};

/// The oldest remaining record of a log, or of a topic.
#[derive(Clone, Copy)]
pub(super) struct Oldest {
    pub(super) offset: u64,
    acknowledged: Option<Instant>,
}

impl Oldest {
    /// Takes this record as the oldest one. `write` is the write of an event, `None` for an end.
    pub(super) fn of(logged: &LoggedRecord, write: Option<&Write>) -> Oldest {
        Oldest { offset: logged.offset, acknowledged: write.and_then(Write::acknowledged) }
    }

    /// Returns `true` if it is older than an event of a write, or than the end of the write.
    pub(super) fn is_before(&self, write: &Write, line: Option<&SentEvent>) -> bool {
        let id = |line: &SentEvent| line.id.as_deref().map(offset);
        // A repeated end has the id of the first one, which may be much older than the write.
        let end = write.end_id.as_deref().filter(|_| line.is_none()).map(offset);
        // An event without an id follows the first event that has one.
        match end.or_else(|| line.and_then(id)).or_else(|| id(write.lines.first()?)) {
            Some(offset) => self.offset < offset,
            None => self.acknowledged.is_some_and(|at| at < write.sent),
        }
    }
}
