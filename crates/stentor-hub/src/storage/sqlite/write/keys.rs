//! Idempotency keys: recognizes repeated publishes, stores keys, and deletes expired ones.

use rusqlite::{Connection, params};

use crate::cursor::{Cursor, Offset};
use crate::key::part_hash;
use crate::key::{Key, KeyContent};
use crate::storage::result::Outcome;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::key::{self, KeyRow};
use crate::storage::sqlite::tables::log::LogState;
use crate::storage::sqlite::tables::upload_part;
use crate::timestamp::Timestamp;

/// The keys that expired by a time, longest expired first.
pub(crate) const EXPIRED_KEYS: &str = "SELECT scope, publisher, name, upload, first_offset FROM keys \
                                       WHERE expires <= ?1 ORDER BY expires LIMIT ?2";

/// Returns the outcome of a publish under a key, or `None` if the publish is to be appended.
pub(crate) fn check(
    connection: &Connection,
    key: &Key,
    row: Option<KeyRow>,
    now: Timestamp,
) -> Result<Option<Outcome>, DbError> {
    let known = row.and_then(|row| row.unexpired(now));
    let part = match (&key.content, known) {
        (KeyContent::Part { index, .. }, Some(known)) if *index < known.count => {
            upload_part::find(connection, known.first.offset, *index)?
        }
        _ => None,
    };
    let outcome = key.check(known, part);
    if let (Some(row), Some(Outcome::Repeat { .. })) = (row, &outcome)
        && let Some(expires) = key.renewed_expiry(row.expires, now)
    {
        key::set_expiry(connection, key, row, expires)?;
    }
    Ok(outcome)
}

/// Stores a key with the ids of the records that were appended under it.
pub(crate) fn remember(
    connection: &Connection,
    log: &mut LogState,
    key: &Key,
    row: Option<KeyRow>,
    ids: (Cursor, Cursor),
    now: Timestamp,
) -> Result<(), DbError> {
    let known = row.and_then(|row| row.unexpired(now));
    let mut is_new = row.is_none();
    if let KeyContent::Part { index, after, .. } = &key.content {
        if let (Some(expired), None) = (row, known) {
            key::set_aside(connection, key, expired)?;
            is_new = true;
        }
        let upload = known.map_or(ids.0, |known| known.first).offset;
        upload_part::store(connection, upload, *index, part_hash(after))?;
        log.parts += 1;
    }
    key::store(connection, key, known, ids, now)?;
    log.keys += u64::from(is_new);
    Ok(())
}

/// Deletes up to `rows_max` rows: expired keys, then keys and upload parts beyond the limits.
///
/// Beyond the limits, it deletes the keys that expire first, and the parts of the uploads that began first.
/// Returns `true` if there may be more to delete.
pub(crate) fn delete_expired(
    connection: &Connection,
    log: &mut LogState,
    limits: &Limits,
    now: Timestamp,
    rows_max: u64,
) -> Result<bool, DbError> {
    let mut slice = Slice { connection, log, rows: rows_max };
    slice.delete_keys(now.as_micros(), u64::MAX)?;
    let excess = slice.log.keys.saturating_sub(limits.keys);
    slice.delete_keys(i64::MAX, excess)?;
    let mut excess = slice.log.parts.saturating_sub(limits.parts);
    while excess.min(slice.rows) > 0 {
        let Some(first) = upload_part::first_upload(connection)? else { break };
        excess -= slice.delete_parts(first, excess)?;
    }
    Ok(slice.rows == 0)
}

/// One slice of deletions.
struct Slice<'a> {
    connection: &'a Connection,
    log: &'a mut LogState,
    /// Number of rows that may still be deleted.
    rows: u64,
}

impl Slice<'_> {
    /// Deletes keys that expire by a time, at most `keys_max`, each after its upload parts.
    fn delete_keys(&mut self, time: i64, keys_max: u64) -> Result<(), DbError> {
        for key in Expired::find(self.connection, time, keys_max.min(self.rows))? {
            if key.upload {
                self.delete_parts(key.first, u64::MAX)?;
            }
            if self.rows == 0 {
                break;
            }
            key.delete(self.connection)?;
            self.rows -= 1;
            self.log.keys = self.log.keys.saturating_sub(1);
        }
        Ok(())
    }

    /// Deletes the oldest parts of an upload, at most `parts_max`. Returns how many it deleted.
    fn delete_parts(&mut self, upload: Offset, parts_max: u64) -> Result<u64, DbError> {
        let deleted =
            upload_part::delete_oldest(self.connection, upload, parts_max.min(self.rows))?;
        self.rows = self.rows.saturating_sub(deleted);
        self.log.parts = self.log.parts.saturating_sub(deleted);
        Ok(deleted)
    }
}

/// A key that is to be deleted.
struct Expired {
    scope: String,
    publisher: String,
    name: String,
    upload: bool,
    first: Offset,
}

impl Expired {
    fn find(connection: &Connection, time: i64, keys_max: u64) -> Result<Vec<Expired>, DbError> {
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
