//! The memory that request bodies share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::metrics::Metrics;

/// Size up to which a body, or a part of it, may use the reserve of the limit, in bytes.
pub(crate) const SMALL_BYTES: usize = 64 << 10;
/// The reserve for small bodies is this part of the limit.
const RESERVE_PART: usize = 8;
/// Maximum time for which a body waits for room.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);
/// Maximum number of bodies that wait for room.
const WAITERS_MAX: usize = 1_024;

/// There was no room for a body within [`WAIT_MAX`], or [`WAITERS_MAX`] other bodies were waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// A shared limit, in bytes, for all request bodies in flight: those that arrive, and those that wait in the hub to
/// be committed.
///
/// An eighth of the limit is reserved for bodies of at most [`SMALL_BYTES`], so that large ones that arrive slowly
/// do not delay them.
///
/// A body that would exceed its limit waits for at most [`WAIT_MAX`], with two exceptions, so that bodies complete
/// while others are slow:
///
/// - The oldest body may always continue. A body that waits to be committed keeps its age: while it is the
///   oldest, no other one is.
/// - The oldest one that holds bytes and waits for more may continue, one at a time. Otherwise bodies that grow
///   could wait for each other while the oldest one, an open upload, is silent.
///
/// So at most two bodies exceed the limit, and large ones use at most that much of the reserve.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    bytes_max: usize,
    state: Mutex<State>,
    /// Bytes reserved by all bodies. Written under the lock of `state`.
    used: AtomicUsize,
    /// Number of bodies that wait for room.
    waiters: AtomicUsize,
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
    /// The parts that hold bytes and wait for more.
    waiting: BTreeSet<PartId>,
    /// The age of the body that exceeds the limit although it is not the oldest.
    exceeding: Option<u64>,
}

impl State {
    /// Returns `true` if this part, which holds bytes and waits for more, may exceed the limit.
    fn may_exceed(&self, part: PartId) -> bool {
        self.waiting.contains(&part)
            && self.waiting.first().is_some_and(|first| first.0 == part.0)
            && self.exceeding.is_none_or(|age| age == part.0)
    }
}

/// A part of a body: the age of the body, then a number of the part.
type PartId = (u64, u64);

