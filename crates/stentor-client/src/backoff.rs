//! How long to wait before the next attempt.

use std::time::Duration;

use fastrand::Rng;

/// The waits of a client that does not get through: at least the reconnection time, and on top of
/// it a random part that grows with each attempt.
///
/// The random part is uniform from nothing to its bound (full jitter), so that readers who were cut
/// off together do not come back together. Only progress starts it over: a server that accepts and
/// closes at once is not to be asked ever again at full speed.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// What the server wants every reader to wait.
    base: Duration,
    /// Attempts since the last progress.
    attempts: u32,
    rng: Rng,
}

impl Backoff {
    /// The bound of what is added to the reconnection time.
    pub(crate) const EXTRA_MAX: Duration = Duration::from_secs(30);

    /// The bound of what a server can ask for.
    pub(crate) const ASKED_MAX: Duration = Duration::from_hours(1);

    /// What growth starts from when the server asks for less, or for no wait at all.
    const STEP_MIN: Duration = Duration::from_millis(500);

    pub(crate) fn new(base: Duration, rng: Rng) -> Self {
        Self { base: base.min(Self::ASKED_MAX), attempts: 0, rng }
    }

    /// From now on the reconnection time is another.
    pub(crate) fn set_base(&mut self, base: Duration) {
        self.base = base.min(Self::ASKED_MAX);
    }

    /// The stream got further: the next wait is the reconnection time alone.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next wait, and never less than `floor`, which the server asked for in its answer.
    pub(crate) fn next(&mut self, floor: Duration) -> Duration {
        let bound = match self.attempts {
            0 => Duration::ZERO,
            attempts => {
                let growth = 2_u32.saturating_pow(attempts);
                self.base.max(Self::STEP_MIN).saturating_mul(growth).min(Self::EXTRA_MAX)
            }
        };
        self.attempts = self.attempts.saturating_add(1);
        self.base.max(floor.min(Self::ASKED_MAX)) + bound.mul_f64(self.rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(2);

    fn backoff() -> Backoff {
        Backoff::new(BASE, Rng::with_seed(7))
    }

    #[test]
    fn the_first_wait_is_what_the_server_asked_for() {
        assert_eq!(backoff().next(Duration::ZERO), BASE);
    }

    #[test]
    fn later_waits_grow_and_are_spread_up_to_the_bound() {
        let mut longest = [Duration::ZERO; 8];
        for seed in 0..200 {
            let mut backoff = Backoff::new(BASE, Rng::with_seed(seed));
            for longest in &mut longest {
                let wait = backoff.next(Duration::ZERO);
                assert!(wait >= BASE && wait <= BASE + Backoff::EXTRA_MAX, "{wait:?}");
                *longest = wait.max(*longest);
            }
        }
        assert!(longest[1] > BASE * 2 && longest[1] <= BASE * 3, "{longest:?}");
        assert!(longest[2] > longest[1] && longest[3] > longest[2], "{longest:?}");
        assert!(longest[7] > Backoff::EXTRA_MAX, "{longest:?}");
    }

    #[test]
    fn progress_starts_over() {
        let mut backoff = backoff();
        for _ in 0..5 {
            backoff.next(Duration::ZERO);
        }
        backoff.reset();
        assert_eq!(backoff.next(Duration::ZERO), BASE);
    }

    #[test]
    fn no_reconnection_time_at_all_still_slows_down() {
        let slowed = (0..50).any(|seed| {
            let mut backoff = Backoff::new(Duration::ZERO, Rng::with_seed(seed));
            backoff.next(Duration::ZERO);
            backoff.next(Duration::ZERO) > Duration::from_millis(500)
        });
        assert!(slowed);
    }

    #[test]
    fn what_the_server_asks_for_is_bounded() {
        let mut backoff = backoff();
        assert_eq!(backoff.next(Duration::from_mins(2)), Duration::from_mins(2));
        backoff.reset();
        assert_eq!(backoff.next(Duration::MAX), Backoff::ASKED_MAX);
        backoff.reset();
        backoff.set_base(Duration::MAX);
        assert_eq!(backoff.next(Duration::ZERO), Backoff::ASKED_MAX);
    }
}
