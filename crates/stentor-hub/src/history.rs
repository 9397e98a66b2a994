//! Pages of history.

use std::sync::Arc;

use tokio::sync::SemaphorePermit;

use crate::cursor::{Cursor, CursorError, Offset};
use crate::filter::Filters;
use crate::gap::{Gap, GapReason};
use crate::record::{Body, Record};
use crate::shared::Shared;
use crate::start::{ResolvedCursor, Start, SubscribeError, resolve_cursor};
use crate::storage::{Budget, Damaged, Page, ReadRequest, Removed, Seek, StorageError};

/// The parameters of a page of history.
///
/// [`Start::Earliest`] without `before` requests the oldest page. With `before` it requests the newest events before
/// that id.
#[derive(Clone, Debug)]
pub struct HistoryRequest {
    /// The topics.
    pub filters: Filters,
    /// The start of the page. With [`Start::Cursor`], the page begins after that event.
    pub start: Start,
    /// The page ends before the event with this id.
    pub before: Option<String>,
    /// Maximum number of events, from 1 to [`HistoryRequest::LIMIT_MAX`]. Other values are clamped.
    pub limit: usize,
}

impl HistoryRequest {
    /// Maximum number of events of a page.
    pub const LIMIT_MAX: usize = 1_000;
    /// Maximum bytes of the events of a page. The first event of a page can have any size.
    pub const BYTES_MAX: usize = 1 << 20;
    /// Maximum number of storage reads for one page. A page ends early when it is reached.
    const READS_MAX: usize = 32;
}

/// A page of history, in log order.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// The events. Ends are not included.
    pub events: Vec<Arc<Record>>,
    /// The cursor with which the next page begins; `None` at the tail.
    pub next: Option<Cursor>,
    /// The id of the oldest matching event.
    pub earliest: Option<Cursor>,
    /// The position of the tail.
    pub tail: Cursor,
    /// Events that a reader with the requested cursor has lost.
    pub gap: Option<Gap>,
    /// The last end, if all filters are exact names and all these topics have ended.
    pub ended: Option<Arc<Record>>,
}

/// The reason why a page cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A cursor cannot be parsed, or `before` belongs to another history.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The start is not valid, or the log cannot be read now.
    #[error(transparent)]
    Start(#[from] SubscribeError),
}

impl From<StorageError> for HistoryError {
    fn from(error: StorageError) -> HistoryError {
        HistoryError::Start(error.into())
    }
}

/// A page under construction.
struct Reading<'a> {
    shared: &'a Shared,
    filters: Arc<Filters>,
    after: Offset,
    until: Offset,
    losses_reported: u64,
    gap: Option<(GapReason, String)>,
    bytes_max: usize,
    /// The permit of the current read.
    permit: Option<SemaphorePermit<'a>>,
    /// `true` if an event is larger than `bytes_max`. The page then keeps its permit to the end, so that only a few
    /// such events are in memory.
    has_large_event: bool,
}

/// The losses before the events of a page.
struct Losses {
    after: Offset,
    removed: Option<Removed>,
    damaged: Option<Damaged>,
}

impl Losses {
    fn after(after: Offset) -> Losses {
        Losses { after, removed: None, damaged: None }
    }

    fn add(&mut self, later: Removed) {
        match &mut self.removed {
            Some(removed) => removed.add(later),
            None => self.removed = Some(later),
        }
    }

    fn add_damaged(&mut self, later: Damaged) {
        self.damaged.get_or_insert_default().add_all(later);
    }

    fn reason(&self) -> GapReason {
        match (&self.damaged, &self.removed) {
            (Some(_), _) => GapReason::Damaged,
            (None, Some(removed)) if removed.deleted => GapReason::Deleted,
            (None, _) => GapReason::Trimmed,
        }
    }

    fn topics(&self) -> Vec<String> {
        let removed = self.removed.as_ref().map_or(&[][..], |removed| &removed.topics);
        let damaged = self.damaged.as_ref().map_or(&[][..], |damaged| &damaged.topics);
        let damaged = damaged.iter().filter(|topic| !removed.contains(topic));
        let topics = removed.iter().chain(damaged).take(Removed::TOPICS_MAX);
        topics.map(ToString::to_string).collect()
    }
}

