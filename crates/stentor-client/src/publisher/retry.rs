//! Whether a publish is tried again, and when. No I/O, and no clock: it is handed the time.

use std::time::Duration;

use fastrand::Rng;
use reqwest::StatusCode;
use tokio::time::Instant;

use crate::error::{Attempts, PublishError};

/// How often and how long a publish is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Attempts, the first one included.
    pub(crate) attempts: u32,
    /// From the first failure to the last attempt.
    pub(crate) time: Duration,
}

/// The attempts of one publish.
#[derive(Debug)]
pub(crate) struct Retry {
    limits: Limits,
    key: Option<String>,
    rng: Rng,
    attempts: u32,
    failing_since: Option<Instant>,
    /// When it first may have been published.
    in_doubt_since: Option<Instant>,
}

/// What a failure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The server refuses this very publish, and did not publish it before.
    Refused,
    /// This attempt published nothing, and another one would not either.
    Hopeless,
    /// This attempt published nothing, but another one may.
    Missed,
    /// This attempt may have published.
    InDoubt,
}

impl Retry {
    /// The bound of the wait before the second attempt; it doubles with each further one.
    const WAIT: Duration = Duration::from_millis(200);

    /// The bound of any wait, but for what the server asks for on top.
    const WAIT_MAX: Duration = Duration::from_secs(10);

    /// How long a key that may be in use is relied on: the server's window of ten minutes, less a
    /// minute in which a request may be on its way.
    const KEY_TIME: Duration = Duration::from_mins(9);

    pub(crate) fn new(limits: Limits, key: Option<String>, rng: Rng) -> Retry {
        Retry { limits, key, rng, attempts: 0, failing_since: None, in_doubt_since: None }
    }

    /// How long to wait after an attempt that began then and failed now, for which the server asked
    /// for some wait; or the error, if it was the last attempt.
    pub(crate) fn wait(
        &mut self,
        error: PublishError,
        asked: Option<Duration>,
        began: Instant,
        now: Instant,
    ) -> Result<Duration, PublishError> {
        self.attempts += 1;
        let verdict = Verdict::of(&error);
        let failing_since = *self.failing_since.get_or_insert(now);
        if verdict == Verdict::InDoubt {
            self.in_doubt_since.get_or_insert(began);
        }
        let is_safe = match verdict {
            Verdict::Refused | Verdict::Hopeless => false,
            Verdict::Missed => true,
            Verdict::InDoubt => self.key.is_some(),
        };
        let wait = asked.unwrap_or_default().saturating_add(self.backoff());
        let ends_within =
            |start: Instant, limit| now.duration_since(start).saturating_add(wait) <= limit;
        if is_safe
            && self.attempts < self.limits.attempts
            && ends_within(failing_since, self.limits.time)
            && self.in_doubt_since.is_none_or(|since| ends_within(since, Self::KEY_TIME))
        {
            return Ok(wait);
        }
        Err(error.with_attempts(Attempts {
            count: self.attempts,
            in_doubt: self.in_doubt_since.is_some() && verdict != Verdict::Refused,
            key: self.key.take(),
        }))
    }

    /// The last attempt got through for a while, with its last piece then: time begins anew, for the
    /// window of an upload's key begins anew with each of its events.
    pub(crate) fn renew(&mut self, last_piece: Instant) {
        self.failing_since = None;
        self.in_doubt_since = self.in_doubt_since.map(|_| last_piece);
    }

    /// The error of an attempt that was the only one.
    pub(crate) fn only(error: PublishError, key: Option<String>) -> PublishError {
        let in_doubt = Verdict::of(&error) == Verdict::InDoubt;
        error.with_attempts(Attempts { count: 1, in_doubt, key })
    }

    /// Anything from nothing to a bound that doubles (full jitter), so that publishers that were cut
    /// off together do not come back together.
    fn backoff(&mut self) -> Duration {
        let growth = 2_u32.saturating_pow(self.attempts.saturating_sub(1));
        Self::WAIT.saturating_mul(growth).min(Self::WAIT_MAX).mul_f64(self.rng.f64())
    }
}

impl Verdict {
    fn of(error: &PublishError) -> Verdict {
        match error {
            PublishError::Unreachable { .. } => Verdict::Missed,
            PublishError::NoResponse { .. } => Verdict::InDoubt,
            PublishError::Refused { status, problem, .. } => {
                // The server's own word, which says how much of an upload is published.
                let published = problem.as_ref().map(|problem| problem.published.unwrap_or(0));
                Verdict::of_status(*status, published)
            }
            _ => Verdict::Hopeless,
        }
    }

