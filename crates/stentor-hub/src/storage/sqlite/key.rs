//! A key's row.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{self, Columns, senseless};
use super::fault::Fault;
use crate::cursor::{Check, Cursor, Epoch};
use crate::publish::{Key, KeyContent};
use crate::storage::{KeyHash, KeyName, StoredKey};
use crate::timestamp::Timestamp;

pub(super) const BY_NAME: &str = "SELECT hash, count, first_offset, first_check, last_offset, last_check, expires \
                                  FROM keys WHERE scope = ?1 AND publisher = ?2 AND name = ?3 AND upload = ?4";

/// What is stored under a key, be it within its window or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    pub(super) upload: StoredKey,
    pub(super) expires: Timestamp,
}

impl Remembered {
    pub(super) fn find(
        connection: &Connection,
        epoch: Epoch,
        name: &KeyName,
    ) -> Result<Option<Remembered>, Fault> {
        let mut statement = connection.prepare_cached(BY_NAME)?;
        let found = statement
            .query_row(params![scope(name), name.publisher, name.name, name.upload], |row| {
                read(row, epoch)
            });
        found.optional().map_err(|error| Fault::at(format_args!("the key {:?}", name.name), error))
    }

    /// What counts at this moment.
    pub(super) fn at(self, now: Timestamp) -> Option<StoredKey> {
        (self.expires > now).then_some(self.upload)
    }
}

/// Remembers what was published under a key: an upload from its `first` record on, if it is already known.
pub(super) fn store(
    connection: &Connection,
    key: &Key,
    known: Option<StoredKey>,
    (first, last): (Cursor, Cursor),
    now: Timestamp,
) -> Result<(), Fault> {
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

/// Has a key expire at another time.
pub(super) fn restart(connection: &Connection, key: &Key, expires: Timestamp) -> Result<(), Fault> {
    let name = key.to_name();
    let mut statement = connection.prepare_cached(
        "UPDATE keys SET expires = ?5 WHERE scope = ?1 AND publisher = ?2 AND name = ?3 AND upload = ?4",
    )?;
    let expires = expires.as_micros();
    statement.execute(params![scope(&name), name.publisher, name.name, name.upload, expires])?;
    Ok(())
}

/// Gives the row of an expired upload a name that no key can have, so that the key may begin another
/// one while the parts of the old one still leave the disk.
pub(super) fn set_aside(connection: &Connection, key: &Key, old: StoredKey) -> Result<(), Fault> {
    let name = key.to_name();
    let mut statement = connection.prepare_cached(
        "UPDATE OR REPLACE keys SET scope = '', publisher = '', name = ?5 \
         WHERE scope = ?1 AND publisher = ?2 AND name = ?3 AND upload = ?4",
    )?;
    let aside = column::offset(old.first.offset).to_string();
    statement.execute(params![scope(&name), name.publisher, name.name, name.upload, aside])?;
    Ok(())
}

/// The scope's column: no topic has an empty name, so that is left for batches.
fn scope(name: &KeyName) -> &str {
    name.scope.as_ref().map_or("", |topic| topic.as_str())
}

fn read(row: &Row<'_>, epoch: Epoch) -> rusqlite::Result<Remembered> {
    let hash = KeyHash::try_from(row.get_ref(0)?.as_blob()?)
        .map_err(|error| senseless(0, Type::Blob, error))?;
    let upload = StoredKey {
        count: row.number(1)?,
        hash,
        first: Cursor::event_id(epoch, row.offset(2)?, row.check(3)?),
        last: Cursor::event_id(epoch, row.offset(4)?, row.check(5)?),
    };
    Ok(Remembered { upload, expires: row.time(6)? })
}
