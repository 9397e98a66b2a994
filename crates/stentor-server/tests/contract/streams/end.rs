//! The end of a topic: every reader gets it, and a reader that has it gets 204.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use super::mode;
use crate::harness::scenarios::streams;
use crate::harness::{Server, assert_end, data_of, resume_status};

#[tokio::test]
async fn live_readers_get_the_last_event_then_the_end_then_a_clean_close() {
    let server = Server::start_with(mode()).await;
    let mut stream = server.subscribe("/topics/job").await;
    stream.position().await;
    server.publish("/topics/job", "half").await;
    let id = server.publish("/topics/job?end=done", "whole").await;
    let rest = stream.rest().await;
    assert_eq!(data_of(&rest[..2]), ["half", "whole"]);
    assert_eq!(rest[1].id, id);
    assert_ne!(assert_end(&rest[2], "job", "done"), id, "the end has its own id");
    assert_eq!(rest.len(), 3);
}

#[tokio::test]
async fn an_end_needs_neither_an_event_nor_a_reason() {
    let server = Server::start_with(mode()).await;
    let mut stream = server.subscribe("/topics/job").await;
    stream.position().await;
    let id = server.publish("/topics/job?end", "").await;
    let rest = stream.rest().await;
    assert_eq!(assert_end(&rest[0], "job", ""), id);
    assert_eq!(rest.len(), 1);
}

#[tokio::test]
async fn a_stream_of_several_topics_closes_after_the_last_of_them_has_ended() {
    let server = Server::start_with(mode()).await;
    let path = "/events?topic=a&topic=b";
    let mut stream = server.subscribe(path).await;
    stream.position().await;
    server.publish("/topics/a?end=first", "a1").await;
    server.publish("/topics/b", "b1").await;
    server.publish("/topics/b?end=second", "b2").await;
    let rest = stream.rest().await;
    assert_eq!(data_of(&[rest[0].clone(), rest[2].clone(), rest[3].clone()]), ["a1", "b1", "b2"]);
    let first = assert_end(&rest[1], "a", "first");
    let second = assert_end(&rest[4], "b", "second");
    assert_eq!(rest.len(), 5);

    let after_first = server.resume(path, &first).await.rest().await;
    assert_eq!(after_first, rest[2..]);
    let after_all_events = server.resume(path, &rest[3].id).await.rest().await;
    assert_eq!(after_all_events, rest[4..]);
    assert_eq!(resume_status(&server, path, &second).await, 204);
    server.resume("/events?topic=a&topic=b&topic=c", &second).await.position().await;
}

#[tokio::test]
async fn a_stream_continues_while_one_of_its_topics_continues() {
    let server = Server::start_with(mode()).await;
    let mut stream = server.subscribe("/events?topic=a&topic=b").await;
    stream.position().await;
    let end = server.publish("/topics/a?end=done", "").await;
    assert_eq!(assert_end(&stream.next().await.unwrap(), "a", "done"), end);
    server.publish("/topics/b", "still here").await;
    assert_eq!(stream.data(1).await, ["still here"]);
    let mut again = server.resume("/events?topic=a&topic=b", &end).await;
    assert_eq!(again.data(1).await, ["still here"]);
    server.publish("/topics/b?end", "").await;
    assert_end(stream.rest().await.last().unwrap(), "b", "");
    assert_end(again.rest().await.last().unwrap(), "b", "");
}

#[tokio::test]
async fn a_stream_of_a_pattern_never_ends() {
    let server = Server::start_with(mode()).await;
    for path in ["/events?topic=x/*", "/events?topic=x/a&topic=x/*"] {
        server.delete("/topics/x/a").send().await;
        let mut stream = server.subscribe(path).await;
        stream.position().await;
        let end = server.publish("/topics/x/a?end=done", "").await;
        assert_eq!(assert_end(&stream.next().await.unwrap(), "x/a", "done"), end);
        server.publish("/topics/x/b", "continues").await;
        assert_eq!(stream.data(1).await, ["continues"]);
        let mut again = server.resume(path, &end).await;
        assert_eq!(again.data(1).await, ["continues"]);
    }
}

#[tokio::test]
async fn nothing_follows_an_end() {
    let server = Server::start_with(mode()).await;
    let end = server.publish("/topics/job?end=done", "").await;
    let refused = server.post("/topics/job", "more").send().await;
    refused.problem(409, "topic-ended");
    let again = server.post("/topics/job?end=other", "").send().await;
    assert_eq!((again.status, &again.json()["id"]), (200, &json!(end)));
    let rest = server.subscribe("/topics/job?from=earliest").await.rest().await;
    assert_eq!(rest.len(), 1);
    assert_end(&rest[0], "job", "done");
}

#[tokio::test]
async fn the_last_event_precedes_the_end_for_each_of_two_hundred_racing_readers() {
    let server = Arc::new(Server::start_with(mode()).await);
    for round in 0..3 {
        let topic = format!("job/{round}");
        let mut readers = JoinSet::new();
        for number in 0..200 {
            let (server, topic) = (Arc::clone(&server), topic.clone());
            readers.spawn(async move {
                let all = number % 2 == 0;
                let path = if all {
                    format!("/topics/{topic}?from=earliest")
                } else {
                    format!("/topics/{topic}")
                };
                let rest = server.subscribe(&path).await.rest().await;
                let (end, events) = rest.split_last().unwrap();
                assert_end(end, &topic, "done");
                let wanted = ["0", "1", "2", "3", "4"];
                let from = if all { 0 } else { 5 - events.len() };
                assert_eq!(data_of(events), wanted[from..]);
            });
        }
        for number in 0..4 {
            server.publish(&format!("/topics/{topic}"), number.to_string()).await;
        }
        server.publish(&format!("/topics/{topic}?end=done"), "4").await;
        while let Some(reader) = readers.join_next().await {
            reader.unwrap();
        }
    }
}

#[tokio::test]
async fn a_204_must_not_be_cached() {
    let server = Server::start_with(mode()).await;
    let end = server.publish("/topics/job?end", "").await;
    let response = server.get("/topics/job").header("Last-Event-ID", &end).send().await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("cache-control"), Some("no-cache, no-store, no-transform"));
    assert_eq!(response.header("vary"), Some("Accept, Origin"));
}

#[tokio::test]
async fn only_a_reader_that_has_passed_the_end_gets_204() {
    streams::only_a_reader_that_has_passed_the_end_gets_204(Server::start_with(mode()).await).await;
}
