//! Rows of `keys`: idempotency keys and what was published under them.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::column::{self, Columns, invalid};
use super::sum::{self, Sealed, Sum};
use crate::cursor::{Check, Cursor, Epoch};
use crate::key::{Key, KeyContent};
use crate::key::{KeyHash, KeyName, StoredKey};
use crate::storage::sqlite::db_error::DbError;
use crate::timestamp::Timestamp;

/// The columns that the checksum covers.
pub(crate) const SEALED: Sealed = Sealed {
    name: "keys",
    keys: &["scope", "publisher", "name", "upload"],
    columns: "scope, publisher, name, upload, hash, count, first_offset, first_check, last_offset, last_check, \
              expires, source",
};

pub(crate) const BY_NAME: &str = "SELECT scope, publisher, name, upload, hash, count, first_offset, first_check, \
                                  last_offset, last_check, expires, source, sum \
                                  FROM keys WHERE scope = ?1 AND publisher = ?2 AND name = ?3";

/// A stored idempotency key, expired or not. A publish that is not an upload is stored as an upload with one part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRow {
    pub(crate) stored: StoredKey,
    pub(crate) expires: Timestamp,
    /// Hash of the publisher's address, or 0.
    pub(crate) source: i64,
}

impl KeyRow {
    /// Computes the checksum of the row. The first three fields are those of its name.
    fn sum(&self, scope: &str, publisher: &str, name: &str) -> i64 {
        let StoredKey { upload, count, hash, first, last } = &self.stored;
        let check = |cursor: &Cursor| cursor.check.map_or(0, |check| i64::from(check.get()));
        Sum::new()
            .bytes(scope.as_bytes())
            .bytes(publisher.as_bytes())
            .bytes(name.as_bytes())
            .number((*upload).into())
            .bytes(hash.as_slice())
            .number(column::number(*count))
            .number(column::offset(first.offset))
            .number(check(first))
            .number(column::offset(last.offset))
            .number(check(last))
            .number(self.expires.as_micros())
            .number(self.source)
            .finish()
    }
}

/// The rows of a key. A new key is stored only while no row of it is valid, so at most one is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyRows {
    /// The row of the kind that was asked for.
    pub(crate) own: Option<KeyRow>,
    /// The row of the other kind: of an upload instead of a whole publish, or the other way around.
    other: Option<KeyRow>,
}

impl KeyRows {
    /// Reads the rows of a key. `upload` is the kind of [`KeyRows::own`].
    pub(crate) fn find(
        connection: &Connection,
        epoch: Epoch,
        name: &KeyName,
        upload: bool,
    ) -> Result<KeyRows, DbError> {
        let damaged = |error| DbError::at(format_args!("the key {:?}", name.name), error);
        let mut statement = connection.prepare_cached(BY_NAME)?;
        let mut found = statement.query(params![scope(name), name.publisher, name.name])?;
        let mut rows = KeyRows::default();
        while let Some(row) = found.next().map_err(damaged)? {
            let row = read(row, epoch).map_err(damaged)?;
            let of_kind = if row.stored.upload == upload { &mut rows.own } else { &mut rows.other };
            *of_kind = Some(row);
        }
        Ok(rows)
    }

    /// Returns the row that is valid at `time`. A log of an older version may have one of each kind.
    pub(crate) fn unexpired(&self, time: Timestamp) -> Option<KeyRow> {
        let is_valid = |row: &KeyRow| row.expires > time;
        self.own.filter(is_valid).or(self.other.filter(is_valid))
    }
}

/// Stores a key with the ids of the records published under it. `known` is the stored row of an upload that
/// this publish continues: its first record stays the first.
pub(crate) fn store(
    connection: &Connection,
    key: &Key,
    known: Option<KeyRow>,
    (first, last): (Cursor, Cursor),
    (expires, source): (Timestamp, i64),
) -> Result<(), DbError> {
    let (hash, count) = match key.content {
        KeyContent::Whole(hash) => (hash, 1),
        KeyContent::Part { index, after, .. } => (after, index.saturating_add(1)),
    };
    let first = known.map_or(first, |known| known.stored.first);
    let check = |cursor: Cursor| cursor.check.map_or(0, Check::get);
    let name = key.to_name();
    let stored = StoredKey { upload: key.is_of_upload(), count, hash, first, last };
    let row = KeyRow { stored, expires, source };
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO keys (scope, publisher, name, upload, hash, count, first_offset, first_check, \
         last_offset, last_check, expires, source, sum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    statement.execute(params![
        scope(&name),
        name.publisher,
        name.name,
        stored.upload,
        hash.as_slice(),
        column::number(count),
        column::offset(first.offset),
        check(first),
        column::offset(last.offset),
        check(last),
        row.expires.as_micros(),
        row.source,
        row.sum(scope(&name), &name.publisher, &name.name),
    ])?;
    Ok(())
}

/// Changes the time at which a key expires. `row` is its stored row.
pub(crate) fn set_expiry(
    connection: &Connection,
    key: &Key,
    row: KeyRow,
    expires: Timestamp,
) -> Result<(), DbError> {
    let name = key.to_name();
    let mut statement = connection.prepare_cached(
        "UPDATE keys SET expires = ?5, sum = ?6 \
         WHERE scope = ?1 AND publisher = ?2 AND name = ?3 AND upload = ?4",
    )?;
    let sum = KeyRow { expires, ..row }.sum(scope(&name), &name.publisher, &name.name);
    statement.execute(params![
        scope(&name),
        name.publisher,
        name.name,
        row.stored.upload,
        expires.as_micros(),
        sum,
    ])?;
    Ok(())
}

/// Renames the row of an expired upload to a name that no key can have: the key may then start another upload
/// while the parts of the old one are still being deleted.
pub(crate) fn set_aside(connection: &Connection, key: &Key, old: KeyRow) -> Result<(), DbError> {
    let name = key.to_name();
    let mut statement = connection.prepare_cached(
        "UPDATE OR REPLACE keys SET scope = '', publisher = '', name = ?5, sum = ?6 \
         WHERE scope = ?1 AND publisher = ?2 AND name = ?3 AND upload = ?4",
    )?;
    // No key of a request has a space.
    let aside = format!(" {}", column::offset(old.stored.first.offset));
    let sum = old.sum("", "", &aside);
    let upload = old.stored.upload;
    statement.execute(params![scope(&name), name.publisher, name.name, upload, aside, sum])?;
    Ok(())
}

/// Returns the value of the column `scope`. A batch has an empty scope, which no topic name equals.
fn scope(name: &KeyName) -> &str {
    name.scope.as_ref().map_or("", |topic| topic.as_str())
}

fn read(row: &Row<'_>, epoch: Epoch) -> rusqlite::Result<KeyRow> {
    sum::check_columns(row, 12)?;
    let hash = KeyHash::try_from(row.get_ref(4)?.as_blob()?)
        .map_err(|error| invalid(4, Type::Blob, error))?;
    let stored = StoredKey {
        upload: row.get(3)?,
        count: row.number(5)?,
        hash,
        first: Cursor::event_id(epoch, row.offset(6)?, row.check(7)?),
        last: Cursor::event_id(epoch, row.offset(8)?, row.check(9)?),
    };
    Ok(KeyRow { stored, expires: row.time(10)?, source: row.get(11)? })
}
