//! Detects jumps of the system clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::timestamp::Timestamp;

/// Watches the system clock.
///
/// Record times never go back. So after a jump ahead all records have the time of the jump, until the clock has
/// caught up.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Option<(Timestamp, Instant)>,
    behind: bool,
}

/// A jump of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jump {
    /// The clock advanced this much more than the time that passed.
    Ahead(Duration),
    /// The clock is this much behind the newest record.
    Behind(Duration),
}

impl Clock {
    /// Smaller jumps ahead are ignored.
    const AHEAD: Duration = Duration::from_hours(1);
    /// Smaller differences to the newest record are ignored.
    const BEHIND: Duration = Duration::from_secs(1);

    /// Compares the clock with the time of the newest record and with the time that passed. Returns each jump once.
    pub(crate) fn check(&mut self, newest: Timestamp, now: Timestamp, at: Instant) -> Option<Jump> {
        let before = self.last.replace((now, at));
        let behind = difference(now, newest);
        if behind > Self::BEHIND {
            let reported = std::mem::replace(&mut self.behind, true);
            return (!reported).then_some(Jump::Behind(behind));
        }
        self.behind = false;
        let (last, last_at) = before?;
        let ahead = difference(last, now).saturating_sub(at.saturating_duration_since(last_at));
        (ahead > Self::AHEAD).then_some(Jump::Ahead(ahead))
    }
}

impl Jump {
    pub(crate) fn log(self) {
        match self {
            Jump::Ahead(by) => tracing::warn!(
                seconds = by.as_secs(),
                "the system clock jumped ahead; record times will not go back when it is corrected"
            ),
            Jump::Behind(by) => tracing::warn!(
                seconds = by.as_secs(),
                "the system clock is behind the newest record; new records get that record's time until it has \
                 caught up"
            ),
        }
    }
}

/// Returns the time from `earlier` to `later`, or zero.
fn difference(earlier: Timestamp, later: Timestamp) -> Duration {
    let micros = later.as_micros().saturating_sub(earlier.as_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_long_pause_is_not_a_jump() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        assert_eq!(clock.check(at(0), at(1_000), start), None);
        assert_eq!(clock.check(at(1_000), at(1_000 + 7_200), start + 2 * HOUR), None);
    }

    #[test]
    fn a_jump_ahead_of_more_than_an_hour_is_reported() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        assert_eq!(clock.check(at(0), at(1_000), start), None);
        assert_eq!(
            clock.check(at(1_000), at(1_000 + 3_601), start),
            Some(Jump::Ahead(HOUR + HOUR / 3600))
        );
        assert_eq!(clock.check(at(4_601), at(4_601), start), None);
    }

    #[test]
    fn a_clock_behind_the_newest_record_is_reported_once_until_it_has_caught_up() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        assert_eq!(clock.check(at(100), at(99), start), None, "one second is ignored");
        assert_eq!(
            clock.check(at(100), at(90), start),
            Some(Jump::Behind(Duration::from_secs(10)))
        );
        assert_eq!(clock.check(at(100), at(91), start), None);
        assert_eq!(clock.check(at(100), at(100), start), None);
        assert_eq!(
            clock.check(at(100), at(90), start),
            Some(Jump::Behind(Duration::from_secs(10)))
        );
    }
}
