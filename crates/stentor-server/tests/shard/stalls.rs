//! Readers whose sockets have no room, and the memory that readers hold.

use std::time::Duration;

use futures_util::FutureExt;
use stentor_hub::{Hub, MemoryStorage, Start};
use stentor_server::{Config, Stentor};

use crate::stage::{Client, Stage};

const ROOM: usize = 1 << 20;

#[test]
fn a_reader_without_room_for_30_seconds_is_disconnected() {
    let mut stage = Stage::new(Hub::memory());
    let stuck = stage.join("news", Start::Now, 2_000);
    let other = stage.join("news", Start::Now, ROOM);
    stage.settle();
    stage.publish("news", &"x".repeat(10_000));
    stage.pass(Duration::from_secs(29));
    assert!(!stuck.has_left());
    stage.pass(Duration::from_secs(2));
    assert!(stuck.has_left());
    assert!(!other.has_left());
    assert_eq!(stage.metric("streams_open"), 1);
}

#[test]
fn a_reader_that_has_waited_for_the_storage_is_disconnected_as_early_with_rare_keep_alives() {
    let config = Config { keep_alive: Duration::from_hours(1), ..Config::default() };
    let hub = Hub::with_window(MemoryStorage::new(), 4_000);
    let mut stage = Stage::of(Stentor::with_config(hub, config));
    for number in 0..50 {
        stage.publish("news", &format!("{number} {}", "x".repeat(500)));
    }
    let stuck = stage.join("news", Start::Earliest, 2_000);
    stage.settle();
    assert!(!stuck.events().is_empty(), "the storage has answered");
    stage.pass(Duration::from_secs(29));
    assert!(!stuck.has_left());
    stage.pass(Duration::from_secs(12));
    assert!(stuck.has_left());
}

#[test]
fn a_reader_that_takes_a_byte_now_and_then_is_kept() {
    let mut stage = Stage::new(Hub::memory());
    let slow = stage.join("news", Start::Now, 2_000);
    stage.settle();
    stage.publish("news", &"x".repeat(10_000));
    for _ in 0..10 {
        stage.pass(Duration::from_secs(20));
        stage.make_room(&slow, 1);
        stage.settle();
    }
    assert!(!slow.has_left());
    stage.make_room(&slow, ROOM);
    stage.settle();
    assert_eq!(slow.events(), ["x".repeat(10_000)]);
}

#[test]
fn readers_without_room_are_counted_but_no_publish_wakes_the_shard_for_them() {
    let mut stage = Stage::new(Hub::memory());
    let stuck: Vec<_> = (0..20).map(|_| stage.join("news", Start::Now, 2_000)).collect();
    stage.settle();
    for _ in 0..2 {
        // The second one is for the live group that they have left.
        stage.publish("news", &"x".repeat(10_000));
        stage.settle();
    }
    let _ = stage.shard.consumer().woken().now_or_never();
    for _ in 0..10 {
        stage.publish("news", "y");
        assert_eq!(stage.shard.consumer().woken().now_or_never(), None);
    }
    assert_eq!(stage.stentor.hub().subscribers(&"news".parse().unwrap()), 20);
    for client in stuck {
        stage.make_room(&client, ROOM);
        stage.settle();
        assert_eq!(client.events().len(), 12);
    }
    stage.publish("news", "z");
    assert_eq!(stage.shard.consumer().woken().now_or_never(), Some(()), "they are live again");
}

#[test]
fn a_reader_that_waits_holds_no_events() {
    let mut stage = Stage::new(Hub::memory());
    let stuck: Vec<_> = (0..20).map(|_| stage.join("news", Start::Now, 2_000)).collect();
    let _others: Vec<_> = (0..20).map(|_| stage.join("news", Start::Now, 1 << 30)).collect();
    stage.settle();
    for _ in 0..100 {
        stage.publish("news", &"x".repeat(100_000));
        stage.settle();
    }
    let held = stage.metric("reader_bytes");
    assert!(held > 0);
    // The frames gathered for a write, and about 2 KiB for each stuck reader.
    assert!(held < (600 << 10) + 20 * 2_048, "{held} bytes are held");
    for client in stuck {
        stage.make_room(&client, 1 << 30);
        stage.settle();
        assert_eq!(client.events().len(), 100);
    }
}

#[test]
fn memory_held_for_readers_is_freed_when_they_leave() {
    let mut stage = Stage::new(Hub::memory());
    let clients: Vec<_> = (0..1_000).map(|_| stage.join("news", Start::Now, ROOM)).collect();
    stage.settle();
    let idle = stage.metric("reader_bytes") / 1_000;
    assert!((1..512).contains(&idle), "{idle} bytes are held for each idle reader");
    for client in &clients {
        stage.receive(client, None);
    }
    stage.settle();
    assert!(clients.iter().all(Client::has_left));
    assert_eq!(stage.metric("streams_open"), 0);
    assert_eq!(stage.metric("connections_open"), 0);
    stage.pass(Duration::from_secs(40));
    let left = stage.metric("reader_bytes");
    drop(stage.shard);
    assert!(left < 100_000, "{left} bytes are held without a reader");
    let text = stage.metrics.to_text(stage.stentor.hub());
    assert!(text.contains("stentor_reader_bytes 0\n"), "{text}");
}

#[test]
fn a_client_that_keeps_sending_input_is_disconnected() {
    let mut stage = Stage::new(Hub::memory());
    let client = stage.join("news", Start::Now, ROOM);
    stage.settle();
    stage.receive(&client, Some(b"POST /topics/news HTTP/1.1\r\n\r\nhello"));
    assert!(!client.has_left(), "a little input is ignored");
    for _ in 0..2_000 {
        if !client.has_left() {
            stage.receive(&client, Some(&[b'x'; 1_024]));
        }
    }
    assert!(client.has_left());
}

#[test]
fn a_stuck_reader_of_the_newest_events_of_each_topic_gets_each_once_and_then_the_next() {
    let mut stage = Stage::new(Hub::memory());
    for number in 0..5 {
        for topic in ["t/a", "t/b", "t/c"] {
            stage.publish(topic, &format!("{topic} {number} {}", "x".repeat(300)));
        }
    }
    let slow = stage.join("t/*", Start::LastEach(2), 100);
    stage.settle();
    stage.publish("t/b", "new");
    for _ in 0..100 {
        stage.make_room(&slow, 77);
        stage.settle();
    }
    let events = slow.events();
    let short: Vec<_> = events.iter().map(|event| event.trim_end_matches('x').trim()).collect();
    assert_eq!(short, ["t/a 3", "t/b 3", "t/c 3", "t/a 4", "t/b 4", "t/c 4", "new"]);
}
