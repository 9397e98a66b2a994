//! Decides if and when to reconnect. No I/O and no clock: the caller passes the time.
//!
//! [`EventSource`](crate::EventSource) uses this state machine. A program with its own transport can use it together
//! with a [`Decoder`](crate::Decoder):
//!
//! ```
//! use std::time::Duration;
//! use stentor_client::StatusCode;
//! use stentor_client::reconnect::{Backoff, GiveUp, Mode, Outcome, Reconnect, Step};
//!
//! let backoff = Backoff::new(Duration::from_secs(2));
//! let mut reconnect = Reconnect::new(Mode::Resilient, backoff).with_attempts_max(2);
//! // Time since any fixed moment, for example the start of the program.
//! let now = Duration::from_secs(100);
//!
//! let open = Outcome::Response { status: StatusCode::OK, is_event_stream: true, retry_after: None };
//! assert_eq!(reconnect.next_step(open, now), Step::Read);
//! reconnect.set_reconnection_time(Duration::from_millis(500)); // `retry: 500`
//! reconnect.progressed(); // an event with a new id
//!
//! let Step::Wait(wait) = reconnect.next_step(Outcome::Ended, now + Duration::from_secs(1)) else {
//!     panic!("a stream that ended is resumed");
//! };
//! assert!(wait >= Duration::from_millis(500));
//!
//! let now = now + Duration::from_secs(2);
//! assert!(matches!(reconnect.next_step(Outcome::NoResponse, now), Step::Wait(_)));
//! let step = reconnect.next_step(Outcome::NoResponse, now + Duration::from_secs(2));
//! assert_eq!(step, Step::GiveUp(GiveUp::Attempts(2)));
//! ```

mod backoff;

use std::time::Duration;

use reqwest::StatusCode;

pub use self::backoff::Backoff;

/// Determines which responses are fatal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Behaves like a browser: every status except 200 and 204 is fatal.
    Spec,
    /// For unattended programs. The default.
    ///
    /// 429 and 5xx are retried, after `Retry-After` if the server sends it. A 401 can be retried with new credentials.
    /// Everything else is as in [`Spec`](Self::Spec).
    #[default]
    Resilient,
}

/// Result of an attempt to connect, or the end of an open stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server responded.
    Response {
        /// The status.
        status: StatusCode,
        /// `true` if the body is a readable event stream, according to the response headers.
        is_event_stream: bool,
        /// The wait requested with `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The server responded with 401, and the client can obtain new credentials.
    Unauthorized,
    /// There is no response: the server is unreachable, or the connection broke before the response.
    NoResponse,
    /// The open stream ended, cleanly or not.
    ///
    /// After an idle timeout, pass the time of the last received bytes: silence does not count as a healthy stream.
    Ended,
    /// The response or the stream is not usable, and a further attempt would give the same result: an invalid
    /// redirect, an event over the limit.
    Unusable,
}

/// Action to take after an [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The stream is open: read it.
    Read,
    /// Connect again after this delay.
    Wait(Duration),
    /// Obtain new credentials and connect again at once. If that fails, report [`Outcome::NoResponse`].
    Renew,
    /// Stop: the server has nothing more to send.
    Finish,
    /// Stop with an error: a further attempt cannot succeed, or the limit of attempts is reached.
    GiveUp(GiveUp),
}

/// Reason of [`Step::GiveUp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// The last outcome is fatal.
    Fatal,
    /// The server rejected the new credentials as well.
    Unauthorized,
    /// The limit of consecutive attempts without progress is reached. The value is the limit.
    Attempts(u32),
}

/// State machine that decides between waiting, finishing and giving up.
///
/// Delays grow and attempts are counted until the stream makes progress. Progress is a new event id, or a stream that
/// stayed open for [`HEALTHY_AFTER`](Self::HEALTHY_AFTER). A successful connection is not progress: a server could
/// accept connections and repeat the same events without end.
#[derive(Clone, Debug)]
pub struct Reconnect {
    mode: Mode,
    backoff: Backoff,
    attempts_max: u32,
    healthy_after: Duration,
    /// Number of consecutive attempts without progress.
    failures: u32,
    /// Time at which the current stream was opened.
    opened: Option<Duration>,
    has_progressed: bool,
    has_renewed: bool,
}

