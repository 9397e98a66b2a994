//! `dedupe=id` on an uploaded event stream: the id of each event is its idempotency key.

use serde_json::{Value, json};

use crate::harness::scenarios::uploads;
use crate::harness::{Response, Server, events_with_ids, numbers, upload_events_with_ids};

const EVENTS: &str = "text/event-stream";

async fn send_to(server: &Server, path: &str, body: impl Into<Vec<u8>>) -> Response {
    server.post(path, body).header("Content-Type", EVENTS).send().await
}

fn numbered(count: usize) -> String {
    events_with_ids(numbers(count).iter().map(String::as_str))
}

/// Asserts that an upload failed after `published` events, of which the last is event number `last` of the topic.
async fn assert_fails(
    server: &Server,
    response: &Response,
    problem: (u16, &str),
    (published, last): (usize, usize),
) {
    response.problem(problem.0, problem.1);
    let last = server.history("/topics/t?limit=1000").await[last]["id"].clone();
    let response = response.json();
    assert_eq!((&response["published"], &response["last_id"]), (&json!(published), &last));
}

#[tokio::test]
async fn an_upload_can_be_repeated_with_its_end() {
    let server = Server::start().await;
    let path = "/topics/t?dedupe=id&end=done";
    let first = send_to(&server, path, events_with_ids(["a", "b"])).await;
    assert_eq!(first.status, 201);
    let again = send_to(&server, path, events_with_ids(["a", "b"])).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    send_to(&server, path, events_with_ids(["a", "b", "c"])).await.problem(409, "topic-ended");
}

#[tokio::test]
async fn equal_uploads_at_the_same_time_publish_each_event_once() {
    for server in [Server::start().await, Server::in_memory().await] {
        let path = "/topics/t?dedupe=id";
        let mut one = server.upload(path, EVENTS).await;
        let mut other = server.upload(path, EVENTS).await;
        for name in numbers(500) {
            one.send(events_with_ids([name.as_str()])).await;
            other.send(events_with_ids([name.as_str()])).await;
        }
        let (one, other) = tokio::join!(one.finish(), other.finish());
        for response in [&one, &other] {
            assert!(matches!(response.status, 200 | 201), "{response:?}");
            assert_eq!(response.json()["count"], 500);
        }
        assert_eq!(server.history_data("/topics/t?limit=1000").await, numbers(500));
    }
}

#[tokio::test]
async fn an_id_that_was_used_for_another_event_ends_the_upload_at_once() {
    for server in [Server::start().await, Server::in_memory().await] {
        upload_events_with_ids(&server, events_with_ids(["a"])).await;
        let mut upload = server.upload("/topics/t?dedupe=id", EVENTS).await;
        let other = "id: a\ndata: other\n\n";
        upload
            .send(format!(
                "{}data: x\n\n{other}{}",
                events_with_ids(["b", "a"]),
                events_with_ids(["c"])
            ))
            .await;
        let response = upload.response().await;
        assert_fails(&server, &response, (422, "key-reused"), (3, 2)).await;
        assert_eq!(server.history_data("/topics/t").await, ["a", "b", "x"]);
    }
}

#[tokio::test]
async fn nothing_is_published_after_a_refused_event_among_thousands() {
    for server in [Server::start().await, Server::in_memory().await] {
        upload_events_with_ids(&server, "id: 2700\ndata: other\n\n").await;
        let response = upload_events_with_ids(&server, numbered(5_000)).await;
        response.problem(422, "key-reused");
        assert_eq!(response.json()["published"], 2_700);
        let mut stream = server.subscribe("/topics/t?from=earliest").await;
        assert_eq!(stream.data(2_701).await[1..], numbers(2_700));
        let topics = server.get("/topics").send().await.json();
        assert_eq!(topics["topics"][0]["events"], 2_701);
    }
}

#[tokio::test]
async fn an_upload_to_an_ended_topic_counts_only_repeats() {
    let server = Server::start().await;
    send_to(&server, "/topics/t?dedupe=id&end=done", events_with_ids(["a", "b"])).await;
    let response = upload_events_with_ids(&server, events_with_ids(["a", "b", "c", "a"])).await;
    assert_fails(&server, &response, (409, "topic-ended"), (2, 1)).await;
}

#[tokio::test]
async fn events_of_another_server_are_skipped_between_those_with_keys() {
    let server = Server::start().await;
    let own = "event: stentor.cursor\nid: a\ndata:\n\n";
    let response = upload_events_with_ids(
        &server,
        format!("{own}{}{own}{}", events_with_ids(["a"]), events_with_ids(["b"])),
    )
    .await;
    let counts = response.json();
    assert_eq!(
        (response.status, &counts["count"], &counts["skipped"]),
        (201, &json!(2), &json!(2))
    );
}

#[tokio::test]
async fn an_invalid_id_ends_the_upload_at_once() {
    let server = Server::start().await;
    let (longest, too_long) = ("x".repeat(256), "x".repeat(257));
    let whole = upload_events_with_ids(&server, events_with_ids([longest.as_str()])).await;
    assert_eq!(whole.status, 201);
    for id in [too_long.as_str(), "a b", "\u{fc}"] {
        let mut upload = server.upload("/topics/t?dedupe=id", EVENTS).await;
        upload.send(events_with_ids([longest.as_str(), id, "c"])).await;
        assert_fails(&server, &upload.response().await, (400, "key"), (1, 0)).await;
    }
    let both = format!("id: {longest}\ndata: other\n\n{}", events_with_ids(["a b"]));
    let response = upload_events_with_ids(&server, both).await;
    response.problem(422, "key-reused");
    assert_eq!(
        (&response.json()["published"], &response.json()["last_id"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(server.history_data("/topics/t").await, [longest]);
}

#[tokio::test]
async fn dedupe_needs_an_event_stream_and_no_idempotency_key() {
    let server = Server::in_memory().await;
    let lines = server.post("/topics/t?dedupe=id", "x\n");
    lines.header("Content-Type", "application/x-ndjson").send().await.problem(400, "query");
    let both =
        server.post("/topics/t?dedupe=id", events_with_ids(["a"])).header("Content-Type", EVENTS);
    both.header("Idempotency-Key", "k").send().await.problem(400, "query");
}

#[tokio::test]
async fn a_repeated_upload_publishes_only_what_is_missing() {
    uploads::a_repeated_upload_with_ids_publishes_only_what_is_missing(Server::start().await).await;
}
