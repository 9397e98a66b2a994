//! The pace at which a request body must arrive.

use std::time::Duration;

use tokio::time::Instant;

use crate::problem::{Code, Problem};

/// Average rate below which a body is too slow, in bytes per second.
const BYTES_PER_SECOND_MIN: u64 = 1 << 10;

/// The pace of a body, or of one event of an upload: limits on silence, on its rate and on its whole time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    started: Instant,
    bytes: usize,
    /// Time of the last byte.
    last: Instant,
    /// Maximum time without a byte. The rate is measured after twice this time.
    silence: Duration,
    /// Maximum time for the whole body.
    total: Duration,
}

impl Pace {
    pub(crate) fn start(silence: Duration, total: Duration) -> Pace {
        let now = Instant::now();
        Pace { started: now, bytes: 0, last: now, silence, total }
    }

    /// Notes that `bytes` of the body have arrived in total.
    pub(crate) fn arrived(&mut self, bytes: usize) {
        self.bytes = bytes;
        self.last = Instant::now();
    }

    /// Leaves out the time since `start`, in which the server did not read.
    pub(crate) fn leave_out_since(&mut self, start: Instant) {
        self.started += start.elapsed();
        self.last = Instant::now();
    }

    /// The time until which more of the body must arrive.
    pub(crate) fn deadline(&self) -> Instant {
        (self.last + self.silence).min(self.deadline_of_rate()).min(self.started + self.total)
    }

    fn deadline_of_rate(&self) -> Instant {
        let seconds = self.bytes as u64 / BYTES_PER_SECOND_MIN;
        self.started + 2 * self.silence + Duration::from_secs(seconds)
    }

    /// The problem of a body that missed its deadline.
    pub(crate) fn missed(&self) -> Problem {
        if self.deadline() == self.last + self.silence {
            let detail = format!(
                "no byte of the body arrived for {} s; send it without long pauses",
                self.silence.as_secs()
            );
            return Problem::of(Code::Silent, detail);
        }
        let detail = format!(
            "the body arrives too slowly; send at least {BYTES_PER_SECOND_MIN} bytes per second, and all of it within \
             {} s",
            self.total.as_secs()
        );
        Problem::of(Code::Slow, detail)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SILENCE: Duration = Duration::from_secs(30);

    fn pace() -> Pace {
        Pace::start(SILENCE, Duration::from_mins(5))
    }

    fn code(pace: &Pace) -> &'static str {
        if pace.missed().has_code(Code::Silent) { "silent" } else { "slow" }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_too_slow_after_a_minute() {
        let mut pace = pace();
        let start = Instant::now();
        for second in (0..60).step_by(10) {
            assert!(pace.deadline() > Instant::now(), "after {second} s");
            pace.arrived(second + 1);
            advance(Duration::from_secs(10)).await;
        }
        assert_eq!(pace.deadline() - start, 2 * SILENCE);
        assert_eq!(code(&pace), "slow");
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_body_has_its_whole_time_and_no_more() {
        let mut pace = pace();
        let start = Instant::now();
        for second in 1..=300_u64 {
            advance(Duration::from_secs(1)).await;
            pace.arrived(usize::try_from(second * 2048).unwrap());
        }
        assert_eq!(pace.deadline() - start, Duration::from_mins(5));
        assert_eq!(code(&pace), "slow");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_byte() {
        let mut pace = pace();
        pace.arrived(1 << 20);
        advance(Duration::from_secs(20)).await;
        pace.arrived(2 << 20);
        assert_eq!(pace.deadline() - Instant::now(), SILENCE);
        assert_eq!(code(&pace), "silent");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_server_does_not_read_is_left_out() {
        let mut pace = pace();
        pace.arrived(1);
        let start = Instant::now();
        advance(Duration::from_secs(8)).await;
        pace.leave_out_since(start);
        assert_eq!(pace.deadline() - Instant::now(), SILENCE);
    }
}
