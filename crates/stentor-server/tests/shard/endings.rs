//! The ends of streams and connections.

use std::time::Duration;

use futures_util::FutureExt;
use stentor_hub::{Hub, MemoryStorage, Start};

use crate::stage::Stage;

const ROOM: usize = 1 << 20;
/// The last chunk of a body.
const LAST: &str = "0\r\n\r\n";

#[test]
fn the_end_of_a_topic_ends_its_streams_cleanly() {
    let mut stage = Stage::new(Hub::memory());
    let clients: Vec<_> = (0..500).map(|_| stage.join("job", Start::Now, ROOM)).collect();
    let other = stage.join("other", Start::Now, ROOM);
    stage.settle();
    stage.publish("job", "done");
    stage.end("job");
    stage.settle();
    for client in &clients {
        assert_eq!(client.events(), ["done"]);
        assert!(client.has().contains("event: stentor.end") && client.has().ends_with(LAST));
        assert!(client.is_finished());
        stage.receive(client, None);
        assert!(client.has_left());
    }
    assert!(!other.is_finished());
    assert_eq!(stage.metric("streams_open"), 1);
}

#[test]
fn a_connection_that_its_client_does_not_close_is_closed_a_second_after_the_end() {
    let mut stage = Stage::new(Hub::memory());
    let client = stage.join("job", Start::Now, ROOM);
    stage.end("job");
    stage.pass(Duration::from_millis(250));
    assert!(client.is_finished() && !client.has_left());
    stage.pass(Duration::from_secs(2));
    assert!(client.has_left());
}

#[test]
fn a_connection_that_takes_its_last_bytes_late_is_closed_a_second_after_them() {
    let mut stage = Stage::new(Hub::memory());
    let client = stage.join("job", Start::Now, ROOM);
    stage.settle();
    stage.end("job");
    client.set_room(0);
    stage.settle();
    stage.make_room(&client, 1 << 10);
    stage.settle();
    assert!(client.is_finished() && !client.has_left());
    stage.pass(Duration::from_secs(2));
    assert!(client.has_left());
}

#[test]
fn a_stuck_reader_gets_all_events_and_then_the_end() {
    let mut stage = Stage::new(Hub::memory());
    for topic in ["a", "b"] {
        stage.publish(topic, "before");
    }
    let stuck = stage.join("job", Start::Now, 2_000);
    let other = stage.join("job", Start::Now, ROOM);
    stage.settle();
    for number in 0..50 {
        stage.publish("job", &format!("{number} {}", "x".repeat(500)));
    }
    stage.end("job");
    stage.settle();
    assert!(other.is_finished() && !stuck.is_finished());
    while !stuck.is_finished() {
        stage.make_room(&stuck, 333);
        stage.settle();
    }
    assert_eq!(stuck.events(), other.events());
    assert!(stuck.has().ends_with(LAST));
}

#[test]
fn a_draining_server_gives_each_reader_its_own_reconnection_time() {
    let mut stage = Stage::new(Hub::memory());
    let clients: Vec<_> = (0..200).map(|_| stage.join("news", Start::Now, ROOM)).collect();
    let stuck = stage.join("news", Start::Now, 700);
    stage.settle();
    stage.publish("news", &"x".repeat(2_000));
    stage.settle();
    let stentor = stage.stentor.clone();
    stage.shard.drain(&stentor);
    stage.settle();
    let retries: std::collections::HashSet<_> = clients
        .iter()
        .map(|client| {
            assert!(client.is_finished() && client.has().ends_with(LAST));
            client.body().rsplit("retry: ").next().unwrap().to_owned()
        })
        .collect();
    assert!(retries.len() > 20, "{retries:?}");
    assert!(!stuck.is_finished(), "the event in progress is completed first");
    stage.make_room(&stuck, ROOM);
    stage.settle();
    assert_eq!(stuck.events(), ["x".repeat(2_000)]);
    assert!(stuck.is_finished() && stuck.has().ends_with(LAST));
}

#[test]
fn events_published_just_before_a_drain_reach_every_live_reader() {
    let mut stage = Stage::new(Hub::memory());
    let clients: Vec<_> = (0..200).map(|_| stage.join("news", Start::Now, ROOM)).collect();
    stage.settle();
    // The shard has no turn between the two.
    stage.publish("news", "acknowledged");
    let stentor = stage.stentor.clone();
    stage.shard.drain(&stentor);
    stage.settle();
    for client in &clients {
        assert_eq!(client.events(), ["acknowledged"]);
        assert!(client.is_finished() && client.has().ends_with(LAST));
    }
}

#[test]
fn a_live_reader_that_blocks_during_a_drain_is_closed_after_the_event_in_progress() {
    let mut stage = Stage::new(Hub::memory());
    let stuck = stage.join("news", Start::Now, ROOM);
    let other = stage.join("news", Start::Now, ROOM);
    stage.settle();
    stuck.set_room(700);
    let data = ["first", "second"].map(|name| format!("{name} {}", "x".repeat(2_000)));
    for data in &data {
        stage.publish("news", data);
    }
    let stentor = stage.stentor.clone();
    stage.shard.drain(&stentor);
    stage.settle();
    assert_eq!(other.events(), data);
    assert!(other.is_finished() && !stuck.is_finished());
    stage.make_room(&stuck, ROOM);
    stage.settle();
    assert_eq!(stuck.events(), data[..1]);
    assert!(stuck.is_finished() && stuck.has().ends_with(LAST));
    assert!(stuck.body().trim_end().rsplit('\n').next().unwrap().starts_with("retry: "));
}

#[test]
fn nothing_follows_the_last_words_of_a_stream_whose_page_arrives_late() {
    let mut stage = Stage::new(Hub::with_window(MemoryStorage::new(), 4_000));
    for number in 0..50 {
        stage.publish("news", &format!("{number} {}", "x".repeat(500)));
    }
    let client = stage.join("news", Start::Earliest, ROOM);
    let now = stage.now;
    stage.shard.turn(now);
    let query = stage.shard.next_query().unwrap();
    client.set_room(0);
    let stentor = stage.stentor.clone();
    stage.shard.drain(&stentor);
    stage.shard.turn(now);
    let mut result = None;
    query.run(|late| result = Some(late)).now_or_never().unwrap();
    stage.shard.complete(result.unwrap(), now);
    stage.settle();
    stage.make_room(&client, ROOM);
    stage.settle();
    assert!(client.is_finished() && client.has().ends_with(LAST));
    assert!(client.body().trim_end().rsplit('\n').next().unwrap().starts_with("retry: "));
    assert_eq!(client.events(), [""; 0]);
}
