//! A reader: filters and a cursor.

mod fork;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures_core::Stream;
use futures_util::stream;

pub use self::fork::LossesReported;
use crate::consumer::{Consumer, Registration};
use crate::cursor::{Cursor, Offset};
use crate::filter::Filters;
use crate::gap::{Gap, GapReason};
use crate::hub::Shared;
use crate::record::{Body, Record};
use crate::start::{Beginning, Start, SubscribeError};
use crate::storage::{Budget, Page, ReadRequest, Removed, StorageError};
use crate::topic::TopicName;

/// A reader: a value and not a task. It reads from its cursor to the tail, behind the live window
/// from the storage and within it from memory; catch-up and live are the same loop.
///
/// A slow reader is only a cursor that is behind: it pins no queue and holds nobody up. Dropping it
/// is all it takes to leave.
pub struct Subscription {
    shared: Arc<Shared>,
    filters: Arc<Filters>,
    registration: Registration,
    /// Everything up to here has been considered.
    position: Offset,
    /// Records to be sent before reading goes on after `position`.
    picked: VecDeque<Offset>,
    /// Whether the last batch was of these.
    was_picked: bool,
    /// What was read and not handed out.
    stash: Option<Batch>,
    losses_reported: u64,
    /// A gap to be told with the next batch, and the cursor that shows it.
    gap: Option<(GapReason, String)>,
    /// Of a stream of exact names: the topics whose end is still to come.
    open: Option<HashSet<TopicName>>,
    deletions_known: Offset,
    finished: bool,
}

/// What a reader gets next: a gap if there is one, then records.
#[derive(Debug, Default)]
pub struct Batch {
    /// What the reader has lost before these records.
    pub gap: Option<Gap>,
    /// Events and ends, in log order.
    pub records: Vec<Arc<Record>>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.gap.is_none() && self.records.is_empty()
    }
}

/// What [`Subscription::try_read`] finds.
#[derive(Debug)]
pub enum TryRead {
    /// Something to hand out.
    Batch(Batch),
    /// Nothing until the consumer is woken.
    AtTail,
    /// What comes next is behind the live window: ask [`Subscription::read_from_storage`].
    NeedsStorage,
    /// All its topics have ended, and it was told.
    Finished,
}

/// How a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// At this position.
    At(Cursor),
    /// With a gap.
    Gap(Gap),
}

impl Subscription {
    /// A subscription, or `None` if the reader has the receipt that all its topics have ended.
    pub(crate) async fn begin(
        shared: Arc<Shared>,
        filters: Filters,
        start: Start,
        consumer: Consumer,
    ) -> Result<Option<Subscription>, SubscribeError> {
        let filters = Arc::new(filters);
        // First of all, so that no wake-up is missed from here on.
        let registration = shared.interest.register(Arc::clone(&filters), consumer, None);
        let mut beginning = Beginning::find(&shared, &filters, &start).await?;
        let deletions_known = beginning.deletions_known(shared.window.tail());
        let mut open = None;
        if filters.patterns().is_empty() {
            open = beginning.open_topics(&shared, &filters).await?;
            if open.is_none() {
                return Ok(None);
            }
        }
        let requested = if let Start::Cursor(text) = start { clip(text) } else { String::new() };
        Ok(Some(Subscription {
            position: beginning.after,
            picked: beginning.picked,
            was_picked: false,
            losses_reported: beginning.losses_reported,
            gap: beginning.gap.map(|reason| (reason, requested)),
            stash: None,
            finished: false,
            shared,
            filters,
            registration,
            open,
            deletions_known,
        }))
    }

    /// Where the reader is: everything up to here has been handed out or did not match. This is a
    /// position of its own last read, so no event that is still to come lies below it.
    pub fn cursor(&self) -> Cursor {
        let before_picked = self.picked.front().map(|offset| offset.previous());
        let before_stash = self.stash.as_ref().and_then(|batch| batch.records.first());
        let before = before_stash.map(|record| record.offset().previous()).or(before_picked);
        self.shared.position(before.unwrap_or(self.position))
    }

