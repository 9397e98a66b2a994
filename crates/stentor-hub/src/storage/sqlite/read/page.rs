//! Reads a page of records after an offset.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Connection;

use super::losses::LossSearch;
use super::merge::{Entry, Merge, Order};
use super::scan_filter::ScanFilter;
use super::snapshot::Snapshot;
use super::step::Stepped;
use super::topic_walk::TopicWalk;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::storage::page_builder::PageBuilder;
use crate::storage::query::{Budget, ReadRequest};
use crate::storage::result::{Damaged, Page};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::purged;
use crate::storage::sqlite::tables::record::{self, Head};
use crate::storage::sqlite::tables::topic::Topic;
use crate::topic::TopicName;

pub(crate) const SCAN: &str = "SELECT offset, topic, kind, time, head_sum, \
                               octet_length(data) + coalesce(octet_length(type), 0) \
                               FROM records WHERE offset > ?1 AND offset <= ?2 ORDER BY offset";

/// Minimum number of rows that a step may look at for a page.
const ROWS_MIN: usize = 64;

/// Method by which a page finds its records.
enum Plan {
    /// Through the indexes of these topics.
    Merge(Vec<Topic>),
    /// By reading every record.
    Scan,
}

/// See [`Storage::read`](crate::storage::Storage::read).
///
/// The search for losses ends in the same snapshot in which the page is read. So a record is either on the page, or its
/// removal is among the losses. If a step finds neither a record nor a loss, the next step continues after the records
/// that it considered: none of them can be lost later.
pub(crate) struct ReadQuery {
    request: ReadRequest,
    losses: LossSearch,
    /// Number of rows that the request allows for the next steps.
    rows_left: usize,
}

impl ReadQuery {
    pub(crate) fn new(request: ReadRequest) -> ReadQuery {
        let losses = LossSearch::of(&request);
        ReadQuery { losses, rows_left: request.budget.rows, request }
    }
}

impl Stepped for ReadQuery {
    type Output = Page;

    fn step(&mut self, snapshot: &Snapshot<'_>, rows_max: u64) -> Result<Option<Page>, DbError> {
        let Some(losses) = self.losses.step(snapshot, rows_max)? else { return Ok(None) };
        let rows = usize::try_from(rows_max).unwrap_or(usize::MAX).max(ROWS_MIN);
        let rows = rows.min(self.rows_left);
        let page = snapshot.page(&self.request, Budget { rows, ..self.request.budget })?;
        let damaged = page.damaged.or(losses.damaged);
        let page = Page { removed: losses.removed, removals: losses.removals, damaged, ..page };
        self.rows_left -= rows;
        let until = self.request.until.min(snapshot.tail);
        let has_result =
            !page.records.is_empty() || page.removed.is_some() || page.damaged.is_some();
        if has_result || page.through >= until || self.rows_left == 0 {
            return Ok(Some(page));
        }
        self.request.after = page.through;
        self.request.losses_reported = self.request.losses_reported.max(page.removals);
        self.losses = LossSearch::of(&self.request);
        Ok(None)
    }
}

