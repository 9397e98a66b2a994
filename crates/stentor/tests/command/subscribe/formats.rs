//! Output formats.

use serde_json::{Value, json};

use super::{sub, sub_foreign};
use crate::harness::Server;

#[tokio::test]
async fn each_format_prints_an_event_differently() {
    let server = Server::in_memory().await;
    let id = server.publish("/topics/t?type=tick", "a\nb").await;
    let print = async |format| {
        let args = ["t", "--from", "earliest", "--count", "1", "--format", format];
        sub(&server, &args).run().await.stdout
    };

    assert_eq!(print("data").await, "a\nb\n");
    let object: Value = serde_json::from_str(&print("json").await).unwrap();
    let members: Vec<&String> = object.as_object().unwrap().keys().collect();
    assert_eq!(members, ["id", "topic", "type", "time", "data"]);
    assert_eq!((&object["id"], &object["topic"]), (&json!(id), &json!("t")));
    assert_eq!((&object["type"], &object["data"]), (&json!("tick"), &json!("a\nb")));
    let time = object["time"].as_str().unwrap();
    assert_eq!(print("pretty").await, format!("{time}  tick  a\\nb\n"));
    let raw = print("raw").await;
    assert!(raw.starts_with("retry: "), "{raw}");
    assert!(raw.ends_with(&format!("\n\nid: {id}\nevent: tick\ndata: a\ndata: b\n\n")), "{raw}");
}

#[tokio::test]
async fn an_id_stays_until_the_next_one() {
    let stream =
        "data: a\n\nid: 7\ndata: b\n\ndata: c\n\nid: 8\n\nevent: tick\ndata: d\n\nid\ndata: e\n\n";
    let done = sub_foreign(stream, &["--format", "json"]).await;
    let lines: Vec<Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [
        json!({"id": "", "type": "message", "data": "a"}),
        json!({"id": "7", "type": "message", "data": "b"}),
        json!({"id": "7", "type": "message", "data": "c"}),
        json!({"id": "8", "type": "tick", "data": "d"}),
        json!({"id": "", "type": "message", "data": "e"}),
    ];
    assert_eq!(lines, expected, "{done:?}");
}

#[tokio::test]
async fn control_events_are_printed_in_raw_only() {
    let stream = "event: stentor.cursor\nid: 1\ndata:\n\n\
        event: stentor.gap\nid: 5\ndata: {\"reason\":\"trimmed\",\"topics\":[\"a\"]}\n\n\
        data: x\n\n\
        event: stentor.end\nid: 6\ndata: {\"topic\":\"a\",\"reason\":\"done\"}\n\n";
    for format in ["data", "json", "pretty"] {
        let done = sub_foreign(stream, &["--format", format]).await;
        assert_eq!((done.code, done.stdout.lines().count()), (Some(0), 1), "{format}: {done:?}");
        assert!(!done.stdout.contains("stentor."), "{format}: {done:?}");
        assert!(done.stderr.contains("events were lost (trimmed): a"), "{done:?}");
        assert!(done.stderr.contains("a has ended: done"), "{done:?}");
    }
    let raw = sub_foreign(stream, &["--format", "raw"]).await;
    assert!(raw.stdout.ends_with(stream), "{raw:?}");
}

#[tokio::test]
async fn only_the_selected_types_are_printed() {
    let stream = "event: a\ndata: 1\n\ndata: 2\n\nevent: b\ndata: 3\n\nevent: a\ndata: 4\n\n";
    let done = sub_foreign(stream, &["--type", "a"]).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "1\n4\n"), "{done:?}");
    let done = sub_foreign(stream, &["--type", "message", "--type", "b"]).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "2\n3\n"), "{done:?}");
}

#[tokio::test]
async fn control_characters_are_escaped() {
    let done = sub_foreign("event: \x1b[2J\ndata: \x1b]0;x\x07\n\n", &["--format", "pretty"]).await;
    assert_eq!((done.code, done.stdout.contains('\x1b')), (Some(0), false), "{done:?}");
}

#[tokio::test]
async fn the_whole_stream_cannot_be_filtered() {
    let server = Server::in_memory().await;
    let done = sub(&server, &["t", "--format", "raw", "--type", "x"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{done:?}");
    assert!(done.stderr.contains("--type"), "{done:?}");
}
