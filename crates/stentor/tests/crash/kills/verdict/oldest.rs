//! The oldest that is left.

use tokio::time::Instant;

use crate::kills::ledger::{Line, Write};
use crate::kills::log::{Logged, offset};

/// The oldest record that is left of a log, or of a topic.
#[derive(Clone, Copy)]
pub struct Oldest {
    pub offset: u64,
    acknowledged: Option<Instant>,
}

impl Oldest {
    /// This record, which came of this write if it is an event.
    pub fn of(logged: &Logged, write: Option<&Write>) -> Oldest {
        Oldest { offset: logged.offset, acknowledged: write.and_then(Write::acknowledged) }
    }

    /// Whether it came before a line of a write, or before its end.
    pub fn is_before(&self, write: &Write, line: Option<&Line>) -> bool {
        let id = |line: &Line| line.id.as_deref().map(offset);
        // What has no id of its own came behind the first that has.
        match line.and_then(id).or_else(|| id(write.lines.first()?)) {
            Some(offset) => self.offset < offset,
            None => self.acknowledged.is_some_and(|at| at < write.sent),
        }
    }
}
