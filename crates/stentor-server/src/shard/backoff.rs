//! Pauses between attempts to read from a storage that fails.

use std::time::Duration;

/// Pause after the first failure. It doubles with each further one.
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// Counts the failures since the last success.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Counts a failure and returns the pause until the next attempt: half of it is random, so that
    /// requesters do not all come back at once.
    pub(super) fn pause(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let pause = FIRST.saturating_mul(factor).min(LONGEST);
        pause.mul_f64(0.5 + 0.5 * fastrand::f64())
    }

    /// Counts a success.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_begin_again_after_a_success() {
        let mut backoff = Backoff::default();
        for expected in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let pause = backoff.pause().as_millis();
            assert!((expected / 2..=expected).contains(&pause), "{pause} ms, not {expected} ms");
        }
        let mut backoff = Backoff { failures: u32::MAX };
        assert!(backoff.pause() <= LONGEST);
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
