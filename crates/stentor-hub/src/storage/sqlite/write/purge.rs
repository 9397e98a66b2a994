//! Purges: deletes removed records from the disk, in slices.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::capacity::RECORD_BYTES;
use super::transaction::WriteTransaction;
use crate::cursor::Offset;
use crate::storage::forgotten::Loss;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::read::merge::{Merge, Order};
use crate::storage::sqlite::tables::topic::{self, Topic, sql};
use crate::storage::sqlite::tables::{column, forgotten, purged};

/// Number of topics that are purged together. Their records share pages, which are then written once and not
/// once for each topic.
const TOPICS: usize = 64;

impl WriteTransaction<'_> {
    /// Deletes a slice of removed records, oldest first. Returns `true` if there may be more.
    pub(crate) fn purge(&mut self, rows_max: u64, bytes_max: u64) -> Result<bool, DbError> {
        let (mut rows, mut bytes) = (rows_max, bytes_max);
        while rows > 0 && bytes > 0 {
            let topics = self.topics_to_purge()?;
            if topics.is_empty() {
                return Ok(false);
            }
            let mut deleted = Vec::new();
            let mut merge = Merge::new(Order::Oldest);
            for topic in &topics {
                let through = topic.purge_through.unwrap_or_default();
                merge.add_all(self.connection, topic.id, Offset::ZERO, through)?;
            }
            while rows > 0
                && bytes > 0
                && let Some(entry) = merge.next_of_any(self.connection)?
            {
                if let Err(error) = self.delete_record(entry.topic, entry.offset) {
                    // It is not a row of the slice: the next slice finds it again and must get further.
                    self.pass_over(error)?;
                    continue;
                }
                deleted.push(entry.offset);
                self.purged += entry.bytes + RECORD_BYTES;
                rows -= 1;
                bytes = bytes.saturating_sub(entry.bytes);
            }
            add_purged(self.connection, deleted)?;
            for mut topic in topics {
                if !merge.has_more(topic.id) {
                    topic.purge_through = None;
                    topic.store(self.connection)?;
                    // A topic counts as a row too.
                    rows = rows.saturating_sub(1);
                }
            }
        }
        Ok(true)
    }

    /// Returns the first topics that have records to purge.
    fn topics_to_purge(&mut self) -> Result<Vec<Topic>, DbError> {
        self.first_sound(sql::TO_PURGE, TOPICS)
    }

    /// Returns the first topics that a query finds. Passes over damaged rows.
    fn first_sound(&mut self, sql: &'static str, max: usize) -> Result<Vec<Topic>, DbError> {
        let mut topics = Vec::new();
        Topic::each_or_damage(self.connection, sql, [], |topic| {
            match topic {
                Ok(topic) => topics.push(topic),
                Err(error) => self.pass_over(error)?,
            }
            let is_full = topics.len() >= max;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(topics)
    }

    fn delete_record(&self, topic: i64, offset: Offset) -> Result<(), DbError> {
        let stored = column::offset(offset);
        self.connection
            .prepare_cached("DELETE FROM records WHERE offset = ?1")?
            .execute([stored])?;
        let mut statement = self
            .connection
            .prepare_cached("DELETE FROM topic_records WHERE topic = ?1 AND offset = ?2")?;
        match statement.execute([topic, stored])? {
            0 => Err(DbError::Damaged(format!(
                "the index of the topic in row {topic} has offset {offset} in one order only"
            ))),
            _ => Ok(()),
        }
    }

    /// Deletes the rows of the topics that have been empty longest, if there are more than the limit.
    ///
    /// From then on, their removals count as removals of every unknown topic whose name begins like theirs.
    pub(crate) fn forget_empty_topics(&mut self, rows_max: u64) -> Result<(), DbError> {
        let excess = self.log.empty_topics.saturating_sub(self.limits.empty_topics);
        for _ in 0..excess.min(rows_max) {
            let Some(topic) = self.first_sound(sql::LONGEST_EMPTY, 1)?.pop() else {
                // The count was too high.
                self.log.empty_topics = self.limits.empty_topics;
                break;
            };
            let (mut through, mut removals) = (topic.removed_through, topic.removals);
            if let Some((deletion, _)) = topic.end {
                // Until now a reader of the deleted topic got an end. From now on it gets a gap.
                if let Err(error) = self.delete_record(topic.id, deletion) {
                    self.pass_over(error)?;
                }
                purged::add(self.connection, deletion, deletion)?;
                self.log.removals += 1;
                (through, removals) = (deletion, self.log.removals);
            }
            topic::delete(self.connection, &topic)?;
            forgotten::add(self.connection, topic.name.as_str(), Loss { through, removals })?;
            self.log.floor = self.log.floor.max(through);
            self.log.floor_removals = self.log.floor_removals.max(removals);
            self.log.empty_topics = self.log.empty_topics.saturating_sub(1);
        }
        forgotten::merge_if_many(self.connection)
    }
}

/// Notes that the records at these offsets were deleted.
fn add_purged(connection: &Connection, mut offsets: Vec<Offset>) -> Result<(), DbError> {
    offsets.sort_unstable();
    offsets.dedup();
    for run in offsets.chunk_by(|one, next| one.next() == *next) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            purged::add(connection, *first, *last)?;
        }
    }
    Ok(())
}
