//! Reading from the storage, for readers behind the live window.

use std::collections::HashSet;
use std::sync::Arc;

use super::pending_gap::PendingGap;
use super::{Batch, Subscription};
use crate::cursor::Offset;
use crate::gap::{Gap, GapReason};
use crate::record::Record;
use crate::storage::{Budget, Page, ReadRequest, StorageError};
use crate::topic::TopicName;

impl Subscription {
    /// Reads from the storage, for a reader behind the live window. The batch is empty if no record matched in the
    /// range that was read; call this or [`Subscription::try_read`] again.
    ///
    /// Cancel safe.
    pub async fn read_from_storage(&mut self, budget: Budget) -> Result<Batch, StorageError> {
        if !self.picked.is_empty() {
            return self.read_picked(budget).await;
        }
        let page = self.read_page(budget).await?;
        if self.gap.is_none() {
            return Ok(self.accept(page));
        }
        self.read_after_gap(page, budget).await
    }

    /// Reads a page, and notes the losses that it reports. They stay noted until a gap reports them, also if the
    /// read of the records after them is cancelled.
    async fn read_page(&mut self, budget: Budget) -> Result<Page, StorageError> {
        let request = ReadRequest {
            filters: Arc::clone(&self.filters),
            after: self.position,
            until: Offset::MAX,
            budget,
            losses_reported: self.losses_reported,
        };
        let mut page = self.shared.queries.page(request).await?;
        for record in &page.records {
            self.shared.large.keep(record);
        }
        self.losses_reported = self.losses_reported.max(page.removals);
        if let Some(removed) = page.removed.take() {
            self.losses_reported = self.losses_reported.max(removed.removals);
            self.pending_gap().add(removed);
        }
        if let Some(damaged) = page.damaged.take() {
            self.pending_gap().add_damaged(damaged);
        }
        Ok(page)
    }

    /// The gap that is to be reported with the next batch. Begins one if there is none.
    fn pending_gap(&mut self) -> &mut PendingGap {
        let (shared, position) = (&self.shared, self.position);
        self.gap.get_or_insert_with(|| {
            Box::new(PendingGap::by_loss(shared.position(position).to_string()))
        })
    }

    /// Reads until it finds a record or reaches the tail, because a gap names the next event. More may be removed
    /// meanwhile; the gap reports that too.
    async fn read_after_gap(
        &mut self,
        mut page: Page,
        budget: Budget,
    ) -> Result<Batch, StorageError> {
        let batch = loop {
            let moved = page.through > self.position;
            let batch = self.accept(page);
            if !batch.records.is_empty() || !moved {
                break batch;
            }
            page = self.read_page(budget).await?;
        };
        let Some(gap) = self.gap.take() else { return Ok(batch) };
        let first = batch.records.first();
        let position = first.map_or(self.position, |record| record.offset().previous());
        let gap = Gap {
            reason: gap.reason(),
            topics: gap.topics(&self.filters),
            requested: gap.requested,
            earliest: first.map(|record| record.cursor().to_string()),
            position: self.shared.position(position),
        };
        Ok(Batch { gap: Some(gap), records: batch.records })
    }

    /// Reads the records of [`Start::LastEach`], and after the events of each topic its end, if it has one. A record
    /// that was trimmed meanwhile is skipped without a gap, but not a damaged one.
    async fn read_picked(&mut self, budget: Budget) -> Result<Batch, StorageError> {
        let count = self.picked.len().min(budget.records.max(1));
        let offsets: Vec<Offset> = self.picked.iter().take(count).copied().collect();
        let picked = self.shared.queries.picked(&self.filters, offsets).await?;
        let (mut records, damaged) = picked;
        let ends = self.ends_passed(&records).await?;
        let requested = self.cursor().to_string();
        // Only after the last await, so that a cancelled read loses nothing.
        self.picked.drain(..count);
        self.last_was_picked = true;
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
        let first = records.first();
        let gap = damaged.map(|damaged| Gap {
            reason: GapReason::Damaged,
            topics: damaged.topics.iter().map(ToString::to_string).collect(),
            requested,
            earliest: first.map(|record| record.cursor().to_string()),
            position: first.map_or_else(
                || self.cursor(),
                |record| self.shared.position(record.offset().previous()),
            ),
        });
        Ok(Batch { gap, records })
    }

    /// The ends of the topics of these events, except ends that are read later.
    async fn ends_passed(&self, records: &[Arc<Record>]) -> Result<Vec<Arc<Record>>, StorageError> {
        let events = records.iter().filter(|record| record.event().is_some());
        let topics: HashSet<TopicName> = events.map(|record| record.topic().clone()).collect();
        let states = self.shared.storage.states(topics.into_iter().collect()).await?;
        let ends = states.into_iter().filter_map(|state| state.end);
        Ok(ends.filter(|end| !end.is_deletion() && end.offset() <= self.position).collect())
    }
}
