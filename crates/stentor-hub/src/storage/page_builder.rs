//! Builds a page within its budget. Every storage uses this rule.

use super::query::Budget;
use crate::cursor::Offset;

/// A page under construction. Its items are records or offsets.
pub(crate) struct PageBuilder<T> {
    items: Vec<T>,
    left: Budget,
    last: Offset,
    stopped_after: Option<Offset>,
}

impl<T> PageBuilder<T> {
    /// An empty page.
    pub(crate) fn new(budget: Budget) -> PageBuilder<T> {
        PageBuilder { items: Vec::new(), left: budget, last: Offset::ZERO, stopped_after: None }
    }

    /// Returns `true` if the budget allows a record of this size, or the page is empty. Otherwise the page ends before
    /// it.
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        let full = self.left.records == 0 || self.left.rows == 0 || self.left.bytes < bytes;
        if full && !self.items.is_empty() {
            self.stopped_after = Some(self.last);
            return false;
        }
        true
    }

    /// Ends the page before an offset at which a record is lost, so that the next page begins with the loss. Returns
    /// `false` if the page is empty: the loss then belongs to this page.
    #[cfg(feature = "sqlite")]
    pub(crate) fn end_before(&mut self, offset: Offset) -> bool {
        if self.items.is_empty() {
            return false;
        }
        self.stopped_after = Some(self.last.max(offset.previous()));
        true
    }

    /// Adds a record if the budget allows it or the page is empty. Returns `true` if the caller may continue.
    pub(crate) fn take(&mut self, item: T, offset: Offset, bytes: usize) -> bool {
        if !self.has_room(bytes) {
            return false;
        }
        self.left.records = self.left.records.saturating_sub(1);
        match self.left.bytes.checked_sub(bytes) {
            Some(left) => self.left.bytes = left,
            // Larger than the whole budget: no other record is added, not even an empty one.
            None => self.left.records = 0,
        }
        self.items.push(item);
        self.pass(offset)
    }

    /// Counts an examined row. Returns `true` if the caller may continue.
    pub(crate) fn pass(&mut self, offset: Offset) -> bool {
        self.last = offset;
        self.left.rows = self.left.rows.saturating_sub(1);
        if self.left.rows == 0 {
            self.stopped_after = Some(offset);
        }
        self.left.rows > 0
    }

    /// Returns the items, and the offset up to which all records were considered: `until` if the budget did not end
    /// the page before it.
    pub(crate) fn finish(self, until: Offset) -> (Vec<T>, Offset) {
        (self.items, self.stopped_after.unwrap_or(until))
    }
}
