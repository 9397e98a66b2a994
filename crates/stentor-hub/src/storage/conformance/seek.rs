//! Seeks: the starts of readers.

use std::sync::Arc;

use super::Log;
use super::log::{at, contents, end, event, filters};
use crate::cursor::{Cursor, Offset};
use crate::record::Record;
use crate::storage::Seek;
use crate::timestamp::Timestamp;

impl Log {
    /// The records that a reader with this start gets.
    async fn from(&self, text: &str, seek: Seek) -> Vec<Arc<Record>> {
        let sought = self.storage.seek(filters(text), seek).await.unwrap();
        self.after(text, sought.after).await
    }

    /// The records that a reader gets if it starts with the newest `count` events.
    async fn newest(&self, text: &str, count: usize) -> Vec<String> {
        contents(&self.from(text, Seek::Newest { count, before: Offset::MAX }).await)
    }

    async fn since(&self, text: &str, time: Timestamp) -> Vec<String> {
        contents(&self.from(text, Seek::Since(time)).await)
    }

    async fn newest_each(&self, text: &str, count: usize, until: Offset) -> Vec<String> {
        let found =
            self.storage.newest_each(filters(text), count, until, 1_000).await.unwrap().unwrap();
        let records = self.storage.fetch(found.clone()).await.unwrap();
        assert_eq!(records.len(), found.len());
        contents(&records)
    }

    /// Publishes events `0..count` to these topics in turn.
    async fn by_turns(&self, topics: &[&str], count: usize) -> Vec<Cursor> {
        let mut ids = Vec::new();
        for n in 0..count {
            ids.push(self.event(topics[n % topics.len()], &n.to_string()).await);
        }
        ids
    }
}

pub async fn earliest_is_before_everything(log: &Log) {
    let ids = log.by_turns(&["a", "b"], 6).await;
    log.trim("a", ids[2]).await;
    assert_eq!(contents(&log.from("a", Seek::Earliest).await), ["a: 4"]);
    assert_eq!(contents(&log.from("*", Seek::Earliest).await), ["b: 1", "b: 3", "a: 4", "b: 5"]);
}

pub async fn newest_is_before_the_requested_number_of_events(log: &Log) {
    log.by_turns(&["a", "b"], 8).await;
    assert_eq!(log.newest("a", 1).await, ["a: 6"]);
    assert_eq!(log.newest("a", 3).await, ["a: 2", "a: 4", "a: 6"]);
}

pub async fn newest_does_not_count_ends_and_deletions(log: &Log) {
    log.by_turns(&["a", "b", "c"], 6).await;
    log.append(vec![end("a", "done")]).await;
    log.delete("b").await;
    assert_eq!(log.newest("a", 1).await, ["a: 3", "a ends: done"]);
    assert_eq!(log.newest("*", 2).await, ["a: 3", "c: 5", "a ends: done", "b deleted"]);
    assert_eq!(log.newest("*", 3).await, ["c: 2", "a: 3", "c: 5", "a ends: done", "b deleted"]);
}

pub async fn newest_counts_the_events_of_all_matching_topics_together(log: &Log) {
    log.by_turns(&["a/b", "a/c", "d", "a/b/c"], 12).await;
    for filter in ["a/*", "a/b a/c", "a/b a/*", "a/c */b"] {
        assert_eq!(log.newest(filter, 3).await, ["a/c: 5", "a/b: 8", "a/c: 9"], "{filter}");
    }
    assert_eq!(log.newest("a/**", 2).await, ["a/c: 9", "a/b/c: 11"]);
    log.by_turns(&["e"], 20).await;
    assert_eq!(log.newest("a/** d", 2).await, ["d: 10", "a/b/c: 11"]);
}

pub async fn newest_counts_events_below_an_offset(log: &Log) {
    let ids = log.by_turns(&["a", "b"], 8).await;
    for (filter, before, expected) in [
        ("a", ids[4].offset, ["a: 0", "a: 2"]),
        ("a", ids[3].offset, ["a: 0", "a: 2"]),
        ("*", ids[4].offset, ["a: 2", "b: 3"]),
    ] {
        let seek = Seek::Newest { count: 2, before };
        let sought = log.storage.seek(filters(filter), seek).await.unwrap();
        let records = log.between(filter, sought.after, before.previous()).await;
        assert_eq!(contents(&records), expected);
    }
}

pub async fn newest_is_before_all_events_if_there_are_fewer(log: &Log) {
    log.by_turns(&["a", "b"], 4).await;
    assert_eq!(log.newest("a", 3).await, ["a: 0", "a: 2"]);
    assert_eq!(log.newest("*", 100_000).await, ["a: 0", "b: 1", "a: 2", "b: 3"]);
    assert_eq!(log.newest("none", 3).await, [""; 0]);
}

pub async fn newest_zero_is_before_nothing(log: &Log) {
    log.by_turns(&["a", "b"], 4).await;
    assert_eq!(log.newest("a", 0).await, [""; 0]);
    assert_eq!(log.newest("*", 0).await, [""; 0]);
}

