//! Idempotency keys: recognizes repeated publishes, stores keys, and deletes expired ones.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::key_sources::{KeySources, SourceCount};
use crate::cursor::{Cursor, Offset};
use crate::key::{
    Key, KeyBound, KeyContent, KeyCount, KeyLimits, KeySource, TooManyKeys, part_hash,
};
use crate::storage::result::Outcome;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::key::{self, KeyRows};
use crate::storage::sqlite::tables::log::LogState;
use crate::storage::sqlite::tables::upload_part;
use crate::timestamp::Timestamp;

/// The keys that expired by a time, longest expired first.
pub(crate) const EXPIRED_KEYS: &str = "SELECT scope, publisher, name, upload, first_offset, source, expires FROM keys \
     WHERE expires <= ?1 ORDER BY expires LIMIT ?2";
/// The time at which the next key expires.
pub(crate) const NEXT_EXPIRY: &str = "SELECT expires FROM keys ORDER BY expires LIMIT 1";

/// The keys in a write transaction.
pub(crate) struct Keys<'a> {
    connection: &'a Connection,
    limits: KeyLimits,
    /// The time by which keys expire.
    time: Timestamp,
    sources: &'a KeySources,
    /// The counts that this transaction has changed.
    changed: HashMap<i64, SourceCount>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        limits: KeyLimits,
        time: Timestamp,
        sources: &'a KeySources,
    ) -> Keys<'a> {
        Keys { connection, limits, time, sources, changed: HashMap::new() }
    }

    /// The changed counts of addresses, for [`KeySources::apply`].
    pub(crate) fn into_changes(self) -> HashMap<i64, SourceCount> {
        self.changed
    }

    /// Returns the outcome of a publish under a key, or `None` if the publish is to be appended.
    pub(crate) fn check(&self, key: &Key, rows: &KeyRows) -> Result<Option<Outcome>, DbError> {
        let row = rows.unexpired(self.time);
        let known = row.map(|row| row.stored);
        let part = match (&key.content, known) {
            (KeyContent::Part { index, .. }, Some(known)) if *index < known.count => {
                upload_part::find(self.connection, known.first.offset, *index)?
            }
            _ => None,
        };
        let outcome = key.check(known, part);
        if let (Some(row), Some(Outcome::Repeat { .. })) = (row, &outcome)
            && let Some(expires) = key.renewed_expiry(row.expires, self.time)
        {
            key::set_expiry(self.connection, key, row, expires)?;
        }
        Ok(outcome)
    }

    /// The time by which keys expire.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns the reason why a new key, or the first part of an upload, cannot be stored. Deletes some expired keys
    /// first, if a bound is reached.
    pub(crate) fn refuse(
        &mut self,
        log: &mut LogState,
        key: &Key,
        rows: &KeyRows,
    ) -> Result<Option<TooManyKeys>, DbError> {
        /// Maximum number of rows that one publish deletes.
        const ROWS_MAX: u64 = 100;
        if rows.unexpired(self.time).is_some() || self.bound(log, key).is_none() {
            return Ok(None);
        }
        self.delete_expired(log, ROWS_MAX)?;
        let Some(bound) = self.bound(log, key) else { return Ok(None) };
        let next_expiry = match key.source.filter(|_| bound.of_address) {
            Some(source) => self.get(stored(Some(source))).next_expiry,
            None => self.next_expiry()?,
        };
        Ok(Some(bound.refuse(next_expiry.since(self.time))))
    }

    fn bound(&self, log: &LogState, key: &Key) -> Option<KeyBound> {
        let counts = KeyCount { keys: log.keys, parts: log.parts };
        let address = key.source.map(|source| self.get(stored(Some(source))).count);
        self.limits.refusal(counts, address).or_else(|| {
            key.is_of_upload().then(|| self.limits.refusal_of_part(counts, address)).flatten()
        })
    }

    fn next_expiry(&self) -> Result<Timestamp, DbError> {
        let mut statement = self.connection.prepare_cached(NEXT_EXPIRY)?;
        let next = statement.query_row([], |row| row.time(0)).optional();
        let next = next.map_err(|error| DbError::at("the next key to expire", error))?;
        Ok(next.unwrap_or_default())
    }

    /// Stores a key with the ids of the records that were appended under it.
    pub(crate) fn remember(
        &mut self,
        log: &mut LogState,
        key: &Key,
        rows: &KeyRows,
        ids: (Cursor, Cursor),
    ) -> Result<(), DbError> {
        let known = rows.own.filter(|row| row.expires > self.time);
        let source = known.map_or_else(|| stored(key.source), |row| row.source);
        if let KeyContent::Part { index, after, .. } = &key.content {
            if let (Some(expired), None) = (rows.own, known) {
                key::set_aside(self.connection, key, expired)?;
            }
            let upload = known.map_or(ids.0, |row| row.stored.first).offset;
            self.remember_part(log, source, (upload, *index, part_hash(after)))?;
        } else if let (Some(expired), None) = (rows.own, known) {
            // The row is replaced.
            self.change(expired.source, |counted| counted.remove_key(expired.expires));
            log.keys = log.keys.saturating_sub(1);
        }
        let expires = self.time.plus(key.window);
        key::store(self.connection, key, known, ids, (expires, source))?;
        if known.is_none() {
            self.change(source, |counted| counted.add_key(expires));
            log.keys += 1;
        }
        Ok(())
    }

    /// Stores the hash of a part. At a bound, the hash of the oldest part of the same upload makes room for it.
    fn remember_part(
        &mut self,
        log: &mut LogState,
        source: i64,
        (upload, index, hash): (Offset, u64, u64),
    ) -> Result<(), DbError> {
        let counts = KeyCount { keys: log.keys, parts: log.parts };
        let address = (source != 0).then(|| self.get(source).count);
        if self.limits.refusal_of_part(counts, address).is_some() {
            let dropped = upload_part::delete_oldest(self.connection, upload, 1)?;
            self.count_deleted_parts(log, source, dropped);
        }
        upload_part::store(self.connection, upload, index, hash)?;
        log.parts += 1;
        self.change(source, |counted| counted.count.parts += 1);
        Ok(())
    }

    /// Deletes expired keys, at most `rows_max` rows with the parts of uploads. Returns `true` if there may be more to
    /// delete.
    pub(crate) fn delete_expired(
        &mut self,
        log: &mut LogState,
        rows_max: u64,
    ) -> Result<bool, DbError> {
        let mut rows = rows_max;
        for key in Expired::find(self.connection, self.time, rows_max)? {
            if key.upload {
                let deleted = upload_part::delete_oldest(self.connection, key.first, rows)?;
                rows = rows.saturating_sub(deleted);
                self.count_deleted_parts(log, key.source, deleted);
            }
            if rows == 0 {
                break;
            }
            key.delete(self.connection)?;
            rows -= 1;
            log.keys = log.keys.saturating_sub(1);
            self.change(key.source, |counted| counted.remove_key(key.expires));
        }
        Ok(rows == 0)
    }

    fn count_deleted_parts(&mut self, log: &mut LogState, source: i64, deleted: u64) {
        log.parts = log.parts.saturating_sub(deleted);
        self.change(source, |counted| {
            counted.count.parts = counted.count.parts.saturating_sub(deleted);
        });
    }

    fn get(&self, source: i64) -> SourceCount {
        self.changed.get(&source).copied().unwrap_or_else(|| self.sources.get(source))
    }

    fn change(&mut self, source: i64, change: impl FnOnce(&mut SourceCount)) {
        if source != 0 {
            let mut counted = self.get(source);
            change(&mut counted);
            self.changed.insert(source, counted);
        }
    }
}

