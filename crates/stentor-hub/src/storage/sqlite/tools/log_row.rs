//! The row of the table `log`, as a tool reads it.

use rusqlite::Connection;

use crate::cursor::{Epoch, Offset};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::Columns;

/// The row of the table `log`.
pub(super) struct LogRow {
    pub(super) epoch: Epoch,
    /// `true` if the log was closed properly.
    pub(super) clean: bool,
    /// Tail at the last clean close.
    pub(super) closed_at: Offset,
    pub(super) reserved_through: Offset,
    pub(super) removals: u64,
    pub(super) floor: Offset,
    /// The highest offset that any table mentions.
    pub(super) newest: Offset,
}

impl LogRow {
    pub(super) fn load(connection: &Connection) -> Result<LogRow, DbError> {
        let log = connection.query_row(
            "SELECT epoch, clean, tail, reserved_through, removals, floor, max(
                 coalesce((SELECT max(offset) FROM records), 0),
                 coalesce((SELECT max(last) FROM topics), 0),
                 coalesce((SELECT max(last) FROM burned), 0),
                 floor) FROM log",
            [],
            |row| {
                Ok(LogRow {
                    epoch: Epoch::new(row.number(0)?),
                    clean: row.get(1)?,
                    closed_at: row.offset(2)?,
                    reserved_through: row.offset(3)?,
                    removals: row.number(4)?,
                    floor: row.offset(5)?,
                    newest: row.offset(6)?,
                })
            },
        );
        log.map_err(|error| DbError::at("the row of the table `log`", error))
    }

    /// Returns the last offset that was assigned or burned.
    pub(super) fn tail(&self) -> Offset {
        if self.clean { self.newest.max(self.closed_at) } else { self.newest }
    }
}
