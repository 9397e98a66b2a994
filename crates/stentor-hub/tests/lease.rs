//! Leases: a topic whose producer is silent ends, and no other topic does.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod gated;

use std::time::Duration;

use stentor_hub::storage::{SqliteStorage, Storage};
use stentor_hub::{
    Body, Filters, HistoryRequest, Hub, LEASES_MAX, MemoryStorage, PRODUCER_LOST, Publish,
    PublishError, Start, StorageError, Subscribed, TopicName, TopicsQuery,
};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::gated::GatedStorage;

const LEASE: Duration = Duration::from_secs(10);
/// Slightly less than the lease, and slightly more.
const NEARLY: Duration = Duration::from_millis(9_900);
const BEYOND: Duration = Duration::from_millis(200);

fn job() -> TopicName {
    "job".parse().unwrap()
}

struct Watched {
    hub: Hub,
    watch: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn watched(storage: impl Storage) -> Watched {
    let hub = Hub::new(storage);
    let watch = tokio::spawn({
        let hub = hub.clone();
        async move { hub.watch_leases().await }
    });
    Watched { hub, watch }
}

impl Watched {
    async fn set_lease(&self, topic: &TopicName, length: Duration) {
        self.hub.set_lease(topic, Some(length)).await.unwrap();
    }

    async fn publish(&self, topic: &TopicName) -> Result<(), PublishError> {
        self.hub.send(topic, "x").await.map(drop)
    }

    async fn has_ended(&self, topic: &TopicName) -> bool {
        let topics = self.hub.topics(TopicsQuery { limit: 100, ..TopicsQuery::default() }).await;
        topics.unwrap().iter().any(|info| info.topic == *topic && info.ended)
    }