    /// What wakes when there may be more to read.
    pub fn consumer(&self) -> &Consumer {
        self.registration.consumer()
    }

    /// Whether all its topics have ended and the reader was handed that.
    pub fn is_finished(&self) -> bool {
        self.finished && self.stash.is_none()
    }

    /// What it asks for.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Whether the storage has to be asked for what comes next.
    pub fn needs_storage(&self) -> bool {
        let nothing_read = self.stash.is_none() && !self.finished;
        let apart = self.gap.is_some() || !self.picked.is_empty();
        nothing_read && (apart || !self.is_covered())
    }

    /// Finds out how the stream begins, before the first batch: with a position or with a gap. Asks
    /// the storage only of a reader that is behind the live window.
    pub async fn start_position(&mut self) -> Result<StartPosition, StorageError> {
        if self.begins_behind() {
            let batch = self.read_from_storage(Budget::default()).await?;
            self.stash = Some(batch);
        }
        Ok(self.begin_reading())
    }

    /// The same, if it takes no look into the storage.
    pub fn start_position_in_memory(&mut self) -> Option<StartPosition> {
        (!self.begins_behind()).then(|| self.begin_reading())
    }

    fn begins_behind(&self) -> bool {
        self.gap.is_some() || (self.picked.is_empty() && !self.is_covered())
    }

    fn begin_reading(&mut self) -> StartPosition {
        match self.stash.as_mut().and_then(|batch| batch.gap.take()) {
            Some(gap) => StartPosition::Gap(gap),
            None => StartPosition::At(self.cursor()),
        }
    }

