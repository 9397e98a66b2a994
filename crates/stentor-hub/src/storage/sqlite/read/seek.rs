//! Finds the offset at which a reader begins.

use std::ops::ControlFlow;

use rusqlite::OptionalExtension;

use super::merge::{Merge, Order};
use super::scan_filter::ScanFilter;
use super::snapshot::Snapshot;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::query::Seek;
use crate::storage::result::SeekResult;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::record;
use crate::timestamp::Timestamp;

pub(crate) const SCAN_BACK: &str =
    "SELECT offset, topic, kind FROM records WHERE offset <= ?1 ORDER BY offset DESC LIMIT ?2";
pub(crate) const FIRST_FROM: &str =
    "SELECT offset, time FROM records WHERE offset >= ?1 ORDER BY offset LIMIT 1";

/// Number of newest rows that a scan reads before the matching topics are looked up instead. If twice the number of
/// requested events is more, the scan reads that number.
const SCAN_BACK_ROWS: u64 = 10_000;

impl Snapshot<'_> {
    /// See [`Storage::seek`](crate::storage::Storage::seek).
    pub(crate) fn seek(&self, filters: &Filters, seek: Seek) -> Result<SeekResult, DbError> {
        let after = match seek {
            Seek::Earliest => Offset::ZERO,
            Seek::Newest { count, before } => {
                let until = self.tail.min(before.previous());
                let oldest = self.oldest_of_newest(filters, count as u64, until)?;
                oldest.map_or(until, Offset::previous)
            }
            Seek::Since(time) => self.first_since(time)?.map_or(self.tail, Offset::previous),
        };
        Ok(SeekResult { after, tail: self.tail, removals: self.removals })
    }

    /// Returns the offset of the oldest of the newest `count` events.
    fn oldest_of_newest(
        &self,
        filters: &Filters,
        count: u64,
        until: Offset,
    ) -> Result<Option<Offset>, DbError> {
        if count == 0 {
            return Ok(None);
        }
        if !filters.patterns().is_empty()
            && let ControlFlow::Break(oldest) = self.scan_back(filters, count, until)?
        {
            return Ok(oldest);
        }
        let mut merge = Merge::new(self.connection, Order::NewestEvents);
        self.each_matching(filters, usize::MAX, |topic| {
            if topic.has_after(Offset::ZERO) {
                merge.add(&topic, Offset::ZERO, until)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut oldest = None;
        for _ in 0..count {
            let Some(entry) = merge.next()? else { break };
            self.count_row();
            oldest = Some(entry.offset);
        }
        Ok(oldest)
    }

    /// Scans the newest records. Returns `Break` with the result, or `Continue` if the scan reached its maximum before
    /// it found enough events.
    fn scan_back(
        &self,
        filters: &Filters,
        count: u64,
        until: Offset,
    ) -> Result<ControlFlow<Option<Offset>>, DbError> {
        let mut filter = ScanFilter::new(self, filters);
        let mut statement = self.connection.prepare_cached(SCAN_BACK)?;
        let rows_max = SCAN_BACK_ROWS.max(count.saturating_mul(2));
        let mut rows = statement.query([column::offset(until), column::number(rows_max)])?;
        let (mut oldest, mut found, mut read_rows) = (None, 0, 0);
        while let Some(row) = rows.next()? {
            self.count_row();
            read_rows += 1;
            let read = || Ok((row.offset(0)?, row.get(1)?, row.get::<_, i64>(2)?));
            let (offset, id, kind) = read().map_err(|error| DbError::at("a record", error))?;
            if kind == record::EVENT && filter.matches(id, offset)? {
                oldest = Some(offset);
                found += 1;
            }
            if found == count {
                return Ok(ControlFlow::Break(oldest));
            }
        }
        let all = read_rows < rows_max;
        Ok(if all { ControlFlow::Break(oldest) } else { ControlFlow::Continue(()) })
    }

    /// Returns the first record with this time or a later one. Times never
    /// decrease as offsets increase, so this is a binary search over offsets.
    fn first_since(&self, time: Timestamp) -> Result<Option<Offset>, DbError> {
        let (mut from, mut to, mut found) = (Offset::ZERO.next(), self.tail, None);
        while from <= to {
            let middle = Offset::new(from.get() + (to.get() - from.get()) / 2);
            match self.first_from(middle)? {
                Some((offset, at)) if offset <= to && at < time => from = offset.next(),
                Some((offset, _)) if offset <= to => {
                    found = Some(offset);
                    to = middle.previous();
                }
                Some(_) | None => to = middle.previous(),
            }
        }
        Ok(found)
    }

    fn first_from(&self, from: Offset) -> Result<Option<(Offset, Timestamp)>, DbError> {
        self.count_row();
        let mut statement = self.connection.prepare_cached(FIRST_FROM)?;
        let first =
            statement.query_row([column::offset(from)], |row| Ok((row.offset(0)?, row.time(1)?)));
        first.optional().map_err(|error| {
            DbError::at(format_args!("the first record from offset {from}"), error)
        })
    }

    /// See [`Storage::newest_each`](crate::storage::Storage::newest_each).
    pub(crate) fn newest_each(
        &self,
        filters: &Filters,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> Result<Option<Vec<Offset>>, DbError> {
        let until = until.min(self.tail);
        let (mut offsets, mut too_many) = (Vec::new(), false);
        self.each_matching(filters, usize::MAX, |topic| {
            let mut merge = Merge::new(self.connection, Order::NewestEvents);
            if topic.has_after(Offset::ZERO) {
                merge.add(&topic, Offset::ZERO, until)?;
            }
            for _ in 0..count {
                let Some(entry) = merge.next()? else { break };
                self.count_row();
                if offsets.len() == limit {
                    too_many = true;
                    return Ok(ControlFlow::Break(()));
                }
                offsets.push(entry.offset);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        offsets.sort_unstable();
        offsets.dedup();
        Ok((!too_many).then_some(offsets))
    }
}