/// The value of the column `source`: 0 if the address is not known.
fn stored(source: Option<KeySource>) -> i64 {
    source.map_or(0, |source| source.hash().cast_signed())
}

/// A key that is to be deleted.
struct Expired {
    scope: String,
    publisher: String,
    name: String,
    upload: bool,
    first: Offset,
    source: i64,
    expires: Timestamp,
}

impl Expired {
    fn find(
        connection: &Connection,
        time: Timestamp,
        keys_max: u64,
    ) -> Result<Vec<Expired>, DbError> {
        let mut statement = connection.prepare_cached(EXPIRED_KEYS)?;
        let keys = statement.query_map([time.as_micros(), column::number(keys_max)], |row| {
            Ok(Expired {
                scope: row.get(0)?,
                publisher: row.get(1)?,
                name: row.get(2)?,
                upload: row.get(3)?,
                first: row.offset(4)?,
                source: row.get(5)?,
                expires: row.time(6)?,
            })
        })?;
        keys.collect::<Result<_, _>>().map_err(|error| DbError::at("the expired keys", error))
    }

    fn delete(&self, connection: &Connection) -> Result<(), DbError> {
        let mut statement = connection.prepare_cached(
            "DELETE FROM keys WHERE scope = ?1 AND publisher = ?2 AND name = ?3 AND upload = ?4",
        )?;
        statement.execute(params![self.scope, self.publisher, self.name, self.upload])?;
        Ok(())
    }
}
