//! One timer for everything that a shard waits for.

use std::time::Duration;

use tokio::time::Instant;

/// How exactly it goes.
const TICK: Duration = Duration::from_millis(20);
/// What is further away than so many ticks is looked at once a round.
const SLOTS: usize = 1024;

/// Deadlines in the slots of a wheel: adding one and finding the next is cheap, however many there are.
/// They are never taken out; who is called in vain ignores that.
#[derive(Debug)]
pub(super) struct Wheel<T> {
    begun: Instant,
    /// All before this tick was called.
    tick: u64,
    slots: Vec<Vec<(u64, T)>>,
    /// No deadline is before this tick.
    next: Option<u64>,
}

impl<T: Copy> Wheel<T> {
    pub(super) fn new(now: Instant) -> Wheel<T> {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Wheel { begun: now, tick: 0, slots, next: None }
    }

    /// Has `timer` called at this moment or a tick later.
    pub(super) fn add(&mut self, at: Instant, timer: T) {
        let tick = (self.ticks(at) + 1).max(self.tick);
        if let Some(slot) = self.slots.get_mut(slot(tick)) {
            slot.push((tick, timer));
        }
        self.next = Some(self.next.map_or(tick, |next| next.min(tick)));
    }

    /// Takes what is due.
    pub(super) fn take_due(&mut self, now: Instant, due: &mut Vec<T>) {
        let present = self.ticks(now);
        if self.next.is_none_or(|next| next > present) {
            return;
        }
        // After a long pause each slot is looked at once.
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

    /// When to look again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.map(|tick| self.begun + TICK * u32::try_from(tick).unwrap_or(u32::MAX))
    }

    fn ticks(&self, at: Instant) -> u64 {
        let ticks = at.saturating_duration_since(self.begun).as_nanos() / TICK.as_nanos();
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel<u32>, now: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.take_due(now, &mut due);
        due
    }

    #[tokio::test(start_paused = true)]
    async fn timers_are_called_once_and_never_early() {
        let begun = Instant::now();
        let mut wheel = Wheel::new(begun);
        for seconds in [1, 15, 30, 300] {
            wheel.add(begun + Duration::from_secs(seconds), u32::try_from(seconds).unwrap());
        }
        let mut called = Vec::new();
        for millis in (0..400_000).step_by(7) {
            let now = begun + Duration::from_millis(millis);
            for timer in due(&mut wheel, now) {
                assert!(millis >= u64::from(timer) * 1000, "{timer} came at {millis} ms");
                assert!(millis <= u64::from(timer) * 1000 + 50, "{timer} came at {millis} ms");
                called.push(timer);
            }
        }
        assert_eq!(called, [1, 15, 30, 300]);
        assert_eq!(wheel.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_loses_no_timer() {
        let begun = Instant::now();
        let mut wheel = Wheel::new(begun);
        for timer in 0..5_000 {
            wheel.add(begun + Duration::from_millis(u64::from(timer) * 13), timer);
        }
        let mut called = due(&mut wheel, begun + Duration::from_hours(1));
        called.sort_unstable();
        assert_eq!(called, (0..5_000).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn it_says_when_to_look_again() {
        let begun = Instant::now();
        let mut wheel = Wheel::new(begun);
        assert_eq!(wheel.next(), None);
        wheel.add(begun + Duration::from_secs(40), 1);
        wheel.add(begun + Duration::from_secs(2), 2);
        let next = wheel.next().unwrap();
        assert!(next >= begun + Duration::from_secs(2));
        assert_eq!(due(&mut wheel, next), [2]);
        assert!(wheel.next().unwrap() >= begun + Duration::from_secs(40));
    }
}
