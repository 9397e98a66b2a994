//! One publish, until it is done.

use std::time::Duration;

use stentor_client::{PublishError, Published};
use tokio::time::{Instant, sleep};

use crate::output::talk;

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
    let mut trying = Trying::default();
    loop {
        let began = Instant::now();
        let error = match attempt().await {
            Ok(published) => return Ok(published),
            Err(error) => error,
        };
        trying.was_there |= !matches!(error, PublishError::Unreachable { .. });
        if !trying.was_there || !is_passing(&error) || trying.away(began) > AWAY_MAX {
            return Err(error);
        }
        trying.pause(&error).await;
    }
}

/// Attempts that come to nothing.
#[derive(Debug, Default)]
pub(super) struct Trying {
    was_there: bool,
    /// Since when.
    since: Option<Instant>,
    pause: Duration,
}

impl Trying {
    /// How long nothing has come of it, with an attempt that began then.
    fn away(&mut self, began: Instant) -> Duration {
        // Of a long attempt, such as an upload of days, there was something.
        if began.elapsed() > AWAY_MAX {
            self.since = None;
        }
        self.since.get_or_insert_with(Instant::now).elapsed()
    }

    /// Says once what is wrong, and waits a little.
    pub(super) async fn pause(&mut self, error: &PublishError) {
        if self.pause.is_zero() {
            match error {
                // It has its advice for those who do not try on.
                PublishError::Unanswered { cause, .. } => {
                    talk(format_args!("the server did not answer: {cause}; trying on"));
                }
                error => talk(format_args!("{error}; trying on")),
            }
        }
        self.pause = (self.pause * 2).clamp(PAUSE, PAUSE_MAX);
        sleep(self.pause).await;
    }

    /// Says that it is over, if it was said.
    pub(super) fn succeed(&mut self) {
        if !self.pause.is_zero() {
            talk(format_args!("the server answers again"));
        }
        *self = Trying::default();
    }
}

/// Whether the server may take later what it did not take now.
pub(super) fn is_passing(error: &PublishError) -> bool {
    match error {
        PublishError::Unreachable { .. } | PublishError::Unanswered { .. } => true,
        PublishError::Refused { status, .. } => match status.as_u16() {
            408 | 429 => true,
            501 | 505 => false,
            status => status >= 500,
        },
        _ => false,
    }
}
