//! One publish, until it is done.

use std::time::Duration;

use stentor_client::{PublishError, Published};
use tokio::time::{Instant, sleep};

use crate::output::print_message;

/// How long the server is waited for once it was there: as long as it surely knows the key, with a
/// minute in reserve.
const AWAY_MAX: Duration = Duration::from_mins(9);

/// The bounds of the pause between two attempts; it doubles with each.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A key that no other publish has.
pub(super) fn new_key() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

/// Attempts what has a key, again and again while the server is only away for the time being. One
/// that was not there in the first place is not waited for.
pub(super) async fn until_done(
    attempt: impl AsyncFn() -> Result<Published, PublishError>,
) -> Result<Published, PublishError> {
    let mut pauses = Pauses::default();
    let mut was_there = false;
    let mut away_since = None;
    loop {
        let began = Instant::now();
        let error = match attempt().await {
            Ok(published) => return Ok(published),
            Err(error) => error,
        };
        was_there |= !matches!(error, PublishError::Unreachable { .. });
        if began.elapsed() > AWAY_MAX {
            // Of a long attempt, such as an upload of days, there was something.
            away_since = None;
        }
        let away = away_since.get_or_insert_with(Instant::now).elapsed();
        if !was_there || !is_passing(&error) || away > AWAY_MAX {
            return Err(error);
        }
        pauses.pause(&error).await;
    }
}

/// The waits between attempts that come to nothing.
#[derive(Debug, Default)]
pub(super) struct Pauses(Duration);

impl Pauses {
    /// Says once what is wrong, and waits a little.
    pub(super) async fn pause(&mut self, error: &PublishError) {
        if self.0.is_zero() {
            match error {
                // It has its advice for those who do not try on.
                PublishError::NoResponse { cause, .. } => {
                    print_message(format_args!("the server did not answer: {cause}; trying on"));
                }
                error => print_message(format_args!("{error}; trying on")),
            }
        }
        self.0 = (self.0 * 2).clamp(PAUSE, PAUSE_MAX);
        sleep(self.0).await;
    }

    /// Says that they are over, if there were any.
    pub(super) fn end(self) {
        if !self.0.is_zero() {
            print_message(format_args!("the server answers again"));
        }
    }
}

/// Whether the server may take later what it did not take now.
pub(super) fn is_passing(error: &PublishError) -> bool {
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
