//! Rows of `purged`: ranges of offsets whose records were deleted from the disk.
//!
//! An offset up to the tail has a record, or is in such a range, or is burned. Otherwise its record was lost.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::burned;
use super::column::{self, Columns};
use super::sum::{self, Sealed, Sum};
use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;

/// The columns that the checksum covers.
pub(crate) const SEALED: Sealed =
    Sealed { name: "purged", keys: &["first"], columns: "first, last, lost" };

pub(crate) const AT: &str = "SELECT first, last, lost, sum FROM purged WHERE first <= ?1 \
                             ORDER BY first DESC LIMIT 1";

/// A range of offsets without records. Both ends are part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purged {
    pub(crate) first: Offset,
    pub(crate) last: Offset,
    /// `true` if the records were lost by damage, and a repair dropped them.
    pub(crate) lost: bool,
}

/// Adds the offsets from `first` to `last`, which must not be in a range yet. Does nothing if there are none.
///
/// Adjacent ranges become one, so the table has at most one row more than `records`.
pub(crate) fn add(connection: &Connection, first: Offset, last: Offset) -> Result<(), DbError> {
    if first > last {
        return Ok(());
    }
    let mut range = Purged { first, last, lost: false };
    if let Some(before) = at(connection, first.previous())?
        && !before.lost
    {
        delete(connection, before.first)?;
        range.first = before.first;
        range.last = range.last.max(before.last);
    }
    if let Some(after) = at(connection, range.last.next())?
        && !after.lost
    {
        delete(connection, after.first)?;
        range.last = after.last;
    }
    store(connection, range)
}

/// Stores a range.
pub(crate) fn store(connection: &Connection, range: Purged) -> Result<(), DbError> {
    let (first, last) = (column::offset(range.first), column::offset(range.last));
    let sum = Sum::new().number(first).number(last).number(range.lost.into()).finish();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO purged (first, last, lost, sum) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![first, last, range.lost, sum])?;
    Ok(())
}

/// Returns the range that an offset is in. A damaged range counts as none.
pub(crate) fn at(connection: &Connection, offset: Offset) -> Result<Option<Purged>, DbError> {
    let mut statement = connection.prepare_cached(AT)?;
    let found = statement.query_row([column::offset(offset)], |row| Ok(read(row).ok()));
    let found = found.optional()?.flatten();
    Ok(found.filter(|range| range.first <= offset && offset <= range.last))
}

/// Returns the first offset of a range without records that is neither purged nor burned: its record is lost. Also
/// returns `true` if a repair has noted that.
pub(crate) fn first_lost(
    connection: &Connection,
    first: Offset,
    last: Offset,
) -> Result<Option<(Offset, bool)>, DbError> {
    let mut next = first;
    while next <= last {
        match at(connection, next)? {
            Some(range) if range.lost => return Ok(Some((next, true))),
            Some(range) => next = range.last.next(),
            None => match burned::range_at(connection, next)? {
                Some(through) => next = through.next(),
                None => return Ok(Some((next, false))),
            },
        }
    }
    Ok(None)
}

/// Reads the columns of [`AT`].
pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Purged> {
    sum::check_columns(row, 3)?;
    Ok(Purged { first: row.offset(0)?, last: row.offset(1)?, lost: row.get(2)? })
}

fn delete(connection: &Connection, first: Offset) -> Result<(), DbError> {
    connection
        .prepare_cached("DELETE FROM purged WHERE first = ?1")?
        .execute([column::offset(first)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{Columns, Purged, add, at};
    use crate::cursor::Offset;

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE purged (first INTEGER PRIMARY KEY, last, lost, sum)")
            .unwrap();
        connection
    }

    fn ranges(connection: &Connection) -> Vec<(u64, u64)> {
        let mut select =
            connection.prepare("SELECT first, last FROM purged ORDER BY first").unwrap();
        let rows = select.query_map([], |row| Ok((row.offset(0)?.get(), row.offset(1)?.get())));
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn number(number: u64) -> Offset {
        Offset::new(number)
    }

    #[test]
    fn adjacent_ranges_become_one() {
        let table = table();
        for (first, last) in [(1, 3), (10, 10), (6, 7), (4, 5), (8, 9)] {
            add(&table, number(first), number(last)).unwrap();
        }
        assert_eq!(ranges(&table), [(1, 10)]);
        add(&table, number(12), number(11)).unwrap();
        assert_eq!(ranges(&table), [(1, 10)], "an empty range is not stored");
        assert_eq!(at(&table, number(11)).unwrap(), None);
        let all = Purged { first: number(1), last: number(10), lost: false };
        assert_eq!(at(&table, number(5)).unwrap(), Some(all));
    }

    #[test]
    fn a_damaged_range_counts_as_none() {
        let table = table();
        add(&table, number(5), number(9)).unwrap();
        table.execute("UPDATE purged SET last = 11", []).unwrap();
        assert_eq!(at(&table, number(6)).unwrap(), None);
    }
}
