//! What to do next, as a value: no I/O, and no clock but the `now` that is handed in.

use std::time::Duration;

use fastrand::Rng;
use reqwest::StatusCode;
use tokio::time::Instant;

use crate::backoff::Backoff;

/// What came of an attempt, or of the stream that it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The server answered.
    Answer {
        status: StatusCode,
        /// Whether the body is a stream of events, by its content type.
        is_event_stream: bool,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It did not: it cannot be reached, or broke off before its answer.
    NoAnswer,
    /// The open stream ended, cleanly or not.
    Ended,
    /// A redirect leads nowhere.
    Astray,
}

/// What to do after an [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The stream is open: read it.
    Read,
    /// Connect again at this time.
    ConnectAt(Instant),
    /// The server has said that there is nothing more to come.
    Finish,
    /// No further attempt can do better.
    GiveUp,
}

/// Decides between waiting, finishing and giving up.
#[derive(Debug)]
pub(crate) struct Reconnect {
    backoff: Backoff,
}

impl Reconnect {
    pub(crate) fn new(reconnection_time: Duration, rng: Rng) -> Self {
        Self { backoff: Backoff::new(reconnection_time, rng) }
    }

    /// The step after this outcome.
    pub(crate) fn after(&mut self, outcome: Outcome, now: Instant) -> Step {
        match outcome {
            Outcome::Answer { status: StatusCode::OK, is_event_stream: true, .. } => Step::Read,
            Outcome::Answer { status: StatusCode::NO_CONTENT, .. } => Step::Finish,
            Outcome::Answer { status, retry_after, .. } if is_passing(status) => {
                self.wait(retry_after.unwrap_or_default(), now)
            }
            Outcome::Answer { .. } | Outcome::Astray => Step::GiveUp,
            Outcome::NoAnswer | Outcome::Ended => self.wait(Duration::ZERO, now),
        }
    }

    /// The stream got further than ever: a new id came. Nothing less counts, for a server may accept
    /// and even repeat events for ever.
    pub(crate) fn progressed(&mut self) {
        self.backoff.reset();
    }

    /// The stream asked for another reconnection time.
    pub(crate) fn set_reconnection_time(&mut self, time: Duration) {
        self.backoff.set_base(time);
    }

    fn wait(&mut self, floor: Duration, now: Instant) -> Step {
        Step::ConnectAt(now + self.backoff.next(floor))
    }
}

/// Whether a status tells of a trouble that passes: too many requests, or a gateway whose server is
/// away. The standard would give up here as well, which no program that runs unattended can want.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(2);

    fn reconnect() -> Reconnect {
        Reconnect::new(TIME, Rng::with_seed(1))
    }

    fn answer(status: u16, is_event_stream: bool, retry_after: Option<u64>) -> Outcome {
        Outcome::Answer {
            status: StatusCode::from_u16(status).unwrap(),
            is_event_stream,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_200_with_the_right_type_opens() {
        let now = Instant::now();
        assert_eq!(reconnect().after(answer(200, true, None), now), Step::Read);
        for (status, is_event_stream) in [
            (200, false),
            (205, true),
            (210, true),
            (302, true),
            (401, true),
            (404, true),
            (500, true),
        ] {
            let step = reconnect().after(answer(status, is_event_stream, None), now);
            assert_eq!(step, Step::GiveUp, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_204_is_the_end() {
        assert_eq!(reconnect().after(answer(204, false, None), Instant::now()), Step::Finish);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_stream_and_a_missing_answer_wait_for_the_reconnection_time() {
        let now = Instant::now();
        for outcome in [Outcome::Ended, Outcome::NoAnswer] {
            assert_eq!(reconnect().after(outcome, now), Step::ConnectAt(now + TIME));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_sets_the_reconnection_time() {
        let now = Instant::now();
        let mut reconnect = reconnect();
        reconnect.set_reconnection_time(Duration::from_millis(70));
        let step = reconnect.after(Outcome::Ended, now);
        assert_eq!(step, Step::ConnectAt(now + Duration::from_millis(70)));
    }

    #[tokio::test(start_paused = true)]
    async fn passing_trouble_is_waited_out_as_long_as_the_server_asks() {
        let now = Instant::now();
        for status in [429, 502, 503, 504] {
            let step = reconnect().after(answer(status, false, Some(90)), now);
            assert_eq!(step, Step::ConnectAt(now + Duration::from_secs(90)), "{status}");
            let step = reconnect().after(answer(status, false, None), now);
            assert_eq!(step, Step::ConnectAt(now + TIME), "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_stream_without_a_new_id_is_no_progress() {
        let now = Instant::now();
        let waits_longer = |progress: bool| {
            (0..50).any(|seed| {
                let mut reconnect = Reconnect::new(TIME, Rng::with_seed(seed));
                reconnect.after(Outcome::Ended, now);
                reconnect.after(answer(200, true, None), now);
                if progress {
                    reconnect.progressed();
                }
                reconnect.after(Outcome::Ended, now) != Step::ConnectAt(now + TIME)
            })
        };
        assert!(waits_longer(false));
        assert!(!waits_longer(true));
    }
}
