//! A subscription: filters and a cursor.

mod fork;
mod pending_gap;
mod storage_read;
mod wake_up;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures_core::Stream;
use futures_util::stream;

use self::pending_gap::PendingGap;
use crate::consumer::Consumer;
use crate::cursor::{Cursor, Offset};
use crate::filter::Filters;
use crate::gap::Gap;
use crate::interest::{Listening, Registration};
use crate::record::{Body, Record};
use crate::shared::Shared;
use crate::start::{ResolvedStart, Start, SubscribeError};
use crate::storage::{Budget, Page, StorageError};
use crate::topic::TopicName;

/// A cursor with filters, which reads matching records up to the tail.
///
/// A subscription is a value, not a task. Near the tail it reads from the live window in memory, further back from
/// the storage. Catch-up and live delivery use the same loop.
///
/// A slow reader is a cursor further back in the log: it has no queue and slows no other reader. Drop the
/// subscription to unsubscribe.
pub struct Subscription {
    shared: Arc<Shared>,
    filters: Arc<Filters>,
    registration: Registration,
    consumer: Consumer,
    wake_ups: WakeUps,
    /// `true` if the last read reached the tail, and began after the listener was armed.
    is_at_tail: bool,
    /// All records up to here have been considered.
    position: Offset,
    /// Records to send before reading continues after `position`.
    picked: VecDeque<Offset>,
    /// `true` if the last batch came from `picked`.
    last_was_picked: bool,
    /// A batch that was read and not returned yet.
    stash: Option<Batch>,
    /// Count of removals that were reported to the reader.
    losses_reported: u64,
    /// A gap to report with the next batch.
    gap: Option<Box<PendingGap>>,
    /// The topics that have not ended, if all filters are exact names.
    open: Option<HashSet<TopicName>>,
    /// Deletions up to this offset are not sent.
    deletions_known: Offset,
    finished: bool,
}

/// The times at which records wake the consumer of a subscription.
enum WakeUps {
    /// At the tail. The listener is set there, and while the consumer was woken and nothing was read since.
    AtTail(Option<Listening>),
    /// Always, with a key, for a group of readers.
    Group(Listening),
    /// Never, see [`Subscription::detach`].
    Never,
}

/// The next records of a subscription, after a gap if there is one.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events that the reader has lost before these records.
    pub gap: Option<Gap>,
    /// Events and ends, in log order.
    pub records: Vec<Arc<Record>>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.gap.is_none() && self.records.is_empty()
    }
}

/// The result of [`Subscription::try_read`].
#[derive(Debug)]
pub enum TryRead {
    /// Records, a gap, or both.
    Batch(Batch),
    /// Nothing until the consumer is woken, which happens at the next record that matches.
    AtTail,
    /// The next records are not in the live window: call [`Subscription::read_from_storage`].
    NeedsStorage,
    /// All topics have ended and their ends were returned.
    Finished,
}

/// The start of a stream: its first block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// The stream starts at this position.
    At(Cursor),
    /// The stream starts with a gap.
    Gap(Gap),
}

/// The losses that were reported to a reader, as a count of removals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossesReported(u64);

impl Subscription {
    /// Starts a subscription. `None` if all its topics have ended and the start is the event id of the last end.
    pub(crate) async fn begin(
        shared: Arc<Shared>,
        filters: Filters,
        start: Start,
        consumer: Consumer,
    ) -> Result<Option<Subscription>, SubscribeError> {
        let filters = Arc::new(filters);
        let registration = shared.interest.register(&filters);
        // For a consumer that waits before it reads.
        consumer.wake();
        let mut resolved = ResolvedStart::resolve(&shared, &filters, &start).await?;
        let deletions_known = resolved.deletions_known(shared.window.tail());
        let mut open = None;
        if filters.patterns().is_empty() {
            open = resolved.open_topics(&shared, &filters).await?;
            if open.is_none() {
                return Ok(None);
            }
        }
        let requested = if let Start::Cursor(text) = start { clip(text) } else { String::new() };
        Ok(Some(Subscription {
            position: resolved.after,
            picked: resolved.picked,
            last_was_picked: false,
            losses_reported: resolved.losses_reported,
            gap: resolved.gap.map(|reason| Box::new(PendingGap::by_cursor(reason, requested))),
            stash: None,
            finished: false,
            shared,
            filters,
            registration,
            consumer,
            wake_ups: WakeUps::AtTail(None),
            is_at_tail: false,
            open,
            deletions_known,
        }))
    }

    /// The position of the reader: all records up to here were returned or do not match. Every event that will be
    /// returned later has a higher offset.
    pub fn cursor(&self) -> Cursor {
        let before_picked = self.picked.front().map(|offset| offset.previous());
        let before_stash = self.stash.as_ref().and_then(|batch| batch.records.first());
        let before = before_stash.map(|record| record.offset().previous()).or(before_picked);
        self.shared.position(before.unwrap_or(self.position))
    }

