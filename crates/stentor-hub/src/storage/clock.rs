//! The clock of a log: notices jumps of the system clock, and measures the windows of keys in spite of them.

use std::time::Duration;

use crate::timestamp::Timestamp;
use crate::uptime::uptime;

/// A reading of the system clock, with the time since boot that the machine was running or suspended.
///
/// The two differ in jumps only: the system clock can be set, the time since boot cannot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) wall: Timestamp,
    pub(crate) uptime: Duration,
}

impl Reading {
    /// A reading at the time `wall` of the system clock.
    pub(crate) fn at(wall: Timestamp) -> Reading {
        Reading { wall, uptime: uptime() }
    }
}

/// A jump of the system clock by more than an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockJump {
    /// The system clock advanced this much more than the time that passed.
    Ahead(Duration),
    /// The system clock is this much behind the newest record.
    Behind(Duration),
}

/// The time by which the records of a log age, and the jump that is the reason if it is not that of the system clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTime {
    /// The time by which records age. It ignores a jump ahead of the system clock.
    pub now: Timestamp,
    /// The jump that has not ended.
    pub jump: Option<ClockJump>,
}

/// The clock of an open log.
///
/// Record times follow the system clock and never go back. Nothing is removed because of their age as long as only a
/// jump of the system clock makes them old.
///
/// A log that was closed for long is not a jump. So the first reading is believed, unless it is behind the newest
/// record.
#[derive(Debug, Default)]
pub(crate) struct LogClock {
    /// The time by which records age.
    ages: Option<Steady>,
    /// The time by which keys expire. It never goes back.
    keys: Option<Steady>,
    jump: Option<ClockJump>,
    /// Time since boot of the last report of `jump`.
    reported: Duration,
}

/// A time at a reading.
#[derive(Clone, Copy, Debug)]
struct Steady {
    time: Timestamp,
    uptime: Duration,
}

impl Steady {
    /// The time at a later reading, by the time that passed.
    fn at(self, uptime: Duration) -> Timestamp {
        self.time.plus(uptime.saturating_sub(self.uptime))
    }
}

impl LogClock {
    /// Smaller jumps are ignored.
    const JUMP_MIN: Duration = Duration::from_hours(1);
    /// Time after which a jump that has not ended is reported again.
    const REPORT_INTERVAL: Duration = Duration::from_hours(1);

    /// Returns the time by which keys expire. `newest` is the time of the newest record.
    ///
    /// It is the later of `newest` and the system clock. If that differs by more than an hour from the time that has
    /// passed, it is the latter. So a jump of the system clock makes no window shorter or longer.
    pub(crate) fn key_time(&mut self, newest: Timestamp, reading: Reading) -> Timestamp {
        let Reading { wall, uptime } = reading;
        let time = match self.keys {
            // Behind the newest record, either of the two can be wrong. The earlier one loses no key early.
            None if newest > wall.plus(Self::JUMP_MIN) => wall,
            None => newest.max(wall),
            Some(last) => {
                let expected = last.at(uptime);
                let latest = expected.plus(Self::JUMP_MIN);
                if wall > latest || wall < expected.minus(Self::JUMP_MIN) {
                    expected
                } else if newest > latest {
                    last.time.max(wall)
                } else {
                    last.time.max(wall).max(newest)
                }
            }
        };
        self.keys = Some(Steady { time, uptime });
        time
    }

    /// Returns the time by which records age. `newest` is the time of the newest record. Logs the start and the end of
    /// a jump, and reminds of it each hour.
    ///
    /// It is the time of the system clock. After a jump ahead it is the time that has passed, until the clock is back
    /// or the log is opened again. A clock that catches up with the newest record does not jump.
    pub(crate) fn log_time(&mut self, newest: Timestamp, reading: Reading) -> LogTime {
        let Reading { wall, uptime } = reading;
        let was_behind = matches!(self.jump, Some(ClockJump::Behind(_)));
        let expected = self.ages.map(|last| last.at(uptime)).filter(|_| !was_behind);
        let ahead = expected.map_or(Duration::ZERO, |expected| wall.since(expected));
        let behind = newest.since(wall);
        let (now, jump) = match expected {
            Some(expected) if ahead > Self::JUMP_MIN => (expected, Some(ClockJump::Ahead(ahead))),
            _ if behind > Self::JUMP_MIN => (wall, Some(ClockJump::Behind(behind))),
            _ => (wall, None),
        };
        self.ages = Some(Steady { time: now, uptime });
        self.report(jump, uptime);
        self.jump = jump;
        LogTime { now, jump }
    }

