//! One subscription for several readers: a reader that falls behind forks it, and joins it again when it has caught
//! up.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{LossesReported, Subscription, WakeUps};
use crate::cursor::Offset;
use crate::record::Record;
use crate::topic::TopicName;

impl Subscription {
    /// Gives back the last `records` of the last batch, which the reader could not take. They are read again later.
    pub fn give_back(&mut self, records: &[Arc<Record>]) {
        let Some(first) = records.first() else { return };
        if self.last_was_picked {
            records.iter().rev().for_each(|record| self.picked.push_front(record.offset()));
            return;
        }
        self.position = first.offset().previous();
        self.is_at_tail = false;
        self.reopen(records.iter().filter(|record| record.event().is_none()).map(|r| r.topic()));
    }

    /// The losses that were reported to the readers of this subscription.
    pub fn losses_reported(&self) -> LossesReported {
        LossesReported(self.losses_reported)
    }

    /// Creates a subscription for one reader of this subscription. The reader is at `position`, was notified of
    /// `losses_reported`, and has not received the ends of the topics `ends_ahead` yet. The fork is
    /// [detached](Subscription::detach).
    #[must_use]
    pub fn fork<'a>(
        &self,
        position: Offset,
        losses_reported: LossesReported,
        ends_ahead: impl IntoIterator<Item = &'a TopicName>,
    ) -> Subscription {
        let mut fork = Subscription {
            shared: Arc::clone(&self.shared),
            filters: Arc::clone(&self.filters),
            registration: self.registration.fork(),
            consumer: self.consumer.clone(),
            wake_ups: WakeUps::Never,
            is_at_tail: false,
            position,
            picked: VecDeque::new(),
            last_was_picked: false,
            stash: None,
            losses_reported: losses_reported.0,
            gap: None,
            open: self.open.clone(),
            deletions_known: self.deletions_known,
            finished: self.finished,
        };
        fork.reopen(ends_ahead);
        fork
    }

    /// Replaces the state of this subscription with that of its `fork`, and keeps its own consumer and key.
    pub fn advance_to(&mut self, fork: Subscription) {
        let own = std::mem::replace(self, fork);
        self.registration = own.registration;
        self.consumer = own.consumer;
        self.wake_ups = own.wake_ups;
        // The fork has read for its own listener.
        self.is_at_tail = false;
    }

    /// Sets the number of readers of this subscription, which [`Hub::subscribers`](crate::Hub::subscribers) counts.
    pub fn set_readers(&self, count: usize) {
        self.registration.set_readers(count);
    }

    /// Returns `true` if readers of both subscriptions, at the tail, get the same records and ends from now on.
    pub fn is_equivalent(&self, other: &Subscription) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
            && self.filters == other.filters
            && self.open == other.open
            && self.finished == other.finished
    }

    /// Marks topics as not ended, because their ends will be read again.
    fn reopen<'a>(&mut self, topics: impl IntoIterator<Item = &'a TopicName>) {
        let Some(open) = &mut self.open else { return };
        open.extend(topics.into_iter().cloned());
        self.finished = open.is_empty();
    }
}
