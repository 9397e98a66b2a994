//! Delays between attempts.

use std::time::Duration;

use fastrand::Rng;

/// Delays between attempts: the reconnection time plus a random extra, whose maximum doubles with each delay.
///
/// The extra is uniform between zero and its maximum (full jitter). Clients that were disconnected together therefore
/// do not reconnect together. For this reason the first delay, too, has an extra of up to half its length. Only
/// [`reset`](Self::reset), after progress, starts the growth over: a server that accepts connections and closes them
/// at once is not contacted at full speed again.
///
/// ```
/// use std::time::Duration;
/// use stentor_client::reconnect::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_secs(2)).with_extra_max(Duration::from_secs(10));
/// let first = backoff.next(Duration::ZERO);
/// assert!(first >= Duration::from_secs(2) && first <= Duration::from_secs(3));
/// for _ in 0..20 {
///     assert!(backoff.next(Duration::ZERO) <= Duration::from_secs(12));
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    /// The reconnection time.
    base: Duration,
    extra_max: Duration,
    /// Number of delays since the last progress.
    waits: u32,
    rng: Rng,
}

impl Backoff {
    /// Default maximum of the random extra: 30 s.
    pub const EXTRA_MAX: Duration = Duration::from_secs(30);

    /// Maximum delay that a server can request, with `retry:` or `Retry-After`: 1 h.
    pub const SERVER_WAIT_MAX: Duration = Duration::from_hours(1);

    /// Minimum delay: 50 ms.
    ///
    /// Without it, a server that requests no delay and sends a new id each time would cause a busy loop.
    pub const WAIT_MIN: Duration = Duration::from_millis(50);

    /// The maximum of the extra grows from the reconnection time, or from this value if that is shorter: 500 ms.
    const STEP_MIN: Duration = Duration::from_millis(500);

    /// Creates a backoff with the given reconnection time, at most [`SERVER_WAIT_MAX`](Self::SERVER_WAIT_MAX).
    pub fn new(base: Duration) -> Self {
        let base = base.min(Self::SERVER_WAIT_MAX);
        Self { base, extra_max: Self::EXTRA_MAX, waits: 0, rng: Rng::new() }
    }

    /// Sets the maximum of the random extra (default: [`EXTRA_MAX`](Self::EXTRA_MAX)).
    #[must_use]
    pub fn with_extra_max(mut self, extra_max: Duration) -> Self {
        self.extra_max = extra_max;
        self
    }

    /// Sets the seed of the random numbers, for reproducible delays. Default: a random seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.rng = Rng::with_seed(seed);
        self
    }

    /// Changes the reconnection time, at most [`SERVER_WAIT_MAX`](Self::SERVER_WAIT_MAX).
    pub fn set_base(&mut self, base: Duration) {
        self.base = base.min(Self::SERVER_WAIT_MAX);
    }

    /// Starts the growth over, after progress.
    pub fn reset(&mut self) {
        self.waits = 0;
    }

    /// Returns the next delay.
    ///
    /// The delay is at least `floor`, the value of `Retry-After`. A `floor` above
    /// [`SERVER_WAIT_MAX`](Self::SERVER_WAIT_MAX) counts as that maximum.
    pub fn next(&mut self, floor: Duration) -> Duration {
        let wait = self.base.max(floor.min(Self::SERVER_WAIT_MAX)).max(Self::WAIT_MIN);
        let grown = match self.waits {
            0 => Duration::ZERO,
            waits => self.base.max(Self::STEP_MIN).saturating_mul(2_u32.saturating_pow(waits)),
        };
        self.waits = self.waits.saturating_add(1);
        let extra = grown.max(wait / 2).min(self.extra_max);
        wait + extra.mul_f64(self.rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(2);

    fn backoff(seed: u64) -> Backoff {
        Backoff::new(BASE).with_seed(seed)
    }

    #[test]
    fn the_first_delay_is_the_reconnection_time_and_up_to_half_of_it() {
        let waits: Vec<_> = (0..200).map(|seed| backoff(seed).next(Duration::ZERO)).collect();
        assert!(waits.iter().all(|wait| (BASE..=BASE * 3 / 2).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait > BASE * 5 / 4), "{waits:?}");
    }

    #[test]
    fn later_delays_grow_and_are_spread_up_to_the_maximum() {
        let mut longest = [Duration::ZERO; 8];
        for seed in 0..200 {
            let mut backoff = backoff(seed);
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
        let mut backoff = backoff(7);
        for _ in 0..5 {
            backoff.next(Duration::ZERO);
        }
        backoff.reset();
        assert!(backoff.next(Duration::ZERO) <= BASE * 3 / 2);
    }

    #[test]
    fn a_reconnection_time_of_zero_still_slows_down() {
        let slowed = (0..50).any(|seed| {
            let mut backoff = Backoff::new(Duration::ZERO).with_seed(seed);
            assert!(backoff.next(Duration::ZERO) >= Backoff::WAIT_MIN);
            backoff.next(Duration::ZERO) > Duration::from_millis(500)
        });
        assert!(slowed);
    }

    #[test]
    fn delays_requested_by_the_server_are_bounded() {
        let most = Backoff::SERVER_WAIT_MAX + Backoff::EXTRA_MAX;
        let mut backoff = backoff(7);
        assert!(backoff.next(Duration::from_mins(2)) >= Duration::from_mins(2));
        assert!(backoff.next(Duration::MAX) <= most);
        backoff.set_base(Duration::MAX);
        assert!((Backoff::SERVER_WAIT_MAX..=most).contains(&backoff.next(Duration::ZERO)));
    }
}
