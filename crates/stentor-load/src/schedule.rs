//! The schedule of a publishing phase: how many events are due, and how many were sent.

use crate::clock::{Nanos, SECOND};
use crate::options::Pace;

/// Schedule of one publishing phase.
#[derive(Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    started: Nanos,
    ends: Nanos,
    /// Maximum number of events.
    events: u64,
    sent: u64,
    /// Number of times a due event found all publishers busy.
    held_up: u64,
}

/// Events that were not sent in time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unsent {
    /// Events that were due and not sent.
    pub(crate) events: u64,
    /// Number of times a due event found all publishers busy.
    pub(crate) held_up: u64,
}

impl Schedule {
    pub(crate) fn new(pace: Pace, started: Nanos, ends: Nanos, events: u64) -> Schedule {
        Schedule { pace, started, ends, events, sent: 0, held_up: 0 }
    }

    /// Returns `true` once all events were sent or the time is over.
    pub(crate) fn is_over(&self, now: Nanos) -> bool {
        self.is_complete() || now >= self.ends
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.sent >= self.events
    }

    /// Number of events sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Time at which the next event is due, if that is not after `now`. In a closed loop that is always `now`.
    pub(crate) fn next_due(&self, now: Nanos) -> Option<Nanos> {
        match self.pace {
            Pace::Window(_) => Some(now),
            Pace::Rate(rate) => (self.due(rate, now) > self.sent)
                .then(|| self.started + (self.sent as f64 / rate * SECOND as f64) as Nanos),
        }
    }

    pub(crate) fn count_sent(&mut self) {
        self.sent += 1;
    }

    /// Counts a due event that found all publishers busy. In a closed loop this is normal.
    pub(crate) fn count_held_up(&mut self) {
        self.held_up += u64::from(matches!(self.pace, Pace::Rate(_)));
    }

    pub(crate) fn unsent(&self, now: Nanos) -> Unsent {
        let events = match self.pace {
            Pace::Rate(rate) => self.due(rate, now).saturating_sub(self.sent),
            Pace::Window(_) => 0,
        };
        Unsent { events, held_up: self.held_up }
    }

    /// Number of events that are due at `now`: the first one at once, none at the very end.
    fn due(&self, rate: f64, now: Nanos) -> u64 {
        let seconds = |time: Nanos| (time - self.started) as f64 / SECOND as f64;
        let due = (seconds(now.min(self.ends)) * rate) as u64 + 1;
        due.min((seconds(self.ends) * rate).ceil() as u64).min(self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_a_rate_the_first_event_is_due_at_once_and_none_at_the_end() {
        let mut schedule = Schedule::new(Pace::Rate(2.0), 0, 2 * SECOND, 100);
        assert_eq!((schedule.next_due(0), schedule.unsent(0).events), (Some(0), 1));
        schedule.count_sent();
        assert_eq!(schedule.next_due(SECOND / 4), None);
        assert_eq!(schedule.next_due(SECOND), Some(SECOND / 2));
        assert_eq!(schedule.unsent(9 * SECOND).events, 3);
        assert!(schedule.is_over(2 * SECOND) && !schedule.is_complete());
    }
}
