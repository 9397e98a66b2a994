//! Gaps of readers that lose events while they read.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod gated;

use futures_util::FutureExt;
use stentor_hub::storage::{Budget, Storage};
use stentor_hub::{
    Event, Filters, GapReason, Hub, MemoryStorage, Publish, Start, Subscribed, Subscription,
    Timestamp, TopicName,
};

use crate::gated::{Gate, GatedStorage};

/// Starts a reader of `news/*` at the tail of a log.
async fn new_reader(storage: GatedStorage, gate: &Gate) -> Box<Subscription> {
    gate.open();
    let filters = Filters::new(["news/*".parse().unwrap()]).unwrap();
    match Hub::new(storage).subscribe(filters, Start::Now).await.unwrap() {
        Subscribed::Open(subscription) => subscription,
        Subscribed::Finished => panic!("finished"),
    }
}

/// Publishes an event and removes it. An event that does not match follows it.
async fn publish_and_remove(log: &MemoryStorage, name: &str) {
    let topic: TopicName = name.parse().unwrap();
    let event = Publish::event(topic.clone(), Event::new("removed"));
    let other = Publish::event("other".parse().unwrap(), Event::new("left"));
    log.append(vec![event, other], Timestamp::now()).await.unwrap();
    log.trim(vec![(topic, log.bounds().tail)]).await.unwrap();
}

#[tokio::test]
async fn a_gap_names_topics_that_lose_events_while_the_event_after_the_gap_is_searched() {
    let (storage, gate) = GatedStorage::new();
    let log = storage.log();
    let mut reader = new_reader(storage, &gate).await;
    publish_and_remove(&log, "news/a").await;
    let mut reading = reader.read_from_storage(Budget::default()).boxed();
    gate.hold_at_second_read(&mut reading);
    publish_and_remove(&log, "news/b").await;
    gate.hold_queries(false);
    let gap = reading.await.unwrap().gap.unwrap();
    assert_eq!(gap.reason, GapReason::Trimmed);
    assert_eq!(gap.topics, ["news/a", "news/b"]);
}

#[tokio::test]
async fn a_gap_of_a_read_that_is_cancelled_is_reported_by_the_next_read() {
    let (storage, gate) = GatedStorage::new();
    let log = storage.log();
    let mut reader = new_reader(storage, &gate).await;
    let before = reader.cursor();
    publish_and_remove(&log, "news/a").await;
    let mut reading = reader.read_from_storage(Budget::default()).boxed();
    gate.hold_at_second_read(&mut reading);
    drop(reading);
    gate.hold_queries(false);
    let gap = reader.read_from_storage(Budget::default()).await.unwrap().gap.unwrap();
    assert_eq!(gap.topics, ["news/a"]);
    assert_eq!(gap.requested, before.to_string());
}
