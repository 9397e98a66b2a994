//! Sizes of the database, in pages and bytes.

use std::fs;

use rusqlite::Connection;

use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::Columns;

/// Returns the number of pages in use, as the current transaction sees it.
pub(crate) fn used_pages(connection: &Connection) -> Result<u64, DbError> {
    let pages = |sql| {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_row([], |row| row.number(0))
    };
    Ok(pages("PRAGMA page_count")?.saturating_sub(pages("PRAGMA freelist_count")?))
}

/// Returns the bytes in use: the database without its free pages.
pub(crate) fn used_bytes(connection: &Connection) -> Result<u64, DbError> {
    Ok(used_pages(connection)? * pragma(connection, "page_size")?)
}

/// Returns by how many bytes the database file grows when the write-ahead log is copied into it. Includes the
/// current transaction.
pub(crate) fn growth(connection: &Connection) -> Result<u64, DbError> {
    let number = |sql| {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_row([], |row| row.get::<_, i64>(0))
    };
    let size = number("PRAGMA page_count")? * number("PRAGMA page_size")?;
    let file = connection.path().and_then(|path| fs::metadata(path).ok());
    Ok(u64::try_from(size).unwrap_or_default().saturating_sub(file.map_or(0, |file| file.len())))
}

/// Returns the value of a numeric pragma.
pub(crate) fn pragma(connection: &Connection, name: &str) -> Result<u64, DbError> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA {name}"))?;
    Ok(statement.query_row([], |row| row.number(0))?)
}