    /// The reason of the topic's end.
    async fn end(&self, topic: &TopicName) -> String {
        let request = HistoryRequest {
            filters: Filters::topic(topic.clone()),
            start: Start::Earliest,
            before: None,
            limit: 1,
        };
        let page = self.hub.history(request).await.unwrap();
        match page.ended.unwrap().body() {
            Body::End { reason } => reason.clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_publishes_during_its_lease_ends() {
    let log = watched(MemoryStorage::new());
    log.publish(&job()).await.unwrap();
    log.set_lease(&job(), LEASE).await;
    sleep(NEARLY).await;
    assert!(!log.has_ended(&job()).await);
    sleep(BEYOND).await;
    assert!(log.has_ended(&job()).await);
    assert_eq!(log.end(&job()).await, PRODUCER_LOST);
}

#[tokio::test(start_paused = true)]
async fn a_topic_ends_if_its_producer_never_publishes() {
    let log = watched(MemoryStorage::new());
    log.set_lease(&job(), LEASE).await;
    sleep(LEASE + BEYOND).await;
    assert!(log.has_ended(&job()).await);
}

#[tokio::test(start_paused = true)]
async fn events_and_renewals_renew_a_lease() {
    let log = watched(MemoryStorage::new());
    log.set_lease(&job(), LEASE).await;
    for _ in 0..5 {
        sleep(NEARLY).await;
        log.publish(&job()).await.unwrap();
        sleep(NEARLY).await;
        log.hub.renew_lease(&job());
    }
    sleep(NEARLY).await;
    assert!(!log.has_ended(&job()).await);
    sleep(BEYOND).await;
    assert!(log.has_ended(&job()).await);
}

#[tokio::test(start_paused = true)]
async fn events_of_another_topic_renew_nothing() {
    let log = watched(MemoryStorage::new());
    let other: TopicName = "other".parse().unwrap();
    log.set_lease(&job(), LEASE).await;
    sleep(NEARLY).await;
    log.publish(&other).await.unwrap();
    log.hub.renew_lease(&other);
    sleep(BEYOND).await;
    assert!(log.has_ended(&job()).await);
    assert!(!log.has_ended(&other).await);
}

#[tokio::test(start_paused = true)]
async fn the_last_length_counts() {
    let log = watched(MemoryStorage::new());
    let short: TopicName = "short".parse().unwrap();
    log.set_lease(&job(), LEASE).await;
    log.set_lease(&job(), LEASE * 3).await;
    log.set_lease(&short, LEASE * 3).await;
    log.set_lease(&short, LEASE).await;
    sleep(LEASE + BEYOND).await;
    assert!(!log.has_ended(&job()).await);
    assert!(log.has_ended(&short).await);
    sleep(LEASE * 2).await;
    assert!(log.has_ended(&job()).await);
}

#[tokio::test(start_paused = true)]
async fn a_removed_lease_ends_nothing() {
    let log = watched(MemoryStorage::new());
    log.publish(&job()).await.unwrap();
    log.set_lease(&job(), LEASE).await;
    log.hub.set_lease(&job(), None).await.unwrap();
    sleep(LEASE * 3).await;
    assert!(!log.has_ended(&job()).await);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_that_is_used_again_has_no_lease() {
    let log = watched(MemoryStorage::new());
    log.publish(&job()).await.unwrap();
    log.set_lease(&job(), LEASE).await;
    log.hub.delete(&job()).await.unwrap();
    log.publish(&job()).await.unwrap();
    sleep(LEASE * 3).await;
    assert!(!log.has_ended(&job()).await);
}

#[tokio::test(start_paused = true)]
async fn an_end_removes_the_lease_and_is_the_only_one() {
    let log = watched(MemoryStorage::new());
    log.set_lease(&job(), LEASE).await;
    log.hub.publish(Publish::end(job(), "done")).await.unwrap();
    sleep(LEASE * 3).await;
    assert_eq!(log.end(&job()).await, "done");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_log_refuses_is_retried() {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    let log = watched(storage);
    log.set_lease(&job(), LEASE).await;
    gate.fail_with(StorageError::Full);
    sleep(LEASE + BEYOND).await;
    assert!(!log.has_ended(&job()).await);
    gate.recover();
    sleep(Duration::from_secs(2)).await;
    assert!(log.has_ended(&job()).await);
}

#[tokio::test(start_paused = true)]
async fn a_producer_whose_events_the_log_cannot_store_is_not_lost() {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    let log = watched(storage);
    log.set_lease(&job(), LEASE).await;
    gate.fail_with(StorageError::Full);
    for _ in 0..3 {
        sleep(NEARLY).await;
        log.publish(&job()).await.unwrap_err();
    }
    gate.recover();
    sleep(NEARLY).await;
    log.publish(&job()).await.unwrap();
    sleep(LEASE + BEYOND).await;
    assert_eq!(log.end(&job()).await, PRODUCER_LOST);
}

#[tokio::test]
async fn a_lease_survives_a_restart_and_its_time_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    let log = watched(SqliteStorage::open(dir.path()).unwrap());
    log.set_lease(&job(), Duration::from_secs(1)).await;
    log.hub.close().await;
    drop(log);
    let log = watched(SqliteStorage::open(dir.path()).unwrap());
    let open = log.hub.subscribe(Filters::topic(job()), Start::Earliest).await.unwrap();
    let Subscribed::Open(mut reader) = open else { panic!("the topic had ended") };
    let batch = reader.next().await.unwrap().unwrap();
    assert!(matches!(batch.records[0].body(), Body::End { reason } if reason == PRODUCER_LOST));
    assert_eq!(log.hub.set_lease(&job(), None).await, Ok(()), "no lease is left");
    log.hub.close().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_topics_than_the_limit_have_a_lease() {
    let log = watched(MemoryStorage::new());
    let topic = |number: usize| format!("job/{number}").parse::<TopicName>().unwrap();
    for number in 0..LEASES_MAX {
        log.set_lease(&topic(number), LEASE).await;
    }
    let refused = log.hub.set_lease(&job(), Some(LEASE)).await;
    assert_eq!(refused, Err(PublishError::TooManyLeases));
    assert_eq!(log.hub.check_lease_limit(&job()), Err(PublishError::TooManyLeases));
    log.set_lease(&topic(7), LEASE * 2).await;
    log.hub.set_lease(&topic(8), None).await.unwrap();
    log.set_lease(&job(), LEASE).await;
}

#[tokio::test]
async fn reserved_names_have_no_lease() {
    let hub = Hub::memory();
    let refused = hub.set_lease(&"$sys".parse().unwrap(), Some(LEASE)).await;
    assert!(matches!(refused, Err(PublishError::Reserved { .. })));
}

/// Two leases expire at the same time. While the end of the first waits for the log, runs `change` on the second.
/// Returns `true` if the second topic ended.
async fn second_ends_despite(change: impl AsyncFnOnce(&Hub, &TopicName)) -> bool {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let (first, second): (TopicName, TopicName) = ("a".parse().unwrap(), "b".parse().unwrap());
    let watch = tokio::spawn({
        let hub = hub.clone();
        async move { hub.watch_leases().await }
    });
    hub.set_lease(&first, Some(LEASE)).await.unwrap();
    hub.set_lease(&second, Some(LEASE)).await.unwrap();
    gate.wait_for_append().await;
    change(&hub, &second).await;
    gate.open();
    sleep(LEASE / 2).await;
    watch.abort();
    let topics = hub.topics(TopicsQuery { limit: 9, ..TopicsQuery::default() }).await.unwrap();
    assert!(topics.iter().any(|info| info.topic == first && info.ended));
    topics.iter().any(|info| info.topic == second && info.ended)
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_while_another_topic_is_ended_continues() {
    assert!(!second_ends_despite(async |hub, topic| hub.renew_lease(topic)).await);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_removed_while_another_topic_is_ended_ends_nothing() {
    assert!(
        !second_ends_despite(async |hub, topic| hub.set_lease(topic, None).await.unwrap()).await
    );
}