impl Log {
    /// Publishes events whose data is the second of their time.
    async fn by_time(&self, seconds: &[(&str, i64)]) {
        for (topic, second) in seconds {
            self.publish_at(event(topic, &second.to_string()), at(*second)).await;
        }
    }
}

pub async fn since_is_before_the_first_record_of_a_time(log: &Log) {
    log.by_time(&[("a", 1), ("b", 2), ("a", 3), ("b", 3), ("a", 3), ("a", 5)]).await;
    assert_eq!(log.since("a", at(3)).await, ["a: 3", "a: 3", "a: 5"]);
    assert_eq!(log.since("*", at(3)).await, ["a: 3", "b: 3", "a: 3", "a: 5"]);
    assert_eq!(log.since("a", at(5)).await, ["a: 5"]);
    assert_eq!(log.since("a b", at(-1)).await.len(), 6);
}

pub async fn since_a_time_between_two_records_is_before_the_later_one(log: &Log) {
    log.by_time(&[("a", 1), ("b", 2), ("a", 4), ("a", 6)]).await;
    assert_eq!(log.since("a", at(3)).await, ["a: 4", "a: 6"]);
    assert_eq!(log.since("a", Timestamp::from_micros(at(4).as_micros() + 1)).await, ["a: 6"]);
    assert_eq!(log.since("*", Timestamp::from_micros(at(2).as_micros() - 1)).await.len(), 3);
}

pub async fn since_the_future_is_the_tail(log: &Log) {
    log.by_time(&[("a", 1), ("b", 2)]).await;
    for filter in ["a", "*", "none"] {
        let sought = log.storage.seek(filters(filter), Seek::Since(at(3))).await.unwrap();
        assert_eq!(sought.after, log.storage.bounds().tail);
    }
}

pub async fn seek_returns_the_tail(log: &Log) {
    log.by_time(&[("a", 1), ("b", 2)]).await;
    let newest = Seek::Newest { count: 1, before: Offset::MAX };
    for seek in [Seek::Earliest, newest, Seek::Since(at(1))] {
        let sought = log.storage.seek(filters("a"), seek).await.unwrap();
        assert_eq!(sought.tail, log.storage.bounds().tail);
    }
}

pub async fn a_reader_that_starts_at_the_found_offset_lost_nothing(log: &Log) {
    let ids = log.by_turns(&["a", "b"], 8).await;
    log.trim("a", ids[4]).await;
    log.delete("b").await;
    log.event("b", "again").await;
    let newest = Seek::Newest { count: 2, before: Offset::MAX };
    for seek in [Seek::Earliest, newest, Seek::Since(at(0))] {
        for filter in ["a b", "*"] {
            let sought = log.storage.seek(filters(filter), seek).await.unwrap();
            let gap = log.gap_beyond(filter, sought.after, sought.removals).await;
            assert_eq!(gap, None, "{seek:?} {filter}");
        }
    }
}

pub async fn newest_each_returns_events_of_each_topic_in_log_order(log: &Log) {
    log.by_turns(&["a/b", "a/c", "d"], 9).await;
    log.event("a/b", "9").await;
    let newest = |filter: &'static str, count| log.newest_each(filter, count, Offset::MAX);
    assert_eq!(newest("a/*", 1).await, ["a/c: 7", "a/b: 9"]);
    assert_eq!(newest("d a/b", 2).await, ["d: 5", "a/b: 6", "d: 8", "a/b: 9"]);
    assert_eq!(newest("d", 100).await, ["d: 2", "d: 5", "d: 8"]);
    assert_eq!(newest("a/b a/* **", 1).await, ["a/c: 7", "d: 8", "a/b: 9"]);
    assert_eq!(newest("none", 1).await, [""; 0]);
    assert_eq!(newest("*", 0).await, [""; 0]);
}

pub async fn newest_each_counts_no_ends_and_no_deletions(log: &Log) {
    log.by_turns(&["a", "b"], 4).await;
    log.append(vec![end("a", "done"), end("c", "at once")]).await;
    log.delete("b").await;
    assert_eq!(log.newest_each("*", 1, Offset::MAX).await, ["a: 2"]);
}

pub async fn newest_each_counts_events_up_to_an_offset(log: &Log) {
    let ids = log.by_turns(&["a", "b"], 8).await;
    assert_eq!(log.newest_each("*", 1, ids[4].offset).await, ["b: 3", "a: 4"]);
    assert_eq!(log.newest_each("a", 2, ids[3].offset).await, ["a: 0", "a: 2"]);
    assert_eq!(log.newest_each("b", 2, ids[0].offset).await, [""; 0]);
}

pub async fn newest_each_refuses_more_than_its_limit(log: &Log) {
    log.by_turns(&["a", "b", "c"], 9).await;
    let each = |limit| log.storage.newest_each(filters("*"), 2, Offset::MAX, limit);
    assert_eq!(each(6).await.unwrap().map(|offsets| offsets.len()), Some(6));
    assert_eq!(each(5).await, Ok(None));
    let wanted = log.storage.newest_each(filters("a"), 100_000, Offset::MAX, 3).await;
    assert_eq!(wanted.unwrap().map(|offsets| offsets.len()), Some(3), "existing events count");
}
