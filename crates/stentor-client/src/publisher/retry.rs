//! Decides if and when a publish is retried. No I/O and no clock: the caller passes the time.

use std::time::Duration;

use fastrand::Rng;
use reqwest::StatusCode;
use tokio::time::Instant;

use super::error::{Attempts, PublishError};
use crate::reconnect::Backoff;

/// Limits of the retries of a publish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryLimits {
    /// Maximum number of attempts, including the first.
    pub(crate) attempts: u32,
    /// Maximum time from the first failure to the last attempt.
    pub(crate) time: Duration,
}

/// The attempts of one publish.
#[derive(Debug)]
pub(crate) struct Retry {
    limits: RetryLimits,
    key: Option<String>,
    rng: Rng,
    attempts: u32,
    failing_since: Option<Instant>,
    /// Start of the first attempt that may have published.
    in_doubt_since: Option<Instant>,
}

/// Class of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureKind {
    /// The server refused the publish itself, and an earlier attempt did not publish it either.
    Refused,
    /// The attempt published nothing, and a further attempt cannot succeed.
    Permanent,
    /// The attempt published nothing, but a further attempt may succeed.
    Transient,
    /// The attempt may have published.
    InDoubt,
}

impl Retry {
    /// Maximum delay before the second attempt. It doubles with each further attempt.
    const DELAY: Duration = Duration::from_millis(200);

    /// Maximum delay, without the wait that the server requests.
    const DELAY_MAX: Duration = Duration::from_secs(10);

    /// Maximum time to rely on the key of a publish that may be in the log: the key window of the server (10 min) minus
    /// 1 min during which a request may be in transit.
    const KEY_TIME: Duration = Duration::from_mins(9);

    pub(crate) fn new(limits: RetryLimits, key: Option<String>, rng: Rng) -> Retry {
        Retry { limits, key, rng, attempts: 0, failing_since: None, in_doubt_since: None }
    }

    /// Returns the delay before the next attempt, or the error if no further attempt is allowed.
    ///
    /// `error` is that of the last attempt, which began at `started` and failed `now`. A wait that the server requests
    /// counts up to [`Backoff::SERVER_WAIT_MAX`].
    pub(crate) fn delay(
        &mut self,
        error: PublishError,
        started: Instant,
        now: Instant,
    ) -> Result<Duration, PublishError> {
        self.attempts += 1;
        let kind = FailureKind::of(&error);
        let failing_since = *self.failing_since.get_or_insert(now);
        if kind == FailureKind::InDoubt {
            self.in_doubt_since.get_or_insert(started);
        }
        let is_safe = match kind {
            FailureKind::Refused | FailureKind::Permanent => false,
            FailureKind::Transient => true,
            FailureKind::InDoubt => self.key.is_some(),
        };
        let requested = error.retry_after().unwrap_or_default().min(Backoff::SERVER_WAIT_MAX);
        let delay = requested + self.backoff();
        let ends_within =
            |start: Instant, limit| now.duration_since(start).saturating_add(delay) <= limit;
        if is_safe
            && self.attempts < self.limits.attempts
            && ends_within(failing_since, self.limits.time)
            && self.in_doubt_since.is_none_or(|since| ends_within(since, Self::KEY_TIME))
        {
            return Ok(delay);
        }
        Err(error.with_attempts(Attempts {
            count: self.attempts,
            in_doubt: self.in_doubt_since.is_some() && kind != FailureKind::Refused,
            key: self.key.take(),
        }))
    }

    /// Restarts the time limits at `last_chunk`, the time when an attempt of an upload sent its last chunk.
    ///
    /// The server restarts the key window of an upload with each of its events.
    pub(crate) fn restart(&mut self, last_chunk: Instant) {
        self.failing_since = None;
        self.in_doubt_since = self.in_doubt_since.map(|_| last_chunk);
    }

    /// Completes the error of a publish that is not retried.
    pub(crate) fn single_attempt(error: PublishError, key: Option<String>) -> PublishError {
        let in_doubt = FailureKind::of(&error) == FailureKind::InDoubt;
        error.with_attempts(Attempts { count: 1, in_doubt, key })
    }

