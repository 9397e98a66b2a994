//! The clock of leases: it stands still while the process does.

use std::time::Duration;

use tokio::time::Instant;

/// Time between two ticks of the watcher while there are leases.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// A tick that is later than this shows that the process stood still: it was suspended or stopped, or its runtime
/// stalled. Producers could not reach it during that time.
const LATE_MIN: Duration = Duration::from_millis(250);

/// A clock that runs while the watcher of leases ticks on time.
///
/// If a tick is late, the time since the tick before it does not count, so all deadlines move by it. Without ticks
/// (there is no lease, or no watcher) the clock runs like any other.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Time that does not count.
    stalled: Duration,
    last_tick: Option<Instant>,
}

impl Clock {
    /// The current time of this clock.
    pub(super) fn now(&mut self) -> Instant {
        let now = Instant::now();
        if let Some(last) = self.last_tick
            && let stalled = now.saturating_duration_since(last)
            && stalled > TICK + LATE_MIN
        {
            tracing::warn!(
                ?stalled,
                "the process stood still; all leases last longer by this time"
            );
            self.stalled += stalled;
            self.last_tick = Some(now);
        }
        now.checked_sub(self.stalled).unwrap_or(now)
    }

    /// Notes that the watcher runs and will tick again after [`TICK`].
    pub(super) fn tick(&mut self) {
        let _ = self.now();
        self.last_tick = Some(Instant::now());
    }

    /// Notes that no tick will follow for now.
    pub(super) fn pause(&mut self) {
        self.last_tick = None;
    }

    /// Converts a time of this clock to a time of the runtime.
    pub(super) fn to_runtime(&self, time: Instant) -> Instant {
        time.checked_add(self.stalled).unwrap_or(time)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_counts_while_ticks_are_on_time() {
        let mut clock = Clock::default();
        let start = clock.now();
        for _ in 0..10 {
            clock.tick();
            advance(TICK + LATE_MIN).await;
        }
        assert_eq!(clock.now() - start, (TICK + LATE_MIN) * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn time_since_the_last_tick_does_not_count_if_the_next_is_late() {
        let mut clock = Clock::default();
        let start = clock.now();
        clock.tick();
        advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), start);
        assert_eq!(clock.now(), start, "it does not count once, not twice");
        advance(TICK).await;
        assert_eq!(clock.now() - start, TICK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_runs_on() {
        let mut clock = Clock::default();
        let start = clock.now();
        clock.tick();
        clock.pause();
        advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now() - start, Duration::from_secs(5));
    }
}
