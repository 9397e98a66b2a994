//! A lease that is renewed or lifted while other topics are being ended.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod gated;

use std::time::Duration;

use stentor_hub::{Hub, TopicName, TopicsQuery};
use tokio::time::sleep;

use crate::gated::GatedStorage;

const LEASE: Duration = Duration::from_secs(10);

/// Two leases run out together. While the end of the first waits for the log, something happens to the
/// second; says whether that one ended.
async fn second_ends_although(what: impl AsyncFnOnce(&Hub, &TopicName)) -> bool {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let (first, second): (TopicName, TopicName) = ("a".parse().unwrap(), "b".parse().unwrap());
    let watch = tokio::spawn({
        let hub = hub.clone();
        async move { hub.watch_leases().await }
    });
    hub.lease(&first, Some(LEASE)).await.unwrap();
    hub.lease(&second, Some(LEASE)).await.unwrap();
    gate.wait_for_append().await;
    what(&hub, &second).await;
    gate.open();
    sleep(LEASE / 2).await;
    watch.abort();
    let topics = hub.topics(TopicsQuery { limit: 9, ..TopicsQuery::default() }).await.unwrap();
    assert!(topics.iter().any(|info| info.topic == first && info.ended));
    topics.iter().any(|info| info.topic == second && info.ended)
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_while_another_topic_is_ended_goes_on() {
    assert!(!second_ends_although(async |hub, topic| hub.heartbeat(topic)).await);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lifted_while_another_topic_is_ended_ends_nothing() {
    assert!(!second_ends_although(async |hub, topic| hub.lease(topic, None).await.unwrap()).await);
}
