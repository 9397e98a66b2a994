//! Leases: a topic whose producer is silent ends, and no other topic does.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod gated;

use std::time::Duration;

use stentor_hub::storage::{SqliteStorage, Storage};
use stentor_hub::{
    Body, Event, Filters, HistoryRequest, Hub, LEASES_MAX, MemoryStorage, PRODUCER_LOST, Publish,
    PublishError, Start, StorageError, Subscribed, TopicName, TopicsQuery,
};
use tokio::task::JoinHandle;
use tokio::task::yield_now;
use tokio::time::{advance, sleep};

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

/// Asserts that the topic [`job`] ends when the lease that it has just got expires, and not earlier.
async fn assert_ends_with_its_lease(log: &Watched) {
    sleep(NEARLY).await;
    assert!(!log.has_ended(&job()).await);
    sleep(BEYOND).await;
    assert!(log.has_ended(&job()).await);
    assert_eq!(log.end(&job()).await, PRODUCER_LOST);
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_publishes_during_its_lease_ends() {
    let log = watched(MemoryStorage::new());
    log.publish(&job()).await.unwrap();
    log.set_lease(&job(), LEASE).await;
    assert_ends_with_its_lease(&log).await;
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
    // The watcher reads the stored leases.
    yield_now().await;
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
    let leased = Publish::event(job(), Event::new("x")).with_lease(job(), Some(LEASE));
    assert_eq!(log.hub.publish(leased).await, Err(PublishError::TooManyLeases));
    assert!(
        log.hub
            .topics(TopicsQuery { limit: 1, ..TopicsQuery::default() })
            .await
            .unwrap()
            .is_empty()
    );
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
    for topic in [&first, &second] {
        gate.let_through(1);
        hub.set_lease(topic, Some(LEASE)).await.unwrap();
        gate.wait_for_append().await;
    }
    gate.wait_for_append().await;
    tokio::join!(change(&hub, &second), async {
        yield_now().await;
        gate.open();
    });
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

/// An event that gives its topic a lease.
fn leased(topic: &TopicName) -> Publish {
    Publish::event(topic.clone(), Event::new("leased")).with_lease(topic.clone(), Some(LEASE))
}

#[tokio::test(start_paused = true)]
async fn a_topic_has_its_lease_even_if_its_publisher_gives_up() {
    let (storage, gate) = GatedStorage::new();
    let log = watched(storage);
    let publish = tokio::spawn({
        let hub = log.hub.clone();
        async move { hub.publish(leased(&job())).await }
    });
    gate.wait_for_append().await;
    publish.abort();
    assert!(publish.await.unwrap_err().is_cancelled());
    gate.open();
    assert_ends_with_its_lease(&log).await;
}

#[tokio::test(start_paused = true)]
async fn many_leased_topics_share_an_append() {
    let (storage, gate) = GatedStorage::new();
    let log = watched(storage);
    let topic = |number: usize| format!("job/{number}").parse::<TopicName>().unwrap();
    let publishes = (0..100).map(|number| {
        let hub = log.hub.clone();
        tokio::spawn(async move { hub.publish(leased(&topic(number))).await })
    });
    let publishes: Vec<_> = publishes.collect();
    gate.wait_for_append().await;
    gate.open();
    for publish in publishes {
        publish.await.unwrap().unwrap();
    }
    assert!(gate.batches().len() <= 3, "{:?}", gate.batches());
    let leases = log.hub.clone();
    sleep(LEASE + BEYOND).await;
    let topics = leases.topics(TopicsQuery { limit: 200, ..TopicsQuery::default() }).await.unwrap();
    assert_eq!(topics.iter().filter(|info| info.ended).count(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_refused_publish_does_not_renew_into_a_lease() {
    let log = watched(MemoryStorage::new());
    log.hub.publish(Publish::end(job(), "done")).await.unwrap();
    let refused = log.hub.publish(leased(&job())).await;
    assert!(matches!(refused, Err(PublishError::Ended { .. })));
    assert!(matches!(
        log.hub.set_lease(&job(), Some(LEASE)).await,
        Err(PublishError::Ended { .. })
    ));
    log.hub.delete(&job()).await.unwrap();
    log.publish(&job()).await.unwrap();
    sleep(LEASE * 3).await;
    assert!(!log.has_ended(&job()).await);
}

#[tokio::test(start_paused = true)]
async fn time_in_which_the_process_stands_still_does_not_end_leases() {
    let log = watched(MemoryStorage::new());
    log.hub.publish(leased(&job())).await.unwrap();
    sleep(NEARLY).await;
    // No task runs during this time, as in a process that SIGSTOP stopped.
    advance(LEASE * 5).await;
    yield_now().await;
    assert!(!log.has_ended(&job()).await);
    log.publish(&job()).await.unwrap();
    sleep(NEARLY).await;
    assert!(!log.has_ended(&job()).await);
    sleep(BEYOND + Duration::from_secs(1)).await;
    assert_eq!(log.end(&job()).await, PRODUCER_LOST, "time counts again after it");
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_is_silent_after_a_standstill_is_lost_as_before() {
    let log = watched(MemoryStorage::new());
    log.hub.publish(leased(&job())).await.unwrap();
    sleep(LEASE / 2).await;
    advance(LEASE * 5).await;
    sleep(LEASE / 2 + BEYOND + Duration::from_secs(1)).await;
    assert!(log.has_ended(&job()).await);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_removed_while_the_stored_ones_are_read_is_not_restored() {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    let inner = storage.log();
    let first = Hub::new(storage);
    first.publish(leased(&job())).await.unwrap();
    gate.hold_queries(true);
    let watch = tokio::spawn({
        let hub = first.clone();
        async move { hub.watch_leases().await }
    });
    while !gate.queries().contains(&"leases") {
        yield_now().await;
    }
    first.set_lease(&job(), None).await.unwrap();
    gate.hold_queries(false);
    sleep(LEASE * 3).await;
    let topics = inner.topics(TopicsQuery { limit: 9, ..TopicsQuery::default() }).await.unwrap();
    assert!(topics.iter().all(|info| !info.ended));
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_any_length_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let durable = SqliteStorage::open(dir.path()).unwrap();
    for log in [watched(MemoryStorage::new()), watched(durable)] {
        log.set_lease(&job(), Duration::MAX).await;
        log.publish(&job()).await.unwrap();
        log.hub.renew_lease(&job());
        log.set_lease(&job(), Duration::MAX).await;
        assert!(!log.has_ended(&job()).await);
        log.hub.close().await;
    }
    // The stored lease is read.
    let log = watched(SqliteStorage::open(dir.path()).unwrap());
    let short: TopicName = "short".parse().unwrap();
    log.set_lease(&short, LEASE).await;
    let open = log.hub.subscribe(Filters::topic(short), Start::Earliest).await.unwrap();
    let Subscribed::Open(mut reader) = open else { panic!("the topic had ended") };
    let batch = reader.next().await.unwrap().unwrap();
    assert!(matches!(batch.records[0].body(), Body::End { reason } if reason == PRODUCER_LOST));
    assert!(!log.has_ended(&job()).await);
    log.hub.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_refuses_ends_is_asked_once_a_second_for_all_topics() {
    const TOPICS: usize = 100;
    let (storage, gate) = GatedStorage::new();
    gate.open();
    let log = watched(storage);
    let topic = |number: usize| format!("job/{number}").parse::<TopicName>().unwrap();
    for number in 0..TOPICS {
        log.set_lease(&topic(number), LEASE).await;
    }
    yield_now().await;
    gate.fail_with(StorageError::Full);
    sleep(NEARLY).await;
    let before = gate.batches().len();
    sleep(Duration::from_secs(5)).await;
    let tries = gate.batches().len() - before;
    assert!((3..=6).contains(&tries), "{tries} appends in 5 s");
    gate.recover();
    sleep(Duration::from_secs(2)).await;
    for number in 0..TOPICS {
        assert!(log.has_ended(&topic(number)).await, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn topics_of_many_lost_producers_are_ended_together() {
    const TOPICS: usize = 1_000;
    let (storage, gate) = GatedStorage::new();
    gate.open();
    let log = watched(storage);
    let topic = |number: usize| format!("job/{number}").parse::<TopicName>().unwrap();
    for number in 0..TOPICS {
        log.set_lease(&topic(number), LEASE).await;
    }
    let before = gate.batches().len();
    sleep(2 * LEASE).await;
    let appends = gate.batches().len() - before;
    assert!(appends <= 20, "{appends} appends for {TOPICS} ends");
    let topics = log.hub.topics(TopicsQuery { limit: TOPICS, ..TopicsQuery::default() }).await;
    assert_eq!(topics.unwrap().iter().filter(|info| info.ended).count(), TOPICS);
}
