//! The rows of the parts of uploads: what is remembered of the running hash after each.
//!
//! An upload goes by the offset of its first record. Its parts are without a gap; only the oldest of them
//! go, or all.

use rusqlite::{Connection, OptionalExtension};

use super::column::{self, Columns};
use super::fault::Fault;
use crate::cursor::Offset;
use crate::storage::PartHash;

pub(super) const BY_NUMBER: &str = "SELECT hash FROM upload_parts WHERE upload = ?1 AND part = ?2";
pub(super) const FIRST_UPLOAD: &str =
    "SELECT upload FROM upload_parts WHERE upload >= 0 ORDER BY upload LIMIT 1";
pub(super) const FORGET: &str = "DELETE FROM upload_parts WHERE upload = ?1 AND part < ?2 + \
                                 (SELECT min(part) FROM upload_parts WHERE upload = ?1)";

pub(super) fn find(
    connection: &Connection,
    upload: Offset,
    part: u64,
) -> Result<Option<PartHash>, Fault> {
    let mut statement = connection.prepare_cached(BY_NUMBER)?;
    let found = statement.query_row([column::offset(upload), column::number(part)], |row| {
        Ok(row.get::<_, i64>(0)?.cast_unsigned())
    });
    found.optional().map_err(|error| {
        Fault::at(format_args!("part {part} of the upload from offset {upload} on"), error)
    })
}

pub(super) fn store(
    connection: &Connection,
    upload: Offset,
    part: u64,
    hash: PartHash,
) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO upload_parts (upload, part, hash) VALUES (?1, ?2, ?3)",
    )?;
    statement.execute([column::offset(upload), column::number(part), hash.cast_signed()])?;
    Ok(())
}

/// The upload that began first, of those whose parts are remembered.
pub(super) fn first_upload(connection: &Connection) -> Result<Option<Offset>, Fault> {
    let mut statement = connection.prepare_cached(FIRST_UPLOAD)?;
    let first = statement.query_row([], |row| row.offset(0)).optional();
    first.map_err(|error| Fault::at("the parts of uploads", error))
}

/// Forgets at most so many of an upload's parts, the oldest first. Says how many these were.
pub(super) fn forget(connection: &Connection, upload: Offset, rows_max: u64) -> Result<u64, Fault> {
    let mut statement = connection.prepare_cached(FORGET)?;
    Ok(statement.execute([column::offset(upload), column::number(rows_max)])? as u64)
}
