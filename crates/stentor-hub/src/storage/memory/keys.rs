//! Idempotency keys in memory.

use std::collections::{BTreeMap, HashMap};

use crate::cursor::Cursor;
use crate::publish::{Key, KeyContent};
use crate::storage::{KeyHash, KeyName, Outcome, Upload};
use crate::timestamp::Timestamp;

/// The idempotency keys that are remembered, at most [`Keys::MAX`]: the longest unused go first.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) rows: HashMap<KeyName, Row>,
    /// Names by the number of their last use.
    pub(super) used: BTreeMap<u64, KeyName>,
    uses: u64,
}

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
    pub(super) fn check(&self, key: &Key, time: Timestamp) -> Option<Outcome> {
        key.check(self.find(&key.to_name(), time))
    }

    pub(super) fn store(&mut self, key: &Key, first: Cursor, last: Cursor, time: Timestamp) {
        let name = key.to_name();
        let expires = time.plus(key.window);
        let (hash, count) = match key.content {
            KeyContent::Whole(hash) => (hash, 1),
            KeyContent::Part { index, after, .. } => (after, index + 1),
        };
        let first = self.row(&name, time).map_or(first, |row| row.first);
        self.uses += 1;
        let row = Row { hash, count, first, last, expires, use_number: self.uses };
        if let Some(before) = self.rows.insert(name.clone(), row) {
            self.used.remove(&before.use_number);
        }
        self.used.insert(self.uses, name);
        self.forget(time);
    }

    fn forget(&mut self, time: Timestamp) {
        while let Some(longest_unused) = self.used.first_entry() {
            let row = self.rows.get(longest_unused.get());
            if self.rows.len() <= Keys::MAX && row.is_some_and(|row| row.expires > time) {
                return;
            }
            self.rows.remove(&longest_unused.remove());
        }
    }

    pub(super) fn find(&self, name: &KeyName, time: Timestamp) -> Option<Upload> {
        let row = self.row(name, time)?;
        Some(Upload { count: row.count, hash: row.hash, first: row.first, last: row.last })
    }

    fn row(&self, name: &KeyName, time: Timestamp) -> Option<&Row> {
        self.rows.get(name).filter(|row| row.expires > time)
    }
}