impl BodyBudget {
    pub(crate) fn new(bytes_max: usize, metrics: Metrics) -> Arc<BodyBudget> {
        Arc::new(BodyBudget {
            bytes_max,
            state: Mutex::default(),
            used: AtomicUsize::new(0),
            waiters: AtomicUsize::new(0),
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
    pub(crate) async fn reserve(
        self: &Arc<BodyBudget>,
        bytes: usize,
    ) -> Result<Reservation, NoRoom> {
        let reservation = self.reservation();
        reservation.resize(bytes).await?;
        Ok(reservation)
    }

    /// The limit for a part of `bytes`.
    fn limit_of(&self, bytes: usize) -> usize {
        if bytes <= SMALL_BYTES {
            self.bytes_max
        } else {
            self.bytes_max - self.bytes_max / RESERVE_PART
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the bytes that a part of a body reserves. Returns `false`, and changes nothing, if they do not fit
    /// and the part may not exceed the limit.
    fn try_resize(&self, part: PartId, bytes: usize) -> bool {
        let mut state = self.state();
        let before = state.reserved.get(&part).copied().unwrap_or_default();
        let used = self.used.load(Ordering::Relaxed).saturating_sub(before).saturating_add(bytes);
        let oldest = state.reserved.first_key_value().is_some_and(|(first, _)| first.0 == part.0);
        if bytes > before && used > self.limit_of(bytes) && !oldest {
            if !state.may_exceed(part) {
                return false;
            }
            state.exceeding = Some(part.0);
        }
        self.set_used(&mut state, used);
        state.reserved.insert(part, bytes);
        drop(state);
        if bytes < before {
            self.changed.notify_waiters();
        }
        true
    }

    /// Counts a part as waiting, and adds it to those that may exceed the limit if it holds bytes.
    fn wait(&self, part: PartId) -> Waiting<'_> {
        let waiters = self.waiters.fetch_add(1, Ordering::Relaxed);
        self.metrics.bodies_waiting.set(i64::try_from(waiters + 1).unwrap_or(i64::MAX));
        let mut state = self.state();
        if state.reserved.get(&part).is_some_and(|bytes| *bytes > 0) {
            state.waiting.insert(part);
        }
        Waiting { budget: self, part }
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
        let used = self.used.load(Ordering::Relaxed).saturating_add(bytes - moved);
        self.set_used(&mut state, used);
        new
    }

    fn shrink(&self, part: PartId, bytes: usize) {
        let mut state = self.state();
        let before = state.reserved.get(&part).copied().unwrap_or_default();
        let returned = bytes.min(before);
        state.reserved.insert(part, before - returned);
        let used = self.used.load(Ordering::Relaxed).saturating_sub(returned);
        self.set_used(&mut state, used);
        drop(state);
        self.changed.notify_waiters();
    }

    fn release(&self, part: PartId) {
        let mut state = self.state();
        let bytes = state.reserved.remove(&part).unwrap_or_default();
        if state.reserved.range((part.0, 0)..=(part.0, u64::MAX)).next().is_none() {
            state.exceeding.take_if(|age| *age == part.0);
        }
        let used = self.used.load(Ordering::Relaxed).saturating_sub(bytes);
        self.set_used(&mut state, used);
        drop(state);
        self.changed.notify_waiters();
    }

    fn set_used(&self, state: &mut State, used: usize) {
        if used <= self.limit_of(usize::MAX) {
            state.exceeding = None;
        }
        self.used.store(used, Ordering::Relaxed);
        self.metrics.body_bytes.set(i64::try_from(used).unwrap_or(i64::MAX));
    }
}

/// A part that waits. On drop, it no longer does.
struct Waiting<'a> {
    budget: &'a BodyBudget,
    part: PartId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        let was_first = state.waiting.first() == Some(&self.part);
        state.waiting.remove(&self.part);
        drop(state);
        let waiters = self.budget.waiters.fetch_sub(1, Ordering::Relaxed);
        self.budget.metrics.bodies_waiting.set(i64::try_from(waiters - 1).unwrap_or(i64::MAX));
        if was_first {
            self.budget.changed.notify_waiters();
        }
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
    ///
    /// # Errors
    ///
    /// [`NoRoom`] after [`WAIT_MAX`], and at once if [`WAITERS_MAX`] others wait. The reservation then keeps its size.
    pub(crate) async fn resize(&self, bytes: usize) -> Result<(), NoRoom> {
        if self.try_resize(bytes) {
            return Ok(());
        }
        let grown = async {
            if self.budget.waiters.load(Ordering::Relaxed) >= WAITERS_MAX {
                return Err(NoRoom);
            }
            timeout(WAIT_MAX, self.wait_for(bytes)).await.map_err(|_| NoRoom)
        };
        let grown = grown.await;
        if grown.is_err() {
            self.budget.metrics.bodies_refused.inc();
        }
        grown
    }

    async fn wait_for(&self, bytes: usize) {
        let _waiting = self.budget.wait(self.part);
        loop {
            let changed = self.budget.changed.notified();
            tokio::pin!(changed);
            // Register for the notification before the check, so that no change is missed.
            changed.as_mut().enable();
            if self.try_resize(bytes) {
                return;
            }
            changed.await;
        }
    }

    /// Returns `bytes` of the reservation.
    pub(crate) fn shrink(&self, bytes: usize) {
        self.budget.shrink(self.part, bytes);
    }

    /// Sets the total number of reserved bytes. Returns `false`, and changes nothing, if there is no room now.
    pub(crate) fn try_resize(&self, bytes: usize) -> bool {
        self.budget.try_resize(self.part, bytes)
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

    #[tokio::test]
    async fn a_body_waits_until_there_is_room() {
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

    #[tokio::test]
    async fn the_oldest_body_may_always_continue() {
        let budget = budget(100);
        let (first, second) = (budget.reservation(), budget.reservation());
        assert!(second.resize(100).now_or_never().is_some());
        assert!(first.resize(500).now_or_never().is_some());
        drop(first);
        assert!(second.resize(500).now_or_never().is_some(), "now it is the oldest");
    }

    #[tokio::test]
    async fn no_body_exceeds_the_limit_while_an_older_one_waits_to_be_committed() {
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

    #[tokio::test]
    async fn a_split_moves_bytes_and_returns_them_once() {
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
    async fn growing_bodies_do_not_wait_for_each_other_beside_an_idle_upload() {
        let budget = budget(100);
        let _idle = budget.reservation();
        let [older, younger] = [60, 40].map(|bytes| {
            let body = budget.reservation();
            assert!(body.resize(bytes).now_or_never().is_some());
            body
        });
        let mut waiting = Box::pin(younger.resize(60));
        let mut exceeding = Box::pin(older.resize(80));
        // One of them continues, and the other one when that has completed.
        assert!(waiting.as_mut().now_or_never().is_some());
        assert!(exceeding.as_mut().now_or_never().is_none(), "one at a time");
        drop(waiting);
        drop(younger);
        assert!(exceeding.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn of_several_growing_bodies_the_oldest_exceeds_the_limit_next() {
        let budget = budget(100);
        let _idle = budget.reservation();
        let [first, second, third] = [50, 30, 20].map(|bytes| {
            let body = budget.reservation();
            assert!(body.resize(bytes).now_or_never().is_some());
            body
        });
        assert!(first.resize(60).now_or_never().is_some());
        let mut thirds = Box::pin(third.resize(75));
        assert!(thirds.as_mut().now_or_never().is_none());
        let mut seconds = Box::pin(second.resize(85));
        assert!(seconds.as_mut().now_or_never().is_none());
        assert!(first.resize(500).now_or_never().is_some(), "it may go on to grow");
        drop(first);
        assert!(thirds.as_mut().now_or_never().is_none(), "the second one is older");
        assert!(seconds.as_mut().now_or_never().is_some());
        drop(seconds);
        drop(second);
        assert!(thirds.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_body_without_bytes_waits_for_room_while_others_grow() {
        let budget = budget(100);
        let (_idle, full, empty) =
            (budget.reservation(), budget.reservation(), budget.reservation());
        assert!(full.resize(100).now_or_never().is_some());
        assert!(empty.resize(10).now_or_never().is_none());
        assert!(full.resize(150).now_or_never().is_some());
        assert!(empty.resize(10).now_or_never().is_none());
        drop(full);
        assert!(empty.resize(10).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_waiting_body_continues_when_another_is_dropped() {
        let budget = budget(100);
        let (first, second) = (budget.reservation(), budget.reservation());
        first.resize(100).await.unwrap();
        let waiting = tokio::spawn(async move { second.resize(50).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_for_which_there_is_no_room_is_refused_after_ten_seconds() {
        let budget = budget(100);
        let (first, second) = (budget.reservation(), budget.reservation());
        first.resize(100).await.unwrap();
        let start = tokio::time::Instant::now();
        assert_eq!(second.resize(50).await, Err(NoRoom));
        assert_eq!(start.elapsed().as_secs(), WAIT_MAX.as_secs());
        drop(first);
        assert_eq!(second.resize(50).await, Ok(()), "it may try again");
    }

    #[tokio::test(start_paused = true)]
    async fn small_bodies_have_room_while_large_ones_use_up_theirs() {
        let budget = budget(64 << 20);
        let large: Vec<_> = (0..9).map(|_| budget.reservation()).collect();
        let mut refused = 0;
        for body in &large {
            refused += u32::from(body.resize(8 << 20).await.is_err());
        }
        assert_eq!(refused, 2, "seven of eight parts are for large bodies");
        let small: Vec<_> = (0..64).map(|_| budget.reservation()).collect();
        for body in &small {
            body.resize(SMALL_BYTES).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_bounded_number_of_bodies_wait() {
        let budget = budget(100);
        let first = budget.reservation();
        first.resize(100).await.unwrap();
        let waiting = (0..WAITERS_MAX).map(|_| {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move { budget.reserve(1).await.is_ok() })
        });
        let waiting: Vec<_> = waiting.collect();
        while budget.waiters.load(Ordering::Relaxed) < WAITERS_MAX {
            tokio::task::yield_now().await;
        }
        assert!(budget.reserve(1).now_or_never().is_some_and(|reserved| reserved.is_err()));
        drop(first);
        for waiting in waiting {
            assert!(waiting.await.unwrap(), "those that wait get room");
        }
    }
}