    /// Returns `true` if all topics have ended and their ends were returned.
    pub fn is_finished(&self) -> bool {
        self.finished && self.stash.is_none()
    }

    /// Returns `true` if the last [`Subscription::try_read`] reached the tail. A subscription with a key then needs no
    /// further read until [`Consumer::take_ready`] returns the key.
    pub fn is_at_tail(&self) -> bool {
        self.is_at_tail
    }

    /// The filters.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Returns `true` if the next read needs the storage.
    pub fn needs_storage(&self) -> bool {
        let nothing_read = self.stash.is_none() && !self.finished;
        let is_special = self.gap.is_some() || !self.picked.is_empty();
        nothing_read && (is_special || !self.is_covered())
    }

    /// Finds the start of the stream: a position or a gap. Call this before the first read. Queries the storage only
    /// for a reader behind the live window.
    ///
    /// Cancel safe.
    pub async fn start_position(&mut self) -> Result<StartPosition, StorageError> {
        if self.starts_behind_window() {
            let batch = self.read_from_storage(Budget::default()).await?;
            self.stash = Some(batch);
        }
        Ok(self.take_start_position())
    }

    /// Finds the start of the stream without a query; `None` if that needs the storage.
    pub fn start_position_in_memory(&mut self) -> Option<StartPosition> {
        (!self.starts_behind_window()).then(|| self.take_start_position())
    }

    fn starts_behind_window(&self) -> bool {
        self.gap.is_some() || (self.picked.is_empty() && !self.is_covered())
    }

    fn take_start_position(&mut self) -> StartPosition {
        match self.stash.as_mut().and_then(|batch| batch.gap.take()) {
            Some(gap) => StartPosition::Gap(gap),
            None => StartPosition::At(self.cursor()),
        }
    }

    /// Reads from the live window without waiting.
    pub fn try_read(&mut self, budget: Budget) -> TryRead {
        if let Some(batch) = self.stash.take()
            && !batch.is_empty()
        {
            return TryRead::Batch(batch);
        }
        if self.finished {
            return TryRead::Finished;
        }
        if !self.picked.is_empty() || self.gap.is_some() {
            return TryRead::NeedsStorage;
        }
        self.skip_unmatched();
        loop {
            let Some((page, is_last)) =
                self.shared.window.read(&self.filters, self.position, budget)
            else {
                self.stop_listening();
                return TryRead::NeedsStorage;
            };
            let moved = page.through > self.position;
            let batch = self.accept(page);
            self.is_at_tail = is_last;
            if !batch.is_empty() {
                self.stop_listening();
                return TryRead::Batch(batch);
            }
            // No progress means the tail. Otherwise rows without a match used up the budget, so read on.
            if !moved && !self.listen() {
                return TryRead::AtTail;
            }
        }
    }

    /// Waits for the next batch. `None` when all topics have ended. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Batch>, StorageError> {
        loop {
            match self.try_read(Budget::default()) {
                TryRead::Batch(batch) => return Ok(Some(batch)),
                TryRead::Finished => return Ok(None),
                TryRead::AtTail => self.consumer().woken().await,
                TryRead::NeedsStorage => {
                    let batch = self.read_from_storage(Budget::default()).await?;
                    if !batch.is_empty() {
                        return Ok(Some(batch));
                    }
                }
            }
        }
    }

    /// Turns the subscription into a [`Stream`] of batches.
    pub fn into_stream(self) -> impl Stream<Item = Result<Batch, StorageError>> {
        stream::try_unfold(self, |mut subscription| async move {
            Ok(subscription.next().await?.map(|batch| (batch, subscription)))
        })
    }

    fn is_covered(&self) -> bool {
        self.shared.window.covers(&self.filters, self.position)
    }

    /// Advances past a page and keeps the records that the reader gets.
    fn accept(&mut self, page: Page) -> Batch {
        self.position = page.through;
        self.is_at_tail = false;
        self.last_was_picked = false;
        let mut records = page.records;
        records.retain(|record| {
            *record.body() != Body::Deleted || record.offset() > self.deletions_known
        });
        if let Some(end) = records.iter().position(|record| self.ends_with(record)) {
            records.truncate(end + 1);
            self.finished = true;
        }
        Batch { gap: None, records }
    }

    /// Returns `true` if this record is the last of the stream.
    fn ends_with(&mut self, record: &Record) -> bool {
        let names = self.filters.exact().len();
        let Some(open) = &mut self.open else { return false };
        if record.event().is_none() {
            open.remove(record.topic());
        } else if open.len() < names && !open.contains(record.topic()) {
            // A deleted topic is used again.
            open.insert(record.topic().clone());
        }
        open.is_empty()
    }
}

/// Shortens the requested cursor of a gap: text that cannot be parsed can have any length.
fn clip(mut text: String) -> String {
    const SHOWN_MAX: usize = 128;
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= SHOWN_MAX);
    if let Some(end) = end {
        text.truncate(end);
    }
    text
}
