//! The wake-ups of a subscription.
//!
//! A subscription listens only while it is at the tail, or for a group. It begins to listen before its last read, so
//! that no record is missed, see [`interest`](crate::interest).

use super::{Subscription, WakeUps};
use crate::consumer::Consumer;
use crate::cursor::Offset;

impl Subscription {
    /// The consumer that is woken when there may be more to read. It is woken once in the beginning, and after each
    /// [`TryRead::AtTail`](crate::TryRead::AtTail) at the next record. A reader that has not read to the tail is not
    /// woken.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Ends the wake-ups: records do not wake the consumer, also not at the tail.
    ///
    /// For a reader that is driven by other events, such as room in its socket, and that joins a subscription with
    /// wake-ups when it reaches the tail. It costs publishers nothing.
    pub fn detach(&mut self) {
        self.wake_ups = WakeUps::Never;
    }

    /// Wakes `consumer` with `key` when there are new records, see [`Consumer::take_ready`]. Replaces the consumer of
    /// the subscription. Afterwards the subscription may serve several readers.
    pub fn notify(&mut self, consumer: &Consumer, key: usize) {
        self.consumer = consumer.clone();
        self.is_at_tail = false;
        self.wake_ups = WakeUps::Group(self.registration.listen(consumer.clone(), Some(key)));
    }

    /// Re-arms the key after [`Consumer::take_ready`] returned it. Call this before reading; otherwise records that
    /// arrive in between wake nothing.
    ///
    /// Skips records up to the one that made the key ready if none of them can match, so that reading after a wake-up
    /// does not depend on the number of records of other topics.
    pub fn rearm(&mut self) {
        if let WakeUps::Group(listening) = &self.wake_ups
            && let Some(first) = listening.rearm()
        {
            self.skip_to(first);
        }
    }

    /// Makes the next record wake the consumer, if it is to be woken at the tail. Returns `true` if records may have
    /// arrived since the last read, so that it must be read once more.
    pub(super) fn listen(&mut self) -> bool {
        match &mut self.wake_ups {
            WakeUps::Group(_) | WakeUps::Never => false,
            WakeUps::AtTail(Some(listening)) => listening.rearm().is_some(),
            WakeUps::AtTail(listening @ None) => {
                *listening = Some(self.registration.listen(self.consumer.clone(), None));
                true
            }
        }
    }

    /// Ends the wake-ups of a subscription that is not at the tail.
    pub(super) fn stop_listening(&mut self) {
        if let WakeUps::AtTail(listening) = &mut self.wake_ups {
            *listening = None;
        }
    }

    /// Skips the records up to the one that woke the consumer.
    pub(super) fn skip_unmatched(&mut self) {
        if let WakeUps::AtTail(Some(listening)) = &self.wake_ups
            && let Some(first) = listening.notified_of()
        {
            self.skip_to(first);
        }
    }

    /// Skips the records before `first`, the first record that the listener was notified of: if the reader was at the
    /// tail, none of them matches.
    fn skip_to(&mut self, first: Offset) {
        if std::mem::take(&mut self.is_at_tail) {
            self.position = self.position.max(first.previous());
        }
    }
}
