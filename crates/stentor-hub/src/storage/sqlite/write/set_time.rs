//! Steps of setting the time of a log back.

use rusqlite::{OptionalExtension, params};

use super::writer::Writer;
use crate::cursor::{Check, Offset};
use crate::record::Record;
use crate::storage::error::StorageError;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::sum::seal;
use crate::storage::sqlite::tables::topic::Topic;
use crate::storage::sqlite::tables::{key, record};
use crate::timestamp::Timestamp;

/// Maximum number of records of a step.
const ROWS_MAX: u64 = 1_000;
/// A step ends after this many bytes.
const BYTES_MAX: usize = 4 << 20;

const NEWEST_TIMES: &str = "SELECT offset, time FROM records ORDER BY offset DESC";
const NEXT_RECORD: &str =
    "SELECT offset, topic FROM records WHERE offset > ?1 ORDER BY offset LIMIT 1";

impl Writer {
    /// Returns the offset of the last record whose time is at most `to`; zero if there is none.
    ///
    /// Reads the records from the newest back.
    pub(crate) fn last_at(&mut self, to: Timestamp) -> Result<Offset, StorageError> {
        let find = || -> Result<Offset, DbError> {
            let mut statement = self.connection.prepare(NEWEST_TIMES)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if row.time(1)? <= to {
                    return Ok(row.offset(0)?);
                }
            }
            Ok(Offset::ZERO)
        };
        find().map_err(|error| self.handle_error(error))
    }

    /// Sets the time of some records after an offset to `to`. Returns the last of them and their number; `None` if
    /// there is none.
    pub(crate) fn set_times(
        &mut self,
        after: Offset,
        to: Timestamp,
    ) -> Result<Option<(Offset, u64)>, StorageError> {
        let epoch = self.state.epoch;
        let changed = self.transact(|transaction| {
            let connection = transaction.connection;
            let (mut last, mut records, mut bytes) = (after, 0, 0);
            while records < ROWS_MAX && bytes < BYTES_MAX {
                let mut next = connection.prepare_cached(NEXT_RECORD)?;
                let next = next.query_row([column::offset(last)], |row| {
                    Ok((row.offset(0)?, row.get::<_, i64>(1)?))
                });
                let Some((offset, topic)) = next.optional()? else { break };
                let found = record::find(connection, epoch, offset, |id| {
                    Topic::by_id(connection, id).map(|topic| Some(topic.name))
                })?;
                if let Some(found) = found {
                    bytes += found.body().bytes();
                    record::set_time(connection, topic, &found.with_time(to))?;
                }
                last = offset;
                records += 1;
            }
            Ok((records > 0).then_some((last, records)))
        });
        changed.map_err(|error| self.handle_error(error))
    }

    /// Sets the time of the log to `to`, once no record has a later time. Keys that expire after the log's time keep
    /// the rest of their windows. Returns the number of these keys.
    pub(crate) fn set_log_time(&mut self, to: Timestamp) -> Result<u64, StorageError> {
        let before = self.log.time;
        let moved = self.transact(|transaction| {
            let connection = transaction.connection;
            let moved = connection.execute(
                "UPDATE keys SET expires = expires - ?1 + ?2 WHERE expires > ?1",
                params![before.as_micros(), to.as_micros()],
            )?;
            seal(connection, key::SEALED, &format!("expires > {}", to.as_micros()))?;
            transaction.log.time = to;
            Ok(moved as u64)
        });
        moved.map_err(|error| self.handle_error(error))
    }
}

impl Record {
    /// The record with another time. Its id stays.
    fn with_time(&self, time: Timestamp) -> Record {
        let check = self.cursor().check.unwrap_or(Check::new(0));
        Record::stored(
            self.cursor().epoch,
            self.offset(),
            time,
            self.topic().clone(),
            self.body().clone(),
            self.attributes().clone(),
            check,
        )
    }
}
