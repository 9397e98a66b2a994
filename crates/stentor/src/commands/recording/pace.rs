//! The timing of a replay.

use std::str::FromStr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Maximum wait for one line. A longer one could overflow the clock.
const WAIT_MAX: Duration = Duration::from_hours(365 * 24);

/// Playback speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Speed {
    /// A multiple of the recorded speed.
    Times(f64),
    /// No pauses.
    Max,
}

impl FromStr for Speed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Speed, &'static str> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Speed::Max),
            Ok(0.0) => Ok(Speed::Max),
            Ok(times) if times.is_normal() && times > 0.0 => Ok(Speed::Times(times)),
            _ => Err("expected a positive number such as 2 or 0.5, or `max` for no pauses"),
        }
    }
}

/// A clock of the recording that runs at the given speed.
#[derive(Debug)]
pub(super) struct Pace {
    speed: Speed,
    began: Instant,
    /// Time of the recording at which the clock started.
    from: Duration,
}

impl Pace {
    /// Starts the clock at this time of the recording.
    pub(super) fn begin(speed: Speed, from: Duration) -> Pace {
        Pace { speed, began: Instant::now(), from }
    }

    /// Waits until this time of the recording.
    pub(super) async fn until(&self, at: Duration) {
        if let Speed::Times(times) = self.speed {
            let seconds = at.saturating_sub(self.from).as_secs_f64() / times;
            let wait = Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX);
            sleep_until(self.began + wait.min(WAIT_MAX)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns when lines with these times are due, in milliseconds.
    async fn times(speed: Speed, from: u64, lines: &[u64]) -> Vec<u128> {
        let began = Instant::now();
        let pace = Pace::begin(speed, Duration::from_millis(from));
        let mut times = Vec::new();
        for at in lines {
            pace.until(Duration::from_millis(*at)).await;
            times.push(began.elapsed().as_millis());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_due_at_their_recorded_times() {
        assert_eq!(times(Speed::Times(1.0), 0, &[0, 10, 10, 1_000]).await, [0, 10, 10, 1_000]);
        assert_eq!(times(Speed::Times(1.0), 500, &[10, 510, 1_000]).await, [0, 10, 500]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_speed_scales_the_times_or_removes_them() {
        assert_eq!(times(Speed::Times(2.0), 0, &[10, 1_000]).await, [5, 500]);
        assert_eq!(times(Speed::Times(0.5), 0, &[10, 1_000]).await, [20, 2_000]);
        assert_eq!(times(Speed::Max, 0, &[10, 1_000]).await, [0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_beyond_the_clock_is_a_long_wait() {
        let pace = Pace::begin(Speed::Times(f64::MIN_POSITIVE), Duration::ZERO);
        let began = Instant::now();
        pace.until(Duration::MAX).await;
        assert_eq!(began.elapsed(), WAIT_MAX);
    }

    #[test]
    fn a_speed_is_a_positive_number_or_max() {
        for (text, speed) in [
            ("2", Speed::Times(2.0)),
            ("0.5", Speed::Times(0.5)),
            ("0", Speed::Max),
            ("max", Speed::Max),
        ] {
            assert_eq!(text.parse::<Speed>().unwrap(), speed);
        }
        for text in ["", "-1", "inf", "NaN", "1e-320", "fast"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
