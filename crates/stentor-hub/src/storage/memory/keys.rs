//! Idempotency keys in memory.

use std::collections::{BTreeMap, HashMap};

use super::parts::Parts;
use crate::cursor::Cursor;
use crate::publish::{Key, KeyContent};
use crate::storage::{KeyHash, KeyName, Outcome, StoredKey, part_hash};
use crate::timestamp::Timestamp;

/// The idempotency keys that are remembered, at most [`Keys::MAX`]: the longest unused go first.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) rows: HashMap<KeyName, Row>,
    /// Names by the number of their last use.
    pub(super) used: BTreeMap<u64, KeyName>,
    pub(super) parts: Parts,
    uses: u64,
}

#[derive(Clone, Copy)]
pub(super) struct Row {
    /// The hash of the whole, or of the upload so far.
    hash: KeyHash,
    /// How many publishes of an upload.
    count: u64,
    first: Cursor,
    last: Cursor,
    expires: Timestamp,
    use_number: u64,
}

impl Keys {
    pub(super) const MAX: usize = 100_000;

    /// What becomes of a publish under this key, unless it is to be appended.
    pub(super) fn check(&mut self, key: &Key, time: Timestamp) -> Option<Outcome> {
        let name = key.to_name();
        let row = self.row(&name, time).copied();
        let part = match (&key.content, row) {
            (KeyContent::Part { index, .. }, Some(row)) => self.parts.get(row.first.offset, *index),
            _ => None,
        };
        let outcome = key.check(row.map(Row::upload), part);
        if let (Some(row), Some(Outcome::Repeat { .. })) = (row, &outcome)
            && let Some(expires) = key.renewed_expiry(row.expires, time)
        {
            self.put(name, Row { expires, ..row });
        }
        outcome
    }

    pub(super) fn store(&mut self, key: &Key, first: Cursor, last: Cursor, time: Timestamp) {
        let name = key.to_name();
        let expires = time.plus(key.window);
        let first = self.row(&name, time).map_or(first, |row| row.first);
        let (hash, count) = match key.content {
            KeyContent::Whole(hash) => (hash, 1),
            KeyContent::Part { index, after, .. } => {
                self.parts.push(first.offset, index, part_hash(&after));
                (after, index + 1)
            }
        };
        self.put(name, Row { hash, count, first, last, expires, use_number: 0 });
        self.forget(time);
    }

    /// Puts a row in its place, as the one used last.
    fn put(&mut self, name: KeyName, mut row: Row) {
        self.uses += 1;
        row.use_number = self.uses;
        let first = row.first.offset;
        if let Some(before) = self.rows.insert(name.clone(), row) {
            self.used.remove(&before.use_number);
            if before.first.offset != first {
                self.parts.forget(before.first.offset);
            }
        }
        self.used.insert(self.uses, name);
    }

    fn forget(&mut self, time: Timestamp) {
        while let Some(longest_unused) = self.used.first_entry() {
            let row = self.rows.get(longest_unused.get());
            if self.rows.len() <= Keys::MAX && row.is_some_and(|row| row.expires > time) {
                return;
            }
            if let Some(row) = self.rows.remove(&longest_unused.remove()) {
                self.parts.forget(row.first.offset);
            }
        }
    }

    pub(super) fn row(&self, name: &KeyName, time: Timestamp) -> Option<&Row> {
        self.rows.get(name).filter(|row| row.expires > time)
    }
}

impl Row {
    fn upload(self) -> StoredKey {
        StoredKey { count: self.count, hash: self.hash, first: self.first, last: self.last }
    }
}
