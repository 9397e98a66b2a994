//! Readers that share a live group.

use std::time::Duration;

use stentor_hub::{Hub, Start};

use crate::stage::{Client, Stage};

const ROOM: usize = 1 << 20;

/// A group draws its keep-alive interval at random and sends the comment to all of its readers at once. Two groups
/// would have equal intervals only by chance: here in about one of 25 pairs.
#[test]
fn readers_of_the_same_filters_in_another_order_share_a_group() {
    let mut stage = Stage::new(Hub::memory());
    let pairs: Vec<_> = (0..5)
        .map(|number| {
            let (a, b, c) = (format!("a{number}"), format!("b{number}"), format!("c{number}/*"));
            let one = stage.join(&format!("{a},{b},{c}"), Start::Now, ROOM);
            let other = stage.join(&format!("{c},{b},{a},{b}"), Start::Now, ROOM);
            (one, other)
        })
        .collect();
    stage.settle();
    let comments = |client: &Client| client.body().matches(": stentor\n").count();
    for _ in 0..80 {
        stage.pass(Duration::from_millis(250));
        for (one, other) in &pairs {
            assert_eq!(comments(one), comments(other));
        }
    }
    assert!(pairs.iter().all(|(one, _)| comments(one) >= 2), "each got a keep-alive");
}

#[test]
fn a_group_sends_all_events_that_were_committed_before_it_was_woken() {
    let mut stage = Stage::new(Hub::memory());
    let client = stage.join("news", Start::Now, 1 << 30);
    stage.settle();
    // The second event does not fit into the read of the first.
    stage.publish("news", &"x".repeat(60_000));
    stage.publish("news", &"y".repeat(100_000));
    stage.settle();
    assert_eq!(client.events().len(), 2);
}

#[test]
fn a_group_of_a_pattern_sends_events_that_are_far_apart_in_the_log() {
    let mut stage = Stage::new(Hub::memory());
    let client = stage.join("news/*", Start::Now, 1 << 30);
    stage.settle();
    stage.publish("news/a", "first");
    // More than the records that a read examines.
    for _ in 0..10_001 {
        stage.publish("log", "x");
    }
    stage.publish("news/a", "second");
    stage.settle();
    assert_eq!(client.events().len(), 2);
}
