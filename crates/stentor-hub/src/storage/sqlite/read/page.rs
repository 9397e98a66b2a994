//! Reads a page of records after an offset.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::merge::{Merge, Order};
use super::scan_filter::ScanFilter;
use super::snapshot::Snapshot;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::storage::page_builder::PageBuilder;
use crate::storage::query::{Budget, ReadRequest};
use crate::storage::result::Page;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::topic::Topic;

pub(crate) const SCAN: &str = "SELECT offset, topic, octet_length(data) + coalesce(octet_length(type), 0) \
                               FROM records WHERE offset > ?1 AND offset <= ?2 ORDER BY offset";

/// Method by which a page finds its records.
enum Plan {
    /// Through the indexes of these topics.
    Merge(Vec<Topic>),
    /// By reading every record.
    Scan,
}

impl Snapshot<'_> {
    /// See [`Storage::read`](crate::storage::Storage::read).
    pub(crate) fn read(&self, request: &ReadRequest) -> Result<Page, DbError> {
        let (filters, after) = (&*request.filters, request.after);
        let until = request.until.min(self.tail);
        let mut page = PageBuilder::new(request.budget);
        if after < until {
            match self.plan(filters, after, until, request.budget)? {
                Plan::Merge(topics) => self.merge(&topics, after, until, &mut page)?,
                Plan::Scan => self.scan(filters, after, until, &mut page)?,
            }
        }
        let (offsets, through) = page.finish(until);
        let (records, through) = (self.load(&offsets)?, through.max(after));
        Ok(Page {
            records,
            through,
            removed: self.removed(filters, after, request.losses_reported)?,
        })
    }

    /// Chooses the cheaper plan: a merge, for which all matching topics must be found first, or a scan.
    fn plan(
        &self,
        filters: &Filters,
        after: Offset,
        until: Offset,
        budget: Budget,
    ) -> Result<Plan, DbError> {
        /// Cost of opening one index, in rows.
        const SEEK: u64 = 8;
        let distance = until.get() - after.get();
        if !filters.patterns().is_empty() && distance <= budget.rows as u64 {
            return Ok(Plan::Scan);
        }
        let (mut topics, mut events) = (Vec::new(), 0);
        let names_max = budget.rows;
        let all = self.each_matching(filters, names_max, |topic| {
            if topic.has_after(after) {
                events += topic.events + 1;
                topics.push(topic);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if filters.patterns().is_empty() || topics.is_empty() && all {
            return Ok(Plan::Merge(topics));
        }
        // The average number of rows that a scan reads for a full page. A merge reads only matching rows.
        let records = budget.records as u64;
        let scan = records.saturating_mul(distance) / events.clamp(1, distance);
        let scan = scan.min(budget.rows as u64);
        let merge = records.saturating_mul(2).saturating_add(SEEK * topics.len() as u64);
        Ok(if all && merge < scan { Plan::Merge(topics) } else { Plan::Scan })
    }

    fn merge(
        &self,
        topics: &[Topic],
        after: Offset,
        until: Offset,
        page: &mut PageBuilder<Offset>,
    ) -> Result<(), DbError> {
        let mut merge = Merge::new(self.connection, Order::Oldest);
        for topic in topics {
            merge.add(topic, after, until)?;
        }
        while let Some(entry) = merge.next()? {
            self.count_row();
            if !take(page, entry.offset, entry.bytes) {
                break;
            }
        }
        Ok(())
    }

    fn scan(
        &self,
        filters: &Filters,
        after: Offset,
        until: Offset,
        page: &mut PageBuilder<Offset>,
    ) -> Result<(), DbError> {
        let mut filter = ScanFilter::new(self, filters);
        let mut statement = self.connection.prepare_cached(SCAN)?;
        let mut rows = statement.query([column::offset(after), column::offset(until)])?;
        while let Some(row) = rows.next()? {
            self.count_row();
            let read = || Ok((row.offset(0)?, row.get(1)?));
            let (offset, id) = read().map_err(|error| {
                DbError::at(format_args!("a record after offset {after}"), error)
            })?;
            let goes_on = if filter.matches(id, offset)? {
                let bytes = row.number(2).map_err(|error| {
                    DbError::at(format_args!("the record at offset {offset}"), error)
                })?;
                take(page, offset, bytes)
            } else {
                page.pass(offset)
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Reads the records of a page. All of them exist, because the page is of the same snapshot.
    fn load(&self, offsets: &[Offset]) -> Result<Vec<Arc<Record>>, DbError> {
        offsets.iter().map(|offset| self.expect_record(*offset)).collect()
    }
}

fn take(page: &mut PageBuilder<Offset>, offset: Offset, bytes: u64) -> bool {
    page.take(offset, offset, usize::try_from(bytes).unwrap_or(usize::MAX))
}
