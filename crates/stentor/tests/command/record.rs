//! `stentor record`.

use std::path::Path;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::foreign::Foreign;
use crate::harness::{Server, TIMEOUT, stentor};

/// Returns the lines of a recording without times and headers.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line| serde_json::from_str::<Value>(line).unwrap();
    let mut lines: Vec<_> = text.lines().map(line).collect();
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("at");
        if let Some(open) = line.get_mut("open") {
            open.as_object_mut().unwrap().remove("headers");
        }
    }
    lines
}

#[tokio::test]
async fn everything_in_a_stream_is_recorded() {
    let foreign = Foreign::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stream.rec");
    let running =
        stentor(&["record", &foreign.url, file.to_str().unwrap(), "--count", "2"]).start().await;
    let stream =
        ": hi\nretry: 10\n\nid: 1\n\nid: 2\nevent: tick\ndata: a\ndata: b\n\nretry: 9\ndata: c\n\n";
    let visit = foreign.stream(stream).await;
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.stderr.contains("recorded 2 events in "), "{done:?}");
    assert_eq!(visit.header("last-event-id"), None);

    let lines = lines(&file);
    assert_eq!((&lines[0]["recording"], &lines[0]["url"]), (&json!(1), &json!(foreign.url)));
    let expected = [
        json!({ "open": { "status": 200 } }),
        json!({ "comment": "hi" }),
        json!({ "retry": 10 }),
        json!({ "id": "1" }),
        json!({ "event": { "id": "2", "type": "tick", "data": "a\nb" } }),
        json!({ "event": { "type": "message", "data": "c", "retry": 9 } }),
    ];
    assert_eq!(lines[1..], expected);
}

#[tokio::test]
async fn a_recording_to_stdout_ends_when_stdout_is_closed() {
    let foreign = Foreign::start().await;
    let mut running = stentor(&["record", &foreign.url, "-"]).start().await;
    let _open = foreign.stream("data: a\n\n").await;
    assert!(running.line().await.is_some());
    // The stream stays open and silent.
    assert_eq!(running.close_stdout().await, Some(0));
}

#[tokio::test]
async fn a_recording_continues_over_a_reconnect_and_ends_with_the_stream() {
    let foreign = Foreign::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stream.rec");
    let running = stentor(&["record", &foreign.url, file.to_str().unwrap()]).start().await;
    drop(foreign.stream("retry: 1\n\nid: 1\ndata: a\n\n").await);
    let visit = foreign.stream("data: b\n\n").await;
    assert_eq!(visit.header("last-event-id"), Some("1"));
    drop(visit);
    foreign.refuse("204 No Content").await;
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("connected again"), "{done:?}");
    let expected = [
        json!({ "open": { "status": 200 } }),
        json!({ "retry": 1 }),
        json!({ "event": { "id": "1", "type": "message", "data": "a" } }),
        json!({ "lost": "the server ended the stream" }),
        json!({ "open": { "last_event_id": "1", "status": 200 } }),
        json!({ "event": { "type": "message", "data": "b" } }),
        json!({ "lost": "the server ended the stream" }),
    ];
    assert_eq!(lines(&file)[1..], expected);
}

#[tokio::test]
async fn a_recording_is_complete_at_any_time_it_is_stopped() {
    let foreign = Foreign::start().await;
    let directory = tempfile::tempdir().unwrap();
    for signal in ["INT", "TERM"] {
        let file = directory.path().join(signal);
        let running = stentor(&["record", &foreign.url, file.to_str().unwrap()]).start().await;
        let _visit = foreign.stream("data: a\n\n").await;
        let is_there = || std::fs::read_to_string(&file).unwrap_or_default().contains("\"a\"}}\n");
        let written = timeout(TIMEOUT, async {
            while !is_there() {
                tokio::task::yield_now().await;
            }
        });
        written.await.expect("the event is written");
        running.signal(signal).await;
        let done = running.end().await;
        assert_eq!(done.code, Some(0), "{signal}: {done:?}");
        assert!(done.stderr.contains("recorded 1 events"), "{done:?}");
    }
}

