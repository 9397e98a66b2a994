//! `stentor pub --from`.

use std::path::Path;

use serde_json::json;
use tokio::time::timeout;

use crate::foreign::Foreign;
use crate::harness::{Server, StentorCommand, TIMEOUT, stentor};

/// Builds `stentor pub TOPIC --from URL` for this server.
fn relay(server: &Server, topic: &str, from: &str, more: &[&str]) -> StentorCommand {
    let url = server.url("");
    let args = ["pub", "--url", &url, topic, "--from", from];
    stentor(&args.iter().chain(more).copied().collect::<Vec<_>>())
}

/// Returns the data of all events of a topic that has ended.
async fn all(server: &Server, topic: &str) -> Vec<String> {
    let mut stream = server.subscribe(&format!("/topics/{topic}?from=earliest")).await;
    let events = stream.rest().await.into_iter();
    events.filter(|event| event.name != "stentor.end").map(|event| event.data).collect()
}

/// Waits until `count` events are in the topic `copy`.
async fn until_events(server: &Server, count: usize) {
    let copied = timeout(TIMEOUT, async {
        loop {
            let topics = server.get("/topics?prefix=copy").send().await.json();
            if topics["topics"][0]["events"].as_u64().unwrap_or_default() >= count as u64 {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    copied.await.expect("the events are copied");
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn each_event_of_a_foreign_source_is_published_once_and_in_order() {
    let server = Server::in_memory().await;
    let foreign = Foreign::start().await;
    let running = relay(&server, "copy", &foreign.url, &["--end=over"]).start().await;
    let long = "x".repeat(1_000);
    let first = format!(
        "retry: 1\n\nid: 1\nevent: tick\ndata: one\ndata: lines\n\n\
         id: zwei ü\ndata: two\n\nid: {long}\ndata: three\n\nid: cut\ndata: off"
    );
    drop(foreign.stream(&first).await);
    // The source repeats some events, as some servers do.
    let second =
        format!("id: zwei ü\ndata: two\n\nid: {long}\ndata: three\n\nid: 4\ndata: four\n\n");
    let visit = foreign.stream(&second).await;
    assert_eq!(visit.header("last-event-id"), Some(long.as_str()));
    drop(visit);
    let last = foreign.refuse("204 No Content").await;
    assert_eq!(last.header("last-event-id"), Some("4"));
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.stderr.contains("retrying") && done.stderr.contains("connected again"),
        "{done:?}"
    );

    let page = server.page("/topics/copy").await;
    let events = page["events"].as_array().unwrap();
    let data: Vec<_> = events.iter().map(|event| &event["data"]).collect();
    assert_eq!(data, ["one\nlines", "two", "three", "four"]);
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&json!("tick"), &json!("message")));
    assert_eq!(page["ended"]["reason"], "over");
    let end = page["ended"]["id"].as_str().unwrap();
    assert_eq!(done.stdout.lines().last(), Some(end), "{done:?}");
}

#[tokio::test]
async fn an_id_that_a_source_used_twice_loses_no_event() {
    let server = Server::in_memory().await;
    let foreign = Foreign::start().await;
    let running = relay(&server, "copy", &foreign.url, &[]).start().await;
    let stream =
        "retry: 1\n\nid: 1\ndata: a\n\nid: 1\ndata: b\n\nid: 1\ndata: c\n\nid: 2\ndata: d\n\n";
    drop(foreign.stream(stream).await);
    drop(foreign.stream(stream).await);
    foreign.refuse("204 No Content").await;
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(server.history_data("/topics/copy").await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_source_without_ids_is_reported() {
    let server = Server::in_memory().await;
    let foreign = Foreign::start().await;
    let running = relay(&server, "copy", &foreign.url, &[]).start().await;
    drop(foreign.stream("retry: 1\n\ndata: same\n\ndata: same\n\n").await);
    foreign.refuse("204 No Content").await;
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.stderr.matches("without ids").count(), 1, "{done:?}");
    assert_eq!(server.history_data("/topics/copy").await, ["same", "same"]);
}

#[tokio::test]
async fn the_next_run_starts_at_the_cursor() {
    let server = Server::in_memory().await;
    let foreign = Foreign::start().await;
    let cursor = server.directory().join("cursor");
    let more = ["--cursor", cursor.to_str().unwrap(), "--from-header", "X-Key: secret"];
    let mut running = relay(&server, "copy", &foreign.url, &more).start().await;
    let mut visit = foreign.stream("id: 1\ndata: a\n\n").await;
    assert_eq!((visit.header("last-event-id"), visit.header("x-key")), (None, Some("secret")));
    running.line().await.unwrap();
    // An id without an event moves the cursor too.
    visit.send("id: 2\n\n").await;
    until_cursor(&cursor, "2").await;
    running.kill().await;
    let running = relay(&server, "copy", &foreign.url, &more).start().await;
    let visit = foreign.refuse("204 No Content").await;
    assert_eq!(visit.header("last-event-id"), Some("2"));
    assert_eq!(running.end().await.code, Some(0));
}

async fn until_cursor(path: &Path, id: &str) {
    let moved = timeout(TIMEOUT, async {
        while std::fs::read_to_string(path).unwrap_or_default().trim_end() != id {
            tokio::task::yield_now().await;
        }
    });
    moved.await.expect("the cursor moves");
}

#[tokio::test]
async fn an_event_that_is_too_large_is_left_out_with_a_message() {
    let server = Server::in_memory().await;
    let foreign = Foreign::start().await;
    let running = relay(&server, "copy", &foreign.url, &[]).start().await;
    let large = "x".repeat(9 << 20);
    let stream = format!("id: 1\ndata: a\n\nid: 2\ndata: {large}\n\nid: 3\ndata: b\n\n");
    drop(foreign.stream(&format!("retry: 1\n\n{stream}")).await);
    foreign.refuse("204 No Content").await;
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("an event is left out"), "{done:?}");
    assert_eq!(server.history_data("/topics/copy").await, ["a", "b"]);
}

#[tokio::test]
async fn a_permanent_error_ends_it() {
    let server = Server::in_memory().await;
    let foreign = Foreign::start().await;
    let running = relay(&server, "copy", &foreign.url, &[]).start().await;
    foreign.refuse("404 Not Found").await;
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{done:?}");
    assert!(
        done.stderr.contains("cannot read the source") && done.stderr.contains("404"),
        "{done:?}"
    );

    server.publish("/topics/over?end", "").await;
    let running = relay(&server, "over", &foreign.url, &[]).start().await;
    let _visit = foreign.stream("id: 1\ndata: a\n\n").await;
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.stderr.contains("409") && done.stderr.contains("ended"), "{done:?}");
}

#[tokio::test]
async fn nothing_is_lost_or_duplicated_when_the_command_is_killed_repeatedly() {
    const EVENTS: usize = 2_000;
    let (source, server) = (Server::start().await, Server::start().await);
    source.publish_each("/topics/from", numbers(EVENTS)).await;
    source.publish("/topics/from?end", "").await;
    let cursor = server.directory().join("cursor");
    let from = source.url("/topics/from?from=earliest");
    let more = ["--cursor", cursor.to_str().unwrap(), "--end"];
    let mut random = fastrand::Rng::with_seed(7);
    let mut kills = 0;
    let done = loop {
        let mut running = relay(&server, "copy", &from, &more).start().await;
        // Killed at its start, or after some acknowledgements.
        for _ in 0..random.u8(0..4) {
            running.line().await;
        }
        if kills == 20 {
            break running.end().await;
        }
        kills += 1;
        running.kill().await;
    };
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(all(&server, "copy").await, numbers(EVENTS));
}

#[tokio::test]
async fn nothing_is_lost_or_duplicated_when_either_server_is_killed() {
    const PART: usize = 500;
    let (mut source, mut server) = (Server::start().await, Server::start().await);
    let from = source.url("/topics/from?from=earliest");
    let running = relay(&server, "copy", &from, &["--end"]).start().await;
    for part in 0..4 {
        source.publish_each("/topics/from", &numbers(4 * PART)[part * PART..][..PART]).await;
        // Within the part.
        until_events(&server, part * PART + PART / 4).await;
        if part % 2 == 0 {
            server.kill_and_restart().await;
        } else {
            source.kill_and_restart().await;
        }
    }
    source.publish("/topics/from?end", "").await;
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("connected again"), "{done:?}");
    assert!(done.stderr.contains("the server responds again"), "{done:?}");
    assert_eq!(all(&server, "copy").await, numbers(4 * PART));
}

