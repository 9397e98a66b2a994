//! `stentor.gap`: a reader that has lost events is notified, once.

use serde_json::{Value, json};
use stentor_hub::{Check, Cursor, Offset};

use super::mode;
use crate::harness::scenarios::streams;
use crate::harness::{EventStream, Received, Server, assert_gap, assert_no_second_gap};

const MIB: usize = 1 << 20;

/// Publishes `count` events of 1 MiB that begin with their number, and returns their ids.
async fn flood(server: &Server, topic: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(
            server
                .publish(&format!("/topics/{topic}"), format!("{number:0>7}").repeat(MIB / 7))
                .await,
        );
    }
    ids
}

fn number_of(event: &Received) -> usize {
    event.data[..7].parse().unwrap_or_else(|_| panic!("{}", event.name))
}

/// Returns a position `more` offsets after the event with this id.
fn beyond(id: &str, more: u64) -> String {
    let cursor: Cursor = id.parse().unwrap();
    Cursor::position(cursor.epoch, Offset::new(cursor.offset.get() + more)).to_string()
}

#[tokio::test]
async fn a_cursor_that_cannot_be_read_is_a_gap_and_everything_follows() {
    let server = Server::start_with(mode()).await;
    let first = server.publish("/topics/news", "one").await;
    server.publish("/topics/news", "two").await;
    for cursor in ["42", "latest", "%00", &first[1..], &format!("{first}0"), &first.to_uppercase()]
    {
        let mut stream = server.resume("/topics/news?from=now", cursor).await;
        let gap = json!({
            "reason": "unreadable", "requested": cursor, "earliest": first, "topics": ["news"],
        });
        let position = assert_gap(&mut stream, gap).await;
        assert_eq!(stream.data(2).await, ["one", "two"]);
        assert!(
            !String::from_utf8_lossy(&stream.text).contains("stentor.cursor"),
            "the gap takes its place"
        );
        assert_no_second_gap(&server, "/topics/news", &position, &["one", "two"]).await;
    }
}

#[tokio::test]
async fn a_gap_with_nothing_after_it_has_no_earliest_event() {
    let server = Server::start_with(mode()).await;
    let mut stream = server.resume("/events?topic=a&topic=b/*", "nonsense").await;
    let (position, gap) = stream.gap().await;
    assert_eq!((&gap["earliest"], &gap["reason"]), (&Value::Null, &json!("unreadable")));
    server.publish("/topics/b/x", "first").await;
    assert_eq!(stream.data(1).await, ["first"]);
    assert_no_second_gap(&server, "/events?topic=a&topic=b/*", &position, &["first"]).await;
}

#[tokio::test]
async fn a_gap_names_at_most_32_topics() {
    let server = Server::in_memory_with(mode()).await;
    let topics: Vec<String> = (0..40).map(|number| format!("topic=t{number}")).collect();
    let mut stream = server.resume(&format!("/events?{}", topics.join("&")), "nonsense").await;
    assert_eq!(stream.gap().await.1["topics"].as_array().unwrap().len(), 32);
}

#[tokio::test]
async fn a_cursor_of_another_history_is_a_gap_and_everything_follows() {
    let mut server = Server::in_memory_with(mode()).await;
    let old = server.publish("/topics/news", "old").await;
    let position = server.subscribe("/topics/news").await.position().await;
    server.restart().await;
    let new = server.publish("/topics/news", "new").await;
    for cursor in [old, position] {
        let mut stream = server.resume("/topics/news", &cursor).await;
        let gap = json!({
            "reason": "epoch", "requested": cursor, "earliest": new, "topics": ["news"],
        });
        let position = assert_gap(&mut stream, gap).await;
        assert_eq!(stream.data(1).await, ["new"]);
        assert_no_second_gap(&server, "/topics/news", &position, &["new"]).await;
    }
}

