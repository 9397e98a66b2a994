//! What to do next, as a value: no I/O, and no clock but the `now` that is handed in.
//!
//! [`EventSource`](crate::EventSource) is driven by it. A program with a transport of its own can
//! drive it alone, with a [`Decoder`](crate::Decoder) to read what comes:
//!
//! ```
//! use std::time::Duration;
//! use stentor_client::StatusCode;
//! use stentor_client::reconnect::{Backoff, GiveUp, Mode, Outcome, Reconnect, Step};
//!
//! let backoff = Backoff::new(Duration::from_secs(2));
//! let mut reconnect = Reconnect::new(Mode::Resilient, backoff).with_attempts_max(2);
//! // Any origin will do, such as the start of the program.
//! let now = Duration::from_secs(100);
//!
//! let open = Outcome::Response { status: StatusCode::OK, is_event_stream: true, retry_after: None };
//! assert_eq!(reconnect.next_step(open, now), Step::Read);
//! reconnect.set_reconnection_time(Duration::from_millis(500)); // `retry: 500`
//! reconnect.progressed(); // an event with a new id
//!
//! let Step::Wait(wait) = reconnect.next_step(Outcome::Ended, now + Duration::from_secs(1)) else {
//!     panic!("an ended stream is not the end");
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

/// Which answers end it all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As browsers have it: every status but 200 and 204 is fatal.
    Spec,
    /// For programs that run unattended: 429 and 5xx are waited out, for as long as `Retry-After`
    /// asks, and a 401 may be answered with new credentials. All else is as in [`Spec`](Self::Spec).
    #[default]
    Resilient,
}

/// What came of an attempt, or of the stream that it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered.
    Response {
        /// The status.
        status: StatusCode,
        /// Whether the body is a stream of events, by its content type, and can be read.
        is_event_stream: bool,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server answered 401, and the client knows how to come by new credentials.
    Unauthorized,
    /// It did not answer: it cannot be reached, or broke off before its answer.
    NoResponse,
    /// The open stream ended, cleanly or not. If it fell silent, its time is that of its last sign of
    /// life, for silence is no health.
    Ended,
    /// What the server sends cannot be used, and would come again: a redirect that leads nowhere, an
    /// event over the bound.
    Unusable,
}

/// What to do after an [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The stream is open: read it.
    Read,
    /// Connect again after this time.
    Wait(Duration),
    /// Get new credentials and connect again at once. If they cannot be had, that is an
    /// [`Outcome::NoResponse`].
    Renew,
    /// The server has said that there is nothing more to come.
    Finish,
    /// No further attempt can do better.
    GiveUp(GiveUp),
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// The last outcome is fatal.
    Fatal,
    /// The new credentials were refused like the old ones.
    Unauthorized,
    /// So many attempts in a row came to nothing, as many as there may be.
    Attempts(u32),
}

/// Decides between waiting, finishing and giving up.
///
/// Two things are progress: a new id, and a stream that was open for long enough
/// ([`HEALTHY_AFTER`](Self::HEALTHY_AFTER)). Nothing less counts, for a server may accept, and even
/// repeat events, for ever.
#[derive(Clone, Debug)]
pub struct Reconnect {
    mode: Mode,
    backoff: Backoff,
    attempts_max: u32,
    healthy_after: Duration,
    /// Attempts in a row that came to nothing.
    failures: u32,
    /// When the stream that is being read was opened.
    opened: Option<Duration>,
    has_progressed: bool,
    has_renewed: bool,
}

impl Reconnect {
    /// How long a stream must have been open to count as progress, unless told otherwise: 60 s.
    pub const HEALTHY_AFTER: Duration = Duration::from_mins(1);

    /// With no limit of attempts.
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

    /// Gives up after so many attempts in a row without progress; at least one is made.
    #[must_use]
    pub fn with_attempts_max(mut self, attempts_max: u32) -> Self {
        self.attempts_max = attempts_max;
        self
    }

    /// With another time for which a stream must have been open to count as progress.
    #[must_use]
    pub fn with_healthy_after(mut self, healthy_after: Duration) -> Self {
        self.healthy_after = healthy_after;
        self
    }

    /// The step after this outcome. `now` is the time since an origin of the caller's choosing,
    /// always the same one.
    pub fn next_step(&mut self, outcome: Outcome, now: Duration) -> Step {
        let has_renewed = std::mem::take(&mut self.has_renewed);
        match outcome {
            Outcome::Response { status: StatusCode::OK, is_event_stream: true, .. } => {
                self.opened = Some(now);
                Step::Read
            }
            Outcome::Response { status: StatusCode::NO_CONTENT, .. } => Step::Finish,
            Outcome::Response { status, retry_after, .. } if self.is_passing(status) => {
                self.lose(retry_after.unwrap_or_default())
            }
            Outcome::Unauthorized if self.mode == Mode::Resilient && !has_renewed => {
                self.has_renewed = true;
                Step::Renew
            }
            Outcome::Unauthorized if has_renewed => Step::GiveUp(GiveUp::Unauthorized),
            Outcome::Response { .. } | Outcome::Unauthorized | Outcome::Unusable => {
                Step::GiveUp(GiveUp::Fatal)
            }
            Outcome::NoResponse => self.lose(Duration::ZERO),
            Outcome::Ended => {
                let open_for = self.opened.take().map(|opened| now.saturating_sub(opened));
                self.has_progressed |= open_for.is_some_and(|time| time >= self.healthy_after);
                self.lose(Duration::ZERO)
            }
        }
    }

    /// The stream got further than ever: a new id came.
    pub fn progressed(&mut self) {
        self.has_progressed = true;
    }

    /// The stream asked for another reconnection time.
    pub fn set_reconnection_time(&mut self, time: Duration) {
        self.backoff.set_base(time);
    }

    /// Which attempt since the last progress the next one is, counted from 1.
    pub fn attempt(&self) -> u32 {
        self.failures.saturating_add(1)
    }

    fn lose(&mut self, floor: Duration) -> Step {
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

    /// Whether a status tells of a trouble that passes: too many requests, or a server in need.
    fn is_passing(&self, status: StatusCode) -> bool {
        self.mode == Mode::Resilient
            && (status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error())
    }
}

#[cfg(test)]
mod tests;
