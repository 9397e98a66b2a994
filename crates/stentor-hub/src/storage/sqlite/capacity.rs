//! The bound of the log as a whole: its oldest records go when it is reached.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::change::Change;
use super::column::{self, Columns};
use super::fault::Fault;
use super::topic::Topic;
use super::writer::Writer;
use crate::cursor::Offset;

/// Bytes that are appended before the file is measured anew.
const MEASURE_BYTES: u64 = 1 << 20;
/// The part of the bound that is freed at a time, so that not every append frees something.
const SLACK_PART: u64 = 32;
/// About what a record takes beside its data: its other fields, its indices, and its part of pages
/// that are not full.
pub(super) const RECORD_BYTES: u64 = 150;

/// All but the newest: after an unclean stop that is not the one at the tail.
pub(super) const OLDEST_OF_ALL: &str = "SELECT offset, topic, octet_length(data) FROM records \
    WHERE offset > ?1 AND offset < (SELECT max(offset) FROM records) ORDER BY offset LIMIT ?2";

/// How much the log holds, as far as that is known.
#[derive(Debug)]
pub(super) struct Capacity {
    /// About so much was appended since the file was measured.
    unmeasured: u64,
    /// The log is being brought back to its bound.
    shrinks: bool,
    /// Of what lies up to here nothing can be trimmed any more.
    looked_through: Offset,
}

impl Default for Capacity {
    /// A log that was just opened, perhaps with another bound than before.
    fn default() -> Capacity {
        Capacity { unmeasured: MEASURE_BYTES, shrinks: false, looked_through: Offset::ZERO }
    }
}

impl Capacity {
    pub(super) fn appended(&mut self, bytes: u64) {
        self.unmeasured = self.unmeasured.saturating_add(bytes);
    }
}

impl Writer {
    /// Whether the log may hold more than it is to hold.
    pub(super) fn may_be_over(&self) -> bool {
        let Some(most) = self.limits.bytes_max else { return false };
        let due = MEASURE_BYTES.min(most / SLACK_PART).max(1);
        self.capacity.shrinks || self.capacity.unmeasured >= due
    }

    /// Trims a slice of the oldest records of all, if the log holds more than it is to hold.
    pub(super) fn shrink(&mut self, rows: u64) -> Result<(), Fault> {
        let Some(most) = self.limits.bytes_max else { return Ok(()) };
        self.capacity.unmeasured = 0;
        let used = self.used_bytes()?;
        let goal = most - most / SLACK_PART;
        self.capacity.shrinks = used > if self.capacity.shrinks { goal } else { most };
        if !self.capacity.shrinks {
            return Ok(());
        }
        let (after, bytes) = (self.capacity.looked_through, used - goal);
        let through = self.transact(|change| change.trim_oldest(after, rows, bytes))?;
        self.capacity.shrinks = through.is_some();
        self.capacity.looked_through = through.unwrap_or(after);
        Ok(())
    }

    /// What is in the file, without the pages that are free.
    pub(super) fn used_bytes(&self) -> Result<u64, Fault> {
        Ok(used_pages(&self.connection)? * self.pragma("page_size")?)
    }
}

/// The pages that are not free, as the transaction under way sees it.
pub(super) fn used_pages(connection: &Connection) -> Result<u64, Fault> {
    let pages = |sql| {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_row([], |row| row.number(0))
    };
    Ok(pages("PRAGMA page_count")?.saturating_sub(pages("PRAGMA freelist_count")?))
}

impl Change<'_> {
    /// Trims the oldest records after an offset, whatever their topics, until about so many bytes or
    /// rows are reached; never the newest record of all. Tells up to where, `None` if there is nothing.
    fn trim_oldest(
        &mut self,
        after: Offset,
        rows_max: u64,
        bytes_max: u64,
    ) -> Result<Option<Offset>, Fault> {
        let mut topics = BTreeMap::new();
        let (mut last, mut bytes) = (None, 0);
        {
            let mut statement = self.connection.prepare_cached(OLDEST_OF_ALL)?;
            let mut rows = statement.query([column::offset(after), column::number(rows_max)])?;
            while bytes < bytes_max
                && let Some(row) = rows.next()?
            {
                let read = || Ok((row.offset(0)?, row.get::<_, i64>(1)?, row.number(2)?));
                let (offset, topic, length) =
                    read().map_err(|error| Fault::at("the oldest records", error))?;
                topics.insert(topic, offset);
                bytes += length + RECORD_BYTES;
                last = Some(offset);
            }
        }
        for (id, through) in topics {
            let name = Topic::by_id(self.connection, id)?.name;
            self.trim(&name, through, rows_max)?;
        }
        Ok(last)
    }
}
