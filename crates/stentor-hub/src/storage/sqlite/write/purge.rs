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
const TOPICS: u32 = 64;

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
                self.delete_record(entry.topic, entry.offset)?;
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
    fn topics_to_purge(&self) -> Result<Vec<Topic>, DbError> {
        let mut topics = Vec::new();
        Topic::each(self.connection, sql::TO_PURGE, [TOPICS], |topic| {
            topics.push(topic);
            Ok(ControlFlow::Continue(()))
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
            // The index is damaged. The next slice would find the same entry again, without end.
            0 => Err(DbError::Damaged(format!(
                "the index of the topic {:?} has offset {offset} in one order only",
                Topic::by_id(self.connection, topic)?.name.as_str()
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
            let Some(topic) = Topic::first(self.connection, sql::LONGEST_EMPTY)? else {
                // The count was too high.
                self.log.empty_topics = self.limits.empty_topics;
                break;
            };
            let (mut through, mut removals) = (topic.removed_through, topic.removals);
            if let Some((deletion, _)) = topic.end {
                // Until now a reader of the deleted topic got an end. From now on it gets a gap.
                self.delete_record(topic.id, deletion)?;
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
