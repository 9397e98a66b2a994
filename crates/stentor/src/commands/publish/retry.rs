//! Retries a publish until it succeeds or cannot succeed.

use std::time::Duration;

use stentor_client::{PublishError, Published};
use tokio::time::{Instant, sleep};

use crate::output::print_message;

/// Maximum time to wait for a server that was reachable before. The server remembers keys for one minute
/// longer.
const AWAY_MAX: Duration = Duration::from_mins(9);

/// First pause between two attempts. It doubles with each attempt.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Maximum wait that a server can request with `Retry-After`.
const SERVER_WAIT_MAX: Duration = stentor_client::reconnect::Backoff::SERVER_WAIT_MAX;

/// Returns a random idempotency key.
pub(super) fn new_key() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

/// Repeats a publish, which must have an idempotency key, while the server is temporarily unavailable.
///
/// # Errors
/// The server refuses the publish, was never reachable, or is away for more than [`AWAY_MAX`].
pub(super) async fn until_done(
    attempt: impl AsyncFn() -> Result<Published, PublishError>,
) -> Result<Published, PublishError> {
    let mut backoff = Backoff::default();
    let mut was_reachable = false;
    let mut away_since = None;
    loop {
        let started = Instant::now();
        let error = match attempt().await {
            Ok(published) => return Ok(published),
            Err(error) => error,
        };
        was_reachable |= !matches!(error, PublishError::Unreachable { .. });
        if started.elapsed() > AWAY_MAX {
            // A long attempt, such as an upload that takes days, shows that the server was reachable.
            away_since = None;
        }
        let away = away_since.get_or_insert_with(Instant::now).elapsed();
        let pause = backoff.next(&error);
        if !was_reachable || !is_temporary(&error) || away.saturating_add(pause) > AWAY_MAX {
            return Err(error);
        }
        backoff.wait(pause, &error).await;
    }
}

/// Growing pauses between failed attempts.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    last: Duration,
    has_reported: bool,
}

impl Backoff {
    /// Prints the error at the first pause, and waits.
    pub(super) async fn pause(&mut self, error: &PublishError) {
        let pause = self.next(error);
        self.wait(pause, error).await;
    }

    /// Returns the next pause. It is at least the wait that the server requested, up to [`SERVER_WAIT_MAX`].
    fn next(&mut self, error: &PublishError) -> Duration {
        self.last = (self.last * 2).clamp(PAUSE, PAUSE_MAX);
        self.last.max(error.retry_after().unwrap_or_default().min(SERVER_WAIT_MAX))
    }

    async fn wait(&mut self, pause: Duration, error: &PublishError) {
        if !std::mem::replace(&mut self.has_reported, true) {
            match error {
                // The text of the error tells the caller to retry, but this function retries itself.
                PublishError::NoResponse { cause, .. } => {
                    print_message(format_args!("the server did not respond: {cause}; retrying"));
                }
                error if error.retry_after().is_some() => {
                    let seconds = pause.as_secs_f32();
                    print_message(format_args!("{error}; retrying in {seconds:.1} s"));
                }
                error => print_message(format_args!("{error}; retrying")),
            }
        }
        sleep(pause).await;
    }

    /// Prints that the server is back, if there was a pause.
    pub(super) fn end(self) {
        if self.has_reported {
            print_message(format_args!("the server responds again"));
        }
    }
}

/// `true` if a later attempt can succeed.
pub(super) fn is_temporary(error: &PublishError) -> bool {
    match error {
        PublishError::Unreachable { .. } | PublishError::NoResponse { .. } => true,
        PublishError::Refused { status, .. } => match status.as_u16() {
            408 | 429 => true,
            501 | 505 => false,
            status => status >= 500,
        },
        _ => false,
    }
}
