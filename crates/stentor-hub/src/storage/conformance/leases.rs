//! Leases: a storage only remembers them.

use std::time::Duration;

use super::Log;
use super::log::{end_entry, event, name};

impl Log {
    async fn set_lease(&self, topic: &str, length: Option<Duration>) {
        self.storage.set_lease(name(topic), length).await.unwrap();
    }

    /// All leases, in seconds.
    async fn leases(&self) -> Vec<(String, u64)> {
        let leases = self.storage.leases().await.unwrap();
        leases.into_iter().map(|(topic, length)| (topic.to_string(), length.as_secs())).collect()
    }
}

const MINUTE: Option<Duration> = Some(Duration::from_mins(1));

pub async fn a_lease_is_remembered_in_whole_seconds(log: &Log) {
    log.set_lease("a", MINUTE).await;
    log.set_lease("b", Some(Duration::from_millis(1_001))).await;
    assert_eq!(log.leases().await, [("a".to_owned(), 60), ("b".to_owned(), 2)]);
    log.event("a", "an event does not change the lease").await;
    assert_eq!(log.leases().await.len(), 2);
}

pub async fn a_new_lease_replaces_the_old_one(log: &Log) {
    log.set_lease("a", MINUTE).await;
    log.set_lease("a", Some(Duration::from_secs(5))).await;
    assert_eq!(log.leases().await, [("a".to_owned(), 5)]);
    log.set_lease("a", None).await;
    log.set_lease("none", None).await;
    assert_eq!(log.leases().await, []);
}

pub async fn an_end_removes_the_lease(log: &Log) {
    log.set_lease("a", MINUTE).await;
    log.set_lease("b", MINUTE).await;
    log.publish(event("a", "last").and(end_entry("a"))).await;
    assert_eq!(log.leases().await, [("b".to_owned(), 60)]);
}

pub async fn a_deletion_removes_the_lease(log: &Log) {
    log.event("a", "1").await;
    log.set_lease("a", MINUTE).await;
    log.delete("a").await;
    assert_eq!(log.leases().await, []);
    log.event("a", "again").await;
    assert_eq!(log.leases().await, []);
}

pub async fn leases_are_sorted_by_name_in_byte_order(log: &Log) {
    for topic in ["b", "a/b", "a", "B"] {
        log.set_lease(topic, MINUTE).await;
    }
    let names: Vec<String> = log.leases().await.into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(names, ["B", "a", "a/b", "b"]);
}