    fn report(&mut self, jump: Option<ClockJump>, uptime: Duration) {
        use ClockJump::{Ahead, Behind};
        let continues = matches!(
            (self.jump, jump),
            (Some(Ahead(_)), Some(Ahead(_))) | (Some(Behind(_)), Some(Behind(_))) | (None, None)
        );
        if continues
            && (jump.is_none() || uptime < self.reported.saturating_add(Self::REPORT_INTERVAL))
        {
            return;
        }
        self.reported = uptime;
        match jump {
            None => tracing::info!("the system clock is back; records age by it again"),
            Some(ClockJump::Ahead(by)) => tracing::warn!(
                seconds = by.as_secs(),
                "the system clock jumped ahead: new records get its time, but records age and keys expire by the time \
                 that passes; correct the clock, or restart to accept it"
            ),
            Some(ClockJump::Behind(by)) => tracing::warn!(
                seconds = by.as_secs(),
                "the system clock is behind the newest record: new records get that record's time until it has caught \
                 up; correct the clock, or stop the server and run `stentor log set-time`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn reading(wall: i64, uptime: u64) -> Reading {
        Reading { wall: at(wall), uptime: Duration::from_secs(uptime) }
    }

    fn seconds(of: i64) -> Duration {
        Duration::from_secs(of.unsigned_abs())
    }

    fn believed(now: i64) -> LogTime {
        LogTime { now: at(now), jump: None }
    }

    #[test]
    fn a_log_that_was_closed_for_long_is_not_a_jump() {
        let mut clock = LogClock::default();
        assert_eq!(clock.log_time(at(0), reading(30 * DAY, 5)), believed(30 * DAY));
        assert_eq!(clock.key_time(at(0), reading(30 * DAY, 5)), at(30 * DAY));
    }

    #[test]
    fn a_long_pause_of_a_running_or_suspended_machine_is_not_a_jump() {
        let mut clock = LogClock::default();
        clock.log_time(at(0), reading(0, 0));
        clock.key_time(at(0), reading(0, 0));
        let (now, later) = (2 * DAY, 2 * 24 * 3_600);
        assert_eq!(clock.log_time(at(0), reading(now, later)), believed(now));
        assert_eq!(clock.key_time(at(0), reading(now, later)), at(now));
    }

    #[test]
    fn after_a_jump_ahead_time_goes_on_as_it_passes_until_the_clock_is_back() {
        let mut clock = LogClock::default();
        clock.log_time(at(0), reading(0, 0));
        clock.key_time(at(0), reading(0, 0));
        for passed in [1, 10, 7_200] {
            let (reading, passed) = (reading(DAY + passed, passed.unsigned_abs()), at(passed));
            let jump = Some(ClockJump::Ahead(seconds(DAY)));
            assert_eq!(clock.log_time(reading.wall, reading), LogTime { now: passed, jump });
            assert_eq!(clock.key_time(reading.wall, reading), passed);
        }
        assert_eq!(clock.log_time(at(7_200), reading(7_201, 7_201)), believed(7_201));
        assert_eq!(clock.key_time(at(7_200), reading(7_201, 7_201)), at(7_201));
    }

    #[test]
    fn a_correction_of_less_than_an_hour_is_followed() {
        let mut clock = LogClock::default();
        clock.log_time(at(0), reading(0, 0));
        assert_eq!(clock.log_time(at(0), reading(HOUR, 1)), believed(HOUR));
        assert_eq!(clock.log_time(at(0), reading(0, 2)), believed(0));
    }

    #[test]
    fn a_clock_behind_the_newest_record_is_followed_and_reported_until_it_catches_up() {
        let mut clock = LogClock::default();
        let behind = |by| Some(ClockJump::Behind(seconds(by)));
        let time = clock.log_time(at(DAY), reading(0, 0));
        assert_eq!(time, LogTime { now: at(0), jump: behind(DAY) });
        let time = clock.log_time(at(DAY), reading(HOUR, 3_600));
        assert_eq!(time, LogTime { now: at(HOUR), jump: behind(DAY - HOUR) });
        // A machine without a battery starts with an old time, and then gets the right one.
        assert_eq!(clock.log_time(at(DAY), reading(DAY + HOUR, 3_601)), believed(DAY + HOUR));
    }

    #[test]
    fn keys_keep_their_windows_when_a_clock_that_was_ahead_is_corrected() {
        let mut clock = LogClock::default();
        let ahead = clock.key_time(at(0), reading(DAY, 0));
        assert_eq!(clock.key_time(ahead, reading(10, 10)), ahead.plus(seconds(10)));
        let mut reopened = LogClock::default();
        assert_eq!(reopened.key_time(ahead, reading(20, 20)), at(20), "not early");
    }

    #[test]
    fn the_time_of_keys_never_goes_back() {
        let mut clock = LogClock::default();
        assert_eq!(clock.key_time(at(0), reading(100, 0)), at(100));
        assert_eq!(clock.key_time(at(0), reading(40, 1)), at(100));
        assert_eq!(clock.key_time(at(130), reading(50, 2)), at(130), "a record had this time");
    }
}