#[tokio::test]
async fn an_id_that_does_not_fit_the_event_at_its_offset_is_of_another_history() {
    let server = Server::start_with(mode()).await;
    let first = server.publish("/topics/news", "one").await;
    server.publish("/topics/news", "two").await;
    let cursor: Cursor = first.parse().unwrap();
    let check = Check::new(cursor.check.unwrap().get() ^ 1);
    let other = Cursor::event_id(cursor.epoch, cursor.offset, check).to_string();
    let mut stream = server.resume("/topics/news", &other).await;
    assert_gap(
        &mut stream,
        json!({"reason": "epoch", "requested": other, "earliest": first, "topics": ["news"]}),
    )
    .await;
    assert_eq!(stream.data(2).await, ["one", "two"]);
}

#[tokio::test]
async fn a_cursor_beyond_the_tail_is_a_gap() {
    let server = Server::start_with(mode()).await;
    let cursor = beyond(&server.publish("/topics/news", "one").await, 7);
    let mut stream = server.resume("/topics/news", &cursor).await;
    let gap =
        json!({"reason": "future", "requested": cursor, "earliest": null, "topics": ["news"]});
    let position = assert_gap(&mut stream, gap).await;
    server.publish("/topics/news", "two").await;
    assert_eq!(stream.data(1).await, ["two"]);
    assert_no_second_gap(&server, "/topics/news", &position, &["two"]).await;
}

#[tokio::test]
async fn a_reader_that_retention_has_passed_gets_a_gap_and_only_that_one() {
    let server = Server::in_memory_with(mode()).await;
    let seen = server.publish("/topics/quiet", "seen").await;
    let ids = flood(&server, "flood", 80).await;
    server.publish("/topics/quiet", "new").await;

    let mut stream = server.resume("/topics/flood", &ids[0]).await;
    let (position, gap) = stream.gap().await;
    assert_eq!(gap["reason"], "trimmed");
    assert!(
        gap["requested"].as_str().is_some_and(|requested| ids[0].starts_with(requested)),
        "{gap}"
    );
    assert_eq!(gap["topics"], json!(["flood"]));
    let next = stream.next().await.unwrap();
    assert_eq!(gap["earliest"], next.id);
    assert!(number_of(&next) > 1 && next.id == ids[number_of(&next)]);
    drop(stream);
    let mut stream = server.resume("/topics/flood", &position).await;
    assert_eq!(stream.position().await, position, "the gap is reported once");
    assert_eq!(stream.next().await.unwrap(), next);

    let page = server.page(&format!("/topics/flood?limit=1&after={}", ids[0])).await;
    assert_eq!(
        (&page["gap"]["reason"], &page["gap"]["earliest"]),
        (&json!("trimmed"), &json!(next.id))
    );

    // Removed events that a reader had read are not a loss. A reader without a cursor has no loss either.
    for path in ["/topics/quiet", "/events?topic=quiet/**&topic=quiet", "/events?topic=*"] {
        let mut stream =
            server.resume(path, if path.ends_with("=*") { &ids[79] } else { &seen }).await;
        stream.position().await;
        assert_eq!(stream.data(1).await, ["new"], "{path}");
    }
    let mut stream = server.subscribe("/topics/flood?from=earliest").await;
    stream.position().await;
    assert_eq!(stream.next().await.unwrap(), next);
}

