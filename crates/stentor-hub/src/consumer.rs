//! Consumers: the tasks that are woken when a topic gets records.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// The wake-up handle of a task that serves one or more subscriptions.
///
/// The task is woken once, no matter how many of its subscriptions have new records. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Consumer(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    is_set: AtomicBool,
    waker: AtomicWaker,
    /// Keys of subscriptions with new records, each once. At most one entry per registered subscription.
    ready: Mutex<Vec<usize>>,
}

impl Consumer {
    /// Creates a consumer without subscriptions.
    pub fn new() -> Consumer {
        Consumer::default()
    }

    /// Waits until the consumer has been woken since the last call. At most one task may wait. Cancel safe.
    pub async fn woken(&self) {
        poll_fn(|cx| self.poll_woken(cx)).await;
    }

    /// Polls [`Consumer::woken`], for hand-written futures.
    ///
    /// A commit calls the waker while the hub holds locks. A waker must therefore not call the hub, for example to
    /// publish or to drop a subscription. Those of async runtimes only schedule a task.
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.is_set.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        self.0.waker.register(cx.waker());
        // A wake-up between the two lines above found no waker, so check again.
        if self.0.is_set.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Wakes the task. Callers may use this for any purpose.
    pub fn wake(&self) {
        if !self.0.is_set.swap(true, Ordering::AcqRel) {
            self.0.waker.wake();
        }
    }

    /// Appends to `into` the keys of the subscriptions that got records since the last call. Only subscriptions with a
    /// key are included, see [`Subscription::notify`](crate::Subscription::notify).
    pub fn take_ready(&self, into: &mut Vec<usize>) {
        into.append(&mut self.0.ready.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Adds a key to the list of ready keys and wakes the task.
    pub(crate) fn notify(&self, key: usize) {
        self.0.ready.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.wake();
    }
}
