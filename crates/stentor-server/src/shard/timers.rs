//! The timers of a shard.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

/// Resolution, in milliseconds. Timers that are due within one tick wake the shard once.
const TICK_MILLIS: u64 = 20;

/// Deadlines, ordered by time: adding one and taking one costs O(log n), and the next one is known.
///
/// Timers cannot be cancelled. A timer names its receiver by an id, so one that is no longer needed fires
/// and finds no receiver.
#[derive(Debug)]
pub(super) struct Timers<T> {
    start: Instant,
    heap: BinaryHeap<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    tick: u64,
    timer: T,
}

impl<T: Copy> Timers<T> {
    pub(super) fn new(now: Instant) -> Timers<T> {
        Timers { start: now, heap: BinaryHeap::new() }
    }

    /// Adds a timer that fires at `at` or up to one tick later.
    pub(super) fn add(&mut self, at: Instant, timer: T) {
        let tick = self.ticks(at).saturating_add(1);
        self.heap.push(Entry { tick, timer });
    }

    /// Adds a timer that fires after `time`. A time beyond the end of the clock never comes.
    pub(super) fn add_after(&mut self, now: Instant, time: Duration, timer: T) {
        if let Some(at) = now.checked_add(time) {
            self.add(at, timer);
        }
    }

    /// Moves at most `max` timers that are due to `due`, the earliest first. Returns `true` if more are
    /// due.
    pub(super) fn take_due(&mut self, now: Instant, max: usize, due: &mut Vec<T>) -> bool {
        let present = self.ticks(now);
        for _ in 0..max {
            if self.heap.peek().is_none_or(|first| first.tick > present) {
                return false;
            }
            due.extend(self.heap.pop().map(|first| first.timer));
        }
        let more = self.heap.peek().is_some_and(|first| first.tick <= present);
        if self.heap.is_empty() {
            self.heap.shrink_to_fit();
        }
        more
    }

    /// Returns the time at which the next timer is due. `None` if no timer is set.
    pub(super) fn next(&self) -> Option<Instant> {
        let tick = self.heap.peek()?.tick;
        self.start.checked_add(Duration::from_millis(tick.saturating_mul(TICK_MILLIS)))
    }

    fn ticks(&self, at: Instant) -> u64 {
        let millis = at.saturating_duration_since(self.start).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX) / TICK_MILLIS
    }
}

impl<T> Ord for Entry<T> {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Entry<T>) -> Ordering {
        #[cfg(test)]
        tests::COMPARISONS.with(|count| count.set(count.get() + 1));
        other.tick.cmp(&self.tick)
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Entry<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Entry<T>) -> bool {
        self.tick == other.tick
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        pub(super) static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    fn due(timers: &mut Timers<u32>, now: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        while timers.take_due(now, 100, &mut due) {}
        due
    }

    #[test]
    fn timers_fire_once_and_never_early() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        for seconds in [300, 1, 30, 15] {
            timers.add(start + Duration::from_secs(seconds), u32::try_from(seconds).unwrap());
        }
        let mut fired = Vec::new();
        for millis in (0..400_000).step_by(7) {
            let now = start + Duration::from_millis(millis);
            for timer in due(&mut timers, now) {
                assert!(millis >= u64::from(timer) * 1000, "{timer} fired at {millis} ms");
                assert!(millis <= u64::from(timer) * 1000 + 50, "{timer} fired at {millis} ms");
                fired.push(timer);
            }
        }
        assert_eq!(fired, [1, 15, 30, 300]);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_long_pause_loses_no_timer() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        for timer in (0..5_000).rev() {
            timers.add(start + Duration::from_millis(u64::from(timer) * 20), timer);
        }
        let fired = due(&mut timers, start + Duration::from_hours(1));
        assert_eq!(fired, (0..5_000).collect::<Vec<_>>());
    }

    #[test]
    fn next_is_the_first_deadline() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        assert_eq!(timers.next(), None);
        timers.add(start + Duration::from_secs(40), 1);
        timers.add(start + Duration::from_secs(2), 2);
        let next = timers.next().unwrap();
        assert!(next >= start + Duration::from_secs(2));
        assert_eq!(due(&mut timers, next), [2]);
        assert!(timers.next().unwrap() >= start + Duration::from_secs(40));
    }

    #[test]
    fn a_deadline_of_any_distance_is_accepted() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        timers.add_after(start, Duration::MAX, 1);
        assert_eq!(timers.next(), None, "it is beyond the end of the clock");
        let century = Duration::from_hours(24 * 365 * 100);
        timers.add_after(start, century, 2);
        timers.add_after(start, Duration::from_secs(1), 3);
        assert_eq!(due(&mut timers, start + Duration::from_mins(1)), [3]);
        let next = timers.next().unwrap();
        assert!(next > start + century && next < start + century + Duration::from_secs(1));
        assert_eq!(due(&mut timers, next), [2]);
    }

    #[test]
    fn the_work_for_a_timer_does_not_grow_with_the_number_of_timers() {
        const TIMERS: u32 = 100_000;
        let start = Instant::now();
        let mut timers = Timers::new(start);
        for timer in 0..TIMERS {
            // In no particular order, over 15 s.
            let millis = u64::from(timer) * 7_919 % 15_000;
            timers.add(start + Duration::from_millis(millis), timer);
        }
        let (mut fired, mut most) = (0, 0);
        for step in 1..=1_000 {
            let now = start + Duration::from_millis(step * 20);
            let mut due = Vec::new();
            loop {
                due.clear();
                COMPARISONS.set(0);
                let more = timers.take_due(now, 64, &mut due);
                assert!(due.len() <= 64, "a turn takes a bounded number");
                let _ = timers.next();
                fired += due.len();
                most = most.max(COMPARISONS.get());
                if !more {
                    break;
                }
            }
        }
        assert_eq!(fired, TIMERS as usize);
        // Two comparisons for each of 17 levels of the heap.
        assert!(most <= 64 * 2 * 17, "{most} comparisons in a turn");
    }
}
