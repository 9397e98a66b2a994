//! Checks the tables `records` and `topic_records`.

use rusqlite::Row;

use super::check::{Check, VerifyNote};
use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::Columns;
use crate::storage::sqlite::tables::record;
use crate::storage::sqlite::tools::log_row::LogRow;
use crate::timestamp::Timestamp;

/// Each record with its index entry and its topic: first the columns of [`record::BY_OFFSET`], then others.
const ALL: &str = "SELECT r.topic, r.kind, r.time, r.type, r.event_id, r.retry, r.publisher_id, \
                   r.attributes, r.id_check, r.sum, r.data, r.offset, i.kind, i.bytes, t.id IS NOT NULL, \
                   r.kind <> 0 AND r.offset > t.removed_through AND r.offset IS NOT t.end_offset \
                   FROM records r LEFT JOIN topic_records i ON i.topic = r.topic AND i.offset = r.offset \
                   LEFT JOIN topics t ON t.id = r.topic ORDER BY r.offset";

impl Check<'_> {
    /// Checks each record.
    pub(super) fn records(&mut self, log: &LogRow) -> Result<(), DbError> {
        /// Number of records between two progress messages.
        const STEP: u64 = 10_000;
        let of = self
            .connection
            .query_row("SELECT count(*) FROM topic_records", [], |row| row.number(0))?;
        let mut statement = self.connection.prepare(ALL)?;
        let mut rows = statement.query([])?;
        let (mut records, mut time) = (0, Timestamp::from_micros(i64::MIN));
        while let Some(row) = rows.next()? {
            let offset =
                row.offset(11).map_err(|error| DbError::at("the offset of a record", error))?;
            match self.record(row, offset, time) {
                Ok(own) => time = time.max(own),
                Err(error) => self.record_error(error)?,
            }
            if offset > log.reserved_through {
                self.add(format_args!(
                    "the record at offset {offset}: it is after the last reserved offset ({})",
                    log.reserved_through
                ));
            }
            records += 1;
            if records % STEP == 0 {
                (self.notify)(VerifyNote::Progress { records, of });
            }
        }
        Ok(())
    }

    /// Checks a record and returns its time.
    fn record(
        &mut self,
        row: &Row<'_>,
        offset: Offset,
        before: Timestamp,
    ) -> Result<Timestamp, DbError> {
        let place = format_args!("the record at offset {offset}");
        let at = |error| DbError::at(place, error);
        let (kind, time): (i64, _) = (row.get(1).map_err(at)?, row.time(2).map_err(at)?);
        let (indexed, bytes): (Option<i64>, Option<i64>) =
            (row.get(12).map_err(at)?, row.get(13).map_err(at)?);
        if !row.get::<_, bool>(14).map_err(at)? {
            self.add(format_args!(
                "{place}: its topic (row {}) does not exist",
                row.get::<_, i64>(0).map_err(at)?
            ));
        }
        if row.get::<_, Option<bool>>(15).map_err(at)? == Some(true) {
            self.add(format_args!("{place}: it is an end, but not the end of its topic"));
        }
        if time < before {
            self.add(format_args!(
                "{place}: its time {time} is before that of an earlier record, {before}"
            ));
        }
        if indexed.is_none() {
            self.add(format_args!("{place}: it is missing in the index of its topic"));
        }
        let body = record::read_body(row).map_err(at)?;
        record::read_attributes(row).map_err(at)?;
        let fits = (Some(kind), i64::try_from(body.bytes()).ok()) == (indexed, bytes);
        if indexed.is_some() && !fits {
            self.add(format_args!(
                "{place}: its kind or size in the index of its topic is different"
            ));
        }
        Ok(time)
    }

    /// Checks that each index entry has its record.
    pub(super) fn index(&mut self) -> Result<(), DbError> {
        let mut statement = self.connection.prepare(
            "SELECT i.topic, i.offset, t.name FROM topic_records i LEFT JOIN topics t ON t.id = i.topic \
             WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.offset = i.offset AND r.topic = i.topic)",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (topic, offset): (i64, i64) = (row.get(0)?, row.get(1)?);
            let name = row.get_ref(2)?.as_str_or_null().ok().flatten();
            let name = name.map_or(format!("in row {topic}"), |name| format!("{name:?}"));
            self.add(format_args!(
                "the index of the topic {name}: the record at offset {offset} is missing"
            ));
        }
        Ok(())
    }
}
