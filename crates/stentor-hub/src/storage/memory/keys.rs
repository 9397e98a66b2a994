//! Idempotency keys in memory.

use std::collections::{BTreeMap, HashMap};

use super::parts::Parts;
use crate::cursor::Cursor;
use crate::key::{Key, KeyContent, KeyHash, KeyName, StoredKey, part_hash};
use crate::storage::result::Outcome;
use crate::timestamp::Timestamp;

/// The remembered idempotency keys, at most [`Keys::MAX`]. The least recently used ones are removed first.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) rows: HashMap<KeyName, Row>,
    /// Names by the number of their last use, least recently used first.
    pub(super) used: BTreeMap<u64, KeyName>,
    pub(super) parts: Parts,
    uses: u64,
}

#[derive(Clone, Copy)]
pub(super) struct Row {
    /// The hash of the publish, or of the upload so far.
    hash: KeyHash,
    /// Number of parts of an upload; otherwise 1.
    count: u64,
    first: Cursor,
    last: Cursor,
    expires: Timestamp,
    use_number: u64,
}

impl Keys {
    /// Maximum number of keys.
    pub(super) const MAX: usize = 100_000;

    /// Returns the outcome of a publish with this key, or `None` if it is to be appended. A repeat restarts the
    /// key's window if [`Key::renewed_expiry`] says so.
    pub(super) fn check(&mut self, key: &Key, time: Timestamp) -> Option<Outcome> {
        let name = key.to_name();
        let row = self.row(&name, time).copied();
        let part = match (&key.content, row) {
            (KeyContent::Part { index, .. }, Some(row)) => self.parts.get(row.first.offset, *index),
            _ => None,
        };
        let outcome = key.check(row.map(Row::stored), part);
        if let (Some(row), Some(Outcome::Repeat { .. })) = (row, &outcome)
            && let Some(expires) = key.renewed_expiry(row.expires, time)
        {
            self.put(name, Row { expires, ..row });
        }
        outcome
    }

    /// Remembers the key of a publish that was appended at `time`.
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
        self.remove_expired(time);
    }

    /// Stores a row as the most recently used one.
    fn put(&mut self, name: KeyName, mut row: Row) {
        self.uses += 1;
        row.use_number = self.uses;
        let first = row.first.offset;
        if let Some(before) = self.rows.insert(name.clone(), row) {
            self.used.remove(&before.use_number);
            if before.first.offset != first {
                self.parts.remove(before.first.offset);
            }
        }
        self.used.insert(self.uses, name);
    }

    /// Removes the least recently used keys while they are expired or too many.
    fn remove_expired(&mut self, time: Timestamp) {
        while let Some(least_recent) = self.used.first_entry() {
            let row = self.rows.get(least_recent.get());
            if self.rows.len() <= Keys::MAX && row.is_some_and(|row| row.expires > time) {
                return;
            }
            if let Some(row) = self.rows.remove(&least_recent.remove()) {
                self.parts.remove(row.first.offset);
            }
        }
    }

    pub(super) fn row(&self, name: &KeyName, time: Timestamp) -> Option<&Row> {
        self.rows.get(name).filter(|row| row.expires > time)
    }
}

impl Row {
    fn stored(self) -> StoredKey {
        StoredKey { count: self.count, hash: self.hash, first: self.first, last: self.last }
    }
}
