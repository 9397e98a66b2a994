//! Rows of `burned`: ranges of offsets that were reserved and lost in an unclean stop.

use rusqlite::Connection;

use super::column::{self, Columns};
use super::sum::{self, Sealed, seal};
use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;

/// The columns that the checksum covers.
pub(crate) const SEALED: Sealed =
    Sealed { name: "burned", keys: &["first"], columns: "first, last" };

/// Burns the offsets after `after`, up to and including `through`.
pub(crate) fn burn(connection: &Connection, after: Offset, through: Offset) -> Result<(), DbError> {
    /// From this number of ranges on, adjacent ones are merged. Otherwise a program that is killed again and
    /// again without an append would add rows without end.
    const RANGES_MAX: i64 = 1_000;
    let (after, through) = (column::offset(after), column::offset(through));
    // Below that number they stay separate. A reader that connected between two kills is at the end of the first
    // range, and the second kill lost none of its events.
    let merged = connection.execute(
        "UPDATE burned SET last = ?2 WHERE last = ?1 AND (SELECT count(*) FROM burned) >= ?3",
        [after, through, RANGES_MAX],
    )?;
    if merged == 0 {
        connection.execute(
            "INSERT INTO burned (first, last, sum) VALUES (?1 + 1, ?2, 0)",
            [after, through],
        )?;
    }
    seal(connection, SEALED, &format!("last = {through}"))?;
    Ok(())
}

/// Returns all ranges, oldest first. Both ends are burned.
pub(crate) fn all(connection: &Connection) -> Result<Vec<(Offset, Offset)>, DbError> {
    let mut statement = connection.prepare("SELECT first, last, sum FROM burned ORDER BY first")?;
    let ranges = statement.query_map([], |row| {
        sum::check_columns(row, 2)?;
        Ok((row.offset(0)?, row.offset(1)?))
    })?;
    ranges.collect::<Result<_, _>>().map_err(|error| DbError::at("a burned range", error))
}

/// Returns the end of the range that an offset is in. A damaged range counts as none.
pub(crate) fn range_at(connection: &Connection, offset: Offset) -> Result<Option<Offset>, DbError> {
    let mut statement = connection.prepare_cached(
        "SELECT first, last, sum FROM burned WHERE first <= ?1 ORDER BY first DESC LIMIT 1",
    )?;
    let mut rows = statement.query([column::offset(offset)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let is_sound = sum::check_columns(row, 2).is_ok();
    Ok(row.offset(1).ok().filter(|last| is_sound && *last >= offset))
}
