//! Trim points, and trimming to limits.

use super::Log;
use super::log::{appended, at, contents, end, end_entry, event, name};
use crate::cursor::{Cursor, Offset};
use crate::storage::{TopicState, TrimLimits, Trimmed};

impl Log {
    async fn trim_point(&self, topic: &str, limits: TrimLimits) -> Option<Offset> {
        self.storage.trim_point(name(topic), limits).await.unwrap()
    }

    /// Asserts that a topic must be trimmed up to this event or end.
    async fn assert_trim_point(&self, topic: &str, limits: TrimLimits, last: Cursor) {
        assert_eq!(self.trim_point(topic, limits).await, Some(last.offset), "{limits:?}");
    }

    /// Trims until the topic is within the limits.
    async fn trim_to(&self, topic: &str, limits: TrimLimits) {
        while let Some(through) = self.trim_point(topic, limits).await {
            let before = self.state(topic).await.removed_through;
            self.storage.trim(vec![(name(topic), through)]).await.unwrap();
            assert!(self.state(topic).await.removed_through > before, "each trim makes progress");
        }
    }

    /// Publishes one event for each of `bytes`: event `n` has that many bytes and the time of second `n`.
    async fn events(&self, topic: &str, bytes: &[usize]) -> Vec<Cursor> {
        let mut ids = Vec::new();
        for (second, bytes) in (0..).zip(bytes) {
            let publish = event(topic, &"x".repeat(*bytes));
            ids.push(appended(&self.publish_at(publish, at(second)).await).0);
        }
        ids
    }

    async fn end_at(&self, topic: &str, second: i64) -> Cursor {
        appended(&self.publish_at(end(topic, "done"), at(second)).await).0
    }
}

fn events(most: u64) -> TrimLimits {
    TrimLimits { events: Some(most), ..TrimLimits::default() }
}

fn bytes(most: u64) -> TrimLimits {
    TrimLimits { bytes: Some(most), ..TrimLimits::default() }
}

fn since(second: i64) -> TrimLimits {
    TrimLimits { since: Some(at(second)), ..TrimLimits::default() }
}

fn ended_since(second: i64) -> TrimLimits {
    TrimLimits { ended_since: Some(at(second)), ..TrimLimits::default() }
}

pub async fn without_limits_there_is_no_trim_point(log: &Log) {
    log.events("a", &[1, 100, 1]).await;
    log.end_at("a", 3).await;
    assert_eq!(log.trim_point("a", TrimLimits::default()).await, None);
}

pub async fn a_limit_of_events_keeps_the_newest_events(log: &Log) {
    let ids = log.events("a", &[1, 1, 1, 1]).await;
    log.events("other", &[1, 1, 1, 1]).await;
    log.assert_trim_point("a", events(1), ids[2]).await;
    log.assert_trim_point("a", events(3), ids[0]).await;
    assert_eq!(log.trim_point("a", events(4)).await, None);
    log.assert_trim_point("a", events(0), ids[3]).await;
}

pub async fn a_limit_of_bytes_removes_as_few_of_the_oldest_events_as_possible(log: &Log) {
    let ids = log.events("a", &[10, 1, 20, 5]).await;
    assert_eq!(log.trim_point("a", bytes(36)).await, None);
    log.assert_trim_point("a", bytes(35), ids[0]).await;
    log.assert_trim_point("a", bytes(26), ids[0]).await;
    log.assert_trim_point("a", bytes(25), ids[1]).await;
    log.assert_trim_point("a", bytes(5), ids[2]).await;
    log.assert_trim_point("a", bytes(4), ids[3]).await;
}

pub async fn events_before_the_time_are_removed(log: &Log) {
    let ids = log.events("a", &[1, 1, 1]).await;
    assert_eq!(log.trim_point("a", since(0)).await, None, "an event of exactly this time stays");
    log.assert_trim_point("a", since(1), ids[0]).await;
    log.assert_trim_point("a", since(2), ids[1]).await;
    log.assert_trim_point("a", since(1_000), ids[2]).await;
}

