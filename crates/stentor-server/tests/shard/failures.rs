//! A log that cannot be read: streams stay open, get keep-alives, and then their events.

use std::time::Duration;

use stentor_hub::Start;

use crate::stage::{Client, Stage};
use crate::storage::{Fault, Faults, hub_with_faults};

const ROOM: usize = 1 << 20;
/// Live window in which about five events of [`publish`] fit.
const WINDOW: usize = 4_000;
const KEEP_ALIVE: &str = ": stentor\n";

/// A stage, and the faults of its storage.
fn stage() -> (Stage, Faults) {
    let (hub, faults) = hub_with_faults(WINDOW);
    (Stage::new(hub), faults)
}

/// Publishes more than fits into the live window. Returns the data of the events.
fn publish(stage: &Stage, numbers: std::ops::Range<usize>) -> Vec<String> {
    let data: Vec<_> = numbers.map(|number| format!("{number} {}", "x".repeat(500))).collect();
    for data in &data {
        stage.publish("news", data);
    }
    data
}

fn keep_alives(client: &Client) -> usize {
    client.body().matches(KEEP_ALIVE).count()
}

#[test]
fn a_live_group_keeps_its_readers_while_the_log_cannot_be_read() {
    for fault in [Fault::unavailable(), Fault::Hang, Fault::Panic] {
        let (mut stage, faults) = stage();
        let clients: Vec<_> = (0..20).map(|_| stage.join("news", Start::Now, ROOM)).collect();
        stage.settle();
        let before: Vec<_> = clients.iter().map(Client::body).collect();
        faults.set(fault.clone());
        let expected = publish(&stage, 0..50);
        stage.pass(Duration::from_mins(2));
        for (client, before) in clients.iter().zip(&before) {
            assert!(!client.has_left(), "{fault:?} cuts a stream");
            let body = client.body();
            let since = body.strip_prefix(before).unwrap();
            assert!((5..=11).contains(&since.matches(KEEP_ALIVE).count()), "{fault:?}: {since}");
            assert_eq!(since.replace(KEEP_ALIVE, "").trim(), "", "nothing but keep-alives");
        }
        faults.set(Fault::None);
        stage.pass(Duration::from_secs(20));
        for client in &clients {
            assert_eq!(client.events_and_gaps(), expected, "{fault:?}");
        }
    }
}

#[test]
fn a_reader_that_catches_up_is_kept_while_the_log_cannot_be_read() {
    for fault in [Fault::unavailable(), Fault::Hang, Fault::Panic] {
        let (mut stage, faults) = stage();
        let mut expected = publish(&stage, 0..50);
        faults.set(fault.clone());
        // From the start of the log: it needs the storage at once.
        let client = stage.join("news", Start::Earliest, ROOM);
        stage.settle();
        let before = client.body();
        stage.pass(Duration::from_mins(2));
        assert!(!client.has_left(), "{fault:?} cuts a stream");
        let body = client.body();
        let since = body.strip_prefix(&before).unwrap();
        assert!((4..=11).contains(&since.matches(KEEP_ALIVE).count()), "{fault:?}: {since:?}");
        assert_eq!(since.replace(KEEP_ALIVE, "").trim(), "", "nothing but keep-alives");
        expected.extend(publish(&stage, 50..60));
        faults.set(Fault::None);
        stage.pass(Duration::from_secs(20));
        assert_eq!(client.events_and_gaps(), expected, "{fault:?}");
    }
}

