//! `--retain` and `--retain-bytes`: what goes, who is told, and how mistakes in them are answered.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{EventStream, Server, StreamMode, TIMEOUT, stentor};

const TRIMMED: &str = "stentor_trimmed_events_total";

/// A server that holds topics to these limits.
async fn retaining(rule: &str) -> Server {
    Server::with(&["serve", "--retain", rule]).await
}

/// The id of the event that history shows first, and what it says is the earliest.
async fn first(server: &Server, path: &str) -> (Value, Value) {
    let page = server.page(path).await;
    (page["events"][0]["id"].clone(), page["earliest"].clone())
}

#[tokio::test]
async fn a_topic_keeps_its_newest_events_and_readers_of_the_others_are_told() {
    let server = retaining("news=count:3").await;
    let lost = server.publish("/topics/news", "0").await;
    let quiet = server.publish("/topics/quiet", "seen").await;
    let position = server.subscribe("/topics/news").await.position().await;
    server.publish_each("/topics/news", 1..10).await;
    server.until_metric(TRIMMED, 7).await;
    assert_eq!(server.metric("stentor_trimmed_bytes_total").await, 7);
    assert_eq!(server.history_data("/topics/news").await, ["7", "8", "9"]);
    let (id, earliest) = first(&server, "/topics/news").await;
    assert_eq!(id, earliest);

    for cursor in [&lost, &position] {
        let mut stream = server.resume("/topics/news", cursor).await;
        let (goes_on, gap) = stream.gap().await;
        assert_eq!((&gap["reason"], &gap["topics"]), (&json!("trimmed"), &json!(["news"])));
        assert_eq!(gap["earliest"], id);
        assert_eq!(stream.data(3).await, ["7", "8", "9"]);
        let mut stream = server.resume("/topics/news", &goes_on).await;
        assert_eq!(stream.position().await, goes_on, "it is told once");
    }
    let mut stream = server.subscribe("/topics/news?from=earliest").await;
    stream.position().await;
    assert_eq!(stream.data(1).await, ["7"], "who brings no cursor gets what there is");

    server.publish("/topics/quiet", "new").await;
    let mut stream = server.resume("/topics/quiet", &quiet).await;
    stream.position().await;
    assert_eq!(stream.data(1).await, ["new"], "a quiet topic has lost nothing");
}

#[tokio::test]
async fn a_topic_goes_with_its_end_when_its_time_is_over() {
    let server = retaining("jobs/*=ended:0s").await;
    let end = server.publish("/topics/jobs/1?end=done", "all of it").await;
    server.publish("/topics/jobs/2", "goes on").await;
    server.until_metric(TRIMMED, 1).await;
    let topics = server.get("/topics").send().await.json();
    assert_eq!(topics["topics"].as_array().unwrap().len(), 1, "{topics}");
    server.publish("/topics/jobs/1", "anew").await;
    let mut stream = server.resume("/topics/jobs/1", &end).await;
    stream.next_any().await.unwrap();
    assert_eq!(stream.data(1).await, ["anew"], "it is no topic that has ended");
}

#[tokio::test]
async fn a_live_reader_is_not_disturbed_by_what_goes_behind_it() {
    let server = retaining("*=count:1").await;
    let mut stream = server.subscribe("/topics/news").await;
    stream.position().await;
    for number in 0..4 {
        server.publish("/topics/news", number.to_string()).await;
        assert_eq!(stream.data(1).await, [number.to_string()]);
        server.until_metric(TRIMMED, number).await;
    }
    assert_eq!(server.metric("stentor_gaps_total").await, 0);
}

#[tokio::test]
async fn a_reader_that_retention_passes_while_it_is_stopped_is_told_and_goes_on() {
    for streams in StreamMode::BOTH {
        let rule = ["--retain", "flood=count:5"];
        is_passed_and_told(&streams.with(&rule).await, 5).await;
        is_passed_and_told(&streams.with(&[&rule[..], &["--memory"]].concat()).await, 5).await;
    }
}

/// Has a reader stopped while all but so many events go.
async fn is_passed_and_told(server: &Server, kept: usize) {
    const EVENTS: usize = 40;
    let socket = server.get("/topics/flood").header("Accept", "text/event-stream").connect().await;
    server.until_metric("stentor_streams_open", 1).await;
    for number in 0..EVENTS {
        let data = format!("{number:0>7}").repeat((1 << 18) / 7);
        server.publish("/topics/flood", data).await;
    }
    server.until_metric(TRIMMED, i64::try_from(EVENTS - kept).unwrap()).await;

    let number_of = |data: &str| data[..7].parse::<usize>().unwrap();
    let mut stream = EventStream::begin(socket).await;
    let (mut next, mut id) = (0, stream.position().await);
    // What was on its way comes without a hole. An event that goes while it is being sent cuts it.
    let gap = loop {
        match stream.try_next().await {
            Ok(Some(event)) if event.name == "stentor.gap" => {
                break serde_json::from_str::<Value>(&event.data).unwrap();
            }
            Ok(Some(event)) => {
                assert_eq!(number_of(&event.data), next);
                (next, id) = (next + 1, event.id);
            }
            Ok(None) => panic!("a clean end of a topic that goes on"),
            Err(_) => {
                stream = server.resume("/topics/flood", &id).await;
                break stream.gap().await.1;
            }
        }
    };
    assert_eq!((&gap["reason"], &gap["topics"]), (&json!("trimmed"), &json!(["flood"])));
    assert!(next < EVENTS - kept);
    for number in EVENTS - kept..EVENTS {
        let event = stream.next().await.unwrap();
        assert_eq!(number_of(&event.data), number);
        if number == EVENTS - kept {
            assert_eq!(gap["earliest"], event.id);
        }
    }
}

