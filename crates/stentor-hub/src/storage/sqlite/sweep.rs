//! Taking off the disk what nobody can read any more, in slices.

use std::ops::ControlFlow;

use super::capacity::RECORD_BYTES;
use super::change::Change;
use super::column;
use super::fault::Fault;
use super::merge::{Merge, Order};
use super::topic::{Topic, sql};
use crate::cursor::Offset;

/// How many topics are swept together. Their records lie in the same pages, which are then written once
/// and not for each topic anew.
const TOPICS: u32 = 64;

impl Change<'_> {
    /// Takes a slice of removed records off the disk, the oldest first. Says whether there may be more.
    pub(super) fn sweep(&mut self, rows_max: u64, bytes_max: u64) -> Result<bool, Fault> {
        let (mut rows, mut bytes) = (rows_max, bytes_max);
        while rows > 0 && bytes > 0 {
            let topics = self.unswept()?;
            if topics.is_empty() {
                return Ok(false);
            }
            let mut merge = Merge::new(self.connection, Order::Oldest);
            for topic in &topics {
                merge.add_all(topic.id, Offset::ZERO, topic.sweep_through.unwrap_or_default())?;
            }
            while rows > 0
                && bytes > 0
                && let Some(place) = merge.next_of_any()?
            {
                self.remove(place.topic, place.offset)?;
                self.swept += place.bytes + RECORD_BYTES;
                rows -= 1;
                bytes = bytes.saturating_sub(place.bytes);
            }
            for mut topic in topics {
                if !merge.has_more(topic.id) {
                    topic.sweep_through = None;
                    topic.store(self.connection)?;
                    // A topic counts as a row too.
                    rows = rows.saturating_sub(1);
                }
            }
        }
        Ok(true)
    }

    /// The first topics of which there is something left to sweep.
    fn unswept(&self) -> Result<Vec<Topic>, Fault> {
        let mut topics = Vec::new();
        Topic::each(self.connection, sql::UNSWEPT, TOPICS, |topic| {
            topics.push(topic);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(topics)
    }

    fn remove(&self, topic: i64, offset: Offset) -> Result<(), Fault> {
        let place = column::offset(offset);
        self.connection
            .prepare_cached("DELETE FROM records WHERE offset = ?1")?
            .execute([place])?;
        let mut statement = self
            .connection
            .prepare_cached("DELETE FROM topic_records WHERE topic = ?1 AND offset = ?2")?;
        match statement.execute([topic, place])? {
            // Going on would mean to find the same place again for ever.
            0 => Err(Fault::Damaged(format!(
                "the index of the topic {:?} names offset {offset} in one order only",
                Topic::by_id(self.connection, topic)?.name.as_str()
            ))),
            _ => Ok(()),
        }
    }

    /// Forgets the names of topics that have been empty for longest, if there are too many. What was
    /// removed from them is from now on taken to be removed from every topic that nobody knows.
    pub(super) fn fold(&mut self, rows_max: u64) -> Result<(), Fault> {
        let excess = self.ledger.empty_topics.saturating_sub(self.limits.empty_topics);
        for _ in 0..excess.min(rows_max) {
            let Some(topic) = Topic::first(self.connection, sql::LONGEST_EMPTY)? else {
                // The count was too high; there is nothing to fold.
                self.ledger.empty_topics = self.limits.empty_topics;
                break;
            };
            let (mut through, mut removals) = (topic.removed_through, topic.removals);
            if let Some((deletion, _)) = topic.end {
                // Until now its readers were told an end; from now on a gap.
                self.remove(topic.id, deletion)?;
                self.ledger.removals += 1;
                (through, removals) = (deletion, self.ledger.removals);
            }
            self.connection
                .prepare_cached("DELETE FROM topics WHERE id = ?1")?
                .execute([topic.id])?;
            self.ledger.floor = self.ledger.floor.max(through);
            self.ledger.floor_removals = self.ledger.floor_removals.max(removals);
            self.ledger.empty_topics = self.ledger.empty_topics.saturating_sub(1);
        }
        Ok(())
    }
}