impl Snapshot<'_> {
    /// Reads a page without its losses.
    fn page(&self, request: &ReadRequest, budget: Budget) -> Result<Page, DbError> {
        let (filters, after) = (&request.filters, request.after);
        let until = request.until.min(self.tail);
        let mut page = PageInProgress::new(budget);
        if after < until {
            match self.plan(filters, after, until, budget) {
                Ok(Plan::Merge(topics)) => self.merge(&topics, after, until, &mut page)?,
                Ok(Plan::Scan) => self.scan(filters, after, until, &mut page)?,
                // The row of a topic is damaged. A scan finds which records that concerns.
                Err(error) if error.is_corrupt() => {
                    self.note_damaged_row(error.place());
                    self.scan(filters, after, until, &mut page)?;
                }
                Err(error) => return Err(error),
            }
        }
        let PageInProgress { builder, damaged } = page;
        let (records, through) = builder.finish(until);
        Ok(Page { records, through: through.max(after), damaged, ..Page::default() })
    }

    /// Chooses the cheaper plan: a merge, for which all matching topics must be found first, or a scan.
    fn plan(
        &self,
        filters: &Arc<Filters>,
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
        let all = TopicWalk::new(filters).go_on(self, budget.rows as u64, |topic| {
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
        page: &mut PageInProgress,
    ) -> Result<(), DbError> {
        let mut merge = Merge::new(Order::Oldest);
        for topic in topics {
            merge.add(self.connection, topic, after, until)?;
        }
        while let Some(entry) = merge.next(self.connection)? {
            self.count_row();
            let topic = || topics.iter().find(|topic| topic.id == entry.topic);
            let goes_on = if entry.is_lost {
                self.lose(page, entry.offset, topic().map(|topic| &topic.name))
            } else {
                self.take(page, entry, || topic().map(|topic| topic.name.clone()))?
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Adds the record of an index entry. Returns `true` if the page may continue.
    fn take(
        &self,
        page: &mut PageInProgress,
        entry: Entry,
        topic: impl Fn() -> Option<TopicName>,
    ) -> Result<bool, DbError> {
        let bytes = usize::try_from(entry.bytes).unwrap_or(usize::MAX);
        if !page.builder.has_room(bytes) {
            return Ok(false);
        }
        match self.expect_record_of(entry.topic, entry.offset) {
            Ok(record) => Ok(page.builder.take(record, entry.offset, bytes)),
            Err(error) if error.is_corrupt() => Ok(self.lose(page, entry.offset, topic().as_ref())),
            Err(error) => Err(error),
        }
    }

    /// Notes a lost record of a page. Returns `false` if the page ends before it.
    fn lose(&self, page: &mut PageInProgress, offset: Offset, topic: Option<&TopicName>) -> bool {
        if page.builder.end_before(offset) {
            return false;
        }
        self.note_damage(offset, topic);
        let damaged = page.damaged.get_or_insert_default();
        if let Some(topic) = topic {
            damaged.add(topic.clone());
        }
        page.builder.pass(offset)
    }

    fn scan(
        &self,
        filters: &Filters,
        after: Offset,
        until: Offset,
        page: &mut PageInProgress,
    ) -> Result<(), DbError> {
        let mut filter = ScanFilter::new(self, filters);
        let mut at = after;
        loop {
            match self.scan_on(&mut filter, &mut at, until, page) {
                Err(error) if error.is_corrupt() => {
                    let behind = first_readable_after(self.connection, at, until)?;
                    if !self.lose(page, at.next(), None) {
                        return Ok(());
                    }
                    at = behind;
                    page.builder.pass(at);
                }
                done => return done,
            }
        }
    }

    /// Scans the records after `at`, and moves `at` to the last one that was considered.
    fn scan_on(
        &self,
        filter: &mut ScanFilter<'_>,
        at: &mut Offset,
        until: Offset,
        page: &mut PageInProgress,
    ) -> Result<(), DbError> {
        let mut statement = self.connection.prepare_cached(SCAN)?;
        let mut rows = statement.query([column::offset(*at), column::offset(until)])?;
        while let Some(row) = rows.next()? {
            self.count_row();
            let Ok(head) = record::Head::read(row, 4) else {
                if !self.lose(page, at.next(), None) {
                    return Ok(());
                }
                continue;
            };
            if let Some((lost, _)) =
                purged::first_lost(self.connection, at.next(), head.offset.previous())?
                && !self.lose(page, lost, None)
            {
                return Ok(());
            }
            if head.offset <= *at {
                continue;
            }
            let goes_on = match filter.matches(head.topic, head.offset) {
                Err(error) if error.is_corrupt() => self.lose(page, head.offset, None),
                Err(error) => return Err(error),
                Ok(true) => {
                    let bytes = row.number(5).unwrap_or_default();
                    let Head { topic, offset } = head;
                    let entry = Entry { topic, offset, bytes, is_lost: false };
                    let name = || self.topic(topic).ok().map(|topic| topic.name.clone());
                    self.take(page, entry, name)?
                }
                Ok(false) => page.builder.pass(head.offset),
            };
            *at = head.offset;
            if !goes_on {
                return Ok(());
            }
        }
        if let Some((lost, _)) = purged::first_lost(self.connection, at.next(), until)? {
            self.lose(page, lost, None);
        }
        Ok(())
    }
}

/// Returns an offset after which the table of records can be read again, behind damage in its structure after `after`.
pub(crate) fn first_readable_after(
    connection: &Connection,
    after: Offset,
    until: Offset,
) -> Result<Offset, DbError> {
    let mut statement = connection.prepare_cached(SCAN)?;
    let mut step: u64 = 1;
    while after.get().saturating_add(step) < until.get() {
        let from = Offset::new(after.get() + step);
        let mut rows = statement.query([column::offset(from), column::offset(until)])?;
        match rows.next().map_err(DbError::from) {
            Ok(_) => return Ok(from),
            Err(error) if error.is_corrupt() => step = step.saturating_mul(2),
            Err(error) => return Err(error),
        }
    }
    Ok(until)
}

/// A page that is being read.
struct PageInProgress {
    builder: PageBuilder<Arc<Record>>,
    damaged: Option<Damaged>,
}

impl PageInProgress {
    fn new(budget: Budget) -> PageInProgress {
        PageInProgress { builder: PageBuilder::new(budget), damaged: None }
    }
}
