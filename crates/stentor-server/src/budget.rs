//! The memory that request bodies share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::metrics::Metrics;

/// A shared limit, in bytes, for all request bodies in flight.
///
/// A body that would exceed the limit waits, except the oldest one, which may always continue. So at
/// most one body exceeds the limit, and every body completes eventually.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    bytes_max: usize,
    state: Mutex<State>,
    /// Bytes reserved by all bodies. Written under the lock of `state`.
    used: AtomicUsize,
    /// Notified when bytes were returned or another body became the oldest.
    changed: Notify,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes reserved by each body, the oldest body first.
    reserved: BTreeMap<u64, usize>,
    next_age: u64,
}

impl BodyBudget {
    pub(crate) fn new(bytes_max: usize, metrics: Metrics) -> Arc<BodyBudget> {
        Arc::new(BodyBudget {
            bytes_max,
            state: Mutex::default(),
            used: AtomicUsize::new(0),
            changed: Notify::new(),
            metrics,
        })
    }

    /// Returns `true` if `bytes` more would fit now. For a body that has arrived and is consumed at
    /// once, this check replaces a reservation.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(bytes) <= self.bytes_max
    }

    /// Creates the reservation of a body that begins to arrive. It holds no bytes yet.
    pub(crate) fn reservation(self: &Arc<BodyBudget>) -> Reservation {
        let mut state = self.state();
        let age = state.next_age;
        state.next_age += 1;
        state.reserved.insert(age, 0);
        Reservation { budget: Arc::clone(self), age }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the bytes that a body reserves. Returns `false`, and changes nothing, if they do not fit
    /// and the body is not the oldest.
    fn try_resize(&self, age: u64, bytes: usize) -> bool {
        let mut state = self.state();
        let before = state.reserved.get(&age).copied().unwrap_or_default();
        let used = self.used.load(Ordering::Relaxed) - before + bytes;
        let oldest = state.reserved.first_key_value().is_some_and(|(first, _)| *first == age);
        if bytes > before && used > self.bytes_max && !oldest {
            return false;
        }
        self.used.store(used, Ordering::Relaxed);
        state.reserved.insert(age, bytes);
        self.metrics.body_bytes.set(i64::try_from(used).unwrap_or(i64::MAX));
        drop(state);
        if bytes < before {
            self.changed.notify_waiters();
        }
        true
    }

    fn release(&self, age: u64) {
        self.try_resize(age, 0);
        self.state().reserved.remove(&age);
        self.changed.notify_waiters();
    }
}

/// The bytes that one body reserves in the budget. They are returned on drop.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<BodyBudget>,
    age: u64,
}

impl Reservation {
    /// Sets the total number of reserved bytes. Waits for room if it grows.
    ///
    /// Cancel safe: if the future is dropped, the reservation keeps its size.
    pub(crate) async fn resize(&self, bytes: usize) {
        loop {
            let changed = self.budget.changed.notified();
            tokio::pin!(changed);
            // Register for the notification before the check, so that no change is missed.
            changed.as_mut().enable();
            if self.budget.try_resize(self.age, bytes) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.release(self.age);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn budget(bytes_max: usize) -> Arc<BodyBudget> {
        BodyBudget::new(bytes_max, Metrics::default())
    }

    #[test]
    fn a_body_waits_until_there_is_room() {
        let budget = budget(100);
        let (first, second) = (budget.reservation(), budget.reservation());
        assert!(first.resize(60).now_or_never().is_some());
        assert!(second.resize(60).now_or_never().is_none());
        assert!(second.resize(40).now_or_never().is_some());
        assert!(!budget.has_room(1));
        assert!(first.resize(10).now_or_never().is_some());
        assert!(budget.has_room(50));
        assert!(second.resize(60).now_or_never().is_some());
    }

    #[test]
    fn the_oldest_body_may_always_continue() {
        let budget = budget(100);
        let (first, second) = (budget.reservation(), budget.reservation());
        assert!(second.resize(100).now_or_never().is_some());
        assert!(first.resize(500).now_or_never().is_some());
        drop(first);
        assert!(second.resize(500).now_or_never().is_some(), "now it is the oldest");
    }

    #[tokio::test]
    async fn a_waiting_body_continues_when_another_is_dropped() {
        let budget = budget(100);
        let (first, second) = (budget.reservation(), budget.reservation());
        first.resize(100).await;
        let waiting = tokio::spawn(async move { second.resize(50).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
    }
}
