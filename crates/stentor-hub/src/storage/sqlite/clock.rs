//! Jumps of the machine's clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::timestamp::Timestamp;

/// Watches the times that come in. Record time never goes back, so a jump ahead stays in the log:
/// until the clock has caught up, all records have the time of the jump.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: Option<(Timestamp, Instant)>,
    behind: bool,
}

/// What a clock did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jump {
    /// It went so much further than time passed.
    Ahead(Duration),
    /// It shows so much less than the newest record.
    Behind(Duration),
}

impl Clock {
    const AHEAD: Duration = Duration::from_hours(1);
    const BEHIND: Duration = Duration::from_secs(1);

    /// Compares the clock with the newest record and with the time that really passed. Tells each
    /// jump once.
    pub(super) fn look(&mut self, newest: Timestamp, now: Timestamp, at: Instant) -> Option<Jump> {
        let before = self.last.replace((now, at));
        let behind = between(now, newest);
        if behind > Self::BEHIND {
            let told = std::mem::replace(&mut self.behind, true);
            return (!told).then_some(Jump::Behind(behind));
        }
        self.behind = false;
        let (last, last_at) = before?;
        let ahead = between(last, now).saturating_sub(at.saturating_duration_since(last_at));
        (ahead > Self::AHEAD).then_some(Jump::Ahead(ahead))
    }
}

impl Jump {
    pub(super) fn log(self) {
        match self {
            Jump::Ahead(by) => tracing::warn!(
                seconds = by.as_secs(),
                "the clock jumped ahead; the times of records will not go back when it is set right"
            ),
            Jump::Behind(by) => tracing::warn!(
                seconds = by.as_secs(),
                "the clock is behind the newest record; new records have that record's time until it has caught up"
            ),
        }
    }
}

/// From the earlier to the later time, or nothing.
fn between(earlier: Timestamp, later: Timestamp) -> Duration {
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
    fn a_long_silence_is_no_jump() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        assert_eq!(clock.look(at(0), at(1_000), start), None);
        assert_eq!(clock.look(at(1_000), at(1_000 + 7_200), start + 2 * HOUR), None);
    }

    #[test]
    fn a_clock_that_outruns_time_by_more_than_an_hour_is_told() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        assert_eq!(clock.look(at(0), at(1_000), start), None);
        assert_eq!(
            clock.look(at(1_000), at(1_000 + 3_601), start),
            Some(Jump::Ahead(HOUR + HOUR / 3600))
        );
        assert_eq!(clock.look(at(4_601), at(4_601), start), None);
    }

    #[test]
    fn a_clock_behind_the_newest_record_is_told_once_until_it_has_caught_up() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        assert_eq!(clock.look(at(100), at(99), start), None, "a second is let pass");
        assert_eq!(clock.look(at(100), at(90), start), Some(Jump::Behind(Duration::from_secs(10))));
        assert_eq!(clock.look(at(100), at(91), start), None);
        assert_eq!(clock.look(at(100), at(100), start), None);
        assert_eq!(clock.look(at(100), at(90), start), Some(Jump::Behind(Duration::from_secs(10))));
    }
}