#[tokio::test]
async fn a_pattern_gets_a_gap_for_the_topics_that_lost_events_it_had_not_read() {
    let server = Server::in_memory_with(mode()).await;
    let start = server.subscribe("/topics/x").await.position().await;
    let read = server.publish("/topics/x/a", "a").await;
    server.publish("/topics/x/b", "b").await;
    flood(&server, "flood", 80).await;
    let last = server.publish("/topics/x/a", "last").await;
    for (cursor, topics) in [(&start, json!(["x/a", "x/b"])), (&read, json!(["x/b"]))] {
        let mut stream = server.resume("/events?topic=x/*", cursor).await;
        let (_, gap) = stream.gap().await;
        assert_eq!((&gap["reason"], &gap["topics"]), (&json!("trimmed"), &topics));
        assert_eq!(gap["earliest"], last);
        assert_eq!(stream.data(1).await, ["last"]);
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut_or_gets_a_gap_and_loses_nothing_in_silence() {
    let server = Server::in_memory_with(mode()).await;
    let socket = server.get("/topics/flood").header("Accept", "text/event-stream").connect().await;
    server.until_metric("stentor_streams_open", 1).await;
    let ids = flood(&server, "flood", 130).await;

    let mut stream = EventStream::begin(socket).await;
    let mut last = stream.position().await;
    let mut next = 0;
    // The events already in the socket arrive in order. Then the stream sends a gap or is cut.
    let gap = loop {
        match stream.try_next().await {
            Ok(Some(event)) if event.name == "stentor.gap" => break event.data,
            Ok(Some(event)) => {
                assert_eq!(number_of(&event), next);
                (next, last) = (next + 1, event.id);
            }
            Ok(None) => panic!("a clean end although the topic continues"),
            Err(_) => {
                stream = server.resume("/topics/flood", &last).await;
                break stream.gap().await.1.to_string();
            }
        }
    };
    let gap: Value = serde_json::from_str(&gap).unwrap();
    assert_eq!((&gap["reason"], &gap["topics"]), (&json!("trimmed"), &json!(["flood"])));
    let first = stream.next().await.unwrap();
    let number = number_of(&first);
    assert!(
        number > next && first.id == ids[number] && gap["earliest"] == first.id,
        "{number} {gap}"
    );
    for number in number + 1..130 {
        assert_eq!(number_of(&stream.next().await.unwrap()), number);
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_loses_nothing_where_the_log_keeps_it() {
    let server = Server::start_with(mode()).await;
    let socket = server.get("/topics/flood").header("Accept", "text/event-stream").connect().await;
    server.until_metric("stentor_streams_open", 1).await;
    // More than the socket buffers and the live window hold.
    flood(&server, "flood", 60).await;
    let mut stream = EventStream::begin(socket).await;
    for number in 0..60 {
        assert_eq!(number_of(&stream.next().await.unwrap()), number);
    }
}

#[tokio::test]
async fn in_json_a_gap_is_an_object_and_an_unreadable_cursor_is_refused() {
    let mut server = Server::in_memory_with(mode()).await;
    let old = server.publish("/topics/news", "old").await;
    assert_eq!(server.page("/topics/news").await["gap"], Value::Null);
    server
        .get("/topics/news?after=nonsense")
        .header("Accept", "application/json")
        .send()
        .await
        .problem(400, "cursor");
    let request = server.get("/topics/news").header("Accept", "application/json");
    request.header("Last-Event-ID", "nonsense").send().await.problem(400, "cursor");

    server.restart().await;
    let new = server.publish("/topics/news", "new").await;
    let page = server.page(&format!("/topics/news?after={old}")).await;
    let gap = json!({"reason": "epoch", "requested": old, "earliest": new, "topics": ["news"]});
    assert_eq!(page["gap"], gap);
    assert_eq!(page["events"][0]["data"], "new");

    server.delete("/topics/news").send().await;
    let reborn = server.publish("/topics/news", "reborn").await;
    let page = server.page(&format!("/topics/news?after={new}")).await;
    assert_eq!(
        (&page["gap"]["reason"], &page["gap"]["earliest"]),
        (&json!("deleted"), &json!(reborn))
    );
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    let next = server.page(&format!("/topics/news?after={reborn}")).await;
    assert_eq!((&next["gap"], &next["events"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn a_gap_of_a_topic_that_has_ended_is_followed_by_the_remaining_events_and_the_end() {
    let server = Server::start_with(mode()).await;
    server.publish("/topics/news", "one").await;
    server.publish("/topics/news?end=done", "two").await;
    let mut stream = server.resume("/topics/news", "nonsense").await;
    stream.gap().await;
    let rest: Vec<String> = stream.rest().await.into_iter().map(|event| event.name).collect();
    assert_eq!(rest, ["message", "message", "stentor.end"]);
}

#[tokio::test]
async fn a_topic_that_was_deleted_and_created_again_is_a_gap() {
    streams::a_topic_that_was_deleted_and_created_again_is_a_gap(Server::start_with(mode()).await)
        .await;
}
