//! The forms of a stream: plain, `envelope=json`, `control=off`, and NDJSON.

use serde_json::{Value, json};

use super::mode;
use crate::harness::{EventStream, Request, Server};

const NDJSON: &str = "application/x-ndjson";

fn lines(server: &Server, path: &str) -> Request {
    server.get(path).header("Accept", NDJSON)
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

async fn gap_of(server: &Server, options: &str) -> EventStream {
    server.resume(&format!("/topics/news?{options}"), "not a cursor").await
}

#[tokio::test]
async fn an_envelope_holds_the_event_object_under_the_name_message() {
    let server = Server::start_with(mode()).await;
    let id = server.publish("/topics/a?type=sport&retry=4000", "1:0").await;
    let unnamed = server.publish("/topics/b", "hello").await;
    let mut stream = server.subscribe("/events?topic=*&envelope=json&from=earliest").await;
    let event = stream.next().await.unwrap();
    assert_eq!((event.name.as_str(), &event.id), ("message", &id));
    let mut event = object(&event.data);
    let time = event["time"].take();
    assert_eq!(time, server.history("/topics/a").await[0]["time"]);
    let whole = json!({
        "id": id, "topic": "a", "type": "sport", "time": null, "data": "1:0", "retry": 4000,
    });
    assert_eq!(event, whole);
    let event = object(&stream.next().await.unwrap().data);
    assert_eq!((&event["id"], &event["type"]), (&json!(unnamed), &json!("message")));
    assert_eq!(event.get("retry"), None);
}

#[tokio::test]
async fn an_event_object_is_the_same_in_envelope_lines_and_history() {
    let server = Server::start_with(mode()).await;
    server.publish("/topics/news?type=a", "one\r\ntwo\rthree\nfour\r\n\u{1}\"").await;
    server.publish("/topics/news", "").await;
    let page = server.history("/topics/news").await;
    assert_eq!(page[0]["data"], "one\r\ntwo\rthree\nfour\r\n\u{1}\"", "every byte as published");
    let mut envelope = server.subscribe("/topics/news?envelope=json&from=earliest").await;
    let mut ndjson = lines(&server, "/topics/news?from=earliest").open().await;
    assert_eq!(ndjson.line().await.unwrap()["type"], "stentor.cursor");
    for event in page {
        assert_eq!(object(&envelope.next().await.unwrap().data), event);
        assert_eq!(ndjson.line().await.unwrap(), event);
    }
    let mut plain = server.subscribe("/topics/news?from=earliest").await;
    assert_eq!(
        plain.data(1).await,
        ["one\ntwo\nthree\nfour\n\u{1}\""],
        "an event stream has one kind of line break"
    );
}

#[tokio::test]
async fn in_an_envelope_gap_and_end_keep_their_names() {
    let server = Server::start_with(mode()).await;
    server.publish("/topics/news?end=done", "last").await;
    let mut stream = gap_of(&server, "envelope=json").await;
    assert_eq!(stream.gap().await.1["reason"], "unreadable");
    assert_eq!(stream.next().await.unwrap().name, "message");
    let end = stream.next().await.unwrap();
    assert_eq!(
        (end.name.as_str(), object(&end.data)),
        ("stentor.end", json!({"topic": "news", "reason": "done"}))
    );
    assert_eq!(stream.next_any().await, None);
}

#[tokio::test]
async fn without_control_positions_are_ids_only() {
    let server = Server::start_with(mode()).await;
    let mut stream = server.subscribe("/topics/news?control=off").await;
    let text = stream.until("\nid: ").await;
    let id = server.publish("/topics/news?end=done", "last").await;
    let event = stream.next_any().await.unwrap();
    assert_eq!((event.data.as_str(), &event.id), ("last", &id));
    assert_eq!(stream.next_any().await, None, "no event for the end");
    let whole = String::from_utf8(stream.text.clone()).unwrap();
    assert!(!whole.contains("stentor.") && !whole.contains("done"), "{whole}");
    assert!(
        whole.starts_with(&text) && !text.contains("data:") && !text.contains("event:"),
        "{text}"
    );
    // The id of the end was sent nevertheless.
    assert!(stream.last_event_id() > id);
    let over =
        server.get("/topics/news?control=off").header("Last-Event-ID", &stream.last_event_id());
    assert_eq!(over.send().await.status, 204);
}

#[tokio::test]
async fn without_control_a_reader_resumes_from_the_id_that_it_began_with() {
    let server = Server::start_with(mode()).await;
    let mut stream = server.subscribe("/topics/news?control=off").await;
    while stream.last_event_id().is_empty() {
        stream.until("\nid: ").await;
    }
    let position = stream.last_event_id();
    drop(stream);
    server.publish("/topics/news", "meanwhile").await;
    let mut stream = server.resume("/topics/news?control=off", &position).await;
    let event = stream.next_any().await.unwrap();
    assert_eq!((event.name.as_str(), event.data.as_str()), ("message", "meanwhile"));
}

#[tokio::test]
async fn without_control_a_gap_is_not_sent_and_the_stream_continues() {
    let server = Server::start_with(mode()).await;
    server.publish("/topics/news", "one").await;
    let mut stream = gap_of(&server, "control=off").await;
    let event = stream.next_any().await.unwrap();
    assert_eq!((event.name.as_str(), event.data.as_str()), ("message", "one"));
    let text = String::from_utf8(stream.text.clone()).unwrap();
    assert!(!text.contains("stentor.") && !text.contains("unreadable"), "{text}");
}

#[tokio::test]
async fn control_and_envelope_can_be_combined() {
    let server = Server::start_with(mode()).await;
    server.publish("/topics/a?end", "last").await;
    let mut stream = server.subscribe("/topics/a?control=off&envelope=json&from=earliest").await;
    assert_eq!(object(&stream.next_any().await.unwrap().data)["data"], "last");
    assert_eq!(stream.next_any().await, None);
    let mut stream = server.subscribe("/topics/a?control=on&from=earliest").await;
    stream.position().await;
}

#[tokio::test]
async fn lines_begin_with_the_position_and_continue_with_live_events() {
    let server = Server::start_with(mode()).await;
    let mut stream = lines(&server, "/topics/news").open().await;
    assert_eq!(stream.head.header("content-type"), Some(NDJSON));
    assert_eq!(stream.head.header("cache-control"), Some("no-cache, no-store, no-transform"));
    let first = stream.line().await.unwrap();
    let position = first["id"].as_str().unwrap().to_owned();
    assert_eq!(first, json!({"type": "stentor.cursor", "id": position}));
    let id = server.publish("/topics/news?type=sport", "one").await;
    let event = stream.line().await.unwrap();
    assert_eq!(
        (&event["id"], &event["type"], &event["data"]),
        (&json!(id), &json!("sport"), &json!("one"))
    );
    assert_eq!(event["topic"], "news");

    let mut again = lines(&server, "/topics/news").header("Last-Event-ID", &position).open().await;
    assert_eq!(again.line().await.unwrap()["type"], "stentor.cursor");
    assert_eq!(again.line().await.unwrap(), event);
}

#[tokio::test]
async fn in_lines_gap_and_end_are_objects_of_that_type() {
    let server = Server::start_with(mode()).await;
    let id = server.publish("/topics/news?end=done", "last").await;
    let mut stream =
        lines(&server, "/topics/news").header("Last-Event-ID", "nonsense").open().await;
    let mut gap = stream.line().await.unwrap();
    let position = gap["id"].take().as_str().unwrap().to_owned();
    let wanted = json!({
        "type": "stentor.gap", "id": null, "reason": "unreadable", "requested": "nonsense",
        "earliest": id, "topics": ["news"],
    });
    assert_eq!(gap, wanted);
    assert_eq!(stream.line().await.unwrap()["data"], "last");
    let mut end = stream.line().await.unwrap();
    let receipt = end["id"].take();
    assert_eq!(end, json!({"type": "stentor.end", "id": null, "topic": "news", "reason": "done"}));
    assert_eq!(stream.line().await, None, "a clean close");

    let over = lines(&server, "/topics/news").header("Last-Event-ID", receipt.as_str().unwrap());
    assert_eq!(over.send().await.status, 204);
    let mut behind = lines(&server, "/topics/news").header("Last-Event-ID", &position).open().await;
    assert_eq!(behind.line().await.unwrap()["type"], "stentor.cursor", "the gap is reported once");
    assert_eq!(behind.line().await.unwrap()["data"], "last");
}

#[tokio::test]
async fn ndjson_without_control_has_events_only() {
    let server = Server::start_with(mode()).await;
    server.publish("/topics/news?end=done", "last").await;
    let path = "/topics/news?control=off";
    let mut stream = lines(&server, path).header("Last-Event-ID", "nonsense").open().await;
    assert_eq!(stream.line().await.unwrap()["data"], "last");
    assert_eq!(stream.line().await, None);
}

#[tokio::test]
async fn an_unknown_form_is_refused() {
    let server = Server::start_with(mode()).await;
    for (options, advice) in [("envelope=xml", "`envelope=json`"), ("control=no", "`control=off`")]
    {
        let response = server.get(&format!("/topics/news?{options}")).send().await;
        assert!(response.problem(400, "query").contains(advice), "{response:?}");
    }
}
