//! One subscription for many readers: those who fall behind fork it, those who catch up join it again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Subscription;
use crate::consumer::Consumer;
use crate::cursor::Offset;
use crate::record::Record;
use crate::topic::TopicName;

/// Losses that a reader was told of: all up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossesReported(u64);

impl Subscription {
    /// Gives back the last records of the last batch, which the reader could not take: they are read
    /// again when it can.
    pub fn give_back(&mut self, records: &[Arc<Record>]) {
        let Some(first) = records.first() else { return };
        if self.was_picked {
            records.iter().rev().for_each(|record| self.picked.push_front(record.offset()));
            return;
        }
        self.position = first.offset().previous();
        self.reopen(records.iter().filter(|record| record.event().is_none()).map(|r| r.topic()));
    }

    /// Which losses its readers have been told of.
    pub fn losses_reported(&self) -> LossesReported {
        LossesReported(self.losses_reported)
    }

    /// A subscription of another reader that had the same and is at `position`, who was told of these
    /// losses and not yet of the ends of these topics.
    #[must_use]
    pub fn fork<'a>(
        &self,
        position: Offset,
        losses_reported: LossesReported,
        untold: impl IntoIterator<Item = &'a TopicName>,
    ) -> Subscription {
        let mut fork = Subscription {
            shared: Arc::clone(&self.shared),
            filters: Arc::clone(&self.filters),
            registration: self.registration.moved_to(self.consumer().clone(), None),
            position,
            picked: VecDeque::new(),
            was_picked: false,
            stash: None,
            losses_reported: losses_reported.0,
            gap: None,
            open: self.open.clone(),
            deletions_known: self.deletions_known,
            finished: self.finished,
        };
        fork.reopen(untold);
        fork
    }

    /// Goes where a [`fork`](Subscription::fork) of this one went.
    pub fn advance_to(&mut self, fork: Subscription) {
        let own = std::mem::replace(self, fork);
        self.registration = own.registration;
    }

    /// Has the consumer told by this mark when there is news: see [`Consumer::take_ready`]. From now on
    /// the subscription may stand for several readers.
    pub fn notify(&mut self, consumer: &Consumer, mark: usize) {
        self.registration = self.registration.moved_to(consumer.clone(), Some(mark));
    }

    /// Has news marked again. To be called before reading, when the mark was taken.
    pub fn rearm(&self) {
        self.registration.rearm();
    }

    /// Says how many readers it stands for.
    pub fn set_readers(&self, count: usize) {
        self.registration.set_readers(count);
    }

    /// Whether a reader of each, both at the tail, is told the same from now on.
    pub fn is_equivalent(&self, other: &Subscription) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
            && self.filters == other.filters
            && self.open == other.open
            && self.finished == other.finished
    }

    /// These topics are read again, and with them perhaps their ends.
    fn reopen<'a>(&mut self, topics: impl IntoIterator<Item = &'a TopicName>) {
        let Some(open) = &mut self.open else { return };
        open.extend(topics.into_iter().cloned());
        self.finished = open.is_empty();
    }
}
