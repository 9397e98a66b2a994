//! The timers of a shard.

use std::time::Duration;

use tokio::time::Instant;

/// Resolution of the wheel.
const TICK: Duration = Duration::from_millis(20);
/// Number of slots. A deadline that is more ticks away is checked once in each round until it is due.
const SLOTS: usize = 1024;

/// Deadlines in the slots of a wheel. Adding one and finding the next is cheap for any number of them.
///
/// Timers cannot be cancelled. A timer that is no longer needed fires, and its receiver ignores it.
#[derive(Debug)]
pub(super) struct TimerWheel<T> {
    start: Instant,
    /// The first tick that was not processed.
    tick: u64,
    slots: Vec<Vec<(u64, T)>>,
    /// No deadline is before this tick. `None` if there are no deadlines.
    next: Option<u64>,
}

impl<T: Copy> TimerWheel<T> {
    pub(super) fn new(now: Instant) -> TimerWheel<T> {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        TimerWheel { start: now, tick: 0, slots, next: None }
    }

    /// Adds a timer that fires at `at` or up to one tick later.
    pub(super) fn add(&mut self, at: Instant, timer: T) {
        let tick = (self.ticks(at) + 1).max(self.tick);
        if let Some(slot) = self.slots.get_mut(slot(tick)) {
            slot.push((tick, timer));
        }
        self.next = Some(self.next.map_or(tick, |next| next.min(tick)));
    }

    /// Moves the timers that are due to `due`.
    pub(super) fn take_due(&mut self, now: Instant, due: &mut Vec<T>) {
        let present = self.ticks(now);
        if self.next.is_none_or(|next| next > present) {
            return;
        }
        // After a long pause, each slot is searched once.
        let from = self.tick.max((present + 1).saturating_sub(SLOTS as u64));
        for tick in from..=present {
            let Some(slot) = self.slots.get_mut(slot(tick)) else { continue };
            slot.retain(|(at, timer)| {
                if *at <= present {
                    due.push(*timer);
                }
                *at > present
            });
        }
        self.tick = present + 1;
        let deadlines = self.slots.iter().flatten().map(|(at, _)| *at);
        self.next = deadlines.min();
    }

    /// Returns a time before which no timer is due. `None` if there are no timers.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.map(|tick| self.start + TICK * u32::try_from(tick).unwrap_or(u32::MAX))
    }

    fn ticks(&self, at: Instant) -> u64 {
        let ticks = at.saturating_duration_since(self.start).as_nanos() / TICK.as_nanos();
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut TimerWheel<u32>, now: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.take_due(now, &mut due);
        due
    }

    #[tokio::test(start_paused = true)]
    async fn timers_fire_once_and_never_early() {
        let start = Instant::now();
        let mut wheel = TimerWheel::new(start);
        for seconds in [1, 15, 30, 300] {
            wheel.add(start + Duration::from_secs(seconds), u32::try_from(seconds).unwrap());
        }
        let mut fired = Vec::new();
        for millis in (0..400_000).step_by(7) {
            let now = start + Duration::from_millis(millis);
            for timer in due(&mut wheel, now) {
                assert!(millis >= u64::from(timer) * 1000, "{timer} fired at {millis} ms");
                assert!(millis <= u64::from(timer) * 1000 + 50, "{timer} fired at {millis} ms");
                fired.push(timer);
            }
        }
        assert_eq!(fired, [1, 15, 30, 300]);
        assert_eq!(wheel.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_loses_no_timer() {
        let start = Instant::now();
        let mut wheel = TimerWheel::new(start);
        for timer in 0..5_000 {
            wheel.add(start + Duration::from_millis(u64::from(timer) * 13), timer);
        }
        let mut fired = due(&mut wheel, start + Duration::from_hours(1));
        fired.sort_unstable();
        assert_eq!(fired, (0..5_000).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn next_is_not_after_the_first_deadline() {
        let start = Instant::now();
        let mut wheel = TimerWheel::new(start);
        assert_eq!(wheel.next(), None);
        wheel.add(start + Duration::from_secs(40), 1);
        wheel.add(start + Duration::from_secs(2), 2);
        let next = wheel.next().unwrap();
        assert!(next >= start + Duration::from_secs(2));
        assert_eq!(due(&mut wheel, next), [2]);
        assert!(wheel.next().unwrap() >= start + Duration::from_secs(40));
    }
}