#[tokio::test]
async fn events_that_are_repeated_after_a_reconnect_count_once() {
    let server = Server::in_memory().await;
    let foreign = Foreign::start().await;
    let running = relay(&server, "copy", &foreign.url, &[]).start().await;
    let first = "retry: 1\n\nid: 1\ndata: a\n\nid: 2\ndata: b\n\n";
    drop(foreign.stream(first).await);
    // The source repeats an event, although the relay has it.
    drop(foreign.stream("id: 2\ndata: b\n\nid: 3\ndata: c\n\n").await);
    foreign.refuse("204 No Content").await;
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("published 3 events"), "{done:?}");
    assert_eq!(server.history_data("/topics/copy").await, ["a", "b", "c"]);

    // Another run gets only events that the server has.
    let running = relay(&server, "copy", &foreign.url, &[]).start().await;
    drop(foreign.stream(first).await);
    foreign.refuse("204 No Content").await;
    let done = running.end().await;
    assert!(done.stderr.contains("published 0 events"), "{done:?}");
}

#[tokio::test]
async fn republishing_ends_when_stdout_is_closed() {
    let server = Server::in_memory().await;
    let foreign = Foreign::start().await;
    let mut running = relay(&server, "copy", &foreign.url, &["--end"]).start().await;
    let _open = foreign.stream("id: 1\ndata: a\n\n").await;
    assert!(running.line().await.is_some());
    // The source stays open and silent.
    assert_eq!(running.close_stdout().await, Some(0));
    let page = server.page("/topics/copy").await;
    assert!(page["ended"].is_null(), "it did not reach the end of the source: {page}");
}

