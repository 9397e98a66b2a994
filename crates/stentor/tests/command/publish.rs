//! `stentor pub`.

use std::time::Duration;

use tokio::time::Instant;

use serde_json::{Value, json};

use crate::foreign::Foreign;
use crate::harness::{Server, StentorCommand, stentor};

/// Builds `stentor pub` for this server.
fn publish(server: &Server, args: &[&str]) -> StentorCommand {
    let url = server.url("");
    let all: Vec<&str> = ["pub", "--url", &url].iter().chain(args).copied().collect();
    stentor(&all)
}

/// Returns the page of history of a topic, with its events and its end.
async fn history(server: &Server, topic: &str) -> Value {
    server.get(&format!("/topics/{topic}")).header("Accept", "application/json").send().await.json()
}

#[tokio::test]
async fn an_argument_is_published_and_its_id_printed() {
    let server = Server::in_memory().await;
    let url = server.url("");
    let done = stentor(&["pub", "--url", &url, "news/today", "hello\nworld", "--type", "greeting"])
        .run()
        .await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    let page = history(&server, "news/today").await;
    let event = &page["events"][0];
    assert_eq!((&event["data"], &event["type"]), (&json!("hello\nworld"), &json!("greeting")));
    assert_eq!(done.stdout, format!("{}\n", event["id"].as_str().unwrap()));
    // The URL can come from the environment.
    let done = stentor(&["pub", "news/today", "again"]).env("STENTOR_URL", &url).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(history(&server, "news/today").await["events"][1]["data"], "again");
}

