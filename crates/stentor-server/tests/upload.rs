//! Uploads to a slow log: its commits wait until a test opens a gate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

#[path = "../../stentor-hub/tests/gated/mod.rs"]
mod gated;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use serde_json::{Value, json};
use stentor_hub::{Hub, StorageError};
use stentor_server::{Body, Stentor};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use self::gated::{Gate, GatedStorage};

const NDJSON: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";
/// Time for which an idempotency key is remembered.
const WINDOW: Duration = Duration::from_mins(10);

/// An upload to the topic `t`, and the gate at which the log of its server waits.
struct Upload {
    stentor: Stentor,
    gate: Gate,
    chunks: mpsc::Sender<Bytes>,
    response: JoinHandle<(u16, Value)>,
}

impl Upload {
    fn begin(query: &str, kind: &str) -> Upload {
        let request = Request::post(format!("/topics/t{query}"));
        Upload::of(request.header("Content-Type", kind))
    }

    fn of(request: http::request::Builder) -> Upload {
        let (storage, gate) = GatedStorage::new();
        let stentor = Stentor::new(Hub::new(storage));
        let (chunks, incoming) = mpsc::channel::<Bytes>(1);
        let body = unfold(incoming, |mut incoming| async {
            let chunk = incoming.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(chunk)), incoming))
        });
        let request = request.body(StreamBody::new(body)).unwrap();
        let server = stentor.clone();
        let response = tokio::spawn(async move { parts(server.handle(request).await).await });
        Upload { stentor, gate, chunks, response }
    }

    /// Sends a chunk. Returns `false` if it is not accepted within a second. One unread chunk fits into the
    /// channel.
    async fn send(&self, chunk: impl Into<Bytes>) -> bool {
        timeout(Duration::from_secs(1), self.chunks.send(chunk.into())).await.is_ok()
    }

    /// Sends chunks that must be read although the log does not commit.
    async fn send_and_be_read(&self, chunks: &[&'static str]) {
        for chunk in chunks {
            assert!(self.send(*chunk).await, "{chunk:?} is not read");
        }
        // One unread chunk fits into the channel, so two more fit only if all chunks before them were read.
        assert!(self.send("\n").await && self.send("\n").await, "{chunks:?}");
    }

    async fn finish(self) -> (u16, Value) {
        drop(self.chunks);
        self.response.await.unwrap()
    }
}

async fn parts(response: http::Response<Body>) -> (u16, Value) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap())
}

