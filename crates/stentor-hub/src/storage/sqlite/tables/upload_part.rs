//! Rows of `upload_parts`: the running hash after each part of a streamed upload.
//!
//! The offset of its first record identifies an upload. Its parts are contiguous: only the oldest ones are
//! deleted, or all.

use rusqlite::{Connection, OptionalExtension};

use super::column;
use super::sum::{self, Sealed, Sum};
use crate::cursor::Offset;
use crate::key::PartHash;
use crate::storage::sqlite::db_error::DbError;

pub(crate) const BY_NUMBER: &str =
    "SELECT upload, part, hash, sum FROM upload_parts WHERE upload = ?1 AND part = ?2";
pub(crate) const DELETE_OLDEST: &str = "DELETE FROM upload_parts WHERE upload = ?1 AND part < ?2 + \
                                        (SELECT min(part) FROM upload_parts WHERE upload = ?1)";

/// The columns that the checksum covers.
pub(crate) const SEALED: Sealed =
    Sealed { name: "upload_parts", keys: &["upload", "part"], columns: "upload, part, hash" };

/// Returns the hash stored for a part, if there is one.
pub(crate) fn find(
    connection: &Connection,
    upload: Offset,
    part: u64,
) -> Result<Option<PartHash>, DbError> {
    let mut statement = connection.prepare_cached(BY_NUMBER)?;
    let found = statement.query_row([column::offset(upload), column::number(part)], |row| {
        sum::check_columns(row, 3)?;
        Ok(row.get::<_, i64>(2)?.cast_unsigned())
    });
    found.optional().map_err(|error| {
        DbError::at(format_args!("part {part} of the upload at offset {upload}"), error)
    })
}

/// Stores the hash of a part.
pub(crate) fn store(
    connection: &Connection,
    upload: Offset,
    part: u64,
    hash: PartHash,
) -> Result<(), DbError> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO upload_parts (upload, part, hash, sum) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let (upload, part, hash) = (column::offset(upload), column::number(part), hash.cast_signed());
    let sum = Sum::new().number(upload).number(part).number(hash).finish();
    statement.execute([upload, part, hash, sum])?;
    Ok(())
}

/// Deletes the oldest parts of an upload, at most `rows_max`. Returns how many it deleted.
pub(crate) fn delete_oldest(
    connection: &Connection,
    upload: Offset,
    rows_max: u64,
) -> Result<u64, DbError> {
    let mut statement = connection.prepare_cached(DELETE_OLDEST)?;
    Ok(statement.execute([column::offset(upload), column::number(rows_max)])? as u64)
}
