//! Taking off the disk what nobody can read any more, in slices.

use super::capacity::RECORD_BYTES;
use super::change::{Change, OLDEST_OF_TOPIC};
use super::column::{self, Columns};
use super::fault::Fault;
use super::topic::{Topic, sql};
use crate::cursor::Offset;

impl Change<'_> {
    /// Takes a slice of removed records off the disk. Says whether there may be more.
    pub(super) fn sweep(&mut self, rows_max: u64, bytes_max: u64) -> Result<bool, Fault> {
        let (mut rows, mut bytes) = (rows_max, bytes_max);
        while rows > 0 && bytes > 0 {
            let Some(mut topic) = Topic::first(self.connection, sql::UNSWEPT)? else {
                return Ok(false);
            };
            let slice = self.slice(&topic, rows, bytes)?;
            for offset in &slice.offsets {
                self.remove(&topic, *offset)?;
            }
            if slice.is_last {
                topic.sweep_through = None;
                topic.store(self.connection)?;
            }
            self.swept += slice.bytes + slice.offsets.len() as u64 * RECORD_BYTES;
            // A topic counts as a row too.
            rows = rows.saturating_sub(slice.offsets.len() as u64 + 1);
            bytes = bytes.saturating_sub(slice.bytes);
        }
        Ok(true)
    }

    /// The oldest of a topic's removed records, bounded in number and in bytes.
    fn slice(&self, topic: &Topic, rows_max: u64, bytes_max: u64) -> Result<Slice, Fault> {
        let through = column::offset(topic.sweep_through.unwrap_or_default());
        let mut statement = self.connection.prepare_cached(OLDEST_OF_TOPIC)?;
        let mut rows = statement.query([topic.id, 0, through, column::number(rows_max)])?;
        let mut slice = Slice { offsets: Vec::new(), bytes: 0, is_last: false };
        while let Some(row) = rows.next()? {
            let read = || Ok((row.offset(0)?, row.number(2)?));
            let (offset, length) = read().map_err(|error| {
                Fault::at(format_args!("the index of the topic {:?}", topic.name.as_str()), error)
            })?;
            slice.offsets.push(offset);
            slice.bytes += length;
            if slice.bytes >= bytes_max {
                return Ok(slice);
            }
        }
        slice.is_last = (slice.offsets.len() as u64) < rows_max;
        Ok(slice)
    }

    fn remove(&self, topic: &Topic, offset: Offset) -> Result<(), Fault> {
        let offset = column::offset(offset);
        self.connection
            .prepare_cached("DELETE FROM records WHERE offset = ?1")?
            .execute([offset])?;
        let mut statement = self
            .connection
            .prepare_cached("DELETE FROM topic_records WHERE topic = ?1 AND offset = ?2")?;
        match statement.execute([topic.id, offset])? {
            // Going on would mean to find the same place again for ever.
            0 => Err(Fault::Damaged(format!(
                "the index of the topic {:?} names offset {offset} in one order only",
                topic.name.as_str()
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
                self.remove(&topic, deletion)?;
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

struct Slice {
    offsets: Vec<Offset>,
    bytes: u64,
    /// Whether nothing is left behind it.
    is_last: bool,
}
