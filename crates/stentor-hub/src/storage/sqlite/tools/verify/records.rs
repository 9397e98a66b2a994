//! Checks the tables `records` and `topic_records`.

use rusqlite::Row;
use rusqlite::types::Type;

use super::check::{Check, VerifyNote};
use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{Columns, invalid};
use crate::storage::sqlite::tables::record::{self, IndexEntry};
use crate::storage::sqlite::tables::{purged, sum};
use crate::storage::sqlite::tools::log_row::LogRow;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Each record with its index entry and its topic: first the columns of [`record::BY_OFFSET`], then others.
const ALL: &str = "SELECT r.topic, r.kind, r.time, r.type, r.event_id, r.retry, r.publisher_id, \
                   r.attributes, r.id_check, r.sum, r.data, r.offset, i.kind, i.bytes, t.id IS NOT NULL, \
                   r.kind <> 0 AND r.offset > t.removed_through AND r.offset IS NOT t.end_offset, \
                   r.head_sum, t.name \
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
        let mut before = Offset::ZERO;
        while let Some(row) = rows.next()? {
            let offset =
                row.offset(11).map_err(|error| DbError::at("the offset of a record", error))?;
            self.missing(before.next(), offset.previous())?;
            before = offset;
            match self.record(row, offset, time, log) {
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
        self.missing(before.next(), log.newest)
    }

    /// Checks that no record in a range without records is lost.
    fn missing(&mut self, first: Offset, last: Offset) -> Result<(), DbError> {
        if let Some((lost, false)) = purged::first_lost(self.connection, first, last)? {
            self.add(format_args!("the record at offset {lost} is missing"));
        }
        Ok(())
    }

    /// Checks a record and returns its time.
    fn record(
        &mut self,
        row: &Row<'_>,
        offset: Offset,
        before: Timestamp,
        log: &LogRow,
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
        let topic: i64 = row.get(0).map_err(at)?;
        sum::check(row, 16, || record::head_sum(offset, topic, kind, time.as_micros()))
            .map_err(at)?;
        let body = match row.get_ref(17).ok().and_then(|name| name.as_str().ok()) {
            Some(name) if TopicName::new(name).is_ok() => {
                let name =
                    TopicName::new(name).map_err(|error| at(invalid(17, Type::Text, error)))?;
                record::read(row, log.epoch, offset, name).map_err(at)?.body().clone()
            }
            // Its topic is damaged, which is a finding of its own.
            _ => record::read_body(row).map_err(at)?,
        };
        let fits = (Some(kind), i64::try_from(body.bytes()).ok()) == (indexed, bytes);
        if indexed.is_some() && !fits {
            self.add(format_args!(
                "{place}: its kind or size in the index of its topic is different"
            ));
        }
        Ok(time)
    }

    /// Checks that each index entry has its record, and names the entry before it.
    pub(super) fn index(&mut self, has_chain: bool) -> Result<(), DbError> {
        let mut statement = self.connection.prepare(
            "SELECT i.topic, i.offset, i.kind, i.bytes, i.prev, i.sum, t.name, \
             coalesce(t.removed_through, 0), r.offset IS NOT NULL \
             FROM topic_records i LEFT JOIN topics t ON t.id = i.topic \
             LEFT JOIN records r ON r.offset = i.offset AND r.topic = i.topic \
             ORDER BY i.topic, i.offset",
        )?;
        let mut rows = statement.query([])?;
        let mut before = (None, Offset::ZERO);
        while let Some(row) = rows.next()? {
            let (topic, offset): (i64, i64) = (row.get(0)?, row.get(1)?);
            let name = row.get_ref(6)?.as_str_or_null().ok().flatten();
            let name = name.map_or(format!("in row {topic}"), |name| format!("{name:?}"));
            let entry = match IndexEntry::read(row) {
                Ok(entry) => entry,
                Err(error) => {
                    self.add(format_args!(
                        "the index of the topic {name}: the entry of offset {offset} is damaged ({error})"
                    ));
                    continue;
                }
            };
            let is_lost = entry.kind == record::LOST;
            if row.get::<_, bool>(8)? == is_lost {
                self.add(format_args!(
                    "the index of the topic {name}: the record at offset {offset} is {}",
                    if is_lost { "there, but noted as lost" } else { "missing" }
                ));
            }
            let is_linked = if before.0 == Some(topic) {
                entry.prev == before.1
            } else {
                entry.prev <= row.offset(7).unwrap_or_default()
            };
            if has_chain && !is_linked {
                self.add(format_args!(
                    "the index of the topic {name}: the entry of offset {} before {offset} is missing",
                    entry.prev
                ));
            }
            before = (Some(topic), entry.offset);
        }
        Ok(())
    }
}
