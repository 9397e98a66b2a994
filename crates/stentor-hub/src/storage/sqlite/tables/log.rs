//! The row of `log`: the state of the log as a whole.

use rusqlite::{Connection, OptionalExtension};

use super::column::{self, Columns};
use super::sum::{self, Sealed, seal};
use crate::cursor::{Epoch, Offset};
use crate::storage::sqlite::db_error::DbError;
use crate::timestamp::Timestamp;

/// The columns that the checksum covers.
pub(crate) const SEALED: Sealed = Sealed {
    name: "log",
    keys: &["id"],
    columns: "id, epoch, reserved_through, clean, tail, time, removals, floor, floor_removals",
};

/// The row, with its checksum as the last column.
pub(crate) const ROW: &str = "SELECT id, epoch, reserved_through, clean, tail, time, removals, floor, \
                              floor_removals, sum FROM log";

/// State that continues from one write transaction to the next.
///
/// The writer owns it. A transaction works on a copy, which replaces the writer's once it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogState {
    /// The last offset that was assigned or burned.
    pub(crate) tail: Offset,
    /// Time of the newest record.
    pub(crate) time: Timestamp,
    /// Offsets up to here are reserved: they may have been assigned, even if the disk lost the last commits.
    pub(crate) reserved_through: Offset,
    /// Number of removals since the log was created.
    pub(crate) removals: u64,
    /// The highest offset that was removed from a topic whose name is forgotten.
    pub(crate) floor: Offset,
    /// The removal count when the floor last rose.
    pub(crate) floor_removals: u64,
    /// Row id of the next new topic.
    pub(crate) next_topic: i64,
    /// Number of empty topics: they have no record, or only their deletion.
    pub(crate) empty_topics: u64,
    /// Number of stored idempotency keys.
    pub(crate) keys: u64,
    /// Number of stored upload parts.
    pub(crate) parts: u64,
    /// Number of stored leases.
    pub(crate) leases: u64,
}

/// The removals of the log as a whole.
pub(crate) struct LogRemovals {
    pub(crate) removals: u64,
    /// The highest offset that was removed from a topic whose name is forgotten.
    pub(crate) floor: Offset,
    /// The removal count when the floor last rose.
    pub(crate) floor_removals: u64,
}

impl LogRemovals {
    pub(crate) fn read(connection: &Connection) -> Result<LogRemovals, DbError> {
        let mut statement = connection.prepare_cached(ROW)?;
        let log = statement.query_row([], |row| {
            sum::check_columns(row, 9)?;
            Ok(LogRemovals {
                removals: row.number(6)?,
                floor: row.offset(7)?,
                floor_removals: row.number(8)?,
            })
        });
        log.map_err(|error| DbError::at("the row of the table `log`", error))
    }
}

/// Sets whether the log counts as closed properly.
pub(crate) fn set_clean(connection: &Connection, clean: bool) -> Result<(), DbError> {
    connection.execute("UPDATE log SET clean = ?1", [clean])?;
    Ok(seal(connection, SEALED, "true")?)
}

/// Returns the highest offset that any table mentions, even if the record itself is gone.
pub(crate) fn newest_offset(connection: &Connection) -> Result<Offset, DbError> {
    let newest = connection.query_row(
        "SELECT max(
            (SELECT coalesce(max(offset), 0) FROM records),
            (SELECT coalesce(max(last), 0) FROM topics),
            (SELECT coalesce(max(last), 0) FROM burned),
            (SELECT floor FROM log))",
        [],
        |row| row.offset(0),
    );
    newest.map_err(|error| DbError::at("the newest offset", error))
}

/// The state of a log as it was last closed, or as a crash left it.
pub(crate) struct Stored {
    pub(crate) epoch: Epoch,
    /// `true` if the log was closed properly.
    pub(crate) clean: bool,
    pub(crate) state: LogState,
}

impl LogState {
    /// Reserves more offsets when half of the reserved ones are used.
    ///
    /// That is well before they are assigned, so the reservation is on the disk even if the disk loses the last
    /// commits.
    pub(crate) fn reserve(&mut self, block: u64) {
        if self.must_reserve(0, block) {
            self.reserved_through = Offset::new(self.tail.get() + block);
        }
    }

    /// Returns `true` if a transaction that appends `records` records reserves more offsets.
    pub(crate) fn must_reserve(&self, records: u64, block: u64) -> bool {
        self.tail.get() + records + block / 2 >= self.reserved_through.get()
    }

    /// Updates the row if a stored value differs from `before`.
    pub(crate) fn store(&self, before: &LogState, connection: &Connection) -> Result<(), DbError> {
        let stored =
            |log: &LogState| (log.reserved_through, log.removals, log.floor, log.floor_removals);
        if stored(self) != stored(before) {
            let mut statement = connection.prepare_cached(
                "UPDATE log SET reserved_through = ?1, removals = ?2, floor = ?3, floor_removals = ?4",
            )?;
            statement.execute([
                column::offset(self.reserved_through),
                column::number(self.removals),
                column::offset(self.floor),
                column::number(self.floor_removals),
            ])?;
            seal(connection, SEALED, "true")?;
        }
        Ok(())
    }

    /// Marks the log as closed properly, with its tail and time. Nothing may be appended after it.
    pub(crate) fn store_clean(&self, connection: &Connection) -> Result<(), DbError> {
        connection.execute(
            "UPDATE log SET clean = 1, tail = ?1, time = ?2",
            [column::offset(self.tail), self.time.as_micros()],
        )?;
        Ok(seal(connection, SEALED, "true")?)
    }

    /// Reads the stored state, and counts the rows of the other tables.
    pub(crate) fn load(connection: &Connection) -> Result<Stored, DbError> {
        let newest = connection.query_row(
            "SELECT time FROM records ORDER BY offset DESC LIMIT 1",
            [],
            |row| row.time(0),
        );
        let newest = newest.optional().map_err(|error| DbError::at("the newest record", error))?;
        let count = |sql: &str| {
            let count = connection.query_row(sql, [], |row| row.number(0));
            count.map_err(|error| DbError::at("the number of rows", error))
        };
        let empty_topics = count(
            "SELECT count(*) FROM topics WHERE events = 0 AND (end_offset IS NULL OR deleted = 1)",
        )?;
        let keys = count("SELECT count(*) FROM keys")?;
        let parts = count("SELECT count(*) FROM upload_parts")?;
        let leases = count("SELECT count(*) FROM leases")?;
        let next_topic = count("SELECT coalesce(max(id), 0) + 1 FROM topics")?;
        let stored = connection.query_row(ROW, [], |row| {
            sum::check_columns(row, 9)?;
            let state = LogState {
                tail: row.offset(4)?,
                time: row.time(5)?.max(newest.unwrap_or_default()),
                reserved_through: row.offset(2)?,
                removals: row.number(6)?,
                floor: row.offset(7)?,
                floor_removals: row.number(8)?,
                next_topic: column::number(next_topic),
                empty_topics,
                keys,
                parts,
                leases,
            };
            Ok(Stored { epoch: Epoch::new(row.number(1)?), clean: row.get(3)?, state })
        });
        stored.map_err(|error| DbError::at("the row of the table `log`", error))
    }
}