pub async fn the_limit_that_removes_most_decides(log: &Log) {
    let ids = log.events("a", &[1, 1, 1, 100, 1]).await;
    let limits =
        TrimLimits { since: Some(at(1)), events: Some(4), bytes: Some(1_000), ended_since: None };
    log.assert_trim_point("a", limits, ids[0]).await;
    log.assert_trim_point("a", TrimLimits { since: Some(at(3)), ..limits }, ids[2]).await;
    log.assert_trim_point("a", TrimLimits { events: Some(3), ..limits }, ids[1]).await;
    log.assert_trim_point("a", TrimLimits { bytes: Some(50), ..limits }, ids[3]).await;
}

pub async fn events_removed_by_one_limit_count_for_the_others(log: &Log) {
    let ids = log.events("a", &[1, 50, 1, 1]).await;
    // The limit of events removes one, and then the bytes are within their limit.
    let limits = TrimLimits { events: Some(3), bytes: Some(52), ..TrimLimits::default() };
    log.assert_trim_point("a", limits, ids[0]).await;
}

pub async fn limits_of_events_and_bytes_never_remove_an_end(log: &Log) {
    let ids = log.events("a", &[1, 1]).await;
    let end = log.end_at("a", 2).await;
    for limits in [events(0), bytes(0)] {
        log.assert_trim_point("a", limits, ids[1]).await;
    }
    log.trim_to("a", events(0)).await;
    assert_eq!(contents(&log.all("a").await), ["a ends: done"]);
    assert_eq!(log.trim_point("a", events(0)).await, None);
    assert_eq!(log.state("a").await.end.map(|end| end.cursor()), Some(end));
}

pub async fn an_end_is_removed_by_age_only_when_no_event_is_left(log: &Log) {
    log.events("a", &[1, 1]).await;
    let end = log.end_at("a", 2).await;
    assert_eq!(log.trim_point("a", since(0)).await, None);
    log.assert_trim_point("a", since(3), end).await;
    log.trim_to("a", since(2)).await;
    assert_eq!(contents(&log.all("a").await), ["a ends: done"], "the end is not older");
    log.trim_to("a", since(3)).await;
    assert!(log.all("a").await.is_empty());
}

pub async fn a_topic_that_ended_before_the_time_is_removed_completely(log: &Log) {
    log.events("a", &[1, 1]).await;
    let end = log.end_at("a", 5).await;
    assert_eq!(log.trim_point("a", ended_since(5)).await, None);
    log.assert_trim_point("a", ended_since(6), end).await;
    log.trim_to("a", ended_since(6)).await;
    let state = log.state("a").await;
    assert_eq!(state, TopicState { removed_through: end.offset, ..TopicState::default() });
    assert!(log.all("a").await.is_empty());
}

pub async fn a_topic_that_has_not_ended_is_not_removed(log: &Log) {
    log.events("a", &[1, 1]).await;
    assert_eq!(log.trim_point("a", ended_since(1_000)).await, None);
}

pub async fn a_topic_with_only_its_end_is_removed_by_age(log: &Log) {
    let end = log.end_at("a", 5).await;
    assert_eq!(log.trim_point("a", since(5)).await, None);
    log.assert_trim_point("a", since(6), end).await;
    log.assert_trim_point("a", ended_since(6), end).await;
}

pub async fn a_deleted_topic_has_no_trim_point(log: &Log) {
    log.events("a", &[1, 1]).await;
    log.delete("a").await;
    let all = TrimLimits {
        since: Some(at(1_000)),
        events: Some(0),
        bytes: Some(0),
        ended_since: Some(at(1_000)),
    };
    assert_eq!(log.trim_point("a", all).await, None);
    let again = log.event("a", "again").await;
    log.assert_trim_point("a", all, again).await;
}