#[tokio::test]
async fn silence_of_the_source_for_the_idle_timeout_reconnects() {
    let server = Server::in_memory().await;
    let foreign = Foreign::start().await;
    let args = ["--idle-timeout", "200ms"];
    let running = relay(&server, "copy", &foreign.url, &args).start().await;
    let silent = foreign.stream("retry: 1\n\nid: 1\ndata: a\n\n").await;
    let next = foreign.refuse("204 No Content").await;
    assert_eq!(next.header("last-event-id"), Some("1"));
    assert_eq!(running.end().await.code, Some(0));
    assert_eq!(server.history_data("/topics/copy").await, ["a"]);
    drop(silent);
}

#[tokio::test]
async fn an_event_whose_type_is_too_long_is_left_out_with_a_message() {
    let server = Server::in_memory().await;
    let foreign = Foreign::start().await;
    let running = relay(&server, "copy", &foreign.url, &[]).start().await;
    let long = "x".repeat(5_000);
    let stream = format!("id: 1\ndata: a\n\nid: 2\nevent: {long}\ndata: x\n\nid: 3\ndata: b\n\n");
    drop(foreign.stream(&format!("retry: 1\n\n{stream}")).await);
    foreign.refuse("204 No Content").await;
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("an event is left out"), "{done:?}");
    assert_eq!(server.history_data("/topics/copy").await, ["a", "b"]);
}