    /// Reads what is there without waiting for anything.
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
        loop {
            let Some(page) = self.shared.window.read(&self.filters, self.position, budget) else {
                return TryRead::NeedsStorage;
            };
            let moved = page.through > self.position;
            let batch = self.accept(page);
            if !batch.is_empty() {
                return TryRead::Batch(batch);
            }
            // Rows that did not match were as many as the budget allows: go on.
            if !moved {
                return TryRead::AtTail;
            }
        }
    }

    /// Reads from the storage, for a reader behind the live window. The batch is empty if nothing
    /// matched up to where it read.
    pub async fn read_from_storage(&mut self, budget: Budget) -> Result<Batch, StorageError> {
        if !self.picked.is_empty() {
            return self.read_picked(budget).await;
        }
        let requested = self.shared.position(self.position).to_string();
        let mut page = self.read_page(budget).await?;
        if let Some(removed) = page.removed.take() {
            self.losses_reported = removed.removals;
            // A cursor that is lost altogether says all that this one would.
            self.gap.get_or_insert_with(|| (reason_of(&removed), requested));
            return self.read_after_gap(page, removed.topics, budget).await;
        }
        match self.gap {
            Some(_) => {
                let topics =
                    self.filters.exact().iter().take(Removed::TOPICS_MAX).cloned().collect();
                self.read_after_gap(page, topics, budget).await
            }
            None => Ok(self.accept(page)),
        }
    }

    /// Waits for the next batch; `None` when all topics have ended. It may be dropped at any time.
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

    /// The batches as a [`Stream`], for programs that like those better.
    pub fn into_stream(self) -> impl Stream<Item = Result<Batch, StorageError>> {
        stream::try_unfold(self, |mut subscription| async move {
            Ok(subscription.next().await?.map(|batch| (batch, subscription)))
        })
    }

    fn is_covered(&self) -> bool {
        self.shared.window.covers(&self.filters, self.position)
    }

    async fn read_page(&self, budget: Budget) -> Result<Page, StorageError> {
        let request = ReadRequest {
            filters: Arc::clone(&self.filters),
            after: self.position,
            until: Offset::MAX,
            budget,
            losses_reported: self.losses_reported,
        };
        let page = self.shared.queries.page(request).await?;
        for record in &page.records {
            self.shared.large.keep(record);
        }
        Ok(page)
    }

    /// A gap says which event is next, so reading goes on until there is one, or the tail.
    async fn read_after_gap(
        &mut self,
        mut page: Page,
        topics: Vec<TopicName>,
        budget: Budget,
    ) -> Result<Batch, StorageError> {
        let batch = loop {
            let moved = page.through > self.position;
            let batch = self.accept(page);
            if !batch.records.is_empty() || !moved {
                break batch;
            }
            page = self.read_page(budget).await?;
            if let Some(removed) = page.removed.take() {
                self.losses_reported = removed.removals;
            }
        };
        let Some((reason, requested)) = self.gap.take() else { return Ok(batch) };
        let first = batch.records.first();
        let position = first.map_or(self.position, |record| record.offset().previous());
        let gap = Gap {
            reason,
            requested,
            earliest: first.map(|record| record.cursor().to_string()),
            topics: topics.iter().map(TopicName::to_string).collect(),
            position: self.shared.position(position),
        };
        Ok(Batch { gap: Some(gap), records: batch.records })
    }

    /// Records of a `last_each` start, each topic's followed by its end if it has one. They are few and
    /// chosen, so what retention took since is simply not there.
    async fn read_picked(&mut self, budget: Budget) -> Result<Batch, StorageError> {
        let count = self.picked.len().min(budget.records.max(1));
        let offsets: Vec<Offset> = self.picked.iter().take(count).copied().collect();
        let mut records = self.shared.storage.fetch(offsets).await?;
        let ends = self.ends_behind(&records).await?;
        // Only now, for whoever waits for this may give up.
        self.picked.drain(..count);
        self.was_picked = true;
        let next = self.picked.front().copied().unwrap_or(Offset::MAX);
        for end in ends {
            if end.offset() < next {
                records.push(end);
            } else if let Err(at) = self.picked.binary_search(&end.offset()) {
                self.picked.insert(at, end.offset());
            }
        }
        records.sort_unstable_by_key(|record| record.offset());
        records.dedup_by_key(|record| record.offset());
        Ok(Batch { gap: None, records })
    }

    /// The ends of these events' topics, but for those that come when reading goes on.
    async fn ends_behind(&self, records: &[Arc<Record>]) -> Result<Vec<Arc<Record>>, StorageError> {
        let events = records.iter().filter(|record| record.event().is_some());
        let topics: HashSet<TopicName> = events.map(|record| record.topic().clone()).collect();
        let states = self.shared.storage.states(topics.into_iter().collect()).await?;
        let ends = states.into_iter().filter_map(|state| state.end);
        Ok(ends.filter(|end| !end.is_deletion() && end.offset() <= self.position).collect())
    }

    /// Moves the reader past a page and keeps what concerns it.
    fn accept(&mut self, page: Page) -> Batch {
        self.position = page.through;
        self.was_picked = false;
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

    /// Whether this record is the last that the stream waits for.
    fn ends_with(&mut self, record: &Record) -> bool {
        let names = self.filters.exact().len();
        let Some(open) = &mut self.open else { return false };
        if record.event().is_none() {
            open.remove(record.topic());
        } else if open.len() < names && !open.contains(record.topic()) {
            // A deleted topic that began anew.
            open.insert(record.topic().clone());
        }
        open.is_empty()
    }
}

fn reason_of(removed: &Removed) -> GapReason {
    if removed.deleted { GapReason::Deleted } else { GapReason::Trimmed }
}

/// What is repeated to the reader of a cursor that nobody can read.
fn clip(mut text: String) -> String {
    const SHOWN_MAX: usize = 128;
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= SHOWN_MAX);
    if let Some(end) = end {
        text.truncate(end);
    }
    text
}
