//! A page that fills up to its budget: the same rule for every storage.

use super::Budget;
use crate::cursor::Offset;

/// What is taken for a page, be it records or only their offsets.
pub(crate) struct PageBuilder<T> {
    taken: Vec<T>,
    left: Budget,
    last: Offset,
    stopped_after: Option<Offset>,
}

impl<T> PageBuilder<T> {
    /// An empty page.
    pub(crate) fn new(budget: Budget) -> PageBuilder<T> {
        PageBuilder { taken: Vec::new(), left: budget, last: Offset::ZERO, stopped_after: None }
    }

    /// Takes a record if there is room or none was taken yet; says whether to go on.
    pub(crate) fn take(&mut self, item: T, offset: Offset, bytes: usize) -> bool {
        let full = self.left.records == 0 || self.left.rows == 0 || self.left.bytes < bytes;
        if full && !self.taken.is_empty() {
            self.stopped_after = Some(self.last);
            return false;
        }
        self.left.records = self.left.records.saturating_sub(1);
        match self.left.bytes.checked_sub(bytes) {
            Some(left) => self.left.bytes = left,
            // Larger than the whole budget: not even an empty one goes with it.
            None => self.left.records = 0,
        }
        self.taken.push(item);
        self.pass(offset)
    }

    /// Counts a row that was looked at; says whether to go on.
    pub(crate) fn pass(&mut self, offset: Offset) -> bool {
        self.last = offset;
        self.left.rows = self.left.rows.saturating_sub(1);
        if self.left.rows == 0 {
            self.stopped_after = Some(offset);
        }
        self.left.rows > 0
    }

    /// What was taken, and the offset up to which everything was considered if `until` is the end of
    /// what there was to look at.
    pub(crate) fn finish(self, until: Offset) -> (Vec<T>, Offset) {
        (self.taken, self.stopped_after.unwrap_or(until))
    }
}
