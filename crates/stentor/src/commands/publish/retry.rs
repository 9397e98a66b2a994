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
        if !was_reachable || !is_temporary(&error) || away > AWAY_MAX {
            return Err(error);
        }
        backoff.pause(&error).await;
    }
}

/// Growing pauses between failed attempts.
#[derive(Debug, Default)]
pub(super) struct Backoff(Duration);

impl Backoff {
    /// Prints the error at the first pause, and waits.
    pub(super) async fn pause(&mut self, error: &PublishError) {
        if self.0.is_zero() {
            match error {
                // The text of the error tells the caller to retry, but this function retries itself.
                PublishError::NoResponse { cause, .. } => {
                    print_message(format_args!("the server did not respond: {cause}; retrying"));
                }
                error => print_message(format_args!("{error}; retrying")),
            }
        }
        self.0 = (self.0 * 2).clamp(PAUSE, PAUSE_MAX);
        sleep(self.0).await;
    }

    /// Prints that the server is back, if there was a pause.
    pub(super) fn end(self) {
        if !self.0.is_zero() {
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
