//! The row of the table `log`, as a tool reads it.

use rusqlite::Connection;

use crate::cursor::{Epoch, Offset};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::Columns;
use crate::storage::sqlite::tables::{log, sum};

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
        let log = connection.query_row(log::ROW, [], |row| {
            sum::check_columns(row, 9)?;
            Ok(LogRow {
                epoch: Epoch::new(row.number(1)?),
                clean: row.get(3)?,
                closed_at: row.offset(4)?,
                reserved_through: row.offset(2)?,
                removals: row.number(6)?,
                floor: row.offset(7)?,
                newest: Offset::ZERO,
            })
        });
        let log = log.map_err(|error| DbError::at("the row of the table `log`", error))?;
        Ok(LogRow { newest: log::newest_offset(connection)?, ..log })
    }

    /// Returns the last offset that was assigned or burned.
    pub(super) fn tail(&self) -> Offset {
        if self.clean { self.newest.max(self.closed_at) } else { self.newest }
    }
}
