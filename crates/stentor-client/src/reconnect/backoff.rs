//! How long to wait before the next attempt.

use std::time::Duration;

use fastrand::Rng;

/// The waits of a client that does not get through: at least the reconnection time, and on top of
/// it a random part whose bound doubles with each wait.
///
/// The random part is uniform from nothing to its bound (full jitter), so that readers who were cut
/// off together do not come back together; for that the very first wait has one too, of up to half
/// its length. Only progress starts it over: a server that accepts and closes at once is not to be
/// asked ever again at full speed.
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
    /// What the server wants every reader to wait.
    base: Duration,
    extra_max: Duration,
    /// Waits since the last progress.
    waits: u32,
    rng: Rng,
}

impl Backoff {
    /// The bound of what is added to the reconnection time, unless told otherwise: 30 s.
    pub const EXTRA_MAX: Duration = Duration::from_secs(30);

    /// The bound of what a server can ask for: 1 h.
    pub const SERVER_WAIT_MAX: Duration = Duration::from_hours(1);

    /// The shortest wait, whatever is asked for: 50 ms. It keeps a server that asks for none, and
    /// has a new id each time, from making its reader run in circles.
    pub const WAIT_MIN: Duration = Duration::from_millis(50);

    /// What growth starts from when the server asks for less, or for no wait at all.
    const STEP_MIN: Duration = Duration::from_millis(500);

    /// Waits from this reconnection time on, with a seed of its own.
    pub fn new(base: Duration) -> Self {
        let base = base.min(Self::SERVER_WAIT_MAX);
        Self { base, extra_max: Self::EXTRA_MAX, waits: 0, rng: Rng::new() }
    }

    /// With another bound of what is added to the reconnection time.
    #[must_use]
    pub fn with_extra_max(mut self, extra_max: Duration) -> Self {
        self.extra_max = extra_max;
        self
    }

    /// With this seed, which makes the waits the same each time.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.rng = Rng::with_seed(seed);
        self
    }

    /// From now on the reconnection time is another, at most [`SERVER_WAIT_MAX`](Self::SERVER_WAIT_MAX).
    pub fn set_base(&mut self, base: Duration) {
        self.base = base.min(Self::SERVER_WAIT_MAX);
    }

    /// The stream got further: the next wait is the first.
    pub fn reset(&mut self) {
        self.waits = 0;
    }

    /// The next wait, and never less than `floor`, which the server asked for in its answer; of that
    /// at most [`SERVER_WAIT_MAX`](Self::SERVER_WAIT_MAX) counts.
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
    fn the_first_wait_is_what_the_server_asked_for_and_up_to_half_of_that() {
        let waits: Vec<_> = (0..200).map(|seed| backoff(seed).next(Duration::ZERO)).collect();
        assert!(waits.iter().all(|wait| (BASE..=BASE * 3 / 2).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait > BASE * 5 / 4), "{waits:?}");
    }

    #[test]
    fn later_waits_grow_and_are_spread_up_to_the_bound() {
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
    fn no_reconnection_time_at_all_still_slows_down() {
        let slowed = (0..50).any(|seed| {
            let mut backoff = Backoff::new(Duration::ZERO).with_seed(seed);
            assert!(backoff.next(Duration::ZERO) >= Backoff::WAIT_MIN);
            backoff.next(Duration::ZERO) > Duration::from_millis(500)
        });
        assert!(slowed);
    }

    #[test]
    fn what_the_server_asks_for_is_bounded() {
        let most = Backoff::SERVER_WAIT_MAX + Backoff::EXTRA_MAX;
        let mut backoff = backoff(7);
        assert!(backoff.next(Duration::from_mins(2)) >= Duration::from_mins(2));
        assert!(backoff.next(Duration::MAX) <= most);
        backoff.set_base(Duration::MAX);
        assert!((Backoff::SERVER_WAIT_MAX..=most).contains(&backoff.next(Duration::ZERO)));
    }
}