pub(crate) async fn read(
    shared: &Shared,
    request: HistoryRequest,
    bytes_max: usize,
) -> Result<HistoryPage, HistoryError> {
    let limit = request.limit.clamp(1, HistoryRequest::LIMIT_MAX);
    let tail = shared.window.tail();
    let filters = Arc::new(request.filters);
    let mut until = tail;
    if let Some(before) = &request.before {
        let cursor: Cursor = before.parse()?;
        if cursor.epoch != shared.storage.epoch() {
            return Err(CursorError.into());
        }
        until = tail.min(cursor.offset.previous());
    }
    let mut reading = Reading {
        shared,
        filters,
        after: Offset::ZERO,
        until,
        losses_reported: 0,
        gap: None,
        bytes_max,
        permit: None,
        has_large_event: false,
    };
    let is_new = !matches!(request.start, Start::Cursor(_));
    let is_first = matches!(request.start, Start::Earliest) && request.before.is_none();
    let picked = reading.begin(request.start, request.before.is_some().then_some(limit)).await?;
    let (events, losses) = match picked {
        Some(picked) => reading.fetch(picked, limit).await?,
        None => reading.events(limit).await?,
    };
    let next = (reading.after < tail).then(|| reading.next(events.last()));
    let earliest = match events.first().filter(|_| is_first) {
        Some(first) => Some(first.cursor()),
        None => reading.earliest().await?,
    };
    Ok(HistoryPage {
        earliest,
        gap: reading.gap(losses, &events),
        ended: reading.ended(is_new, tail).await?,
        tail: shared.position(tail),
        next,
        events,
    })
}

