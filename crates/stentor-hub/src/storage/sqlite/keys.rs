//! What a change looks up under idempotency keys, remembers and forgets.

use rusqlite::{Connection, params};

use super::change::Change;
use super::column::{self, Columns};
use super::fault::Fault;
use super::key::{self, Remembered};
use super::part;
use crate::cursor::{Cursor, Offset};
use crate::publish::{Key, KeyContent};
use crate::storage::{Outcome, part_hash};
use crate::timestamp::Timestamp;

/// The keys that expired by some time, longest expired first.
pub(super) const EXPIRED_KEYS: &str = "SELECT scope, publisher, name, upload, first_offset FROM keys \
                                       WHERE expires <= ?1 ORDER BY expires LIMIT ?2";

impl Change<'_> {
    /// What a key makes of its publish, unless that is to be appended.
    pub(super) fn repeat(
        &mut self,
        key: &Key,
        remembered: Option<Remembered>,
        now: Timestamp,
    ) -> Result<Option<Outcome>, Fault> {
        let known = remembered.and_then(|remembered| remembered.at(now));
        let part = match (&key.content, known) {
            (KeyContent::Part { index, .. }, Some(known)) if *index < known.count => {
                part::find(self.connection, known.first.offset, *index)?
            }
            _ => None,
        };
        let outcome = key.check(known, part);
        if let (Some(remembered), Some(Outcome::Repeat { .. })) = (remembered, &outcome)
            && let Some(expires) = key.renewed_expiry(remembered.expires, now)
        {
            key::restart(self.connection, key, expires)?;
        }
        Ok(outcome)
    }

    /// Remembers what was appended under a key.
    pub(super) fn remember(
        &mut self,
        key: &Key,
        remembered: Option<Remembered>,
        ids: (Cursor, Cursor),
        now: Timestamp,
    ) -> Result<(), Fault> {
        let known = remembered.and_then(|remembered| remembered.at(now));
        let mut is_new = remembered.is_none();
        if let KeyContent::Part { index, after, .. } = &key.content {
            if let (Some(expired), None) = (remembered, known) {
                key::set_aside(self.connection, key, expired.upload)?;
                is_new = true;
            }
            let upload = known.map_or(ids.0, |known| known.first).offset;
            part::store(self.connection, upload, *index, part_hash(after))?;
            self.ledger.parts += 1;
        }
        key::store(self.connection, key, known, ids, now)?;
        self.ledger.keys += u64::from(is_new);
        Ok(())
    }

    /// Forgets a slice of expired keys and, if there are too many, of those that expire next; of the parts
    /// of uploads, if there are too many, those of the uploads that began first. Says whether there may be
    /// more to forget.
    pub(super) fn forget_keys(&mut self, now: Timestamp, rows_max: u64) -> Result<bool, Fault> {
        let mut rows = rows_max;
        self.forget_by(now.as_micros(), u64::MAX, &mut rows)?;
        let excess = self.ledger.keys.saturating_sub(self.limits.keys);
        self.forget_by(i64::MAX, excess, &mut rows)?;
        let mut excess = self.ledger.parts.saturating_sub(self.limits.parts);
        while excess.min(rows) > 0 {
            let Some(first) = part::first_upload(self.connection)? else { break };
            excess -= self.forget_parts(first, excess, &mut rows)?;
        }
        Ok(rows == 0)
    }

    /// Forgets the keys that expire by some time, at most so many, each behind its parts.
    fn forget_by(&mut self, time: i64, keys_max: u64, rows: &mut u64) -> Result<(), Fault> {
        for key in Expired::find(self.connection, time, keys_max.min(*rows))? {
            if key.upload {
                self.forget_parts(key.first, u64::MAX, rows)?;
            }
            if *rows == 0 {
                break;
            }
            key.delete(self.connection)?;
            *rows -= 1;
            self.ledger.keys = self.ledger.keys.saturating_sub(1);
        }
        Ok(())
    }

    /// Forgets the oldest parts of an upload, within what is left of a slice. Says how many these were.
    fn forget_parts(
        &mut self,
        upload: Offset,
        parts_max: u64,
        rows: &mut u64,
    ) -> Result<u64, Fault> {
        let forgotten = part::forget(self.connection, upload, parts_max.min(*rows))?;
        *rows = rows.saturating_sub(forgotten);
        self.ledger.parts = self.ledger.parts.saturating_sub(forgotten);
        Ok(forgotten)
    }
}

/// A key that is to be forgotten.
struct Expired {
    scope: String,
    publisher: String,
    name: String,
    upload: bool,
    first: Offset,
}

impl Expired {
    fn find(connection: &Connection, time: i64, keys_max: u64) -> Result<Vec<Expired>, Fault> {
        if keys_max == 0 {
            return Ok(Vec::new());
        }
        let mut statement = connection.prepare_cached(EXPIRED_KEYS)?;
        let keys = statement.query_map([time, column::number(keys_max)], |row| {
            Ok(Expired {
                scope: row.get(0)?,
                publisher: row.get(1)?,
                name: row.get(2)?,
                upload: row.get(3)?,
                first: row.offset(4)?,
            })
        })?;
        keys.collect::<Result<_, _>>().map_err(|error| Fault::at("the expired keys", error))
    }

    fn delete(&self, connection: &Connection) -> Result<(), Fault> {
        let mut statement = connection.prepare_cached(
            "DELETE FROM keys WHERE scope = ?1 AND publisher = ?2 AND name = ?3 AND upload = ?4",
        )?;
        statement.execute(params![self.scope, self.publisher, self.name, self.upload])?;
        Ok(())
    }
}
