//! Whether something on the path holds events back: buffers and compression.

use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};

use super::capture::{Capture, Over};
use super::endpoint::Endpoint;
use super::finding::{Check, Finding};
use super::response::value;
use super::timing::seconds;
use super::watch::Watch;

pub(super) const CHECKS: &[&Check] = &[&COMPRESSION, &BUFFERING];

const COMPRESSION: Check = Check {
    name: "compression",
    title: "The stream is not compressed",
    why: "A compressor keeps what it gets until a block is full, unless it is flushed for each event, which \
          few do. Browsers always say that they take gzip, so it happens to them even where curl shows \
          nothing.",
    mend: "Leave text/event-stream out of the compression of the server and of each proxy, and send \
           `Cache-Control: no-transform`.",
};
const BUFFERING: Check = Check {
    name: "buffering",
    title: "Each event comes when it is sent",
    why: "A buffer on the path hands events over in blocks: they come late, in bursts, and the last of them \
          not before more follow.",
    mend: "Flush after each event; turn buffering off in each proxy (nginx: `proxy_buffering off` or \
           `X-Accel-Buffering: no`; no CDN cache for this path).",
};

/// What publishing showed about the way of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Nothing.
    Unknown,
    /// It came so soon after its publish had been answered.
    Prompt(Duration),
    /// It came only when more was published.
    HeldBack,
}

/// The content coding of an answer, if it has one.
pub(super) fn coding(headers: &HeaderMap) -> Option<String> {
    value(headers, &CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity"))
}

/// The answer to `Accept-Encoding: identity` is compressed.
pub(super) fn unasked_compression(coding: &str) -> Vec<Finding> {
    vec![COMPRESSION.fail(format!("Content-Encoding: {coding}, which was not asked for"))]
}

/// Asks as browsers do, with compression.
pub(super) async fn compression(endpoint: &Endpoint, watch: &Watch) -> Vec<Finding> {
    let all = HeaderValue::from_static("gzip, deflate, br, zstd");
    let mut asking = HeaderMap::new();
    asking.insert(ACCEPT_ENCODING, all);
    let answer = match endpoint.send(endpoint.stream().headers(asking)).await {
        Ok(answer) => answer,
        Err(error) => return vec![COMPRESSION.not_observable(error.to_string())],
    };
    let Some(coding) = coding(answer.response.headers()) else {
        return vec![
            COMPRESSION.pass("none, also for readers that take gzip, deflate, br and zstd"),
        ];
    };
    let capture = Watch::read(answer, endpoint.patience, |capture| !capture.bytes.is_empty()).await;
    let finding = if capture.bytes.is_empty() && watch.look(|plain| plain.first_byte().is_some()) {
        COMPRESSION.fail(format!("{coding} when it is asked for, and then nothing comes"))
    } else {
        COMPRESSION.warn(format!("{coding} when it is asked for; each event must be flushed"))
    };
    vec![finding]
}

/// Between bytes that come together there is less.
const PAUSE: Duration = Duration::from_millis(100);
/// So long nobody stops in the middle of a line who is not held back.
const STANDSTILL: Duration = Duration::from_secs(1);
/// What buffers are multiples of.
const BLOCK: usize = 4096;

pub(super) fn buffering(capture: &Capture, delivery: Delivery) -> Vec<Finding> {
    let finding = match (delivery, blocks(capture)) {
        (Delivery::HeldBack, _) => {
            BUFFERING.fail("a published event came only when more had been published behind it")
        }
        (_, Some(saw)) => BUFFERING.fail(saw),
        (Delivery::Prompt(took), None) => {
            BUFFERING.pass(format!("a published event was there after {}", seconds(took)))
        }
        (Delivery::Unknown, None) if pauses(capture).any(|(_, is_mid_block)| !is_mid_block) => {
            BUFFERING.pass("what came was whole events each time")
        }
        (Delivery::Unknown, None) => BUFFERING.not_observable(
            "too little came of itself; publish with --publish-url, or watch longer",
        ),
    };
    vec![finding]
}

/// How the pauses show a buffer: they fall where its blocks end, and not where events do.
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
        return Some(format!("bytes come in blocks of {least}, whatever the events are"));
    }
    if pauses.len() >= 3 && pauses.iter().all(|(_, is_mid_block)| *is_mid_block) {
        return Some(format!("all {} pauses fell into the middle of an event", pauses.len()));
    }
    let (last, closed) = (capture.arrivals.last()?, capture.closed?);
    let standstill = closed.duration_since(last.at);
    let is_mid_line = !matches!(capture.bytes.last(), Some(b'\n' | b'\r'));
    let is_left = capture.over == Some(Over::Left);
    (is_left && is_mid_line && standstill >= STANDSTILL)
        .then(|| format!("it has stood in the middle of a line for {}", seconds(standstill)))
}

/// Where nothing came for a while: after how many bytes, and whether within an event.
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

    /// What is found of a stream of these pieces, a pause between them.
    async fn of(pieces: &[&str]) -> Outcome {
        let mut capture = Capture::new();
        for piece in pieces {
            capture.take(piece.as_bytes());
            advance(Duration::from_secs(1)).await;
        }
        capture.finish(Over::Left);
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
    async fn blocks_are_seen_also_where_they_end_with_an_event() {
        let block = format!("data: {}\n\n", "x".repeat(BLOCK - 8));
        assert_eq!(of(&[&block, &block, &block, &block]).await, Outcome::Fail);
        let odd = "data: cut he";
        assert_eq!(of(&[odd, "re\n\ndata: and th", "ere\n\ndata: a", "\n\n"]).await, Outcome::Fail);
    }
}
