//! A batch: the groups that are appended together.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::time::Instant;

use super::waiter::{Outcomes, Waiter};
use crate::publish::Publish;
use crate::storage::{Storage, StorageError};
use crate::timestamp::Timestamp;

/// An append in flight, with the callers that wait for it. Dropping it does not stop the append.
pub(super) struct Batch {
    waiters: Vec<Waiter>,
    append: BoxFuture<'static, Outcomes>,
    started: Instant,
    /// `true` while the storage runs. It stays `true` if the storage panics.
    is_polling: bool,
}

/// The size and the duration of an append.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    /// Number of callers that got their answer, without those that gave up.
    pub(super) groups: usize,
    pub(super) publishes: usize,
    pub(super) duration: Duration,
}

impl Batch {
    /// Prepares an append. It starts at the first poll.
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        publishes: Vec<Publish>,
        waiters: Vec<Waiter>,
    ) -> Batch {
        let append = Box::pin(async move { storage.append(publishes, Timestamp::now()).await });
        Batch { waiters, append, started: Instant::now(), is_polling: false }
    }

    /// Polls the append.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcomes> {
        self.is_polling = true;
        let polled = self.append.as_mut().poll(cx);
        self.is_polling = false;
        Poll::Ready(ready!(polled))
    }

    /// Returns `true` if the storage panicked. The append must not be polled again.
    pub(super) fn has_panicked(&self) -> bool {
        self.is_polling
    }

    /// Takes the callers. The append goes on without them.
    pub(super) fn take_waiters(&mut self) -> Vec<Waiter> {
        std::mem::take(&mut self.waiters)
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.iter()
    }

    /// Answers the callers with the outcomes of the append.
    pub(super) fn answer(self, outcomes: Outcomes) -> Answered {
        let duration = self.started.elapsed();
        let publishes = self.waiters.iter().map(|waiter| waiter.count).sum();
        let groups = match outcomes {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                let answers = self.waiters.into_iter().map(|waiter| {
                    let own = outcomes.by_ref().take(waiter.count).collect();
                    waiter.answer(Ok(own))
                });
                answers.filter(|is_sent| *is_sent).count()
            }
            Err(error) => fail(self.waiters, &error),
        };
        Answered { groups, publishes, duration }
    }
}

/// Answers callers with an error. Returns the number of callers that had not given up.
pub(super) fn fail(waiters: Vec<Waiter>, error: &StorageError) -> usize {
    let answers = waiters.into_iter().map(|waiter| waiter.answer(Err(error.clone())));
    answers.filter(|is_sent| *is_sent).count()
}
