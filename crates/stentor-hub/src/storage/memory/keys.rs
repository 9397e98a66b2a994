//! Idempotency keys in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::parts::Parts;
use crate::cursor::{Cursor, Offset};
use crate::key::{
    Key, KeyContent, KeyCount, KeyHash, KeyLimits, KeyName, KeySource, StoredKey, TooManyKeys,
    part_hash,
};
use crate::storage::result::Outcome;
use crate::timestamp::Timestamp;

/// The remembered idempotency keys. A key is forgotten when its window is over, and never before.
pub(super) struct Keys {
    pub(super) limits: KeyLimits,
    pub(super) rows: HashMap<KeyName, Row>,
    /// Names by the end of their window. The number makes equal times different.
    pub(super) by_expiry: BTreeMap<(Timestamp, u64), KeyName>,
    /// The addresses that have keys.
    pub(super) sources: HashMap<KeySource, KeyCount>,
    pub(super) parts: Parts,
    stored: u64,
}

#[derive(Clone, Copy)]
pub(super) struct Row {
    /// `true` for an upload.
    upload: bool,
    /// The hash of the publish, or of the upload so far.
    hash: KeyHash,
    /// Number of parts of an upload; otherwise 1.
    count: u64,
    first: Cursor,
    last: Cursor,
    source: Option<KeySource>,
    expires: Timestamp,
    number: u64,
}

impl Keys {
    /// Maximum number of expired keys that one publish removes.
    const REMOVED_MAX: usize = 100;

    pub(super) fn new(limits: KeyLimits) -> Keys {
        Keys {
            limits,
            rows: HashMap::new(),
            by_expiry: BTreeMap::new(),
            sources: HashMap::new(),
            parts: Parts::default(),
            stored: 0,
        }
    }

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

    /// Returns the reason why a new key, or the first part of an upload, cannot be stored.
    pub(super) fn refuse(&mut self, key: &Key, time: Timestamp) -> Option<TooManyKeys> {
        self.remove_expired(time);
        if self.row(&key.to_name(), time).is_some() {
            return None;
        }
        let address = key.source.map(|source| self.count(source));
        let log = KeyCount { keys: self.rows.len() as u64, parts: self.parts.count };
        let bound = self.limits.refusal(log, address).or_else(|| {
            key.is_of_upload().then(|| self.limits.refusal_of_part(log, address)).flatten()
        })?;
        let source = key.source.filter(|_| bound.of_address);
        Some(bound.refuse(self.until_next_expiry(source, time)))
    }

    /// Remembers the key of a publish that was appended at `time`.
    pub(super) fn store(&mut self, key: &Key, first: Cursor, last: Cursor, time: Timestamp) {
        let name = key.to_name();
        let expires = time.plus(key.window);
        let known = self.row(&name, time).copied();
        if known.is_none() {
            // The window of the row is over, but it was not removed yet.
            self.remove(&name);
        }
        let first = known.map_or(first, |row| row.first);
        let source = known.map_or(key.source, |row| row.source);
        let (hash, count) = match key.content {
            KeyContent::Whole(hash) => (hash, 1),
            KeyContent::Part { index, after, .. } => {
                self.push_part(first.offset, source, index, part_hash(&after));
                (after, index.saturating_add(1))
            }
        };
        let upload = key.is_of_upload();
        self.put(name, Row { upload, hash, count, first, last, source, expires, number: 0 });
    }

    /// Stores the hash of a part. At a bound, the hash of the oldest part of the same upload makes room for it.
    fn push_part(&mut self, upload: Offset, source: Option<KeySource>, index: u64, hash: u64) {
        let log = KeyCount { keys: 0, parts: self.parts.count };
        let address = source.map(|source| self.count(source));
        let is_full = self.limits.refusal_of_part(log, address).is_some();
        let dropped = is_full && self.parts.drop_oldest(upload);
        self.parts.push(upload, index, hash);
        if !dropped {
            self.change_count(source, |count| count.parts += 1);
        }
    }

    /// Stores a row in the order of its expiry.
    fn put(&mut self, name: KeyName, mut row: Row) {
        self.stored += 1;
        row.number = self.stored;
        self.by_expiry.insert((row.expires, row.number), name.clone());
        match self.rows.insert(name, row) {
            Some(before) => drop(self.by_expiry.remove(&(before.expires, before.number))),
            None => self.change_count(row.source, |count| count.keys += 1),
        }
    }

    /// Removes keys whose window is over, at most [`Keys::REMOVED_MAX`].
    fn remove_expired(&mut self, time: Timestamp) {
        for _ in 0..Keys::REMOVED_MAX {
            let Some((&(expires, _), name)) = self.by_expiry.first_key_value() else { return };
            if expires > time {
                return;
            }
            let name = name.clone();
            self.remove(&name);
        }
    }

    fn remove(&mut self, name: &KeyName) {
        let Some(row) = self.rows.remove(name) else { return };
        self.by_expiry.remove(&(row.expires, row.number));
        let parts = if row.upload { self.parts.remove(row.first.offset) } else { 0 };
        self.change_count(row.source, |count| {
            count.keys = count.keys.saturating_sub(1);
            count.parts = count.parts.saturating_sub(parts);
        });
    }

    pub(super) fn count(&self, source: KeySource) -> KeyCount {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    fn change_count(&mut self, source: Option<KeySource>, change: impl FnOnce(&mut KeyCount)) {
        let Some(source) = source else { return };
        let count = self.sources.entry(source).or_default();
        change(count);
        if count.keys == 0 && count.parts == 0 {
            self.sources.remove(&source);
        }
    }

    /// Returns the time until the next key of the log, or of one address, expires.
    fn until_next_expiry(&self, source: Option<KeySource>, time: Timestamp) -> Duration {
        /// Maximum number of keys to look at. Beyond it, the key that is reached is a lower bound.
        const SEARCHED_MAX: usize = 100;
        let mut last = time;
        for ((expires, _), name) in self.by_expiry.iter().take(SEARCHED_MAX) {
            last = *expires;
            let row = self.rows.get(name);
            if source.is_none() || row.is_some_and(|row| row.source == source) {
                break;
            }
        }
        last.since(time)
    }

    pub(super) fn row(&self, name: &KeyName, time: Timestamp) -> Option<&Row> {
        self.rows.get(name).filter(|row| row.expires > time)
    }
}

impl Row {
    pub(super) fn stored(self) -> StoredKey {
        let Row { upload, hash, count, first, last, .. } = self;
        StoredKey { upload, count, hash, first, last }
    }
}
