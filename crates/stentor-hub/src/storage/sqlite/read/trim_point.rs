//! Finds the records of a topic that exceed its limits.

use super::snapshot::Snapshot;
use crate::cursor::Offset;
use crate::storage::query::TrimLimits;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::record;
use crate::storage::trim_point::TrimPoint;
use crate::topic::TopicName;

/// Maximum number of records that one query reads.
const ROWS_MAX: u64 = 2_000;

pub(crate) const OLDEST_WITH_TIME: &str = "SELECT i.offset, i.kind, i.bytes, r.time \
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
        let end = topic.end.map(|(offset, _)| self.expect_record(offset)).transpose()?;
        let mut trim_point = TrimPoint::new(limits, topic.events, topic.bytes, end.as_deref());
        let mut statement = self.connection.prepare_cached(OLDEST_WITH_TIME)?;
        let mut rows = statement.query([
            topic.id,
            column::offset(topic.removed_through),
            column::offset(self.tail),
            column::number(ROWS_MAX),
        ])?;
        while let Some(row) = rows.next()? {
            let read = || Ok((row.offset(0)?, row.get::<_, i64>(1)?, row.number(2)?, row.time(3)?));
            let (offset, kind, bytes, time) = read().map_err(|error| {
                DbError::at(format_args!("the index of the topic {:?}", name.as_str()), error)
            })?;
            self.count_row();
            if kind != record::EVENT || !trim_point.takes(offset, time, bytes) {
                break;
            }
        }
        Ok(trim_point.through())
    }
}