    fn of_status(status: StatusCode, published: Option<u64>) -> Verdict {
        match status.as_u16() {
            400 | 409 | 413 | 415 | 422 => Verdict::Refused,
            408 | 429 | 503 if published == Some(0) => Verdict::Missed,
            // A proxy that holds publishers back does so before it passes anything on.
            429 if published.is_none() => Verdict::Missed,
            // What is not implemented will not be soon.
            501 | 505 => Verdict::Hopeless,
            // A proxy that lost the answer, or a server that broke on the way.
            408 | 429 | 500.. => Verdict::InDoubt,
            _ => Verdict::Hopeless,
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

    fn unanswered() -> PublishError {
        PublishError::NoResponse { cause: "reset".to_owned(), attempts: Attempts::default() }
    }

    /// As a proxy refuses.
    fn refused(status: u16) -> PublishError {
        let status = StatusCode::from_u16(status).unwrap();
        PublishError::Refused { status, problem: None, attempts: Attempts::default() }
    }

    /// As the server itself refuses, with so many events of an upload published.
    fn said(status: u16, published: Option<u64>) -> PublishError {
        let status = StatusCode::from_u16(status).unwrap();
        let problem = Problem { published, ..Problem::default() };
        PublishError::Refused {
            status,
            problem: Some(Box::new(problem)),
            attempts: Attempts::default(),
        }
    }

    fn retry(key: Option<&str>, seed: u64) -> Retry {
        let limits = Limits { attempts: 20, time: Duration::from_mins(1) };
        Retry::new(limits, key.map(str::to_owned), Rng::with_seed(seed))
    }

    /// What becomes of an attempt that failed at once.
    fn fail(retry: &mut Retry, error: PublishError) -> Result<Duration, PublishError> {
        let now = Instant::now();
        retry.wait(error, None, now, now)
    }

    #[test]
    fn what_published_nothing_is_tried_again_without_a_key_too() {
        for error in [
            unreachable(),
            refused(429),
            said(408, None),
            said(429, None),
            said(503, None),
            said(503, Some(0)),
        ] {
            assert!(fail(&mut retry(None, 1), error.clone()).is_ok(), "{error}");
        }
    }

    #[test]
    fn what_may_have_published_is_tried_again_under_a_key_only() {
        for error in [
            unanswered(),
            refused(408),
            refused(500),
            refused(502),
            refused(503),
            refused(520),
            said(503, Some(3)),
            said(429, Some(3)),
        ] {
            assert!(fail(&mut retry(Some("k"), 1), error.clone()).is_ok(), "{error}");
            let error = fail(&mut retry(None, 1), error).unwrap_err();
            assert!(error.may_be_published(), "{error}");
        }
    }

    #[test]
    fn what_would_fail_again_is_not_tried_again() {
        for status in [301, 400, 401, 403, 404, 409, 413, 415, 422, 501, 505] {
            let error = fail(&mut retry(Some("k"), 1), refused(status)).unwrap_err();
            assert!(!error.may_be_published(), "{error}");
        }
    }

    #[test]
    fn a_doubt_stays_until_the_server_refuses_the_publish_itself() {
        for (status, in_doubt) in [(401, true), (409, false), (422, false)] {
            let mut retry = retry(Some("k"), 1);
            fail(&mut retry, unanswered()).unwrap();
            fail(&mut retry, refused(503)).unwrap();
            let error = fail(&mut retry, refused(status)).unwrap_err();
            assert_eq!(error.may_be_published(), in_doubt, "{error}");
        }
    }

    #[test]
    fn waits_grow_and_are_spread_up_to_the_bound() {
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
        assert!(longest[..6].is_sorted() && longest[0] <= Retry::WAIT, "{longest:?}");
        assert!(longest[7] > Retry::WAIT_MAX / 2 && longest[7] <= Retry::WAIT_MAX, "{longest:?}");
        assert!(shortest < Retry::WAIT / 10, "{shortest:?}");
    }

    #[test]
    fn what_the_server_asks_for_comes_on_top() {
        let now = Instant::now();
        let asked = Duration::from_secs(7);
        let wait = retry(None, 1).wait(said(503, None), Some(asked), now, now).unwrap();
        assert!(wait >= asked && wait <= asked + Retry::WAIT, "{wait:?}");
    }

    #[test]
    fn there_is_an_end_to_attempts_and_to_time() {
        let mut retry_ = retry(None, 1);
        for _ in 1..20 {
            fail(&mut retry_, unreachable()).unwrap();
        }
        let error = fail(&mut retry_, unreachable()).unwrap_err();
        assert!(error.to_string().contains("20 attempts"), "{error}");

        let now = Instant::now();
        for asked in [Duration::from_secs(61), Duration::MAX] {
            assert!(retry(None, 1).wait(said(503, None), Some(asked), now, now).is_err());
        }
        let mut retry = retry(None, 1);
        retry.wait(unreachable(), None, now, now).unwrap();
        let later = now + Duration::from_mins(1);
        assert!(retry.wait(unreachable(), None, later, later).is_err());
    }

    #[test]
    fn a_key_that_the_server_may_have_forgotten_is_not_relied_on() {
        let limits = Limits { attempts: u32::MAX, time: Duration::MAX };
        let began = Instant::now();
        let later = began + Retry::KEY_TIME;
        let mut in_doubt = Retry::new(limits, Some("k".to_owned()), Rng::with_seed(1));
        in_doubt.wait(unanswered(), None, began, began).unwrap();
        let error = in_doubt.wait(unreachable(), None, later, later).unwrap_err();
        assert!(error.may_be_published(), "{error}");
        let mut certain = Retry::new(limits, Some("k".to_owned()), Rng::with_seed(1));
        certain.wait(unreachable(), None, began, began).unwrap();
        assert!(certain.wait(unreachable(), None, later, later).is_ok());
    }

    #[test]
    fn an_upload_that_got_through_for_a_while_has_its_time_anew() {
        let began = Instant::now();
        let mut retry = retry(Some("k"), 1);
        retry.wait(unanswered(), None, began, began).unwrap();
        let later = began + Duration::from_hours(1);
        retry.renew(later);
        assert!(retry.wait(unanswered(), None, later, later).is_ok());
        let much_later = later + Retry::KEY_TIME;
        assert!(retry.wait(unanswered(), None, later, much_later).is_err());
    }
}
