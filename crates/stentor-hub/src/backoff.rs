//! Pauses before retries of background work.

use std::time::Duration;

use tokio::time::sleep;

/// The first pause; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Maximum pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Growing pauses between retries.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    /// Number of failures in a row.
    failures: u32,
}

impl Backoff {
    /// Waits before the next try.
    pub(crate) async fn pause(&mut self) {
        let next = self.next();
        sleep(next).await;
    }

    /// Counts a failure and returns the pause after it.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        PAUSE_MIN.saturating_mul(doubled).min(PAUSE_MAX)
    }

    /// Starts over with the first pause, after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}
