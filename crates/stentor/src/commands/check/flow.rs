//! Checks of delays on the path: buffers and compression.

use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};

use super::capture::{Capture, EndReason};
use super::endpoint::Endpoint;
use super::finding::{Check, Finding};
use super::response::value;
use super::timing::seconds;
use super::watch::Watch;

pub(super) const CHECKS: &[&Check] = &[&COMPRESSION, &BUFFERING];

const COMPRESSION: Check = Check {
    name: "compression",
    title: "The stream is not compressed",
    why: "A compressor holds data until a block is full, unless it is flushed for each event, which few \
          do. Browsers always accept gzip, so they are affected even where curl shows no delay.",
    fix: "Exclude text/event-stream from compression in the server and in each proxy, and send \
          `Cache-Control: no-transform`.",
};
const BUFFERING: Check = Check {
    name: "buffering",
    title: "Each event arrives when it is sent",
    why: "A buffer on the path passes events on in blocks: they arrive late, in bursts, and the last \
          ones only after more have followed.",
    fix: "Flush after each event. Turn buffering off in each proxy (nginx: `proxy_buffering off` or \
          `X-Accel-Buffering: no`; no CDN cache for this path).",
};

/// How a published event arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// No event was published, or none arrived.
    Unknown,
    /// It arrived this long after the response to its publish.
    Prompt(Duration),
    /// It arrived only after more was published.
    HeldBack,
}

/// Returns the content coding of a response, if it has one.
pub(super) fn coding(headers: &HeaderMap) -> Option<String> {
    value(headers, &CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity"))
}

/// Returns the finding for a compressed response to `Accept-Encoding: identity`.
pub(super) fn unrequested_compression(coding: &str) -> Vec<Finding> {
    vec![COMPRESSION.fail(format!("Content-Encoding: {coding}, which was not requested"))]
}

/// Requests the stream with compression, as browsers do.
pub(super) async fn compression(endpoint: &Endpoint, watch: &Watch) -> Vec<Finding> {
    let all = HeaderValue::from_static("gzip, deflate, br, zstd");
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_ENCODING, all);
    let open = match endpoint.send(endpoint.stream().headers(headers)).await {
        Ok(open) => open,
        Err(error) => return vec![COMPRESSION.not_observable(error.to_string())],
    };
    let Some(coding) = coding(open.response.headers()) else {
        return vec![
            COMPRESSION.pass("none, even for subscribers that accept gzip, deflate, br and zstd"),
        ];
    };
    let capture = Watch::read(open, endpoint.patience, |capture| !capture.bytes.is_empty()).await;
    let finding = if capture.bytes.is_empty() && watch.look(|plain| plain.first_byte().is_some()) {
        COMPRESSION.fail(format!("{coding} if requested, and then nothing arrives"))
    } else {
        COMPRESSION.warn(format!("{coding} if requested; each event must be flushed"))
    };
    vec![finding]
}

/// Minimum time without bytes that counts as a pause.
const PAUSE: Duration = Duration::from_millis(100);
/// Minimum pause in the middle of a line that shows a buffer.
const STANDSTILL: Duration = Duration::from_secs(1);
/// Buffer sizes are multiples of this number of bytes.
const BLOCK: usize = 4096;

pub(super) fn buffering(capture: &Capture, delivery: Delivery) -> Vec<Finding> {
    let finding = match (delivery, blocks(capture)) {
        (Delivery::HeldBack, _) => {
            BUFFERING.fail("a published event arrived only after more was published")
        }
        (_, Some(saw)) => BUFFERING.fail(saw),
        (Delivery::Prompt(took), None) => {
            BUFFERING.pass(format!("a published event arrived after {}", seconds(took)))
        }
        (Delivery::Unknown, None) if pauses(capture).any(|(_, is_mid_block)| !is_mid_block) => {
            BUFFERING.pass("every pause was between events")
        }
        (Delivery::Unknown, None) => BUFFERING
            .not_observable("too few events arrived; publish with --publish-url, or watch longer"),
    };
    vec![finding]
}

/// Describes a buffer, if the pauses show one: they are at the ends of its blocks, not of events.
fn blocks(capture: &Capture) -> Option<String> {
    let pauses: Vec<_> = pauses(capture).collect();
    let sizes: Vec<usize> = pauses
        .windows(2)
        .filter_map(|pair| match pair {
            [(from, _), (to, _)] => Some(to - from),
            _ => None,
        })
        .collect();
    if sizes.len() >= 2 && sizes.iter().all(|size| size % BLOCK == 0) {
        let least = sizes.iter().min()?;
        return Some(format!("bytes arrive in blocks of {least}, regardless of events"));
    }
    if pauses.len() >= 3 && pauses.iter().all(|(_, is_mid_block)| *is_mid_block) {
        return Some(format!("all {} pauses were in the middle of an event", pauses.len()));
    }
    let (last, closed) = (capture.arrivals.last()?, capture.closed?);
    let standstill = closed.duration_since(last.at);
    let is_mid_line = !matches!(capture.bytes.last(), Some(b'\n' | b'\r'));
    let is_left = capture.over == Some(EndReason::Stopped);
    (is_left && is_mid_line && standstill >= STANDSTILL)
        .then(|| format!("it stopped in the middle of a line for {}", seconds(standstill)))
}

/// Returns the pauses: the number of bytes before each, and `true` if it was within an event.
fn pauses(capture: &Capture) -> impl Iterator<Item = (usize, bool)> {
    capture.arrivals.windows(2).filter_map(|pair| match pair {
        [before, after] if after.at.duration_since(before.at) >= PAUSE => {
            Some((before.total, before.is_mid_block))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::super::finding::Outcome;
    use super::*;

    /// Returns the outcome for a stream of these pieces, with pauses between them.
    async fn of(pieces: &[&str]) -> Outcome {
        let mut capture = Capture::new();
        for piece in pieces {
            capture.take(piece.as_bytes());
            advance(Duration::from_secs(1)).await;
        }
        capture.finish(EndReason::Stopped);
        buffering(&capture, Delivery::Unknown).first().unwrap().outcome
    }

    #[tokio::test(start_paused = true)]
    async fn whole_events_are_not_held_back() {
        let one = "data: one\n\n";
        assert_eq!(of(&[one, one]).await, Outcome::Pass);
        assert_eq!(of(&[": ok\n\n", one, one, one, "data: two, "]).await, Outcome::Fail);
        assert_eq!(of(&[one]).await, Outcome::NotObservable);
    }

    #[tokio::test(start_paused = true)]
    async fn blocks_are_found_even_if_they_end_with_an_event() {
        let block = format!("data: {}\n\n", "x".repeat(BLOCK - 8));
        assert_eq!(of(&[&block, &block, &block, &block]).await, Outcome::Fail);
        let odd = "data: cut he";
        assert_eq!(of(&[odd, "re\n\ndata: and th", "ere\n\ndata: a", "\n\n"]).await, Outcome::Fail);
    }
}
