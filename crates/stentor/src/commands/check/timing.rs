//! Checks of timing: the first bytes, and keep-alives.

use std::time::Duration;

use super::capture::{Capture, EndReason};
use super::finding::{Check, Finding};

pub(super) const CHECKS: &[&Check] = &[&FIRST_BYTE, &KEEP_ALIVE];

const FIRST_BYTE: Check = Check {
    name: "first-byte",
    title: "Head and first bytes arrive at once",
    why: "A subscriber's `open` must not wait for the first event. Some proxies hold the head back until \
          bytes of the body follow, and treat a silent server as dead.",
    fix: "Flush the head at once, followed by a `retry:` line and a comment line (`: ok`).",
};
const KEEP_ALIVE: Check = Check {
    name: "keep-alive",
    title: "A silent stream sends keep-alives",
    why: "Proxies close connections that carry nothing: nginx and the load balancers of AWS after 60 s, \
          others sooner. Also, a server notices a lost subscriber only when it writes.",
    fix: "Send a comment (a line that begins with a colon) after 15 s of silence, or after less than \
          half of the shortest idle timeout on the path.",
};

/// `took` is the time to the head.
pub(super) fn first_byte(took: Duration, capture: &Capture, patience: Duration) -> Vec<Finding> {
    let head = format!("the head after {}", seconds(took));
    let finding = match capture.first_byte() {
        _ if took > patience => FIRST_BYTE.fail(head),
        None if capture.over == Some(EndReason::Ended) => {
            FIRST_BYTE.pass(format!("{head}, then the end"))
        }
        None => FIRST_BYTE.warn(format!("{head}, then no byte")),
        Some(first) if first > patience => {
            FIRST_BYTE.warn(format!("{head}, the first byte {} later", seconds(first)))
        }
        Some(first) => FIRST_BYTE.pass(format!("{head}, the first byte {} later", seconds(first))),
    };
    vec![finding]
}

/// Returns the findings if no head arrived in time.
pub(super) fn no_head(wait: Duration) -> Vec<Finding> {
    let saw =
        format!("no response head within {}; the server seems to wait for an event", seconds(wait));
    vec![FIRST_BYTE.fail(saw)]
}

/// `idle_timeout` is the shortest idle timeout on the path.
pub(super) fn keep_alive(capture: &Capture, idle_timeout: Duration) -> Vec<Finding> {
    let longest = longest_silence(capture);
    // The first bytes belong to the opening.
    let mut later = capture.arrivals.iter().skip(1);
    let has_keep_alive = later.any(|arrival| arrival.is_keep_alive);
    let silence = format!("the longest silence was {}", seconds(longest));
    let finding = if longest >= idle_timeout {
        KEEP_ALIVE.fail(silence)
    } else if longest >= idle_timeout / 2 {
        KEEP_ALIVE.warn(format!("{silence}, over half of {}", seconds(idle_timeout)))
    } else if has_keep_alive {
        KEEP_ALIVE.pass(silence)
    } else if capture.over == Some(EndReason::Ended) {
        KEEP_ALIVE.not_observable("the stream ended before a long silence")
    } else {
        let longer = idle_timeout + idle_timeout / 10;
        let advice =
            format!("watch an idle stream for longer, such as --for {}s", longer.as_secs());
        KEEP_ALIVE.not_observable(format!("{silence}, without a keep-alive; {advice}"))
    };
    vec![finding]
}

/// Returns the longest time without bytes, including before the first and after the last.
fn longest_silence(capture: &Capture) -> Duration {
    let mut last = capture.opened;
    let mut longest = Duration::ZERO;
    let ends = capture.arrivals.iter().map(|arrival| arrival.at).chain(capture.closed);
    for at in ends {
        longest = longest.max(at.duration_since(last));
        last = at;
    }
    longest
}

/// Formats a duration.
pub(super) fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::super::finding::Outcome;
    use super::*;

    /// Returns the outcome for a stream that sends these pieces, each after a number of seconds.
    async fn of(pieces: &[(u64, &str)], watched: u64) -> Outcome {
        let mut capture = Capture::new();
        let mut passed = 0;
        for (wait, piece) in pieces {
            advance(Duration::from_secs(*wait)).await;
            capture.take(piece.as_bytes());
            passed += wait;
        }
        advance(Duration::from_secs(watched - passed)).await;
        capture.finish(EndReason::Stopped);
        keep_alive(&capture, Duration::from_mins(1)).first().unwrap().outcome
    }

    #[tokio::test(start_paused = true)]
    async fn a_comment_after_a_short_silence_passes() {
        assert_eq!(of(&[(0, ": ok\n\n"), (15, ":\n\n")], 20).await, Outcome::Pass);
        assert_eq!(
            of(&[(0, "data: x\n\n"), (25, "event: ping\ndata\n\n")], 26).await,
            Outcome::Pass
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_silence_is_found_before_any_kind_of_end() {
        assert_eq!(of(&[(0, ": ok\n\n"), (35, ":\n\n")], 36).await, Outcome::Warning);
        assert_eq!(of(&[(0, ": ok\n\n"), (61, ":\n\n")], 62).await, Outcome::Fail);
        assert_eq!(of(&[(0, ": ok\n\n")], 66).await, Outcome::Fail);
        assert_eq!(of(&[], 66).await, Outcome::Fail);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_watch_shows_nothing() {
        assert_eq!(of(&[(0, ": ok\n\n")], 20).await, Outcome::NotObservable);
        assert_eq!(of(&[(0, ": ok\n\n"), (9, "data: x\n\n")], 20).await, Outcome::NotObservable);
    }
}
