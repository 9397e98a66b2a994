//! Rows of `forgotten`: the losses of topics whose names are forgotten, by prefixes of their names.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{self, Columns};
use super::sum::{self, Sealed, Sum};
use crate::storage::forgotten::{End, Loss, PREFIXES_MAX, Prefix, merge};
use crate::storage::sqlite::db_error::DbError;

/// The columns that the checksum covers.
pub(crate) const SEALED: Sealed =
    Sealed { name: "forgotten", keys: &["prefix"], columns: "prefix, removed_through, removals" };

pub(crate) const LAST_THROUGH: &str = "SELECT prefix, removed_through, removals, sum FROM forgotten \
                                       WHERE prefix <= ?1 ORDER BY prefix DESC LIMIT 1";
pub(crate) const LAST_BEFORE: &str = "SELECT prefix, removed_through, removals, sum FROM forgotten \
                                      WHERE prefix < ?1 ORDER BY prefix DESC LIMIT 1";
pub(crate) const BY_PREFIX: &str =
    "SELECT prefix, removed_through, removals, sum FROM forgotten WHERE prefix = ?1";
pub(crate) const FROM: &str = "SELECT prefix, removed_through, removals, sum FROM forgotten WHERE prefix >= ?1 ORDER BY prefix";

/// Returns the loss that a topic of this name may have had.
pub(crate) fn of_name(connection: &Connection, name: &str) -> Result<Loss, DbError> {
    crate::storage::forgotten::of_name(name, |end| {
        let (sql, text) = match end {
            End::Through(text) => (LAST_THROUGH, text),
            End::Before(text) => (LAST_BEFORE, text),
        };
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_row([text], read).optional().map_err(damaged)
    })
}

/// Calls `visit` with each prefix from a text on, in byte order, until it returns `false`.
pub(crate) fn each_from(
    connection: &Connection,
    from: &str,
    mut visit: impl FnMut(&str, Loss) -> bool,
) -> Result<(), DbError> {
    let mut statement = connection.prepare_cached(FROM)?;
    let mut rows = statement.query([from])?;
    while let Some(row) = rows.next()? {
        let (prefix, loss) = read(row).map_err(damaged)?;
        if !visit(&prefix, loss) {
            break;
        }
    }
    Ok(())
}

/// Adds a topic that is forgotten. Call [`merge_if_many`] after the last one.
pub(crate) fn add(connection: &Connection, name: &str, loss: Loss) -> Result<(), DbError> {
    let mut statement = connection.prepare_cached(BY_PREFIX)?;
    let known = statement.query_row([name], read).optional().map_err(damaged)?;
    store(connection, name, known.map_or(loss, |(_, known)| known.and(loss)))
}

fn store(connection: &Connection, prefix: &str, loss: Loss) -> Result<(), DbError> {
    let (through, removals) = (column::offset(loss.through), column::number(loss.removals));
    let sum = Sum::new().bytes(prefix.as_bytes()).number(through).number(removals).finish();
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO forgotten (prefix, removed_through, removals, sum) VALUES (?1, ?2, ?3, ?4)",
    )?;
    statement.execute(params![prefix, through, removals, sum])?;
    Ok(())
}

/// Merges prefixes if there are more than [`PREFIXES_MAX`].
pub(crate) fn merge_if_many(connection: &Connection) -> Result<(), DbError> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM forgotten")?;
    if statement.query_row([], |row| row.number(0))? <= PREFIXES_MAX as u64 {
        return Ok(());
    }
    let mut prefixes: Vec<Prefix> = Vec::new();
    each_from(connection, "", |prefix, loss| {
        prefixes.push((prefix.to_owned(), loss));
        true
    })?;
    connection.execute("DELETE FROM forgotten", [])?;
    for (prefix, loss) in merge(prefixes, PREFIXES_MAX / 2) {
        store(connection, &prefix, loss)?;
    }
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Prefix> {
    sum::check_columns(row, 3)?;
    let loss = Loss { through: row.offset(1)?, removals: row.number(2)? };
    Ok((row.get(0)?, loss))
}

fn damaged(error: rusqlite::Error) -> DbError {
    DbError::at("a row of the table `forgotten`", error)
}