impl Reading<'_> {
    /// Finds the start of the page. For [`Start::LastEach`], returns the offsets of its events.
    async fn begin(
        &mut self,
        start: Start,
        newest: Option<usize>,
    ) -> Result<Option<Vec<Offset>>, HistoryError> {
        let seek = match start {
            Start::Cursor(text) => return self.begin_at(text).await.map(|()| None),
            Start::Now => {
                self.after = self.until;
                return Ok(None);
            }
            Start::LastEach(count) => {
                let newest = self.shared.storage.newest_each(
                    Arc::clone(&self.filters),
                    count,
                    self.until,
                    Start::LAST_EACH_MAX,
                );
                return Ok(Some(newest.await?.ok_or(SubscribeError::LastEachTooMany)?));
            }
            Start::Last(requested) if requested > Start::LAST_MAX => {
                return Err(SubscribeError::LastTooMany { requested }.into());
            }
            Start::Last(count) => Seek::Newest { count, before: self.until.next() },
            Start::Since(time) => Seek::Since(time),
            Start::Earliest => match newest {
                Some(count) => Seek::Newest { count, before: self.until.next() },
                None => Seek::Earliest,
            },
        };
        let found = self.shared.storage.seek(Arc::clone(&self.filters), seek).await?;
        self.after = found.after.min(self.until);
        self.losses_reported = found.removals;
        Ok(None)
    }

    async fn begin_at(&mut self, text: String) -> Result<(), HistoryError> {
        let cursor = text.parse()?;
        let permit = self.shared.page_read().await?;
        let resolved = resolve_cursor(self.shared, cursor).await?;
        drop(permit);
        match resolved {
            ResolvedCursor::At(cursor) => self.after = cursor.offset,
            ResolvedCursor::Lost { continue_after } => {
                self.after = continue_after;
                self.gap = Some((GapReason::Future, text));
                return Ok(());
            }
            ResolvedCursor::Unknown(reason) => {
                self.gap = Some((reason, text));
                return Ok(());
            }
        }
        self.gap = None;
        Ok(())
    }

    /// Reads at most `limit` events and advances `after`. Also returns the losses, with the offset before the first.
    async fn events(
        &mut self,
        limit: usize,
    ) -> Result<(Vec<Arc<Record>>, Option<Losses>), StorageError> {
        let mut events: Vec<Arc<Record>> = Vec::new();
        let mut losses: Option<Losses> = None;
        let mut bytes = self.bytes_max;
        for _ in 0..HistoryRequest::READS_MAX {
            if events.len() >= limit || bytes == 0 || self.after >= self.until {
                break;
            }
            let budget = Budget { records: limit - events.len(), bytes, ..Budget::default() };
            let page = self.page(budget).await?;
            self.losses_reported = self.losses_reported.max(page.removals);
            if page.damaged.is_some() && !events.is_empty() {
                // The gap is before the events of a page, so this is for the next page.
                break;
            }
            if page.removed.is_some() || page.damaged.is_some() {
                let losses = losses.get_or_insert_with(|| Losses::after(self.after));
                if let Some(removed) = page.removed {
                    self.losses_reported = self.losses_reported.max(removed.removals);
                    losses.add(removed);
                }
                if let Some(damaged) = page.damaged {
                    losses.add_damaged(damaged);
                }
            }
            for record in page.records {
                let size = record.body().bytes();
                if size > bytes && !events.is_empty() {
                    return Ok((events, losses));
                }
                bytes = bytes.saturating_sub(size);
                self.after = record.offset();
                if record.event().is_some() {
                    events.push(record);
                }
            }
            self.after = page.through;
        }
        Ok((events, losses))
    }

    async fn page(&mut self, budget: Budget) -> Result<Page, StorageError> {
        let request = ReadRequest {
            filters: Arc::clone(&self.filters),
            after: self.after,
            until: self.until,
            budget,
            losses_reported: self.losses_reported,
        };
        self.take_permit().await?;
        let page = self.shared.storage.read(request).await?;
        self.return_permit(&page.records);
        Ok(page)
    }

    async fn take_permit(&mut self) -> Result<(), StorageError> {
        if self.permit.is_none() {
            self.permit = Some(self.shared.page_read().await?);
        }
        Ok(())
    }

    /// Returns the permit after a read, so that a page with many reads does not delay one with few.
    fn return_permit(&mut self, records: &[Arc<Record>]) {
        let bytes: usize = records.iter().map(|record| record.body().bytes()).sum();
        self.has_large_event |= bytes > self.bytes_max;
        if !self.has_large_event {
            self.permit = None;
        }
    }

    async fn fetch(
        &mut self,
        mut picked: Vec<Offset>,
        limit: usize,
    ) -> Result<(Vec<Arc<Record>>, Option<Losses>), StorageError> {
        picked.truncate(limit);
        let before = picked.first().map_or(self.until, |first| first.previous());
        self.after = picked.last().copied().unwrap_or(self.until);
        self.take_permit().await?;
        let (mut events, damaged) = self.shared.queries.picked(&self.filters, picked).await?;
        let mut bytes = 0;
        let fitting = events
            .iter()
            .take_while(|record| {
                bytes += record.body().bytes();
                bytes <= self.bytes_max
            })
            .count()
            .max(1);
        events.truncate(fitting);
        self.return_permit(&events);
        if let Some(last) = events.last() {
            self.after = last.offset();
        }
        let losses =
            damaged.map(|damaged| Losses { damaged: Some(damaged), ..Losses::after(before) });
        Ok((events, losses))
    }

    /// The event id of the last event if the page ends with it; otherwise the position that was reached.
    fn next(&self, last: Option<&Arc<Record>>) -> Cursor {
        match last {
            Some(last) if last.offset() == self.after => last.cursor(),
            _ => self.shared.position(self.after),
        }
    }

    async fn earliest(&mut self) -> Result<Option<Cursor>, StorageError> {
        let mut from_start = Reading {
            shared: self.shared,
            filters: Arc::clone(&self.filters),
            after: Offset::ZERO,
            until: Offset::MAX.min(self.shared.window.tail()),
            losses_reported: u64::MAX,
            gap: None,
            bytes_max: HistoryRequest::BYTES_MAX,
            permit: self.permit.take(),
            has_large_event: self.has_large_event,
        };
        let (events, _) = from_start.events(1).await?;
        self.permit = from_start.permit.filter(|_| self.has_large_event);
        Ok(events.first().map(|record| record.cursor()))
    }

    fn gap(&self, losses: Option<Losses>, events: &[Arc<Record>]) -> Option<Gap> {
        let exact =
            || self.filters.exact().iter().take(Removed::TOPICS_MAX).map(ToString::to_string);
        let (reason, requested, topics) = match (&self.gap, losses) {
            (Some((reason, requested)), _) => (*reason, requested.clone(), exact().collect()),
            (None, Some(losses)) => {
                let requested = self.shared.position(losses.after).to_string();
                (losses.reason(), requested, losses.topics())
            }
            (None, None) => return None,
        };
        let first = events.first();
        let position = first.map_or(self.after, |record| record.offset().previous());
        Some(Gap {
            reason,
            requested,
            earliest: first.map(|record| record.cursor().to_string()),
            topics,
            position: self.shared.position(position),
        })
    }

    /// The last end, if all filters are exact names and all these topics have ended.
    ///
    /// A deletion counts as an end only for a reader with a cursor. For others a deleted topic is like a new one. An
    /// end after `tail` does not count, because events before it may not be on any page yet.
    async fn ended(&self, is_new: bool, tail: Offset) -> Result<Option<Arc<Record>>, StorageError> {
        if !self.filters.patterns().is_empty() {
            return Ok(None);
        }
        let states = self.shared.storage.states(self.filters.exact().to_vec()).await?;
        let mut last: Option<Arc<Record>> = None;
        for state in states {
            let end = state.end.filter(|end| end.offset() <= tail);
            let end = end.filter(|end| !is_new || *end.body() != Body::Deleted);
            let Some(end) = end else { return Ok(None) };
            if last.as_ref().is_none_or(|last| last.offset() < end.offset()) {
                last = Some(end);
            }
        }
        Ok(last)
    }
}
