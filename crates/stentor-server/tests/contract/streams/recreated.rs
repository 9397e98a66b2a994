//! A topic that is deleted and then published to again, with every kind of reader.

use serde_json::{Value, json};

use super::mode;
use crate::harness::{EventStream, Server, assert_deleted, delete_topic};

#[tokio::test]
async fn live_readers_of_several_topics_get_the_end_and_then_the_new_topic_without_a_gap() {
    let server = Server::start_with(mode()).await;
    server.publish("/topics/news", "old").await;
    let mut readers = Vec::new();
    for path in ["/events?topic=news&topic=other", "/events?topic=*", "/events?topic=**"] {
        let mut stream = server.subscribe(path).await;
        stream.position().await;
        readers.push((path, stream));
    }
    for round in ["first", "second"] {
        delete_topic(&server, "news").await;
        server.publish("/topics/news", round).await;
        for (path, stream) in &mut readers {
            assert_deleted(stream, "news").await;
            assert_eq!(stream.data(1).await, [round], "{path}");
        }
    }
    server.publish("/topics/news?end", "").await;
    server.publish("/topics/other?end", "").await;
    let rest: Vec<String> = readers[0].1.rest().await.into_iter().map(|end| end.name).collect();
    assert_eq!(rest, ["stentor.end", "stentor.end"], "both topics are over");
    assert_eq!(server.metric("stentor_gaps_total").await, 0);
}

/// Returns a reader that stopped a few MiB into a topic, with a full socket.
async fn stopped(server: &Server, path: &str) -> EventStream {
    let socket = server.get(path).header("Accept", "text/event-stream").connect().await;
    server.until_metric("stentor_streams_open", 1).await;
    for number in 0..30 {
        server.publish("/topics/news", format!("{number:0>7}").repeat((1 << 20) / 7)).await;
    }
    EventStream::begin(socket).await
}

/// Reads the old events that were already sent, and returns the type and the data of the first event after them.
/// Resumes if the stream is cut within an event.
async fn after_the_old_events(
    server: &Server,
    path: &str,
    stream: &mut EventStream,
) -> (String, Value) {
    let mut id = stream.position().await;
    let mut next = 0;
    loop {
        let Ok(event) = stream.try_next().await else {
            *stream = server.resume(path, &id).await;
            continue;
        };
        let event = event.expect("no clean end yet");
        match event.name.as_str() {
            "stentor.cursor" => {}
            "message" => {
                assert_eq!(event.data[..7].parse::<usize>().ok(), Some(next), "in order");
                (next, id) = (next + 1, event.id);
            }
            name => {
                assert!(next < 30, "a stopped reader cannot have all events");
                return (name.to_owned(), serde_json::from_str(&event.data).unwrap());
            }
        }
    }
}

#[tokio::test]
async fn a_reader_that_stopped_before_a_deletion_gets_the_end_instead_of_the_deleted_events() {
    for (path, closes) in [("/topics/news", true), ("/events?topic=*", false)] {
        for server in [Server::start_with(mode()).await, Server::in_memory_with(mode()).await] {
            let mut stream = stopped(&server, path).await;
            delete_topic(&server, "news").await;
            let (name, end) = after_the_old_events(&server, path, &mut stream).await;
            assert_eq!((name.as_str(), &end["reason"]), ("stentor.end", &json!("deleted")));
            if closes {
                assert_eq!(stream.next_any().await, None, "a clean close");
            }
        }
    }
}

#[tokio::test]
async fn a_reader_that_stopped_before_a_deletion_gets_a_gap_and_the_new_topic() {
    for path in ["/topics/news", "/events?topic=*", "/events?topic=news&topic=other"] {
        for server in [Server::start_with(mode()).await, Server::in_memory_with(mode()).await] {
            let mut stream = stopped(&server, path).await;
            delete_topic(&server, "news").await;
            let first = server.publish("/topics/news", "new").await;
            let (name, gap) = after_the_old_events(&server, path, &mut stream).await;
            assert_eq!(
                (name.as_str(), &gap["reason"], &gap["topics"], &gap["earliest"]),
                ("stentor.gap", &json!("deleted"), &json!(["news"]), &json!(first))
            );
            assert_eq!(stream.data(1).await, ["new"]);
        }
    }
}
