//! Streamed uploads: events are published while the request body arrives.

use serde_json::json;

use crate::harness::scenarios::uploads;
use crate::harness::{Response, Server};

const NDJSON: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

async fn whole(
    server: &Server,
    path: &str,
    content_type: &str,
    body: impl Into<Vec<u8>>,
) -> Response {
    server.post(path, body).header("Content-Type", content_type).send().await
}

#[tokio::test]
async fn lines_are_published_as_they_arrive() {
    let server = Server::start().await;
    let mut stream = server.subscribe("/topics/t").await;
    let mut upload = server.upload("/topics/t?type=line&retry=7", NDJSON).await;
    upload.send("{\"n\":1}\n").await;
    let first = stream.next().await.unwrap();
    assert_eq!((first.name.as_str(), first.data.as_str()), ("line", "{\"n\":1}"));
    upload.send("not json: ").await;
    upload.send("fine\n\"th").await;
    assert_eq!(stream.data(1).await, ["not json: fine"]);
    upload.send("ird\"").await;
    let response = upload.finish().await;
    let third = stream.next().await.unwrap();
    assert_eq!(third.data, "\"third\"", "the last line needs no line break");
    let expected = json!({ "topic": "t", "count": 3, "first_id": first.id, "last_id": third.id });
    assert_eq!((response.status, response.json()), (201, expected));
}

#[tokio::test]
async fn events_are_published_as_they_arrive() {
    let server = Server::start().await;
    let mut stream = server.subscribe("/topics/t").await;
    let mut upload = server.upload("/topics/t?type=other", EVENTS).await;
    upload.send("retry: 10\n\n: a comment\n\ndata: one\n\n").await;
    let first = stream.next().await.unwrap();
    assert_eq!((first.name.as_str(), first.data.as_str()), ("other", "one"));
    upload.send("event: named\r\nid: 99\r\ndata: two\r\nda").await;
    upload.send("ta:  lines\r\n\r\n").await;
    let second = stream.next().await.unwrap();
    assert_eq!((second.name.as_str(), second.data.as_str()), ("named", "two\n lines"));
    assert_ne!(second.id, "99", "the ids of an upload are not used");
    let response = upload.finish().await;
    let expected = json!({ "topic": "t", "count": 2, "first_id": first.id, "last_id": second.id });
    assert_eq!((response.status, response.json()), (201, expected));
}

#[tokio::test]
async fn blank_lines_are_skipped_and_crlf_ends_a_line() {
    let server = Server::in_memory().await;
    let response = whole(&server, "/topics/t", NDJSON, "\n1\r\n \t\r\n\n 2 \n\r\n\r3").await;
    assert_eq!(response.json()["count"], 3);
    assert_eq!(server.history_data("/topics/t").await, ["1", " 2 ", "\r3"]);
}

#[tokio::test]
async fn one_byte_order_mark_before_the_first_line_is_removed() {
    let server = Server::in_memory().await;
    let body = "\u{feff}{\"a\":1}\n\u{feff}2\n";
    let response = whole(&server, "/topics/t", NDJSON, body).await;
    assert_eq!(response.json()["count"], 2);
    assert_eq!(server.history_data("/topics/t").await, ["{\"a\":1}", "\u{feff}2"]);
    whole(&server, "/topics/empty", NDJSON, "\u{feff}").await;
    assert_eq!(server.history("/topics/empty").await.len(), 0);
}

#[tokio::test]
async fn thousands_of_lines_at_once_keep_their_order() {
    let server = Server::start().await;
    let lines: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    let response = whole(&server, "/topics/t", NDJSON, lines.join("\n")).await;
    assert_eq!(response.json()["count"], 5_000);
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    assert_eq!(stream.data(5_000).await, lines);
}

#[tokio::test]
async fn an_unfinished_block_is_never_published() {
    let server = Server::in_memory().await;
    for tail in ["data: half", "data: half\n", "id: 1\nevent: x\ndata: half\n", "data"] {
        let response = whole(&server, "/topics/t", EVENTS, format!("data: whole\n\n{tail}")).await;
        assert_eq!((response.status, &response.json()["count"]), (201, &json!(1)), "{tail:?}");
    }
    assert_eq!(server.history_data("/topics/t").await, ["whole"; 4]);
}

#[tokio::test]
async fn an_upload_that_breaks_off_publishes_its_complete_events() {
    let server = Server::start().await;
    let mut stream = server.subscribe("/topics/t").await;
    for (kind, body) in [(NDJSON, "1\n2\nhalf"), (EVENTS, "data: 1\n\ndata: 2\n\ndata: half\n")] {
        let mut upload = server.upload("/topics/t", kind).await;
        upload.send(body).await;
        assert_eq!(stream.data(2).await, ["1", "2"]);
        drop(upload);
        // Only the stream and the request for the metric are left, so the upload has ended.
        server.until_metric("stentor_connections_open", 2).await;
    }
    server.publish("/topics/t", "next").await;
    assert_eq!(stream.data(1).await, ["next"]);
}

#[tokio::test]
async fn a_body_shorter_than_its_length_is_not_a_clean_end() {
    let server = Server::in_memory().await;
    let head = server.request("POST", "/topics/t").header("Content-Type", NDJSON);
    let socket = head.header("Content-Length", "100").connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut { socket }, b"1\nhalf").await.unwrap();
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    assert_eq!(stream.data(1).await, ["1"]);
    server.until_metric("stentor_connections_open", 2).await;
    assert_eq!(server.history_data("/topics/t").await, ["1"]);
}

