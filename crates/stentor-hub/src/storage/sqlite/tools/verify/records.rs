//! Whether records can be read, and are where the index says.

use rusqlite::Row;

use super::super::super::column::Columns;
use super::super::super::fault::Fault;
use super::super::super::row;
use super::super::whole::Whole;
use super::{Check, VerifyNote};
use crate::cursor::Offset;
use crate::timestamp::Timestamp;

/// Each record with its place in the index and what its topic says: first the columns of
/// [`row::BY_OFFSET`], then ours.
const ALL: &str = "SELECT r.topic, r.kind, r.time, r.type, r.event_id, r.retry, r.publisher_id, \
                   r.data, r.offset, i.kind, i.bytes, t.id IS NOT NULL, \
                   r.kind <> 0 AND r.offset > t.removed_through AND r.offset IS NOT t.end_offset \
                   FROM records r LEFT JOIN topic_records i ON i.topic = r.topic AND i.offset = r.offset \
                   LEFT JOIN topics t ON t.id = r.topic ORDER BY r.offset";

impl Check<'_> {
    pub(super) fn records(&mut self, whole: &Whole) -> Result<(), Fault> {
        /// After how many records it is told how far it is.
        const STEP: u64 = 10_000;
        let of = self
            .connection
            .query_row("SELECT count(*) FROM topic_records", [], |row| row.number(0))?;
        let mut statement = self.connection.prepare(ALL)?;
        let mut rows = statement.query([])?;
        let (mut records, mut time) = (0, Timestamp::from_micros(i64::MIN));
        while let Some(row) = rows.next()? {
            let offset =
                row.offset(8).map_err(|error| Fault::at("the offset of a record", error))?;
            match self.record(row, offset, time) {
                Ok(its) => time = time.max(its),
                Err(fault) => self.damage(fault)?,
            }
            if offset > whole.reserved_through {
                self.find(format_args!(
                    "the record at offset {offset}: it is beyond all that was given out ({})",
                    whole.reserved_through
                ));
            }
            records += 1;
            if records % STEP == 0 {
                (self.tell)(VerifyNote::Progress { records, of });
            }
        }
        Ok(())
    }

    /// Looks at a record, and gives its time.
    fn record(
        &mut self,
        row: &Row<'_>,
        offset: Offset,
        before: Timestamp,
    ) -> Result<Timestamp, Fault> {
        let place = format_args!("the record at offset {offset}");
        let at = |error| Fault::at(place, error);
        let (kind, time): (i64, _) = (row.get(1).map_err(at)?, row.time(2).map_err(at)?);
        let (indexed, bytes): (Option<i64>, Option<i64>) =
            (row.get(9).map_err(at)?, row.get(10).map_err(at)?);
        if !row.get::<_, bool>(11).map_err(at)? {
            self.find(format_args!(
                "{place}: there is no topic in row {}",
                row.get::<_, i64>(0).map_err(at)?
            ));
        }
        if row.get::<_, Option<bool>>(12).map_err(at)? == Some(true) {
            self.find(format_args!("{place}: it ends a topic that does not know of it"));
        }
        if time < before {
            self.find(format_args!(
                "{place}: its time {time} is before that of the record before it, {before}"
            ));
        }
        if indexed.is_none() {
            self.find(format_args!("{place}: the index of its topic does not name it"));
        }
        let body = row::read_body(row).map_err(at)?;
        row::read_attributes(row).map_err(at)?;
        let fits = (Some(kind), i64::try_from(body.bytes()).ok()) == (indexed, bytes);
        if indexed.is_some() && !fits {
            self.find(format_args!(
                "{place}: the index of its topic has another kind or size of it"
            ));
        }
        Ok(time)
    }

    /// Whether what the index of topics names is there.
    pub(super) fn index(&mut self) -> Result<(), Fault> {
        let mut statement = self.connection.prepare(
            "SELECT i.topic, i.offset, t.name FROM topic_records i LEFT JOIN topics t ON t.id = i.topic \
             WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.offset = i.offset AND r.topic = i.topic)",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (topic, offset): (i64, i64) = (row.get(0)?, row.get(1)?);
            let name = row.get_ref(2)?.as_str_or_null().ok().flatten();
            let name = name.map_or(format!("in row {topic}"), |name| format!("{name:?}"));
            self.find(format_args!(
                "the index of the topic {name}: the record at offset {offset} is missing"
            ));
        }
        Ok(())
    }
}