#[tokio::test]
async fn an_existing_recording_is_continued_with_append_only() {
    let server = Server::start().await;
    let url = server.url("");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("news.rec");
    let path = file.to_str().unwrap();
    let record = |more: &[&'static str]| {
        let args = ["record", "--url", &url, "news", path];
        stentor(&args.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let first = server.publish("/topics/news", "one").await;
    let done = record(&["--last-event-id", "nonsense", "--count", "1"]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");

    let done = record(&[]).run().await;
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("news.rec") && done.stderr.contains("--append"), "{done:?}");

    // As after a crash.
    let mut cut = std::fs::read(&file).unwrap();
    cut.extend_from_slice(br#"{"at":7,"event":{"type":"mess"#);
    std::fs::write(&file, cut).unwrap();
    server.publish("/topics/news", "two").await;
    server.publish("/topics/news?end", "three").await;
    let done = record(&["--append"]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("is incomplete"), "{done:?}");
    let lines = lines(&file);
    let events = lines.iter().map(|line| &line["event"]).filter(|event| event["type"] == "message");
    let data: Vec<_> = events.map(|event| event["data"].as_str().unwrap()).collect();
    assert_eq!(data, ["one", "two", "three"], "{lines:?}");
    assert!(
        lines.contains(&json!({ "open": { "last_event_id": first, "status": 200 } })),
        "{lines:?}"
    );

    let other = stentor(&["record", "--url", &url, "other", path, "--append"]).run().await;
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.stderr.contains("is a recording of http://"), "{other:?}");
}

#[tokio::test]
async fn two_processes_cannot_record_to_one_file() {
    let foreign = Foreign::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stream.rec");
    let args = ["record", &foreign.url, file.to_str().unwrap(), "--append"];
    let _first = stentor(&args).start().await;
    let _visit = foreign.stream("data: a\n\n").await;
    let second = stentor(&args).run().await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another process"), "{second:?}");
}

#[tokio::test]
async fn a_failed_recording_has_a_message_and_leaves_the_file_empty() {
    let foreign = Foreign::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stream.rec");
    for _ in 0..2 {
        let running = stentor(&["record", &foreign.url, file.to_str().unwrap()]).start().await;
        foreign.refuse("404 Not Found").await;
        let done = running.end().await;
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(
            done.stderr.contains("cannot record http://") && done.stderr.contains("404"),
            "{done:?}"
        );
        assert_eq!(std::fs::read(&file).unwrap(), b"");
    }
    let done = stentor(&["record", &foreign.url, "/no/such/folder"]).run().await;
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("/no/such/folder"), "{done:?}");
}

#[tokio::test]
async fn secrets_are_sent_and_kept_out_of_the_recording() {
    let foreign = Foreign::start().await;
    let with_password = foreign.url.replace("http://", "http://user:secret@");
    let server = foreign.url.replace("/stream", "");
    for (args, authorization) in [
        (&[foreign.url.as_str(), "--token", "secret"][..], Some("Bearer secret")),
        // The token from the environment goes only to the server at --url.
        (&["topic", "--url", &server], Some("Bearer secret")),
        (&[&foreign.url], None),
        (&[&with_password], Some("Basic dXNlcjpzZWNyZXQ=")),
    ] {
        let own = ["record", "--header", "X-Key: secret", "--count", "1"];
        let args: Vec<_> = own.iter().chain(args).chain(&["-"]).copied().collect();
        let running = stentor(&args).env("STENTOR_TOKEN", "secret").start().await;
        let mut visit = foreign.visit().await;
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSet-Cookie: secret\r\n\r\n";
        visit.send(head).await;
        visit.send("data: a\n\n").await;
        let done = running.end().await;
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(visit.header("x-key"), Some("secret"));
        assert_eq!(visit.header("authorization"), authorization);
        assert!(
            done.stdout.contains("\"data\":\"a\"") && !done.stdout.contains("secret"),
            "{done:?}"
        );
        assert!(
            done.stdout.contains(r#""headers":{"content-type":"text/event-stream"}"#),
            "{done:?}"
        );
    }
}

#[tokio::test]
async fn a_recording_ends_at_its_limits() {
    let foreign = Foreign::start().await;
    let running = stentor(&["record", &foreign.url, "-", "--for", "1s"]).start().await;
    let _visit = foreign.stream("data: a\n\n").await;
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.ends_with("\"data\":\"a\"}}\n"), "{done:?}");
}

#[tokio::test]
async fn a_blocked_output_does_not_delay_its_end() {
    let foreign = Foreign::start().await;
    let large = format!("data: {}\n\n", "x".repeat(1 << 20));
    for (args, signal) in [(["--for", "1s"].as_slice(), None), (&[], Some("TERM"))] {
        let all = [&["record", &foreign.url, "-"], args].concat();
        let mut running = stentor(&all).start().await;
        let _stream = foreign.stream(&large).await;
        // The first line, and the head of the response.
        running.line().await;
        running.line().await;
        running.until_output().await;
        if let Some(signal) = signal {
            running.signal(signal).await;
        }
        running.until_stderr("so the last event is incomplete").await;
        assert_eq!(running.exit_code().await, Some(1), "{signal:?}: the recording is incomplete");
    }
}

#[tokio::test]
async fn silence_for_the_idle_timeout_is_recorded_as_a_loss() {
    let foreign = Foreign::start().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recording");
    let args = ["record", &foreign.url, path.to_str().unwrap(), "--idle-timeout", "200ms"];
    let running = stentor(&args).start().await;
    let silent = foreign.stream("retry: 1\n\nid: 7\ndata: x\n\n").await;
    let next = foreign.refuse("204 No Content").await;
    assert_eq!(next.header("last-event-id"), Some("7"));
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let recorded = std::fs::read_to_string(&path).unwrap();
    assert!(recorded.contains("no data for 0.2 s"), "{recorded}");
    drop(silent);
}
