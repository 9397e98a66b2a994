//! The memory that request bodies share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::metrics::Metrics;

/// A shared limit, in bytes, for all request bodies in flight: those that arrive, and those that wait in the hub to
/// be committed.
///
/// A body that would exceed the limit waits, except the oldest one, which may always continue. So at
/// most one body exceeds the limit, and every body completes eventually. A body that waits to be committed keeps its
/// age: while it is the oldest, no other one may exceed the limit.
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
    /// Bytes reserved by each part of each body, the oldest body first.
    reserved: BTreeMap<PartId, usize>,
    next_age: u64,
    next_part: u64,
}

/// A part of a body: the age of the body, then a number of the part.
type PartId = (u64, u64);

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
        let part = (state.next_age, 0);
        state.next_age += 1;
        state.reserved.insert(part, 0);
        Reservation { budget: Arc::clone(self), part }
    }

    /// Reserves the memory of a body that has arrived. Waits for room.
    pub(crate) async fn reserve(self: &Arc<BodyBudget>, bytes: usize) -> Reservation {
        let reservation = self.reservation();
        reservation.resize(bytes).await;
        reservation
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the bytes that a part of a body reserves. Returns `false`, and changes nothing, if they do not fit
    /// and the body is not the oldest.
    fn try_resize(&self, part: PartId, bytes: usize) -> bool {
        let mut state = self.state();
        let before = state.reserved.get(&part).copied().unwrap_or_default();
        let used = self.used.load(Ordering::Relaxed).saturating_sub(before).saturating_add(bytes);
        let oldest = state.reserved.first_key_value().is_some_and(|(first, _)| first.0 == part.0);
        if bytes > before && used > self.bytes_max && !oldest {
            return false;
        }
        self.set_used(used);
        state.reserved.insert(part, bytes);
        drop(state);
        if bytes < before {
            self.changed.notify_waiters();
        }
        true
    }

    /// Moves `bytes` from a part of a body to a new part of it. The old part shrinks by at most its size.
    fn split(&self, part: PartId, bytes: usize) -> PartId {
        let mut state = self.state();
        state.next_part += 1;
        let new = (part.0, state.next_part);
        let before = state.reserved.get(&part).copied().unwrap_or_default();
        let moved = before.min(bytes);
        state.reserved.insert(part, before - moved);
        state.reserved.insert(new, bytes);
        self.set_used(self.used.load(Ordering::Relaxed).saturating_add(bytes - moved));
        new
    }

    fn release(&self, part: PartId) {
        let mut state = self.state();
        let bytes = state.reserved.remove(&part).unwrap_or_default();
        self.set_used(self.used.load(Ordering::Relaxed).saturating_sub(bytes));
        drop(state);
        self.changed.notify_waiters();
    }

    /// Call it only with the lock of `state`.
    fn set_used(&self, used: usize) {
        self.used.store(used, Ordering::Relaxed);
        self.metrics.body_bytes.set(i64::try_from(used).unwrap_or(i64::MAX));
    }
}

/// The bytes that a body, or a part of it, reserves in the budget. They are returned on drop.
///
/// As the guard of a publish, it travels into the commit queue of the hub and is dropped when the publish leaves it.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<BodyBudget>,
    part: PartId,
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
            if self.budget.try_resize(self.part, bytes) {
                return;
            }
            changed.await;
        }
    }

    /// Splits off a reservation of `bytes`, for a part of the body that is about to be published. This reservation
    /// shrinks by as much.
    pub(crate) fn split(&self, bytes: usize) -> Reservation {
        let part = self.budget.split(self.part, bytes);
        Reservation { budget: Arc::clone(&self.budget), part }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.release(self.part);
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

    #[test]
    fn no_body_exceeds_the_limit_while_an_older_one_waits_to_be_committed() {
        let budget = budget(100);
        let (first, second) = (budget.reservation(), budget.reservation());
        assert!(first.resize(500).now_or_never().is_some());
        let queued = first.split(500);
        drop(first);
        assert!(!budget.has_room(0));
        assert!(second.resize(10).now_or_never().is_none(), "the queued part is older");
        drop(queued);
        assert!(second.resize(500).now_or_never().is_some());
    }

    #[test]
    fn a_split_moves_bytes_and_returns_them_once() {
        let budget = budget(100);
        let whole = budget.reservation();
        assert!(whole.resize(60).now_or_never().is_some());
        let (a, b) = (whole.split(20), whole.split(30));
        assert!(budget.has_room(40) && !budget.has_room(41));
        drop(a);
        assert!(budget.has_room(60) && !budget.has_room(61));
        drop(whole);
        assert!(budget.has_room(70) && !budget.has_room(71));
        drop(b);
        assert!(budget.has_room(100));
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