#[tokio::test]
async fn the_stream_of_another_server_can_be_piped_in() {
    let (source, target) = (Server::in_memory().await, Server::in_memory().await);
    source.publish("/topics/t?type=a", "one\r\ntwo").await;
    source.publish("/topics/t?end=done", "last").await;
    let mut stream = source.subscribe("/topics/t?from=earliest").await;
    let events = stream.rest().await;
    let response = whole(&target, "/topics/copy", EVENTS, stream.text).await;
    assert_eq!(response.status, 201);
    // The position at the start and the end of the topic are events of the source, and are not copied.
    assert_eq!((&response.json()["count"], &response.json()["skipped"]), (&json!(2), &json!(2)));
    let copies = target.history("/topics/copy").await;
    assert_eq!(copies.len(), 2);
    for (copy, event) in copies.iter().zip(events) {
        assert_eq!((&copy["data"], &copy["type"]), (&json!(event.data), &json!(event.name)));
        assert_ne!(copy["id"], *event.id);
    }
    target.publish("/topics/copy", "the topic continues").await;
}

/// Uploads `pieces` without ending the body, and asserts that the server responds with a problem, that two events are
/// published, and that the response says so.
async fn assert_fails_after_two(kind: &str, pieces: &[&[u8]], status: u16, code: &str) {
    let server = Server::start().await;
    let mut upload = server.upload("/topics/t", kind).await;
    for piece in pieces {
        upload.send(piece).await;
    }
    let response = upload.response().await;
    response.problem(status, code);
    let events = server.history("/topics/t").await;
    assert_eq!(events.len(), 2, "{events:?}");
    let response = response.json();
    assert_eq!((&response["published"], &response["last_id"]), (&json!(2), &events[1]["id"]));
}

#[tokio::test]
async fn a_line_that_is_not_utf8_ends_the_upload_at_once() {
    assert_fails_after_two(NDJSON, &[b"1\n", b"2\n\xff\n3\n"], 400, "not-utf8").await;
}

#[tokio::test]
async fn a_retry_over_an_hour_is_left_out_of_an_uploaded_stream() {
    let server = Server::start().await;
    let body =
        "retry: 3600001\ndata: 1\n\nretry: 3600000\ndata: 2\n\nretry: 99999999999\ndata: 3\n\n";
    assert_eq!(whole(&server, "/topics/t", EVENTS, body).await.status, 201);
    let events = server.history("/topics/t").await;
    let retries: Vec<_> = events.iter().map(|event| event["retry"].as_u64()).collect();
    assert_eq!(retries, [None, Some(3_600_000), None]);
    assert_eq!(whole(&server, "/topics/u?retry=7", EVENTS, body).await.status, 201);
    let events = server.history("/topics/u").await;
    let retries: Vec<_> = events.iter().map(|event| event["retry"].as_u64()).collect();
    assert_eq!(retries, [Some(7), Some(3_600_000), Some(7)], "as of an event without one");
}

#[tokio::test]
async fn a_nul_in_an_uploaded_stream_is_taken() {
    let server = Server::start().await;
    let body = "event: a\0b\ndata: x\0y\n\nid: 1\0\ndata: 2\n\n";
    assert_eq!(whole(&server, "/topics/t", EVENTS, body).await.status, 201);
    let events = server.history("/topics/t").await;
    assert_eq!((&events[0]["type"], &events[0]["data"]), (&json!("a\u{fffd}b"), &json!("x\0y")));
    assert_eq!(events[1]["data"], "2");
}

#[tokio::test]
async fn a_line_or_event_that_is_too_large_ends_the_upload_at_once() {
    let large = vec![b'x'; (8 << 20) + 100];
    assert_fails_after_two(NDJSON, &[b"1\n2\n", &large], 413, "too-large").await;
    assert_fails_after_two(EVENTS, &[b"data:1\n\ndata:2\n\ndata:", &large], 413, "too-large").await;
    let wide = vec![b'\x01'; 3 << 20];
    assert_fails_after_two(NDJSON, &[b"1\n2\n", &wide, b"\n"], 413, "too-large").await;
}

#[tokio::test]
async fn an_upload_to_an_ended_topic_fails_at_once() {
    let server = Server::start().await;
    let mut upload = server.upload("/topics/t", NDJSON).await;
    upload.send("1\n").await;
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    let first = stream.next().await.unwrap();
    server.publish("/topics/t?end", "").await;
    upload.send("2\n").await;
    let response = upload.response().await;
    response.problem(409, "topic-ended");
    let response = response.json();
    assert_eq!((&response["published"], &response["last_id"]), (&json!(1), &json!(first.id)));
}

#[tokio::test]
async fn an_upload_can_end_its_topic() {
    let server = Server::in_memory().await;
    let mut stream = server.subscribe("/topics/t").await;
    let mut upload = server.upload("/topics/t?end=done", NDJSON).await;
    upload.send("1\n").await;
    assert_eq!(stream.data(1).await, ["1"]);
    upload.send("2").await;
    assert_eq!(upload.finish().await.json()["count"], 2);
    let names: Vec<_> = stream.rest().await.into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["message", "stentor.end"]);
}

#[tokio::test]
async fn an_upload_that_differs_under_its_key_is_refused() {
    let server = Server::start().await;
    let send = |body: &'static str| {
        let request = server.post("/topics/t", body).header("Content-Type", NDJSON);
        request.header("Idempotency-Key", "k").send()
    };
    assert_eq!(send("1\n2\n").await.status, 201);
    for other in ["1\nanother\n", "another\n2\n3\n", "2\n1\n3\n"] {
        send(other).await.problem(422, "key-reused");
    }
    assert_eq!(server.history_data("/topics/t").await, ["1", "2"]);
}

#[tokio::test]
async fn a_repeated_upload_publishes_only_what_is_missing() {
    uploads::a_repeated_upload_publishes_only_what_is_missing(Server::start().await).await;
}
