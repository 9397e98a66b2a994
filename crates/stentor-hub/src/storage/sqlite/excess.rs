//! What of a topic is to be trimmed.

use super::column::{self, Columns};
use super::fault::Fault;
use super::row;
use super::view::View;
use crate::cursor::Offset;
use crate::storage::TrimLimits;
use crate::storage::trim_point::TrimPoint;
use crate::topic::TopicName;

/// How many records one question looks at.
const ROWS_MAX: u64 = 2_000;

pub(super) const OLDEST_WITH_TIME: &str = "SELECT i.offset, i.kind, i.bytes, r.time \
    FROM topic_records AS i JOIN records AS r ON r.offset = i.offset \
    WHERE i.topic = ?1 AND i.offset > ?2 AND i.offset <= ?3 ORDER BY i.offset LIMIT ?4";

impl View<'_> {
    /// See [`Storage::trim_point`](crate::storage::Storage::trim_point).
    pub(super) fn trim_point(
        &self,
        name: &TopicName,
        keep: TrimLimits,
    ) -> Result<Option<Offset>, Fault> {
        let Some(topic) = self.topic_named(name)?.filter(|topic| !topic.deleted) else {
            return Ok(None);
        };
        let end = match topic.end {
            Some((offset, _)) => Some(self.record(offset)?.ok_or_else(|| View::missing(offset))?),
            None => None,
        };
        let mut excess = TrimPoint::new(keep, topic.events, topic.bytes, end.as_deref());
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
                Fault::at(format_args!("the index of the topic {:?}", name.as_str()), error)
            })?;
            self.count_row();
            if kind != row::EVENT || !excess.takes(offset, time, bytes) {
                break;
            }
        }
        Ok(excess.through())
    }
}