#[test]
fn a_reader_within_an_event_waits_for_the_rest_of_it() {
    let (mut stage, faults) = stage();
    let slow = stage.join("news", Start::Now, 1_500);
    let _quick = stage.join("news", Start::Now, ROOM);
    stage.settle();
    let expected = publish(&stage, 0..50);
    // It stops within an event, which then leaves the live window.
    stage.settle();
    faults.set(Fault::unavailable());
    stage.make_room(&slow, ROOM);
    stage.pass(Duration::from_mins(1));
    assert!(!slow.has_left());
    let opening = keep_alives(&slow);
    faults.set(Fault::None);
    stage.pass(Duration::from_secs(6));
    assert_eq!(slow.events_and_gaps(), expected, "no keep-alive is within an event");
    // It is live after the last event, and gets the keep-alives of its group.
    let body = slow.body();
    let (events, _) = body.rsplit_once("data: 49 ").unwrap();
    assert_eq!(events.matches(KEEP_ALIVE).count(), opening);
}

#[test]
fn the_log_is_tried_again_with_growing_pauses() {
    let (mut stage, faults) = stage();
    let _live = stage.join("news", Start::Now, ROOM);
    stage.settle();
    faults.set(Fault::unavailable());
    publish(&stage, 0..50);
    let before = faults.queries();
    stage.pass(Duration::from_mins(10));
    let queries = faults.queries() - before;
    // Every 2.5 to 5 s, after the first few.
    assert!((115..260).contains(&queries), "{queries} queries in 10 min");
}

#[test]
fn only_a_log_that_has_failed_for_good_interrupts_streams() {
    let (mut stage, faults) = stage();
    let live = stage.join("news", Start::Now, ROOM);
    stage.settle();
    publish(&stage, 0..50);
    let behind = stage.join("news", Start::Earliest, ROOM);
    let other = stage.join("other", Start::Now, ROOM);
    faults.set(Fault::failed());
    stage.settle();
    assert!(live.has_left() && behind.has_left());
    assert!(!live.is_finished(), "the streams have no end: readers reconnect");
    assert!(!other.has_left(), "a reader at the tail needs no log");
    assert_eq!(stage.metric("streams_open"), 1);
}

#[test]
fn a_server_that_stops_ends_the_streams_that_wait_for_the_log() {
    let (mut stage, faults) = stage();
    let live = stage.join("news", Start::Now, ROOM);
    stage.settle();
    publish(&stage, 0..50);
    let behind = stage.join("news", Start::Earliest, ROOM);
    faults.set(Fault::Hang);
    stage.settle();
    let stentor = stage.stentor.clone();
    stage.shard.drain(&stentor);
    stage.settle();
    for client in [live, behind] {
        assert!(client.is_finished() && client.body().contains("retry: "), "{}", client.body());
    }
}

#[test]
fn readers_that_come_and_go_while_the_log_hangs_leave_nothing_behind() {
    let (mut stage, faults) = stage();
    publish(&stage, 0..50);
    faults.set(Fault::Hang);
    for _ in 0..2_000 {
        let client = stage.join("news", Start::Earliest, ROOM);
        stage.settle();
        stage.receive(&client, None);
        assert!(client.has_left());
        stage.settle();
        assert_eq!(faults.hanging(), 0, "the query of a reader that has left is dropped");
    }
    faults.set(Fault::None);
    let late = stage.join("news", Start::Earliest, ROOM);
    stage.settle();
    assert_eq!(late.events().len(), 50, "no query of another reader is in its way");
}

#[test]
fn a_query_of_a_group_is_dropped_when_its_last_reader_leaves() {
    let (mut stage, faults) = stage();
    let readers = [(); 3].map(|()| stage.join("news", Start::Now, ROOM));
    stage.settle();
    faults.set(Fault::Hang);
    publish(&stage, 0..50);
    stage.settle();
    for (left, reader) in readers.iter().enumerate() {
        assert_eq!(faults.hanging(), 1, "{left} of three have left");
        stage.receive(reader, None);
        stage.settle();
    }
    assert_eq!(faults.hanging(), 0);
    faults.set(Fault::None);
    let late = stage.join("news", Start::Earliest, ROOM);
    stage.settle();
    publish(&stage, 50..51);
    stage.settle();
    assert_eq!(late.events().len(), 51);
}