pub async fn an_unknown_topic_has_no_trim_point(log: &Log) {
    let id = log.event("a", "1").await;
    log.trim("a", id).await;
    for topic in ["none", "a"] {
        assert_eq!(log.trim_point(topic, events(0)).await, None, "{topic}");
        assert_eq!(log.trim_point(topic, since(1_000)).await, None, "{topic}");
    }
}

pub async fn trimmed_events_no_longer_count(log: &Log) {
    let ids = log.events("a", &[10, 10, 10, 10]).await;
    log.trim("a", ids[1]).await;
    assert_eq!(log.trim_point("a", events(2)).await, None);
    assert_eq!(log.trim_point("a", bytes(20)).await, None);
    log.assert_trim_point("a", events(1), ids[2]).await;
    log.assert_trim_point("a", bytes(19), ids[2]).await;
}

pub async fn repeated_trims_keep_exactly_the_limits(log: &Log) {
    let sizes: Vec<usize> = (0..200).map(|n| n % 7).collect();
    let batch = sizes.iter().map(|size| event("a", &"x".repeat(*size)));
    log.append(batch.collect()).await;
    log.event("b", "1").await;
    log.trim_to("a", events(150)).await;
    assert_eq!(log.state("a").await.events, 150);
    log.trim_to("a", TrimLimits { events: Some(120), bytes: Some(250), ..TrimLimits::default() })
        .await;
    // As many of the newest events as fit into 250 bytes.
    let sums = sizes.iter().rev().scan(0, |sum, size| {
        *sum += size;
        Some(*sum)
    });
    let kept = sums.take_while(|sum| *sum <= 250).count() as u64;
    assert_eq!(log.state("a").await.events, kept);
    assert_eq!(log.all("a").await.len() as u64, kept);
    assert_eq!(log.state("b").await.events, 1);
}

pub async fn several_topics_are_trimmed_at_once(log: &Log) {
    for topic in ["a", "b", "c", "d"] {
        log.events(topic, &[1, 1, 1]).await;
    }
    let tail = log.storage.bounds().tail;
    let first_of_b = log.all("b").await[0].offset();
    let each = [("a", tail), ("none", tail), ("b", first_of_b), ("d", Offset::ZERO), ("a", tail)];
    log.storage.trim(each.map(|(topic, through)| (name(topic), through)).to_vec()).await.unwrap();
    for (topic, left) in [("a", 0), ("b", 2), ("c", 3), ("d", 3), ("none", 0)] {
        assert_eq!(log.state(topic).await.events, left, "{topic}");
        assert_eq!(log.all(topic).await.len() as u64, left, "{topic}");
    }
    let mut reported = log.gap("**", Offset::ZERO).await.unwrap().topics;
    reported.sort();
    assert_eq!(reported, [name("a"), name("b")]);
    log.storage.trim(Vec::new()).await.unwrap();
}

pub async fn trimmed_counts_events_and_their_bytes(log: &Log) {
    assert_eq!(log.storage.trimmed(), Trimmed::default());
    let a = log.events("a", &[10, 20, 30]).await;
    log.publish(event("b", "1234").and(end_entry("b"))).await;
    log.trim("a", a[1]).await;
    assert_eq!(log.storage.trimmed(), Trimmed { events: 2, bytes: 30 });
    log.trim("a", a[1]).await;
    let tail = log.storage.bounds().tail;
    log.storage.trim(vec![(name("a"), a[2].offset), (name("b"), tail)]).await.unwrap();
    assert_eq!(
        log.storage.trimmed(),
        Trimmed { events: 4, bytes: 64 },
        "an end does not count as an event"
    );
}

pub async fn trimmed_does_not_count_deletions(log: &Log) {
    log.events("a", &[10, 20]).await;
    log.delete("a").await;
    log.event("a", "again").await;
    assert_eq!(log.storage.trimmed(), Trimmed::default());
}
