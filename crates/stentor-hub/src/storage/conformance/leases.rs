//! Leases: a storage remembers them and decides about them together with their publishes.

use std::time::Duration;

use super::Log;
use super::log::{appended, at, end_entry, event, name};
use crate::key::{Key, KeyContent};
use crate::lease::{LEASES_MAX, LeaseChange};
use crate::publish::Publish;
use crate::storage::Outcome;

impl Log {
    async fn set_lease(&self, topic: &str, length: Option<Duration>) {
        let outcome = self.publish(Publish::only_lease(name(topic), length)).await;
        assert_eq!(outcome, Outcome::LeaseChanged);
    }

    /// All leases, in seconds.
    async fn leases(&self) -> Vec<(String, u64)> {
        let leases = self.storage.leases().await.unwrap();
        leases.into_iter().map(|(topic, length)| (topic.to_string(), length.as_secs())).collect()
    }
}

/// An event that gives its topic a lease of a minute.
fn leased(topic: &str) -> Publish {
    event(topic, "leased").with_lease(name(topic), MINUTE)
}

fn with_key(publish: Publish) -> Publish {
    publish.with_key(Key {
        scope: None,
        publisher: String::new(),
        name: "k".to_owned(),
        window: Duration::from_hours(1),
        source: None,
        content: KeyContent::Whole([7; 16]),
    })
}

const MINUTE: Option<Duration> = Some(Duration::from_mins(1));

pub async fn a_lease_is_remembered_in_whole_seconds(log: &Log) {
    log.set_lease("a", MINUTE).await;
    log.set_lease("b", Some(Duration::from_millis(1_001))).await;
    log.set_lease("c", Some(Duration::ZERO)).await;
    let stored = [("a".to_owned(), 60), ("b".to_owned(), 2), ("c".to_owned(), 1)];
    assert_eq!(log.leases().await, stored);
    log.event("a", "an event does not change the lease").await;
    assert_eq!(log.leases().await.len(), 3);
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

pub async fn a_lease_is_stored_with_its_publish(log: &Log) {
    let outcomes = log.append(vec![leased("a"), leased("b"), event("c", "x")]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Appended { .. })));
    assert_eq!(log.leases().await, [("a".to_owned(), 60), ("b".to_owned(), 60)]);
    log.publish(event("a", "x").with_lease(name("b"), None)).await;
    assert_eq!(log.leases().await, [("a".to_owned(), 60)]);
}

pub async fn a_refused_publish_changes_no_lease(log: &Log) {
    log.end("ended").await;
    log.publish(with_key(event("keyed", "x"))).await;
    let mut reused = with_key(leased("keyed"));
    reused.key.as_mut().unwrap().content = KeyContent::Whole([8; 16]);
    let to_ended = event("ended", "x").with_lease(name("other"), MINUTE);
    let batch = vec![reused, leased("withheld").requiring_previous(), to_ended];
    let outcomes = log.append(batch).await;
    assert_eq!(outcomes[..2], [Outcome::KeyReused, Outcome::Withheld]);
    assert!(matches!(outcomes[2], Outcome::Ended { .. }));
    assert_eq!(log.leases().await, []);
    assert_eq!(log.sink_leases(), []);
}

pub async fn a_publish_that_ends_its_topic_leaves_no_lease(log: &Log) {
    log.publish(leased("a").and(end_entry("a"))).await;
    log.append(vec![leased("b"), event("b", "last").and(end_entry("b"))]).await;
    assert_eq!(log.leases().await, []);
}

pub async fn an_ended_topic_gets_no_lease(log: &Log) {
    let end = log.end("a").await;
    let lease = |length| Publish::only_lease(name("a"), length);
    let ended = Outcome::Ended { topic: name("a"), end };
    assert_eq!(log.publish(lease(MINUTE)).await, ended);
    assert_eq!(log.publish(event("b", "x").with_lease(name("a"), MINUTE)).await, ended);
    assert_eq!(log.all("b").await, []);
    assert_eq!(log.publish(lease(None)).await, Outcome::LeaseChanged);
    log.delete("a").await;
    assert!(matches!(log.publish(leased("a")).await, Outcome::Appended { .. }));
    assert_eq!(log.leases().await, [("a".to_owned(), 60)]);
}

pub async fn a_publish_that_requires_a_lease_is_appended(log: &Log) {
    let lease = Publish::only_lease(name("a"), MINUTE);
    let outcomes = log.append(vec![lease, event("a", "x").requiring_previous()]).await;
    assert_eq!(outcomes[0], Outcome::LeaseChanged);
    appended(&outcomes[1]);
}

pub async fn a_repeat_changes_the_lease_of_a_topic_in_use(log: &Log) {
    let first = appended(&log.publish(with_key(event("a", "x"))).await);
    let repeat = log.publish(with_key(leased("a"))).await;
    assert_eq!(repeat, Outcome::Repeat { first: first.0, last: first.1 });
    assert_eq!(log.leases().await, [("a".to_owned(), 60)]);
    log.publish(with_key(event("a", "x").with_lease(name("a"), None))).await;
    assert_eq!(log.leases().await, []);
}

pub async fn a_repeat_gives_no_lease_to_a_topic_that_ended_or_was_deleted(log: &Log) {
    log.publish(with_key(leased("a"))).await;
    log.end("a").await;
    assert!(matches!(log.publish(with_key(leased("a"))).await, Outcome::Repeat { .. }));
    assert_eq!(log.leases().await, []);
    log.delete("a").await;
    assert!(matches!(log.publish(with_key(leased("a"))).await, Outcome::Repeat { .. }));
    assert_eq!(log.leases().await, []);
}

pub async fn no_publish_gives_a_lease_to_more_topics_than_the_limit(log: &Log) {
    let lease = |number: usize| Publish::only_lease(name(&format!("t/{number}")), MINUTE);
    let outcomes = log.append((0..LEASES_MAX).map(lease).collect()).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::LeaseChanged));
    assert_eq!(log.publish(leased("a")).await, Outcome::TooManyLeases);
    assert_eq!(log.publish(lease(LEASES_MAX)).await, Outcome::TooManyLeases);
    assert_eq!(log.all("a").await, [], "nothing of the publish is appended");
    // A topic that has a lease, and one that ends at once, need no room.
    appended(&log.publish(leased("t/7")).await);
    appended(&log.publish(leased("b").and(end_entry("b"))).await);
    // An end makes room.
    let batch = vec![event("t/8", "x").and(end_entry("t/8")), leased("a")];
    let outcomes = log.append_at(batch, at(1)).await;
    appended(&outcomes[1]);
    assert_eq!(log.publish(leased("c")).await, Outcome::TooManyLeases);
}

pub async fn the_sink_gets_the_changes_of_leases_in_order(log: &Log) {
    let five = Some(Duration::from_millis(4_500));
    log.append(vec![leased("a"), leased("b"), event("b", "x").with_lease(name("b"), five)]).await;
    log.publish(event("a", "last").and(end_entry("a"))).await;
    log.end("without a lease").await;
    log.delete("b").await;
    let change = |topic, length| LeaseChange { topic: name(topic), length };
    let changes = [
        change("a", MINUTE),
        change("b", MINUTE),
        change("b", five),
        change("a", None),
        change("b", None),
    ];
    assert_eq!(log.sink_leases(), changes);
}
