//! Rows of `keys`: idempotency keys and what was published under them.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{self, Columns, invalid};
use crate::cursor::{Check, Cursor, Epoch};
use crate::key::{Key, KeyContent};
use crate::key::{KeyHash, KeyName, StoredKey};
use crate::storage::sqlite::db_error::DbError;
use crate::timestamp::Timestamp;

pub(crate) const BY_NAME: &str = "SELECT hash, count, first_offset, first_check, last_offset, last_check, expires \
                                  FROM keys WHERE scope = ?1 AND publisher = ?2 AND name = ?3 AND upload = ?4";

/// A stored idempotency key, expired or not. A publish that is not an upload is stored as an upload with one part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRow {
    pub(crate) stored: StoredKey,
    pub(crate) expires: Timestamp,
}

impl KeyRow {
    /// Reads the row of a key.
    pub(crate) fn find(
        connection: &Connection,
        epoch: Epoch,
        name: &KeyName,
    ) -> Result<Option<KeyRow>, DbError> {
        let mut statement = connection.prepare_cached(BY_NAME)?;
        let found = statement
            .query_row(params![scope(name), name.publisher, name.name, name.upload], |row| {
                read(row, epoch)
            });
        found
            .optional()
            .map_err(|error| DbError::at(format_args!("the key {:?}", name.name), error))
    }

    /// Returns the upload if the key has not expired at `now`.
    pub(crate) fn unexpired(self, now: Timestamp) -> Option<StoredKey> {
        (self.expires > now).then_some(self.stored)
    }
}

/// Stores a key with the ids of the records published under it. `known` is the stored state of an upload that
/// this publish continues: its first record stays the first.
pub(crate) fn store(
    connection: &Connection,
    key: &Key,
    known: Option<StoredKey>,
    (first, last): (Cursor, Cursor),
    now: Timestamp,
) -> Result<(), DbError> {
    let (hash, count) = match key.content {
        KeyContent::Whole(hash) => (hash, 1),
        KeyContent::Part { index, after, .. } => (after, index.saturating_add(1)),
    };
    let first = known.map_or(first, |known| known.first);
    let check = |cursor: Cursor| cursor.check.map_or(0, Check::get);
    let name = key.to_name();
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO keys (scope, publisher, name, upload, hash, count, first_offset, first_check, \
         last_offset, last_check, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    statement.execute(params![
        scope(&name),
        name.publisher,
        name.name,
        name.upload,
        hash.as_slice(),
        column::number(count),
        column::offset(first.offset),
        check(first),
        column::offset(last.offset),
        check(last),
        now.plus(key.window).as_micros(),
    ])?;
    Ok(())
}

/// Changes the time at which a key expires.
pub(crate) fn set_expiry(
    connection: &Connection,
    key: &Key,
    expires: Timestamp,
) -> Result<(), DbError> {
    let name = key.to_name();
    let mut statement = connection.prepare_cached(
        "UPDATE keys SET expires = ?5 WHERE scope = ?1 AND publisher = ?2 AND name = ?3 AND upload = ?4",
    )?;
    let expires = expires.as_micros();
    statement.execute(params![scope(&name), name.publisher, name.name, name.upload, expires])?;
    Ok(())
}

/// Renames the row of an expired upload to a name that no key can have: the key may then start another upload
/// while the parts of the old one are still being deleted.
pub(crate) fn set_aside(connection: &Connection, key: &Key, old: StoredKey) -> Result<(), DbError> {
    let name = key.to_name();
    let mut statement = connection.prepare_cached(
        "UPDATE OR REPLACE keys SET scope = '', publisher = '', name = ?5 \
         WHERE scope = ?1 AND publisher = ?2 AND name = ?3 AND upload = ?4",
    )?;
    let aside = column::offset(old.first.offset).to_string();
    statement.execute(params![scope(&name), name.publisher, name.name, name.upload, aside])?;
    Ok(())
}

/// Returns the value of the column `scope`. A batch has an empty scope, which no topic name equals.
fn scope(name: &KeyName) -> &str {
    name.scope.as_ref().map_or("", |topic| topic.as_str())
}

fn read(row: &Row<'_>, epoch: Epoch) -> rusqlite::Result<KeyRow> {
    let hash = KeyHash::try_from(row.get_ref(0)?.as_blob()?)
        .map_err(|error| invalid(0, Type::Blob, error))?;
    let stored = StoredKey {
        count: row.number(1)?,
        hash,
        first: Cursor::event_id(epoch, row.offset(2)?, row.check(3)?),
        last: Cursor::event_id(epoch, row.offset(4)?, row.check(5)?),
    };
    Ok(KeyRow { stored, expires: row.time(6)? })
}
