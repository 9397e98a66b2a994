//! The memory that request bodies share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::metrics::Metrics;

/// A budget of bytes for all bodies in flight. A body that would exceed it waits, but for the oldest
/// one, which may always go on: so the budget is exceeded by one body at most, and all get done.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    state: Mutex<State>,
    /// Something was given back, or the oldest body is another one.
    changed: Notify,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes held by each body, oldest body first.
    held: BTreeMap<u64, usize>,
    used: usize,
    next: u64,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize, metrics: Metrics) -> Arc<Budget> {
        Arc::new(Budget { bytes_max, state: Mutex::default(), changed: Notify::new(), metrics })
    }

    /// Whether there is room for a body that is here already and gone in a moment: it needs no share.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let used = usize::try_from(self.metrics.body_bytes.get()).unwrap_or_default();
        used.saturating_add(bytes) <= self.bytes_max
    }

    /// The share of a body that has just begun; it holds nothing yet.
    pub(crate) fn share(self: &Arc<Budget>) -> Share {
        let mut state = self.state();
        let age = state.next;
        state.next += 1;
        state.held.insert(age, 0);
        Share { budget: Arc::clone(self), age }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what a body holds, if there is room or it is the oldest.
    fn try_hold(&self, age: u64, bytes: usize) -> bool {
        let mut state = self.state();
        let held = state.held.get(&age).copied().unwrap_or_default();
        let used = state.used - held + bytes;
        let oldest = state.held.first_key_value().is_some_and(|(first, _)| *first == age);
        if bytes > held && used > self.bytes_max && !oldest {
            return false;
        }
        state.used = used;
        state.held.insert(age, bytes);
        self.metrics.body_bytes.set(i64::try_from(used).unwrap_or(i64::MAX));
        drop(state);
        if bytes < held {
            self.changed.notify_waiters();
        }
        true
    }

    fn forget(&self, age: u64) {
        self.try_hold(age, 0);
        self.state().held.remove(&age);
        self.changed.notify_waiters();
    }
}

/// What one body holds of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    age: u64,
}

impl Share {
    /// Holds so many bytes in all. Waits for room if that is more than before.
    pub(crate) async fn hold(&self, bytes: usize) {
        loop {
            let changed = self.budget.changed.notified();
            tokio::pin!(changed);
            // Listen before looking, so that no change falls in between.
            changed.as_mut().enable();
            if self.budget.try_hold(self.age, bytes) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.forget(self.age);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn budget(bytes_max: usize) -> Arc<Budget> {
        Budget::new(bytes_max, Metrics::default())
    }

    #[test]
    fn a_body_waits_until_there_is_room() {
        let budget = budget(100);
        let (first, second) = (budget.share(), budget.share());
        assert!(first.hold(60).now_or_never().is_some());
        assert!(second.hold(60).now_or_never().is_none());
        assert!(second.hold(40).now_or_never().is_some());
        assert!(first.hold(10).now_or_never().is_some());
        assert!(second.hold(60).now_or_never().is_some());
    }

    #[test]
    fn the_oldest_body_may_always_go_on() {
        let budget = budget(100);
        let (first, second) = (budget.share(), budget.share());
        assert!(second.hold(100).now_or_never().is_some());
        assert!(first.hold(500).now_or_never().is_some());
        drop(first);
        assert!(second.hold(500).now_or_never().is_some(), "now it is the oldest");
    }

    #[tokio::test]
    async fn a_waiting_body_goes_on_when_another_is_gone() {
        let budget = budget(100);
        let (first, second) = (budget.share(), budget.share());
        first.hold(100).await;
        let waiting = tokio::spawn(async move { second.hold(50).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
    }
}
