//! Reading on after an offset.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::column::{self, Columns};
use super::fault::Fault;
use super::merge::{Merge, Order};
use super::names::Sieve;
use super::topic::Topic;
use super::view::View;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::storage::page_builder::PageBuilder;
use crate::storage::{Budget, Page, ReadRequest};

pub(super) const SCAN: &str = "SELECT offset, topic, octet_length(data) + coalesce(octet_length(type), 0) \
                               FROM records WHERE offset > ?1 AND offset <= ?2 ORDER BY offset";

/// How the records of a page are found.
enum Plan {
    /// By the indices of these topics.
    Merge(Vec<Topic>),
    /// By looking at every record.
    Scan,
}

impl View<'_> {
    /// See [`Storage::read`](crate::storage::Storage::read).
    pub(super) fn read(&self, request: &ReadRequest) -> Result<Page, Fault> {
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

    /// Chooses what is cheaper: the indices of all topics that match, which have to be found among the
    /// names first, or looking at every record on the way.
    fn plan(
        &self,
        filters: &Filters,
        after: Offset,
        until: Offset,
        budget: Budget,
    ) -> Result<Plan, Fault> {
        /// What it costs to open one index, in rows.
        const SEEK: u64 = 8;
        let on_the_way = until.get() - after.get();
        if !filters.patterns().is_empty() && on_the_way <= budget.rows as u64 {
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
        // So many rows a scan passes, on the average, for a full page; a merge finds each by its index.
        let records = budget.records as u64;
        let scan = records.saturating_mul(on_the_way) / events.clamp(1, on_the_way);
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
    ) -> Result<(), Fault> {
        let mut merge = Merge::new(self.connection, Order::Oldest);
        for topic in topics {
            merge.add(topic, after, until)?;
        }
        while let Some(place) = merge.next()? {
            self.count_row();
            if !take(page, place.offset, place.bytes) {
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
    ) -> Result<(), Fault> {
        let mut sieve = Sieve::new(self, filters);
        let mut statement = self.connection.prepare_cached(SCAN)?;
        let mut rows = statement.query([column::offset(after), column::offset(until)])?;
        while let Some(row) = rows.next()? {
            self.count_row();
            let read = || Ok((row.offset(0)?, row.get(1)?));
            let (offset, id) = read()
                .map_err(|error| Fault::at(format_args!("a record after offset {after}"), error))?;
            let goes_on = if sieve.shows(id, offset)? {
                let bytes = row.number(2).map_err(|error| {
                    Fault::at(format_args!("the record at offset {offset}"), error)
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

    /// The records of a page. All are there, for the page is of the same moment.
    fn load(&self, offsets: &[Offset]) -> Result<Vec<Arc<Record>>, Fault> {
        let record = |offset: &Offset| self.record(*offset)?.ok_or_else(|| Self::missing(*offset));
        offsets.iter().map(record).collect()
    }
}

fn take(page: &mut PageBuilder<Offset>, offset: Offset, bytes: u64) -> bool {
    page.take(offset, offset, usize::try_from(bytes).unwrap_or(usize::MAX))
}