#[tokio::test]
async fn stdin_is_published_whole() {
    let server = Server::in_memory().await;
    let url = server.url("");
    for args in [vec!["pub", "--url", &url, "t"], vec!["pub", "--url", &url, "t", "-"]] {
        let done = stentor(&args).stdin("from\nstdin\n").run().await;
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    let page = history(&server, "t").await;
    assert_eq!(
        (&page["events"][0]["data"], &page["events"][1]["data"]),
        (&json!("from\nstdin\n"), &json!("from\nstdin\n"))
    );
}

#[tokio::test]
async fn a_file_is_published_by_its_type() {
    let server = Server::in_memory().await;
    let url = server.url("");
    let directory = server.directory();
    for (name, content) in [
        ("notes.txt", &b"plain"[..]),
        ("picture.png", &b"\x89PNG"[..]),
        ("lines.ndjson", &b"{\"a\":1}\n{\"a\":2}\n"[..]),
    ] {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        let done =
            stentor(&["pub", "--url", &url, name, "--file", path.to_str().unwrap()]).run().await;
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    assert_eq!(history(&server, "notes.txt").await["events"][0]["data"], "plain");
    assert_eq!(
        history(&server, "picture.png").await["events"][0]["data"],
        "data:image/png;base64,iVBORw=="
    );
    let lines = history(&server, "lines.ndjson").await;
    assert_eq!(
        (&lines["events"][0]["data"], &lines["events"][1]["data"]),
        (&json!("{\"a\":1}"), &json!("{\"a\":2}"))
    );
}

#[tokio::test]
async fn a_topic_is_ended_with_or_without_data() {
    let server = Server::in_memory().await;
    let url = server.url("");
    let done = stentor(&["pub", "--url", &url, "a", "bye", "--end=done"]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = stentor(&["pub", "--url", &url, "b", "--end"]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let (a, b) = (history(&server, "a").await, history(&server, "b").await);
    assert_eq!((&a["events"][0]["data"], &a["ended"]["reason"]), (&json!("bye"), &json!("done")));
    assert_eq!((&b["events"], &b["ended"]["reason"]), (&json!([]), &json!("")));

    let done = stentor(&["pub", "--url", &url, "a", "too late"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
    assert!(done.stderr.contains("409") && done.stderr.contains("ended"), "{done:?}");
    assert!(done.stderr.contains(&format!("curl -X DELETE {url}/topics/a\n")), "{done:?}");
    let done = stentor(&["pub", "--url", &url, "a", "--end"]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("a has ended already"), "{done:?}");

    // A client that uses TLS gets a response without it.
    let tls = url.replace("http", "https");
    let done = stentor(&["pub", "--url", &tls, "a", "x"]).run().await;
    assert!(done.stderr.contains("the server does not use TLS"), "{done:?}");
}

#[tokio::test]
async fn a_failed_publish_has_a_message() {
    let server = Server::in_memory().await;
    let url = server.url("");
    let nowhere = server.url("/nowhere");
    for (args, words) in [
        (
            vec!["pub", "--url", "http://127.0.0.1:1", "t", "x"],
            "cannot reach http://127.0.0.1:1: Connection refused; check the URL",
        ),
        (vec!["pub", "--url", &url, "t", "--file", "/no/such/file"], "/no/such/file"),
        (vec!["pub", "--url", &nowhere, "t", "x"], "404"),
    ] {
        let done = stentor(&args).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{args:?}: {done:?}");
        assert!(
            done.stderr.starts_with("stentor: ") && done.stderr.contains(words),
            "{args:?}: {done:?}"
        );
        assert!(!done.stderr.contains("panicked"), "{done:?}");
    }
}

#[tokio::test]
async fn an_event_is_published_with_its_options() {
    let server = Server::in_memory().await;
    let done = publish(&server, &["t", "x", "--type", "tick", "--retry", "3s"]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let event = &server.history("/topics/t").await[0];
    assert_eq!((&event["type"], &event["retry"]), (&json!("tick"), &json!(3_000)));

    let done = publish(&server, &["leased", "x", "--lease", "1s"]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let mut stream = server.subscribe("/topics/leased").await;
    assert!(stream.rest().await[0].data.contains("producer lost"));

    let call = publish(&server, &["picture", "--content-type", "image/png"]);
    let done = call.stdin(&b"\x89PNG"[..]).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(server.history_data("/topics/picture").await, ["data:image/png;base64,iVBORw=="]);
}

#[tokio::test]
async fn one_key_publishes_once() {
    let server = Server::in_memory().await;
    let once = publish(&server, &["t", "x", "--idempotency-key", "k"]).run().await;
    let twice = publish(&server, &["t", "x", "--idempotency-key", "k"]).run().await;
    assert_eq!((once.code, twice.code), (Some(0), Some(0)), "{once:?} {twice:?}");
    assert_eq!(once.stdout, twice.stdout);
    let other = publish(&server, &["t", "y", "--idempotency-key", "k"]).run().await;
    assert_eq!((other.code, other.stdout.as_str()), (Some(1), ""), "{other:?}");
    assert!(other.stderr.contains("422"), "{other:?}");

    // Each of several events has its own key.
    for _ in 0..2 {
        let call = publish(&server, &["lines", "--lines", "--idempotency-key", "k"]);
        let done = call.stdin("a\nb\na\n").run().await;
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    assert_eq!(server.history_data("/topics/lines").await, ["a", "b", "a"]);
}

#[tokio::test]
async fn several_files_are_published_in_their_order() {
    let server = Server::in_memory().await;
    let paths = ["a.txt", "b.jsonl", "c.sse"].map(|name| server.directory().join(name));
    for (path, content) in paths.iter().zip(["a", "1\n2\n", "event: tick\ndata: c\n\n"]) {
        std::fs::write(path, content).unwrap();
    }
    let mut args = vec!["t", "--end=done", "--idempotency-key", "k"];
    for path in &paths {
        args.extend(["--file", path.to_str().unwrap()]);
    }
    for _ in 0..2 {
        let done = publish(&server, &args).run().await;
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(done.stdout.lines().count(), 3, "{done:?}");
        assert!(done.stderr.contains("published 4 events"), "{done:?}");
    }
    let page = history(&server, "t").await;
    let data: Vec<_> =
        page["events"].as_array().unwrap().iter().map(|event| &event["data"]).collect();
    assert_eq!(data, ["a", "1", "2", "c"]);
    assert_eq!(
        (&page["events"][3]["type"], &page["ended"]["reason"]),
        (&json!("tick"), &json!("done"))
    );
}

#[tokio::test]
async fn a_repeated_event_contains_its_number() {
    let server = Server::in_memory().await;
    let args = ["t", r#"{"n":{i}}"#, "--repeat", "3", "--end"];
    let done = publish(&server, &args).run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let data = [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#];
    assert_eq!(server.history_data("/topics/t").await, data);
    assert!(history(&server, "t").await["ended"].is_object());
    // `{i}` is replaced in repeats only.
    publish(&server, &["once", "{i}"]).run().await;
    assert_eq!(server.history_data("/topics/once").await, ["{i}"]);

    let mut running = publish(&server, &["clock", "tick", "--every", "10ms"]).start().await;
    for _ in 0..3 {
        running.line().await.unwrap();
    }
    running.kill().await;
    assert!(server.history("/topics/clock").await.len() >= 3);
}

#[tokio::test]
async fn each_line_is_published_as_it_arrives() {
    let server = Server::in_memory().await;
    let mut stream = server.subscribe("/topics/t").await;
    let mut running =
        publish(&server, &["t", "--lines", "--type", "line"]).start_with_stdin().await;
    for line in ["one", "two"] {
        running.send(format!("{line}\r\n\n")).await;
        let event = stream.next().await.unwrap();
        assert_eq!((event.name.as_str(), event.data.as_str()), ("line", line));
        assert_eq!(running.line().await, Some(event.id));
    }
    running.send("three").await;
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("published 3 events"), "{done:?}");
    assert_eq!(server.history_data("/topics/t").await, ["one", "two", "three"]);
}

#[tokio::test]
async fn no_line_is_lost_or_duplicated_when_the_server_is_killed() {
    let mut server = Server::start().await;
    let mut running = publish(&server, &["t", "--lines", "--end"]).start_with_stdin().await;
    for part in 0..4 {
        let lines: String = (0..2_500).map(|n| (part * 2_500 + n).to_string() + "\n").collect();
        running.send(lines).await;
        running.line().await.unwrap();
        server.kill_and_restart().await;
    }
    let done = running.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("published 10000 events"), "{done:?}");
    let events = server.subscribe("/topics/t?from=earliest").await.rest().await;
    let numbers: Vec<String> = events
        .iter()
        .filter(|event| event.name == "message")
        .map(|event| event.data.clone())
        .collect();
    assert_eq!(numbers, (0..10_000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_late_server_is_reported() {
    let foreign = Foreign::start().await;
    let url = foreign.url.replace("/stream", "");
    let mut running = stentor(&["pub", "--url", &url, "t", "--lines"]).start_with_stdin().await;
    running.send("one\n").await;
    let mut visit = foreign.visit().await;
    running.until_stderr("no response from the server for").await;
    visit.answer("201 Created", r#"{"topic":"t","id":"a"}"#).await;
    running.until_stderr("responds again").await;
    assert_eq!(running.line().await.as_deref(), Some("a"));
    assert_eq!(running.end().await.code, Some(0));
}

#[tokio::test]
async fn a_bad_line_is_reported_after_the_lines_before_it() {
    let server = Server::in_memory().await;
    let done = publish(&server, &["t", "--lines"]).stdin(&b"one\ngr\xfcn\ntwo\n"[..]).run().await;
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("UTF-8"), "{done:?}");
    assert_eq!(server.history_data("/topics/t").await, ["one"]);

    server.publish("/topics/over?end", "").await;
    let mut running = publish(&server, &["over", "--lines"]).start_with_stdin().await;
    running.send("too late\n").await;
    let said = running.until_stderr("409").await;
    assert!(said.contains("1 event not published"), "{said}");
    assert_eq!(running.end().await.code, Some(1));
}

#[tokio::test]
async fn a_long_file_is_uploaded_and_again_if_its_connection_breaks() {
    let foreign = Foreign::start().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("long.ndjson");
    let lines: String = (0..300_000).map(|n| n.to_string() + "\n").collect();
    std::fs::write(&path, &lines).unwrap();
    let url = foreign.url.replace("/stream", "");
    let args = ["pub", "--url", &url, "t", "--file", path.to_str().unwrap()];
    let running = stentor(&args).start().await;
    let first = foreign.visit().await;
    assert_eq!(first.header("content-type"), Some("application/x-ndjson"));
    let key = first.header("idempotency-key").unwrap().to_owned();
    drop(first);
    let mut second = foreign.visit().await;
    assert_eq!(second.header("idempotency-key"), Some(key.as_str()));
    assert!(second.chunked_body().await == lines);
    let answer = r#"{"topic":"t","count":300000,"first_id":"a","last_id":"b"}"#;
    second.answer("201 Created", answer).await;
    let done = running.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "b\n"), "{done:?}");
    // Without a terminal there is no progress bar.
    assert!(done.stderr.contains("retrying") && !done.stderr.contains('\u{1b}'), "{done:?}");
}

#[tokio::test]
async fn a_retry_waits_as_long_as_the_server_asks() {
    let answer = r#"{"topic":"t","count":1,"first_id":"a","last_id":"a"}"#;
    for (status, is_relay) in
        [("503 Service Unavailable", false), ("429 Too Many Requests", false), ("503 Away", true)]
    {
        let foreign = Foreign::start().await;
        let source = Foreign::start().await;
        let url = foreign.url.replace("/stream", "");
        let mut args = vec!["pub", "--url", &url, "t"];
        args.extend(if is_relay { vec!["--from", &source.url] } else { vec!["x"] });
        let running = stentor(&args).start().await;
        let stream = if is_relay { Some(source.stream("id: 1\ndata: x\n\n").await) } else { None };
        foreign.refuse(&format!("{status}\r\nRetry-After: 1")).await;
        let refused = Instant::now();
        let mut second = foreign.visit().await;
        assert!(refused.elapsed() >= Duration::from_millis(950), "{:?}", refused.elapsed());
        second.answer("201 Created", answer).await;
        if let Some(stream) = stream {
            drop(stream);
            source.refuse("204 No Content").await;
        }
        let done = running.end().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), "a\n"), "{done:?}");
        assert!(done.stderr.contains("retrying in 1.0 s"), "{done:?}");
    }
}

#[tokio::test]
async fn secrets_are_sent_to_the_server() {
    let foreign = Foreign::start().await;
    let url = foreign.url.replace("/stream", "");
    for args in [&["--token", "secret"][..], &[]] {
        let own = ["pub", "--url", &url, "t", "x", "--header", "X-Key: 7"];
        let args: Vec<_> = own.iter().chain(args).copied().collect();
        let running = stentor(&args).env("STENTOR_TOKEN", "secret").start().await;
        let mut visit = foreign.visit().await;
        visit.answer("201 Created", r#"{"topic":"t","id":"a"}"#).await;
        assert_eq!(visit.header("authorization"), Some("Bearer secret"));
        assert_eq!(visit.header("x-key"), Some("7"));
        assert_eq!(running.end().await.stdout, "a\n");
    }
    let done = stentor(&["pub", "t", "x", "--header", "nonsense"]).run().await;
    assert_eq!(done.code, Some(2), "{done:?}");
}

#[tokio::test]
async fn options_that_exclude_each_other_are_a_wrong_command_line() {
    for args in [
        &["t", "x", "--lines"][..],
        &["t", "x", "--file", "f"],
        &["t", "--from", "http://h/", "--lines"],
        &["t", "--from", "http://h/", "--idempotency-key", "k"],
        &["t", "x", "--cursor", "f"],
        &["t", "--lines", "--every", "1s"],
        &["t", "x", "--every", "0s"],
        &["t", "x", "--repeat", "0"],
        &["t", "x", "--retry", "soon"],
    ] {
        let args: Vec<_> = std::iter::once(&"pub").chain(args).copied().collect();
        let done = stentor(&args).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{args:?}: {done:?}");
    }
}

#[tokio::test]
async fn lines_end_when_stdout_is_closed() {
    let server = Server::in_memory().await;
    let mut running = publish(&server, &["t", "--lines", "--end"]).start_with_stdin().await;
    running.send("one\n").await;
    assert!(running.line().await.is_some());
    // Its stdin stays open, and nothing more is published.
    assert_eq!(running.close_stdout().await, Some(0));
    assert_eq!(server.history_data("/topics/t").await, ["one"]);
    let page = server.page("/topics/t").await;
    assert!(page["ended"].is_null(), "it did not reach the end of its input: {page}");
}

#[tokio::test]
async fn one_byte_order_mark_at_the_start_is_removed() {
    let server = Server::in_memory().await;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let text = file("a.txt", "\u{FEFF}text");
    let json = file("b.json", "\u{FEFF}{}");
    let lines = file("c.ndjson", "\u{FEFF}1\n2\n");
    let stream = file("d.sse", "\u{FEFF}data: 3\n\n");
    let twice = file("e.txt", "\u{FEFF}\u{FEFF}x");
    let lines_twice = file("f.ndjson", "\u{FEFF}\u{FEFF}4\n\u{FEFF}5\n");
    for path in [text, json, lines, stream, twice, lines_twice] {
        let done = publish(&server, &["t", "--file", &path]).run().await;
        assert_eq!(done.code, Some(0), "{path}: {done:?}");
    }
    let done = publish(&server, &["t", "--lines"]).stdin("\u{FEFF}line\n").run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let expected = ["text", "{}", "1", "2", "3", "\u{FEFF}x", "\u{FEFF}4", "\u{FEFF}5", "line"];
    assert_eq!(server.history_data("/topics/t").await, expected);
}

#[tokio::test]
async fn a_pipe_is_a_file_too() {
    let server = Server::in_memory().await;
    let args = ["t", "--file", "/dev/stdin", "--content-type", "application/x-ndjson"];
    let done = publish(&server, &args).stdin("1\n2\n").run().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(server.history_data("/topics/t").await, ["1", "2"]);
}