    /// Returns a random delay between zero and a maximum that doubles (full jitter). Publishers that failed together
    /// therefore do not retry together.
    fn backoff(&mut self) -> Duration {
        let growth = 2_u32.saturating_pow(self.attempts.saturating_sub(1));
        Self::DELAY.saturating_mul(growth).min(Self::DELAY_MAX).mul_f64(self.rng.f64())
    }
}

impl FailureKind {
    fn of(error: &PublishError) -> FailureKind {
        match error {
            PublishError::Unreachable { .. } => FailureKind::Transient,
            PublishError::NoResponse { .. } => FailureKind::InDoubt,
            PublishError::Refused { status, problem, .. } => {
                // A problem comes from the server itself. It contains the number of published events of an upload.
                let published = problem.as_ref().map(|problem| problem.published.unwrap_or(0));
                FailureKind::of_status(*status, published)
            }
            _ => FailureKind::Permanent,
        }
    }

    fn of_status(status: StatusCode, published: Option<u64>) -> FailureKind {
        match status.as_u16() {
            400 | 409 | 413 | 415 | 422 => FailureKind::Refused,
            408 | 429 | 503 if published == Some(0) => FailureKind::Transient,
            // Without a problem, the 429 comes from a proxy, which limits the rate before it forwards a request.
            429 if published.is_none() => FailureKind::Transient,
            // The server does not implement the request. A retry does not change that.
            501 | 505 => FailureKind::Permanent,
            // A proxy that lost the response, or a server that failed during the request.
            408 | 429 | 500.. => FailureKind::InDoubt,
            _ => FailureKind::Permanent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    fn unreachable() -> PublishError {
        PublishError::Unreachable { cause: "refused".to_owned(), attempts: Attempts::default() }
    }

    fn no_response() -> PublishError {
        PublishError::NoResponse { cause: "reset".to_owned(), attempts: Attempts::default() }
    }

    /// A refusal by a proxy.
    fn refused(status: u16) -> PublishError {
        let status = StatusCode::from_u16(status).unwrap();
        PublishError::Refused {
            status,
            problem: None,
            retry_after: None,
            attempts: Attempts::default(),
        }
    }

    /// A refusal by a server that requests a wait.
    fn refused_for(wait: Duration) -> PublishError {
        PublishError::Refused {
            status: StatusCode::SERVICE_UNAVAILABLE,
            problem: Some(Box::default()),
            retry_after: Some(wait),
            attempts: Attempts::default(),
        }
    }

    /// A refusal by the server itself, after `published` events of an upload.
    fn refused_by_server(status: u16, published: Option<u64>) -> PublishError {
        let status = StatusCode::from_u16(status).unwrap();
        let problem = Problem { published, ..Problem::default() };
        PublishError::Refused {
            status,
            problem: Some(Box::new(problem)),
            retry_after: None,
            attempts: Attempts::default(),
        }
    }

    fn retry(key: Option<&str>, seed: u64) -> Retry {
        let limits = RetryLimits { attempts: 20, time: Duration::from_mins(1) };
        Retry::new(limits, key.map(str::to_owned), Rng::with_seed(seed))
    }

    /// Reports an attempt that failed at once.
    fn fail(retry: &mut Retry, error: PublishError) -> Result<Duration, PublishError> {
        let now = Instant::now();
        retry.delay(error, now, now)
    }

    #[test]
    fn an_attempt_that_published_nothing_is_retried_even_without_a_key() {
        for error in [
            unreachable(),
            refused(429),
            refused_by_server(408, None),
            refused_by_server(429, None),
            refused_by_server(503, None),
            refused_by_server(503, Some(0)),
        ] {
            assert!(fail(&mut retry(None, 1), error.clone()).is_ok(), "{error}");
        }
    }

    #[test]
    fn an_attempt_that_may_have_published_is_retried_only_with_a_key() {
        for error in [
            no_response(),
            refused(408),
            refused(500),
            refused(502),
            refused(503),
            refused(520),
            refused_by_server(503, Some(3)),
            refused_by_server(429, Some(3)),
        ] {
            assert!(fail(&mut retry(Some("k"), 1), error.clone()).is_ok(), "{error}");
            let error = fail(&mut retry(None, 1), error).unwrap_err();
            assert!(error.may_be_published(), "{error}");
        }
    }

    #[test]
    fn a_permanent_failure_is_not_retried() {
        for status in [301, 400, 401, 403, 404, 409, 413, 415, 422, 501, 505] {
            let error = fail(&mut retry(Some("k"), 1), refused(status)).unwrap_err();
            assert!(!error.may_be_published(), "{error}");
        }
    }

    #[test]
    fn a_publish_stays_in_doubt_until_the_server_refuses_it() {
        for (status, in_doubt) in [(401, true), (409, false), (422, false)] {
            let mut retry = retry(Some("k"), 1);
            fail(&mut retry, no_response()).unwrap();
            fail(&mut retry, refused(503)).unwrap();
            let error = fail(&mut retry, refused(status)).unwrap_err();
            assert_eq!(error.may_be_published(), in_doubt, "{error}");
        }
    }

    #[test]
    fn delays_grow_and_are_spread_up_to_the_maximum() {
        let mut longest = [Duration::ZERO; 8];
        let mut shortest = Duration::MAX;
        for seed in 0..200 {
            let mut retry = retry(None, seed);
            for longest in &mut longest {
                let wait = fail(&mut retry, unreachable()).unwrap();
                *longest = wait.max(*longest);
                shortest = wait.min(shortest);
            }
        }
        assert!(longest[..6].is_sorted() && longest[0] <= Retry::DELAY, "{longest:?}");
        assert!(longest[7] > Retry::DELAY_MAX / 2 && longest[7] <= Retry::DELAY_MAX, "{longest:?}");
        assert!(shortest < Retry::DELAY / 10, "{shortest:?}");
    }

    #[test]
    fn the_wait_requested_by_the_server_is_added() {
        let now = Instant::now();
        let requested = Duration::from_secs(7);
        let wait = retry(None, 1).delay(refused_for(requested), now, now).unwrap();
        assert!(wait >= requested && wait <= requested + Retry::DELAY, "{wait:?}");
    }

    #[test]
    fn the_wait_requested_by_the_server_is_bounded() {
        let limits = RetryLimits { attempts: u32::MAX, time: Duration::MAX };
        let mut retry = Retry::new(limits, None, Rng::with_seed(1));
        let wait = fail(&mut retry, refused_for(Duration::MAX)).unwrap();
        let most = Backoff::SERVER_WAIT_MAX + Retry::DELAY_MAX;
        assert!(wait >= Backoff::SERVER_WAIT_MAX && wait <= most, "{wait:?}");
    }

    #[test]
    fn attempts_and_time_are_limited() {
        let mut retry_ = retry(None, 1);
        for _ in 1..20 {
            fail(&mut retry_, unreachable()).unwrap();
        }
        let error = fail(&mut retry_, unreachable()).unwrap_err();
        assert!(error.to_string().contains("20 attempts"), "{error}");

        let now = Instant::now();
        for requested in [Duration::from_secs(61), Duration::MAX] {
            assert!(retry(None, 1).delay(refused_for(requested), now, now).is_err());
        }
        let mut retry = retry(None, 1);
        retry.delay(unreachable(), now, now).unwrap();
        let later = now + Duration::from_mins(1);
        assert!(retry.delay(unreachable(), later, later).is_err());
    }

    #[test]
    fn a_publish_in_doubt_is_not_retried_after_the_key_window() {
        let limits = RetryLimits { attempts: u32::MAX, time: Duration::MAX };
        let began = Instant::now();
        let later = began + Retry::KEY_TIME;
        let mut in_doubt = Retry::new(limits, Some("k".to_owned()), Rng::with_seed(1));
        in_doubt.delay(no_response(), began, began).unwrap();
        let error = in_doubt.delay(unreachable(), later, later).unwrap_err();
        assert!(error.may_be_published(), "{error}");
        let mut certain = Retry::new(limits, Some("k".to_owned()), Rng::with_seed(1));
        certain.delay(unreachable(), began, began).unwrap();
        assert!(certain.delay(unreachable(), later, later).is_ok());
    }

    #[test]
    fn progress_of_an_upload_restarts_the_time_limits() {
        let began = Instant::now();
        let mut retry = retry(Some("k"), 1);
        retry.delay(no_response(), began, began).unwrap();
        let later = began + Duration::from_hours(1);
        retry.restart(later);
        assert!(retry.delay(no_response(), later, later).is_ok());
        let much_later = later + Retry::KEY_TIME;
        assert!(retry.delay(no_response(), later, much_later).is_err());
    }
}
