//! Finds the records of a topic that exceed its limits.

use rusqlite::Row;

use super::snapshot::Snapshot;
use crate::cursor::Offset;
use crate::storage::query::TrimLimits;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::record::{self, IndexEntry};
use crate::storage::sqlite::tables::sum;
use crate::storage::trim_point::TrimPoint;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Maximum number of records that one query reads.
const ROWS_MAX: u64 = 2_000;

pub(crate) const OLDEST_WITH_TIME: &str = "SELECT i.topic, i.offset, i.kind, i.bytes, i.prev, i.sum, \
    r.offset, r.topic, r.kind, r.time, r.head_sum \
    FROM topic_records AS i JOIN records AS r ON r.offset = i.offset \
    WHERE i.topic = ?1 AND i.offset > ?2 AND i.offset <= ?3 ORDER BY i.offset LIMIT ?4";

impl Snapshot<'_> {
    /// See [`Storage::trim_point`](crate::storage::Storage::trim_point).
    pub(crate) fn trim_point(
        &self,
        name: &TopicName,
        limits: TrimLimits,
    ) -> Result<Option<Offset>, DbError> {
        let Some(topic) = self.topic_named(name)?.filter(|topic| !topic.deleted) else {
            return Ok(None);
        };
        let end = self.end_of(&topic)?;
        let mut trim_point = TrimPoint::new(limits, topic.events, topic.bytes, end.as_deref());
        let mut statement = self.connection.prepare_cached(OLDEST_WITH_TIME)?;
        let mut rows = statement.query([
            topic.id,
            column::offset(topic.removed_through),
            column::offset(self.tail),
            column::number(ROWS_MAX),
        ])?;
        while let Some(row) = rows.next()? {
            self.count_row();
            // A damaged record goes with the next sound one: its time is not known.
            let (Ok(entry), Ok(time)) = (IndexEntry::read(row), record_time(row)) else { continue };
            let IndexEntry { offset, kind, bytes, .. } = entry;
            if kind != record::EVENT || !trim_point.takes(offset, time, bytes) {
                break;
            }
        }
        Ok(trim_point.through())
    }
}

/// Reads the time of a record from the columns after those of its index entry.
fn record_time(row: &Row<'_>) -> rusqlite::Result<Timestamp> {
    let (offset, topic, kind, time) = (row.offset(6)?, row.get(7)?, row.get(8)?, row.time(9)?);
    sum::check(row, 10, || record::head_sum(offset, topic, kind, time.as_micros()))?;
    Ok(time)
}