#[tokio::test]
async fn the_oldest_events_of_all_go_when_the_log_is_full() {
    // Three large events are within these sizes, and four are not: memory is taken by what is sent too.
    let on_disk = &["serve", "--retain-bytes", "4MB"][..];
    for how in [on_disk, &["serve", "--memory", "--retain-bytes", "7MB"]] {
        let server = Server::with(how).await;
        let old = server.publish("/topics/old", "1").await;
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(server.publish("/topics/large", "x".repeat(1 << 20)).await);
        }
        server.until_metric(TRIMMED, 18).await;
        let (id, earliest) = first(&server, "/topics/large?limit=1").await;
        assert_eq!((&id, &earliest), (&json!(ids[17]), &json!(ids[17])), "{how:?}");
        let (_, gap) = server.resume("/topics/large", &ids[0]).await.gap().await;
        assert_eq!((&gap["reason"], &gap["earliest"]), (&json!("trimmed"), &id));
        server.resume("/topics/old", &old).await.position().await;
        server.resume("/topics/large", &ids[16]).await.position().await;
    }
}

/// Runs the binary, which must refuse to start, and gives its exit code and what it said.
async fn refused(args: &[&str]) -> (Option<i32>, String) {
    let elsewhere = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_stentor"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(args)
        .current_dir(elsewhere.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(TIMEOUT, run).await.expect("it does not start").unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn two_patterns_that_could_both_hold_are_refused_with_advice() {
    let (code, said) = refused(&["--retain", "a/*=count:1", "--retain", "*/b=age:1h"]).await;
    assert_eq!(code, Some(1), "{said}");
    for part in ["\"a/*\"", "\"*/b\"", "more precise"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test]
async fn limits_that_are_none_are_refused_with_advice() {
    for (args, advice) in [
        (["--retain", "news"], "PATTERN=LIMITS"),
        (["--retain", "news=1000"], "count:1000"),
        (["--retain", "news=age:soon"], "7d"),
        (["--retain", "news=bytes:many"], "1GiB"),
        (["--retain", "a/**/b=count:1"], "no pattern"),
        (["--retain-bytes", "lots"], "1GiB"),
        (["--retain-bytes", "0"], "none"),
    ] {
        let (code, said) = refused(&args).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(advice), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn who_begins_a_log_is_told_once_how_much_it_keeps() {
    for (args, expected) in [
        (&[][..], "1 GiB"),
        (&["--retain-bytes", "2GiB"], "2 GiB"),
        (&["--retain-bytes", "none"], "until the disk is full"),
    ] {
        let mut server = Server::with(&[&["serve"], args].concat()).await;
        let said = server.startup_stderr.clone();
        assert!(said.contains(expected) && said.contains("stentor-data"), "{said}");
        server.kill_and_restart().await;
        assert!(!server.startup_stderr.contains(expected), "{}", server.startup_stderr);
    }
    let server = Server::in_memory().await;
    assert!(!server.startup_stderr.contains("keeps"), "{}", server.startup_stderr);
}

#[tokio::test]
async fn who_opens_a_log_that_is_to_become_much_smaller_is_told_so() {
    let mut server = Server::with(&["serve", "--retain-bytes", "none"]).await;
    server.publish_each("/topics/t", (0..20).map(|_| "x".repeat(100_000))).await;
    server.stop().await;
    let data = server.directory().join("stentor-data");
    let data = data.to_str().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--retain-bytes"];
    for (bytes, is_told) in [("2MB", false), ("500kB", true)] {
        let mut serve = stentor(&[&serve[..], &[bytes]].concat()).start().await;
        serve.until_stderr("listening").await;
        serve.signal("TERM").await;
        let said = serve.end().await.stderr;
        assert_eq!(said.contains("its oldest events go"), is_told, "{bytes}: {said}");
    }
}

/// Copies the log of a server that was stopped to another one, which was stopped too.
fn restore(from: &Server, to: &Server) {
    let (from, to) = (from.directory().join("stentor-data"), to.directory().join("stentor-data"));
    std::fs::remove_dir_all(&to).unwrap();
    std::fs::create_dir(&to).unwrap();
    for file in std::fs::read_dir(&from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn readers_who_know_more_than_a_restored_copy_are_told() {
    let (mut original, mut copy) = (Server::start().await, Server::start().await);
    let common = original.publish("/topics/news", "1").await;
    original.stop().await;
    copy.stop().await;
    restore(&original, &copy);
    original.start_again().await;
    copy.start_again().await;
    let lost = original.publish("/topics/news", "only in the original").await;

    let mut stream = copy.resume("/topics/news", &lost).await;
    assert_eq!(stream.gap().await.1["reason"], "future");
    let other = copy.publish("/topics/news", "only in the copy").await;
    assert_ne!(other, lost, "the same place, but not the same event");
    assert_eq!(stream.data(1).await, ["only in the copy"]);
    let mut stream = copy.resume("/topics/news", &lost).await;
    assert_eq!(stream.gap().await.1["reason"], "epoch");
    assert_eq!(stream.data(2).await, ["1", "only in the copy"], "it gets all there is");
    let mut stream = copy.resume("/topics/news", &common).await;
    stream.position().await;
    assert_eq!(
        stream.data(1).await,
        ["only in the copy"],
        "who knows what is in both lost nothing"
    );
}
