//! The time of a record.

#[cfg(feature = "testing")]
use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(feature = "testing")]
use tokio::time::Instant;

/// A time in microseconds since 1970-01-01T00:00:00Z. Its text form is RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The current time of the system clock.
    pub fn now() -> Timestamp {
        #[cfg(feature = "testing")]
        if let Some(time) = simulated_now() {
            return time;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// Makes [`Timestamp::now`] on this thread follow tokio's clock, which tests can pause, from `start` on.
    #[cfg(feature = "testing")]
    pub fn simulate(start: Timestamp) {
        SIMULATED.set(Some((start, Instant::now())));
    }

    /// The time this many microseconds after 1970-01-01T00:00:00Z; before it if negative.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Adds a duration; saturates at the last representable time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the time that passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub(crate) fn since(self, earlier: Timestamp) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    }

    /// Subtracts a duration; saturates at the first representable time.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

#[cfg(feature = "testing")]
thread_local! {
    /// The start of the simulated time of this thread, and the time of tokio's clock at that start.
    static SIMULATED: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

#[cfg(feature = "testing")]
fn simulated_now() -> Option<Timestamp> {
    SIMULATED.get().map(|(start, began)| start.plus(began.elapsed()))
}

/// The simulated time that passed on this thread, or `None` if it is not simulated.
#[cfg(feature = "testing")]
pub(crate) fn simulated_uptime() -> Option<Duration> {
    SIMULATED.get().map(|(_, began)| began.elapsed())
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => f.write_str("9999-12-30T22:00:00.999999Z"),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        Ok(Timestamp(time.as_microsecond()))
    }
}

/// A text that is not a time in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a time; write it as RFC 3339 with its offset, such as 2026-11-21T08:30:00Z")]
pub struct TimestampError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_with_its_fraction_and_read_back() {
        let time = Timestamp::from_micros(1_700_000_000_000_001);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.000001Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
    }

    #[cfg(feature = "testing")]
    #[tokio::test(start_paused = true)]
    async fn a_simulated_time_follows_the_paused_clock() {
        let start = Timestamp::from_micros(1_700_000_000_000_000);
        Timestamp::simulate(start);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(Timestamp::now(), start.plus(Duration::from_secs(5)));
    }

    #[test]
    fn a_time_with_another_offset_is_the_same_moment() {
        let time: Timestamp = "2023-11-14T23:13:20+01:00".parse().unwrap();
        assert_eq!(time, Timestamp::from_micros(1_700_000_000_000_000));
    }

    #[test]
    fn a_date_without_an_offset_is_refused() {
        assert_eq!("2023-11-14".parse::<Timestamp>(), Err(TimestampError));
        assert_eq!("2023-11-14T22:13:20".parse::<Timestamp>(), Err(TimestampError));
    }
}