impl Reconnect {
    /// Default time a stream must stay open to count as progress: 60 s.
    pub const HEALTHY_AFTER: Duration = Duration::from_mins(1);

    /// Creates a state machine without a limit on attempts.
    pub fn new(mode: Mode, backoff: Backoff) -> Self {
        Self {
            mode,
            backoff,
            attempts_max: u32::MAX,
            healthy_after: Self::HEALTHY_AFTER,
            failures: 0,
            opened: None,
            has_progressed: false,
            has_renewed: false,
        }
    }

    /// Sets the maximum number of consecutive attempts without progress (default: no limit). 0 counts as 1.
    #[must_use]
    pub fn with_attempts_max(mut self, attempts_max: u32) -> Self {
        self.attempts_max = attempts_max;
        self
    }

    /// Sets the time a stream must stay open to count as progress (default: [`HEALTHY_AFTER`](Self::HEALTHY_AFTER)).
    #[must_use]
    pub fn with_healthy_after(mut self, healthy_after: Duration) -> Self {
        self.healthy_after = healthy_after;
        self
    }

    /// Returns the step to take after an outcome.
    ///
    /// `now` is the time since a fixed moment chosen by the caller.
    pub fn next_step(&mut self, outcome: Outcome, now: Duration) -> Step {
        let has_renewed = std::mem::take(&mut self.has_renewed);
        match outcome {
            Outcome::Response { status: StatusCode::OK, is_event_stream: true, .. } => {
                self.opened = Some(now);
                Step::Read
            }
            Outcome::Response { status: StatusCode::NO_CONTENT, .. } => Step::Finish,
            Outcome::Response { status, retry_after, .. } if self.is_transient(status) => {
                self.after_loss(retry_after.unwrap_or_default())
            }
            Outcome::Unauthorized if self.mode == Mode::Resilient && !has_renewed => {
                self.has_renewed = true;
                Step::Renew
            }
            Outcome::Unauthorized if has_renewed => Step::GiveUp(GiveUp::Unauthorized),
            Outcome::Response { .. } | Outcome::Unauthorized | Outcome::Unusable => {
                Step::GiveUp(GiveUp::Fatal)
            }
            Outcome::NoResponse => self.after_loss(Duration::ZERO),
            Outcome::Ended => {
                let open_for = self.opened.take().map(|opened| now.saturating_sub(opened));
                self.has_progressed |= open_for.is_some_and(|time| time >= self.healthy_after);
                self.after_loss(Duration::ZERO)
            }
        }
    }

    /// Reports progress: an event with a new id arrived.
    pub fn progressed(&mut self) {
        self.has_progressed = true;
    }

    /// Sets the reconnection time that the stream sent with `retry:`.
    pub fn set_reconnection_time(&mut self, time: Duration) {
        self.backoff.set_base(time);
    }

    /// Returns the number of the next attempt since the last progress, counted from 1.
    pub fn attempt(&self) -> u32 {
        self.failures.saturating_add(1)
    }

    fn after_loss(&mut self, floor: Duration) -> Step {
        if std::mem::take(&mut self.has_progressed) {
            self.failures = 0;
            self.backoff.reset();
        } else {
            self.failures = self.failures.saturating_add(1);
        }
        if self.failures >= self.attempts_max.max(1) {
            return Step::GiveUp(GiveUp::Attempts(self.failures));
        }
        Step::Wait(self.backoff.next(floor))
    }

    /// Returns `true` for a status that is worth a retry: 429, or a server error.
    fn is_transient(&self, status: StatusCode) -> bool {
        self.mode == Mode::Resilient
            && (status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error())
    }
}

#[cfg(test)]
mod tests;