/// The data of the events in the log.
async fn history(stentor: &Stentor) -> Vec<Value> {
    let request = Request::get("/topics/t").header("Accept", "application/json");
    let (_, page) = parts(stentor.handle(request.body(Empty::new()).unwrap()).await).await;
    let events = page["events"].as_array().unwrap();
    events.iter().map(|event| event["data"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_next_events_are_collected_while_the_log_commits_the_previous_ones() {
    let events = ["id: a\ndata: 1\n\n", "id: b\ndata: 2\n\ndata: 3\n\n", "id: d\ndata: 4\n\n"];
    for (query, kind, chunks) in [
        ("", NDJSON, ["1\n", "2\n3\n", "4\n"]),
        ("", EVENTS, events),
        ("?dedupe=id", EVENTS, events),
    ] {
        let upload = Upload::begin(query, kind);
        assert!(upload.send(chunks[0]).await);
        upload.gate.wait_for_append().await;
        upload.send_and_be_read(&chunks[1..]).await;
        let (stentor, gate) = (upload.stentor.clone(), upload.gate.clone());
        assert_eq!(gate.batches(), [1], "one group at a time");
        gate.open();
        let (status, body) = upload.finish().await;
        assert_eq!((status, &body["count"]), (201, &json!(4)));
        assert_eq!(gate.batches(), [1, 3]);
        assert_eq!(history(&stentor).await, ["1", "2", "3", "4"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_is_submitted_without_waiting_for_the_next_chunk() {
    let upload = Upload::begin("", NDJSON);
    assert!(upload.send("1\n").await);
    upload.gate.wait_for_append().await;
    upload.send_and_be_read(&["2\n"]).await;
    upload.gate.open();
    upload.gate.wait_for_append().await;
    assert_eq!(upload.gate.batches(), [1, 1]);
    assert!(!upload.response.is_finished());
}

#[tokio::test(start_paused = true)]
async fn at_most_one_group_is_collected_while_the_log_is_busy() {
    let large = "x".repeat(1 << 20);
    let keyed = format!("id: {}\ndata\n\n", "x".repeat(256)).repeat(1_000);
    let typed = format!("event: {}\ndata\n\n", "x".repeat(4 << 10)).repeat(256);
    for (query, kind, first, group) in [
        ("", NDJSON, "1\n", "x\n".repeat(1_000)),
        ("", NDJSON, "1\n", format!("{large}\n")),
        ("?dedupe=id", EVENTS, "data: 1\n\n", keyed),
        ("", EVENTS, "data: 1\n\n", typed),
    ] {
        let upload = Upload::begin(query, kind);
        assert!(upload.send(first).await);
        upload.gate.wait_for_append().await;
        assert!(upload.send(group).await);
        assert!(upload.send(first).await, "one unread chunk fits into the channel");
        assert!(!upload.send(first).await);
        upload.gate.open();
        let (status, _) = upload.finish().await;
        assert_eq!(status, 201);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_submitted_after_a_group_that_failed() {
    let upload = Upload::begin("", NDJSON);
    assert!(upload.send("1\n").await);
    upload.gate.wait_for_append().await;
    upload.send_and_be_read(&["2\n"]).await;
    let gate = upload.gate.clone();
    gate.fail_with(StorageError::Unavailable { reason: "full".to_owned() });
    gate.open();
    // The body is still open.
    let (status, body) = upload.response.await.unwrap();
    assert_eq!((status, &body["published"], &body["last_id"]), (503, &json!(0), &Value::Null));
    assert_eq!(gate.batches(), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_body_is_reported_after_the_events_before_it_are_stored() {
    let upload = Upload::begin("", NDJSON);
    assert!(upload.send("1\n").await);
    upload.gate.wait_for_append().await;
    assert!(upload.send(b"2\n\xff\n3\n".as_slice()).await);
    assert!(upload.send("4\n").await);
    assert!(!upload.send("5\n").await, "nothing after the error is read");
    upload.gate.open();
    let (status, body) = upload.response.await.unwrap();
    assert_eq!((status, &body["published"]), (400, &json!(2)));
    assert_eq!(history(&upload.stentor).await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_after_an_event_whose_id_was_used_for_another() {
    let upload = Upload::begin("?dedupe=id", EVENTS);
    let body = "id: a\ndata: 1\n\ndata: 2\n\nid: a\ndata: other\n\nid: b\ndata: 4\n\ndata: 5\n\n";
    assert!(upload.send(body).await);
    upload.gate.wait_for_append().await;
    upload.send_and_be_read(&["id: c\ndata: 6\n\n"]).await;
    upload.gate.open();
    // The body is still open.
    let (status, body) = upload.response.await.unwrap();
    assert_eq!((status, &body["code"]), (422, &json!("key-reused")));
    assert_eq!(body["published"], 2);
    assert_eq!(upload.gate.batches(), [5], "the group collected meanwhile is not submitted");
    assert_eq!(history(&upload.stentor).await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_id_with_an_equal_event_in_one_group_is_a_repeat() {
    let upload = Upload::begin("?dedupe=id", EVENTS);
    upload.gate.open();
    let body = "id: a\ndata: 1\n\nid: a\ndata: 1\n\nid: b\ndata: 2\n\n";
    assert!(upload.send(body).await);
    let (stentor, gate) = (upload.stentor.clone(), upload.gate.clone());
    let (status, body) = upload.finish().await;
    assert_eq!((status, &body["count"]), (201, &json!(3)));
    assert_eq!(gate.batches(), [3]);
    assert_eq!(history(&stentor).await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_submitted_group_is_published_although_the_request_was_dropped() {
    let upload = Upload::begin("", NDJSON);
    assert!(upload.send("1\n2\n").await);
    upload.gate.wait_for_append().await;
    upload.send_and_be_read(&["3\n"]).await;
    upload.response.abort();
    assert!(upload.response.await.unwrap_err().is_cancelled());
    upload.gate.open();
    let request = Request::post("/topics/t").body(http_body_util::Full::from("last")).unwrap();
    assert_eq!(upload.stentor.handle(request).await.status(), 201);
    assert_eq!(history(&upload.stentor).await, ["1", "2", "last"]);
}

#[tokio::test(start_paused = true)]
async fn blank_lines_and_comments_renew_a_lease_and_silence_does_not() {
    for (kind, filler, last) in [(NDJSON, "\n", "last\n"), (EVENTS, ":\n", "data: last\n\n")] {
        let upload = Upload::begin("?lease=10", kind);
        upload.gate.open();
        let hub = upload.stentor.hub().clone();
        let watch = tokio::spawn(async move { hub.watch_leases().await });
        for _ in 0..5 {
            sleep(Duration::from_secs(9)).await;
            assert!(upload.send(filler).await);
        }
        assert!(upload.send(last).await);
        let stentor = upload.stentor.clone();
        sleep(Duration::from_secs(9)).await;
        assert_eq!(history(&stentor).await, ["last"]);
        sleep(Duration::from_secs(2)).await;
        assert!(upload.send(last).await);
        let (status, body) = upload.response.await.unwrap();
        assert_eq!((status, &body["code"]), (409, &json!("topic-ended")), "{kind}");
        watch.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_key_of_a_silent_upload_is_renewed_while_it_is_open() {
    let request = Request::post("/topics/t").header("Content-Type", NDJSON);
    let upload = Upload::of(request.header("Idempotency-Key", "k"));
    upload.gate.open();
    sleep(WINDOW).await;
    assert!(upload.gate.batches().is_empty(), "no event has the key yet");
    assert!(upload.send("1\n2\n").await);
    upload.gate.wait_for_append().await;
    let minute = Duration::from_mins(1);
    for _ in 0..9 {
        sleep(minute).await;
        assert!(upload.send("\n").await, "a blank line is accepted");
    }
    assert_eq!(upload.gate.batches(), [2, 1, 1, 1], "at 2.5, 5 and 7.5 min");
    upload.gate.fail_with(StorageError::Full);
    sleep(minute * 2).await;
    upload.gate.recover();
    sleep(minute * 2).await;
    assert_eq!(upload.gate.batches(), [2, 1, 1, 1, 1, 1]);
    assert!(upload.send("3\n").await);
    let (stentor, gate) = (upload.stentor.clone(), upload.gate.clone());
    let (status, body) = upload.finish().await;
    assert_eq!((status, &body["count"]), (201, &json!(3)));
    assert_eq!(gate.batches().len(), 7);
    assert_eq!(history(&stentor).await, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stops_within_an_event_is_ended() {
    for (kind, begin) in [(NDJSON, "1\n"), (EVENTS, "data: 1\n\ndata: ")] {
        let upload = Upload::begin("", kind);
        upload.gate.open();
        assert!(upload.send(format!("{begin}{}", "x".repeat(1 << 10))).await);
        sleep(Duration::from_hours(1)).await;
        assert!(upload.send("x".repeat(4 << 10)).await, "a small part may wait");
        let start = Instant::now();
        let (status, body) = upload.response.await.unwrap();
        assert_eq!((status, &body["code"]), (408, &json!("silent")), "{kind}");
        assert_eq!(body["published"], 1, "{kind}");
        assert_eq!(start.elapsed().as_secs(), 30, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_upload_of_large_events_is_not_ended() {
    let upload = Upload::begin("", NDJSON);
    upload.gate.open();
    // Every chunk ends within a line.
    let half = "x".repeat(100 << 10);
    for _ in 0..100 {
        assert!(upload.send(format!("{half}\n{half}")).await);
        sleep(Duration::from_secs(10)).await;
    }
    let (status, body) = upload.finish().await;
    assert_eq!((status, &body["count"]), (201, &json!(101)));
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_an_open_upload_with_the_number_of_its_events() {
    for (kind, chunks) in [
        (NDJSON, ["1\n2\n", "3\nincompl"]),
        (EVENTS, ["data: 1\n\ndata: 2\n\n", "data: 3\n\ndata: i"]),
    ] {
        let upload = Upload::begin("", kind);
        assert!(upload.send(chunks[0]).await);
        upload.gate.wait_for_append().await;
        upload.stentor.drain().cancel();
        assert!(upload.send(chunks[1]).await, "a body has a second to end");
        sleep(Duration::from_secs(2)).await;
        upload.gate.open();
        let stentor = upload.stentor.clone();
        let (status, body) = upload.response.await.unwrap();
        assert_eq!((status, &body["code"]), (503, &json!("draining")), "{kind}");
        assert_eq!(body["published"], 3, "{kind}: all complete events are stored");
        assert!(body["last_id"].is_string(), "{kind}: {body}");
        assert_eq!(stentor.hub().tail().offset.get(), 3, "{kind}: and no other one");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_ends_within_the_grace_of_a_drain_succeeds() {
    let upload = Upload::begin("", NDJSON);
    upload.gate.open();
    assert!(upload.send("1\n").await);
    upload.gate.wait_for_append().await;
    upload.stentor.drain().cancel();
    assert!(upload.send("2\n").await);
    let (status, body) = upload.finish().await;
    assert_eq!((status, &body["count"]), (201, &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_an_upload_that_never_pauses() {
    let upload = Upload::begin("", NDJSON);
    upload.gate.open();
    assert!(upload.send("x\n").await);
    upload.gate.wait_for_append().await;
    upload.stentor.drain().cancel();
    let mut sent = 1;
    while upload.send("x\n").await && !upload.response.is_finished() {
        sent += 1;
        assert!(sent < 1_000, "the upload goes on");
        sleep(Duration::from_millis(10)).await;
    }
    let (status, body) = upload.response.await.unwrap();
    assert_eq!((status, &body["code"]), (503, &json!("draining")));
    assert!(body["published"].as_u64().unwrap() > 50, "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_refuses_an_event_whose_body_does_not_arrive() {
    let upload = Upload::begin("", "text/plain");
    upload.gate.open();
    assert!(upload.send("half of").await);
    assert!(upload.send(" it").await && upload.send(" or less").await, "the first is read");
    upload.stentor.drain().cancel();
    let (status, body) = upload.response.await.unwrap();
    assert_eq!((status, &body["code"]), (503, &json!("draining")));
    assert_eq!(upload.stentor.hub().tail().offset.get(), 0, "nothing is published");
}
