//! What is known of the log as a whole, as it is on the disk.

use rusqlite::Connection;

use super::super::column::Columns;
use super::super::fault::Fault;
use crate::cursor::{Epoch, Offset};

/// The log's own row.
pub(super) struct Whole {
    pub(super) epoch: Epoch,
    pub(super) clean: bool,
    /// Where it was left, if that was in good order.
    pub(super) left_at: Offset,
    pub(super) reserved_through: Offset,
    pub(super) removals: u64,
    pub(super) floor: Offset,
    /// The highest offset that anything stored tells of.
    pub(super) newest: Offset,
}

impl Whole {
    pub(super) fn load(connection: &Connection) -> Result<Whole, Fault> {
        let whole = connection.query_row(
            "SELECT epoch, clean, tail, reserved_through, removals, floor, max(
                 coalesce((SELECT max(offset) FROM records), 0),
                 coalesce((SELECT max(last) FROM topics), 0),
                 coalesce((SELECT max(last) FROM burned), 0),
                 floor) FROM log",
            [],
            |row| {
                Ok(Whole {
                    epoch: Epoch::new(row.number(0)?),
                    clean: row.get(1)?,
                    left_at: row.offset(2)?,
                    reserved_through: row.offset(3)?,
                    removals: row.number(4)?,
                    floor: row.offset(5)?,
                    newest: row.offset(6)?,
                })
            },
        );
        whole.map_err(|error| Fault::at("the log's own row", error))
    }

    /// The offset given out last, or burned last.
    pub(super) fn tail(&self) -> Offset {
        if self.clean { self.newest.max(self.left_at) } else { self.newest }
    }
}
