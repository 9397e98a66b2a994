//! `stentor replay`.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Received, Server, stentor};

/// Writes a recording with these lines after its head.
struct Recording {
    path: PathBuf,
    _directory: TempDir,
}

impl Recording {
    fn of(lines: &[Value]) -> Recording {
        let head =
            json!({ "recording": 1, "url": "http://h/s", "started": "2026-01-02T03:04:05Z" });
        let lines = std::iter::once(&head).chain(lines).map(ToString::to_string);
        let lines = lines.collect::<Vec<_>>().join("\n") + "\n";
        Recording::with(&lines)
    }

    fn with(text: &str) -> Recording {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stream.rec");
        std::fs::write(&path, text).unwrap();
        Recording { path, _directory: directory }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

fn with_ids() -> Recording {
    Recording::of(&[
        json!({ "at": 0, "open": {} }),
        json!({ "at": 5, "retry": 1 }),
        json!({ "at": 5, "comment": "hi" }),
        json!({ "at": 10, "event": { "id": "1", "type": "message", "data": "one" } }),
        json!({ "at": 11, "lost": "the server ended the stream" }),
        json!({ "at": 20, "open": { "last_event_id": "1" } }),
        json!({ "at": 20, "event": { "id": "2", "type": "tick", "data": "two\nlines", "retry": 7 } }),
        json!({ "at": 30, "event": { "id": "3", "type": "message", "data": "three" } }),
    ])
}

fn event(name: &str, data: &str, id: &str) -> Received {
    Received { name: name.to_owned(), data: data.to_owned(), id: id.to_owned() }
}

#[tokio::test]
async fn each_subscriber_gets_the_recording_from_its_start() {
    let recording = with_ids();
    let server = Server::with(&["replay", recording.path()]).await;
    for path in ["/", "/any/path?with=query"] {
        let mut stream = server.subscribe(path).await;
        let expected = [
            event("message", "one", "1"),
            event("tick", "two\nlines", "2"),
            event("message", "three", "3"),
        ];
        assert_eq!(stream.rest().await, expected);
        let text = String::from_utf8(stream.text.clone()).unwrap();
        assert!(text.starts_with("retry: 1\n\n: hi\n\nid: 1\ndata: one\n\n"), "{text}");
    }
}

#[tokio::test]
async fn a_subscriber_resumes_and_gets_204_at_the_end() {
    let recording = with_ids();
    let server = Server::with(&["replay", recording.path(), "--speed", "max"]).await;
    let rest = server.resume("/", "2").await.rest().await;
    assert_eq!(rest, [event("message", "three", "3")]);
    assert_eq!(server.get("/").header("Last-Event-ID", "3").send().await.status, 204);
    assert_eq!(server.resume("/", "unknown").await.rest().await.len(), 3);
}

#[tokio::test]
async fn a_stream_without_ids_gets_an_added_end() {
    let recording = Recording::of(&[
        json!({ "at": 0, "event": { "type": "message", "data": "one" } }),
        json!({ "at": 0, "event": { "type": "message", "data": "two" } }),
    ]);
    let server = Server::with(&["replay", recording.path()]).await;
    let mut stream = server.subscribe("/").await;
    assert_eq!(stream.data(2).await, ["one", "two"]);
    assert_eq!(stream.next().await.unwrap().name, "stentor.end");
    assert_eq!(stream.next().await, None);
    let id = stream.last_event_id();
    assert_eq!(server.get("/").header("Last-Event-ID", &id).send().await.status, 204);
    let done = stentor(&["sub", &server.url("/")]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "one\ntwo\n"), "{done:?}");
}

#[tokio::test]
async fn pages_on_localhost_may_read_it() {
    let recording = with_ids();
    let server = Server::with(&["replay", recording.path()]).await;
    let answer = server.get("/").header("Origin", "http://localhost:5173").send().await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:5173"));
    assert_eq!(server.post("/", "x").send().await.status, 405);
}

#[tokio::test]
async fn a_recording_is_published_to_a_topic() {
    let recording = with_ids();
    let server = Server::in_memory().await;
    let args = ["replay", recording.path(), "--to", "again", "--url", &server.url("")];
    let done = stentor(&args).run().await;
    assert_eq!(
        (done.code, done.stderr.as_str()),
        (Some(0), "stentor: published 3 events\n"),
        "{done:?}"
    );
    let events = server.history("/topics/again").await;

    assert_eq!(done.stdout.lines().last(), events[2]["id"].as_str());
    assert_eq!((&events[1]["type"], &events[1]["data"]), (&json!("tick"), &json!("two\nlines")));
    assert_eq!(events[1]["retry"], 7);
    // A second replay publishes all events again.
    assert_eq!(stentor(&args).run().await.code, Some(0));
    assert_eq!(server.history("/topics/again").await.len(), 6);
}

#[tokio::test]
async fn a_recording_is_printed() {
    let recording = with_ids();
    let print = |format| ["replay", recording.path(), "--print", "--format", format];
    let done = stentor(&print("data")).run().await;
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(0), "one\ntwo\nlines\nthree\n"),
        "{done:?}"
    );
    let done = stentor(&print("raw")).run().await;
    assert!(done.stdout.ends_with("id: 3\ndata: three\n\n"), "{done:?}");
    let done = stentor(&print("json")).run().await;
    assert_eq!(done.stdout.lines().next(), Some(r#"{"id":"1","type":"message","data":"one"}"#));
    let done = stentor(&print("data")).run_with_closed_stdout().await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
}

#[tokio::test]
async fn an_incomplete_last_line_is_skipped() {
    let whole = std::fs::read_to_string(with_ids().path).unwrap();
    let cut = Recording::with(&whole[..whole.len() - 5]);
    let done = stentor(&["replay", cut.path(), "--print"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "one\ntwo\nlines\n"), "{done:?}");
    assert!(done.stderr.contains("line 9 is incomplete"), "{done:?}");
}

#[tokio::test]
async fn an_invalid_recording_has_a_message() {
    let head = r#"{"recording":1,"url":"u","started":"s"}"#;
    for (text, words) in [
        ("", "not a recording"),
        ("data: x\n", "not a recording"),
        (r#"{"recording":2,"url":"u","started":"s"}"#, "version 2"),
        (&format!("{head}\nnonsense\n{{}}\n"), "line 2"),
        (&format!("{head}\n{{\"at\":0,\"surprise\":1}}\n"), "not a line of a recording"),
        (&format!("{head}\n{{\"at\":0,\"id\":\"a\\nb\"}}\n"), "line 2"),
    ] {
        let recording = Recording::with(text);
        let done = stentor(&["replay", recording.path(), "--print"]).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{text:?}: {done:?}");
        assert!(done.stderr.contains(words) && done.stderr.contains("stream.rec"), "{done:?}");
    }
    let done = stentor(&["replay", "/no/such/file"]).run().await;
    assert_eq!(done.code, Some(1), "{done:?}");
    let done = stentor(&["replay", "x", "--speed", "fast"]).run().await;
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("`max`"), "{done:?}");
}

#[tokio::test]
async fn a_replayed_topic_behaves_like_the_recorded_one() {
    let server = Server::start().await;
    server.publish("/topics/job", "one").await;
    server.publish("/topics/job?type=tick", "two\nlines").await;
    server.publish("/topics/job?end=done", "").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("job.rec");
    let url = server.url("/topics/job?from=earliest");
    let done = stentor(&["record", &url, file.to_str().unwrap()]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let again = Server::with(&["replay", file.to_str().unwrap(), "--speed", "10"]).await;
    let follow =
        |url: String| async move { stentor(&["sub", "--format", "json", &url]).run().await };
    let (was, is) = (follow(url).await, follow(again.url("/")).await);
    assert_eq!((was.code, is.code), (Some(0), Some(0)), "{was:?} {is:?}");
    assert_eq!(was.stdout, is.stdout);
    assert!(is.stderr.contains("job has ended: done"), "{is:?}");
}

#[tokio::test]
async fn a_waiting_subscriber_does_not_delay_the_stop() {
    let recording = Recording::of(&[
        json!({ "at": 0, "event": { "id": "1", "type": "message", "data": "one" } }),
        json!({ "at": 3_600_000, "event": { "id": "2", "type": "message", "data": "two" } }),
    ]);
    let mut server = Server::with(&["replay", recording.path()]).await;
    let mut stream = server.subscribe("/").await;
    assert_eq!(stream.data(1).await, ["one"]);
    assert_eq!(server.stop().await, Some(0));
    assert_eq!(stream.next().await, None);
}
