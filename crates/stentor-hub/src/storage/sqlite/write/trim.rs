//! Trims topics: removes their oldest records.
//!
//! A trim only marks records as removed. [`purge`](super::purge) deletes them from the disk later.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::capacity::RECORD_BYTES;
use super::transaction::WriteTransaction;
use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::record::{self, Head, IndexEntry};
use crate::storage::sqlite::tables::topic::Topic;
use crate::topic::TopicName;

pub(crate) const OLDEST_OF_TOPIC: &str = "SELECT topic, offset, kind, bytes, prev, sum FROM topic_records \
                                          WHERE topic = ?1 AND offset > ?2 AND offset <= ?3 ORDER BY offset LIMIT ?4";

/// All records except the newest, which after an unclean stop is not at the tail.
pub(crate) const OLDEST_OF_ALL: &str = "SELECT offset, topic, kind, time, head_sum, octet_length(data) FROM records \
    WHERE offset > ?1 AND offset < (SELECT max(offset) FROM records) ORDER BY offset LIMIT ?2";

/// Maximum number of damaged rows that one transaction notes.
const DAMAGED_MAX: usize = 100;

impl WriteTransaction<'_> {
    /// Trims topics, each up to an offset, until `trim_rows` of the limits is reached. Returns how many topics
    /// are done.
    pub(crate) fn trim_each(&mut self, topics: &[(TopicName, Offset)]) -> Result<usize, DbError> {
        let mut rows = self.limits.trim_rows;
        for (at, (name, through)) in topics.iter().enumerate() {
            rows = rows.saturating_sub(self.trim_unless_damaged(name, *through, rows)?);
            if rows == 0 {
                return Ok(at);
            }
        }
        Ok(topics.len())
    }

    /// Trims the oldest records after an offset, whatever their topics, up to about `rows_max` records or
    /// `bytes_max` bytes. Never trims the newest record of the log.
    ///
    /// Returns the offset it reached, or `None` if there was nothing to trim.
    pub(crate) fn trim_oldest(
        &mut self,
        after: Offset,
        rows_max: u64,
        bytes_max: u64,
    ) -> Result<Option<Offset>, DbError> {
        let mut topics = BTreeMap::new();
        let (mut last, mut bytes) = (None, 0);
        {
            let mut statement = self.connection.prepare_cached(OLDEST_OF_ALL)?;
            let mut rows = statement.query([column::offset(after), column::number(rows_max)])?;
            while bytes < bytes_max
                && let Some(row) = rows.next()?
            {
                let Ok(Head { offset, topic }) = Head::read(row, 4) else { continue };
                let length = row.number(5).unwrap_or_default();
                topics.insert(topic, offset);
                bytes += length + RECORD_BYTES;
                last = Some(offset);
            }
        }
        for (id, through) in topics {
            match Topic::by_id(self.connection, id) {
                Ok(topic) => {
                    self.trim_unless_damaged(&topic.name, through, rows_max)?;
                }
                Err(error) => self.pass_over(error)?,
            }
        }
        Ok(last)
    }

    /// Trims a topic, or passes over it if its row or its index is damaged: the others are trimmed nevertheless.
    fn trim_unless_damaged(
        &mut self,
        name: &TopicName,
        through: Offset,
        rows_max: u64,
    ) -> Result<u64, DbError> {
        match self.trim(name, through, rows_max) {
            Ok(rows) => Ok(rows),
            Err(error) => self.pass_over(error).map(|()| 0),
        }
    }

    /// Notes a damaged row that retention passes over. Returns any other error.
    pub(super) fn pass_over(&mut self, error: DbError) -> Result<(), DbError> {
        if !error.is_corrupt() {
            return Err(error);
        }
        let place = error.place();
        if self.damaged.len() < DAMAGED_MAX && !self.damaged.contains(&place) {
            self.damaged.push(place);
        }
        Ok(())
    }

    /// Removes the records of a topic up to an offset, oldest first, at most `rows_max`. Returns how many.
    fn trim(&mut self, name: &TopicName, through: Offset, rows_max: u64) -> Result<u64, DbError> {
        let connection = self.connection;
        let topic = self.topic(name)?;
        if topic.deleted {
            return Ok(0);
        }
        let removed = Trimmable::find(connection, topic, through, rows_max)?;
        let Some(last) = removed.through else { return Ok(0) };
        self.log.removals += 1;
        let removals = self.log.removals;
        self.trimmed.events += removed.events;
        self.trimmed.bytes += removed.bytes;
        let topic = self.topic_mut(name)?;
        topic.events = topic.events.saturating_sub(removed.events);
        topic.bytes = topic.bytes.saturating_sub(removed.bytes);
        // An end is the last record of its topic, so it is only removed with all the others.
        topic.end = topic.end.filter(|(end, _)| *end > last);
        topic.removed_through = last;
        topic.removed_by_delete = false;
        topic.removals = removals;
        topic.purge_through = Some(last);
        Ok(removed.rows)
    }
}

/// The records that a trim removes from a topic.
#[derive(Default)]
struct Trimmable {
    rows: u64,
    events: u64,
    bytes: u64,
    through: Option<Offset>,
}

impl Trimmable {
    fn find(
        connection: &Connection,
        topic: &Topic,
        through: Offset,
        rows_max: u64,
    ) -> Result<Trimmable, DbError> {
        let mut statement = connection.prepare_cached(OLDEST_OF_TOPIC)?;
        let mut rows = statement.query([
            topic.id,
            column::offset(topic.removed_through),
            column::offset(through),
            column::number(rows_max),
        ])?;
        let mut removed = Trimmable::default();
        while let Some(row) = rows.next()? {
            removed.rows += 1;
            // A damaged entry goes with the next sound one.
            let Ok(IndexEntry { offset, kind, bytes, .. }) = IndexEntry::read(row) else {
                continue;
            };
            removed.through = Some(offset);
            if kind == record::EVENT {
                removed.events += 1;
                removed.bytes += bytes;
            }
        }
        Ok(removed)
    }
}
