//! Streams after a kill (SIGKILL) of the server. This file is a module twice, once for each implementation.

use serde_json::{Value, json};
use stentor_hub::{Cursor, Offset};

use crate::harness::scenarios::streams;
use crate::harness::{Server, StreamMode, assert_gap, assert_no_second_gap};

/// Starts a server with the implementation of streams that this module tests.
async fn start() -> Server {
    let as_bodies = module_path!().ends_with("as_bodies");
    Server::start_with(if as_bodies { StreamMode::Bodies } else { StreamMode::Shards }).await
}

/// Returns a position `more` offsets after the event with this id.
fn beyond(id: &str, more: u64) -> String {
    let cursor: Cursor = id.parse().unwrap();
    Cursor::position(cursor.epoch, Offset::new(cursor.offset.get() + more)).to_string()
}

#[tokio::test]
async fn a_deletion_removes_the_topic_and_its_events() {
    streams::a_deletion_removes_the_topic_and_its_events(start().await).await;
}

#[tokio::test]
async fn older_readers_get_the_end_and_no_gap() {
    streams::older_readers_get_the_end_and_no_gap(start().await).await;
}

#[tokio::test]
async fn only_a_reader_that_has_passed_the_end_gets_204() {
    streams::only_a_reader_that_has_passed_the_end_gets_204(start().await).await;
}

#[tokio::test]
async fn a_cursor_in_the_range_that_a_kill_burned_stays_a_gap() {
    let mut server = start().await;
    let newest = server.publish("/topics/news", "one").await;
    let in_burned = beyond(&newest, 3);
    server.kill_and_restart().await;
    let gap = |earliest: Value| json!({"reason": "future", "requested": in_burned, "earliest": earliest, "topics": ["news"]});
    let mut stream = server.resume("/topics/news", &in_burned).await;
    let position = assert_gap(&mut stream, gap(Value::Null)).await;
    let next = server.publish("/topics/news", "two").await;
    assert_eq!(stream.data(1).await, ["two"]);
    // The log has grown beyond the range, and has been opened again.
    server.kill_and_restart().await;
    let mut stream = server.resume("/topics/news", &in_burned).await;
    assert_gap(&mut stream, gap(json!(next))).await;
    assert_eq!(stream.data(1).await, ["two"]);
    assert_no_second_gap(&server, "/topics/news", &position, &["two"]).await;
}

#[tokio::test]
async fn a_reader_before_or_after_a_burned_range_has_lost_nothing() {
    let mut server = start().await;
    let last = server.publish("/topics/news", "one").await;
    server.kill_and_restart().await;
    let behind = server.subscribe("/topics/news").await.position().await;
    for _ in 0..2 {
        for cursor in [&last, &behind] {
            server.resume("/topics/news", cursor).await.position().await;
        }
        server.publish("/topics/news", "more").await;
    }
    server.kill_and_restart().await;
    for cursor in [&last, &behind] {
        let mut stream = server.resume("/topics/news", cursor).await;
        stream.position().await;
        assert_eq!(stream.data(2).await, ["more", "more"]);
    }
}

#[tokio::test]
async fn a_topic_that_was_deleted_and_created_again_is_a_gap() {
    streams::a_topic_that_was_deleted_and_created_again_is_a_gap(start().await).await;
}

#[tokio::test]
async fn a_reader_that_connected_between_two_kills_has_lost_nothing() {
    let mut server = start().await;
    server.publish("/topics/news", "one").await;
    server.kill_and_restart().await;
    let behind = server.subscribe("/topics/news").await.position().await;
    server.kill_and_restart().await;
    server.resume("/topics/news", &behind).await.position().await;
}

#[tokio::test]
async fn acknowledged_events_and_the_positions_of_readers_survive_a_kill() {
    let mut server = start().await;
    let path = "/events?topic=a&topic=b";
    for round in 0..3 {
        let first = server.publish("/topics/a", format!("{round}a")).await;
        let mut reader = server.resume(path, &first).await;
        reader.position().await;
        server.publish("/topics/b", format!("{round}b")).await;
        assert_eq!(reader.data(1).await, [format!("{round}b")]);
        server.publish("/topics/a", format!("{round}c")).await;
        server.kill_and_restart().await;
        server.publish("/topics/a", format!("{round}d")).await;

        let mut again = server.resume(path, &reader.last_event_id()).await;
        again.position().await;
        assert_eq!(again.data(2).await, [format!("{round}c"), format!("{round}d")]);
        let mut one = server.resume("/topics/a", &first).await;
        one.position().await;
        assert_eq!(one.data(2).await, [format!("{round}c"), format!("{round}d")]);
    }
    assert_eq!(server.history("/topics/a").await.len(), 9);
}

#[tokio::test]
async fn a_reader_that_got_nothing_resumes_from_where_it_began() {
    streams::a_reader_that_got_nothing_resumes_from_where_it_began(start().await).await;
}

#[tokio::test]
async fn an_id_of_another_stream_is_a_position_in_the_log() {
    streams::an_id_of_another_stream_is_a_position_in_the_log(start().await).await;
}
