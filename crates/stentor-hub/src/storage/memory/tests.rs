//! Tests of the contract and of the bounds of the log in memory: the ring, the floor, the keys.

use std::time::Duration;

use super::keys::Keys;
use super::log::EMPTY_TOPICS_MAX;
use super::*;
use crate::cursor::Cursor;
use crate::key::{Key, KeyContent, KeyCount, KeyLimits, KeySource};
use crate::record::{Attributes, Body};
use crate::storage::conformance::Log as Tested;
use crate::storage::conformance::log::{
    appended, at, contents, end_entry, entry, event, name, topic_names,
};

crate::conformance_tests!(|| async { MemoryStorage::new() });

/// The conformance suite with the smallest possible steps.
mod in_small_steps {
    use super::MemoryStorage;

    crate::conformance_tests!(|| async { MemoryStorage { step_rows: 1, ..MemoryStorage::new() } });
}

/// A log that has room for this many records with short names and little data.
fn of_records(records: usize) -> Tested {
    let one = Record::new(
        Epoch::new(0),
        Offset::ZERO,
        at(0),
        name("abcdefgh"),
        Body::End { reason: "1234".to_owned() },
        Attributes::default(),
    );
    Tested::of(Arc::new(MemoryStorage::with_bytes(records * one.memory_bytes())))
}

#[tokio::test]
async fn a_full_ring_removes_its_oldest_records_and_reports_a_gap() {
    let log = of_records(3);
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(log.event("a", &n.to_string()).await);
    }
    assert_eq!(contents(&log.all("a").await), ["a: 2", "a: 3", "a: 4"]);
    let state = log.state("a").await;
    assert_eq!((state.events, state.bytes, state.removed_through), (3, 3, ids[1].offset));
    let gap = log.gap("a", ids[0]).await.unwrap();
    assert_eq!((gap.deleted, gap.topics), (false, topic_names(&["a"])));
    assert_eq!(log.gap("a", ids[1]).await, None, "nothing was lost after it");
    assert_eq!(log.sink_records().len(), 5, "readers at the tail get all records");
}

#[tokio::test]
async fn the_newest_record_stays_however_large_it_is() {
    let log = of_records(1);
    log.event("a", "small").await;
    log.event("b", &"x".repeat(100_000)).await;
    assert_eq!(log.all("*").await.len(), 1);
    assert_eq!(log.state("b").await.bytes, 100_000);
    log.event("a", "small").await;
    assert_eq!(contents(&log.all("*").await), ["a: small"]);
}

#[tokio::test]
async fn a_publish_that_is_larger_than_the_ring_is_appended_whole() {
    let log = of_records(2);
    let publish = event("a", "1").and(entry("b", "2")).and(entry("a", "3")).and(end_entry("a"));
    let (first, last) = appended(&log.publish(publish).await);
    assert_eq!(contents(&log.sink_records()), ["a: 1", "b: 2", "a: 3", "a ends: done"]);
    assert_eq!(contents(&log.all("*").await), ["a: 3", "a ends: done"]);
    assert_eq!(log.gap("*", first).await.unwrap().topics, topic_names(&["b"]));
    assert_eq!(log.state("a").await.end.map(|end| end.cursor()), Some(last));
}

#[tokio::test]
async fn a_quiet_topic_has_no_false_gap() {
    let log = of_records(4);
    for n in 0..3 {
        log.event("busy", &n.to_string()).await;
    }
    log.event("quiet", "1").await;
    for n in 0..3 {
        log.event("busy", &n.to_string()).await;
    }
    for filter in ["quiet", "none", "quiet none", "quiet/*"] {
        assert_eq!(log.gap(filter, Offset::ZERO).await, None, "{filter}");
    }
    assert_eq!(contents(&log.all("quiet").await), ["quiet: 1"]);
    for filter in ["busy", "*"] {
        let gap = log.gap(filter, Offset::ZERO).await.unwrap();
        assert_eq!(gap.topics, topic_names(&["busy"]));
    }
    log.event("busy", "this removes the quiet one").await;
    assert_eq!(log.gap("quiet", Offset::ZERO).await.unwrap().topics, topic_names(&["quiet"]));
}

#[tokio::test]
async fn an_end_is_removed_with_its_whole_topic() {
    let log = of_records(2);
    log.event("a", "1").await;
    let end_of_a = log.end("a").await;
    log.event("b", "1").await;
    let state = log.state("a").await;
    assert_eq!((state.events, state.end.map(|end| end.cursor())), (0, Some(end_of_a)));
    assert!(matches!(log.publish(event("a", "no")).await, Outcome::Ended { .. }));
    log.event("b", "2").await;
    let state = log.state("a").await;
    let gone = TopicState { removed_through: end_of_a.offset, ..TopicState::default() };
    assert_eq!(state, gone);
    log.event("a", "again").await;
    assert_eq!(log.state("a").await.removed_through, end_of_a.offset);
}

#[tokio::test]
async fn a_removed_deletion_is_reported_as_a_deletion() {
    let log = of_records(2);
    let first = log.event("a", "1").await;
    let deletion = log.delete("a").await;
    log.append(vec![event("b", "1"), event("b", "2")]).await;
    assert_eq!(contents(&log.all("a").await), [""; 0]);
    assert_eq!(log.state("a").await.removed_through, deletion);
    assert!(log.gap("a", first).await.is_some_and(|gap| gap.deleted));
    assert_eq!(log.gap("a", deletion).await, None);
    assert_eq!(log.storage.delete(name("a"), at(0)).await, Ok(None));
    log.event("a", "again").await;
    assert!(log.gap("a", first).await.is_some_and(|gap| gap.deleted));
}

#[tokio::test]
async fn a_ring_full_of_deletions_stays_within_its_size() {
    let log = of_records(10);
    for n in 0..10 {
        log.event(&format!("t{n}"), "1").await;
    }
    for n in 0..10 {
        log.delete(&format!("t{n}")).await;
    }
    assert_eq!(log.all("*").await.len(), 10);
    log.event("a", "1").await;
    assert_eq!(log.all("*").await.len(), 10, "the oldest deletion was removed");
}

/// Removes records, and returns the count of a reader that was notified of all removals.
async fn report_earlier_removals(log: &Tested) -> u64 {
    log.append(vec![event("last", "1"), event("last", "2"), event("last", "3")]).await;
    let reported = log.removals().await;
    assert!(reported > 0);
    reported
}

/// Publishes one event to each of the topics `t0` up to `t{topics - 1}` and has the ring remove them again.
async fn fill_and_empty(log: &Tested, topics: usize) {
    let batch = (0..topics).map(|n| event(&format!("t{n}"), "1"));
    log.append(batch.collect()).await;
    log.append(vec![event("last", "1"), event("last", "2")]).await;
}

#[tokio::test]
async fn other_topics_that_come_and_go_are_no_gap_for_a_reader_of_a_pattern() {
    let log = of_records(2);
    fill_and_empty(&log, EMPTY_TOPICS_MAX + 100).await;
    for filter in ["keep/*", "keep/a", "keep/**", "t/*"] {
        assert_eq!(log.gap(filter, Offset::ZERO).await, None, "{filter}");
    }
    log.event("keep/a", "1").await;
    assert_eq!(log.gap("keep/*", Offset::ZERO).await, None, "a new topic has lost nothing");
    for filter in ["t1", "*", "**"] {
        assert!(log.gap(filter, Offset::ZERO).await.is_some(), "{filter}");
    }
}

#[tokio::test]
async fn readers_of_a_topic_below_the_floor_get_a_gap() {
    let log = of_records(2);
    let reported = report_earlier_removals(&log).await;
    fill_and_empty(&log, EMPTY_TOPICS_MAX + 5).await;
    for reported in [0, reported] {
        for filter in ["t0", "t1 none", "t0/* t2", "t9"] {
            let gap = log.gap_beyond(filter, Offset::ZERO, reported).await;
            assert!(gap.is_some(), "{filter} reported {reported}");
            let now = gap.unwrap().removals;
            assert_eq!(log.gap_beyond(filter, Offset::ZERO, now).await, None);
        }
    }
}

#[tokio::test]
async fn readers_of_a_pattern_get_a_gap_for_topics_below_the_floor() {
    let log = of_records(2);
    // All topics that this pattern matches are merged into the floor.
    let reported = report_earlier_removals(&log).await;
    log.event("a/b", "1").await;
    log.event("a/c", "1").await;
    fill_and_empty(&log, EMPTY_TOPICS_MAX + 5).await;
    for reported in [0, reported] {
        let gap = log.gap_beyond("a/*", Offset::ZERO, reported).await;
        assert_eq!(gap.map(|gap| gap.topics), Some(Vec::new()));
    }
    assert_eq!(log.gap("a/*", log.storage.bounds().tail).await, None);
}

#[tokio::test]
async fn a_topic_below_the_floor_that_is_used_again_reports_a_gap_to_older_readers() {
    let log = of_records(2);
    let reported = report_earlier_removals(&log).await;
    let first = log.event("a", "1").await;
    fill_and_empty(&log, EMPTY_TOPICS_MAX + 5).await;
    log.event("a", "again").await;
    assert!(log.state("a").await.removed_through >= first.offset);
    for reported in [0, reported] {
        for filter in ["a", "*"] {
            assert!(log.gap_beyond(filter, Offset::ZERO, reported).await.is_some());
        }
    }
}

#[tokio::test]
async fn the_floor_changes_no_topic_that_is_known() {
    let log = of_records(2);
    fill_and_empty(&log, EMPTY_TOPICS_MAX + 5).await;
    let last = log.event("last", "3").await;
    let newest_empty = format!("t{}", EMPTY_TOPICS_MAX + 4);
    let state = log.state(&newest_empty).await;
    assert!(log.gap(&newest_empty, state.removed_through).await.is_none());
    assert!(log.gap(&newest_empty, state.removed_through.previous()).await.is_some());
    assert!(log.gap("last", last.offset.previous().previous()).await.is_none());
}

fn key(name_of_key: String, content: KeyContent) -> Key {
    let window = Duration::from_mins(10);
    Key {
        scope: Some(name("a")),
        publisher: String::new(),
        name: name_of_key,
        window,
        source: None,
        content,
    }
}

fn whole(number: usize) -> Key {
    key(number.to_string(), KeyContent::Whole([0; 16]))
}

fn part(index: u64) -> Key {
    part_of("up", index)
}

fn part_of(upload: &str, index: u64) -> Key {
    let hash = |parts: u64| u128::from(parts).to_le_bytes();
    let (before, after) = (hash(index), hash(index + 1));
    key(upload.to_owned(), KeyContent::Part { index, before, after })
}

/// A position that stands for the id of a record.
fn id(offset: u64) -> Cursor {
    Cursor::position(Epoch::new(0), Offset::new(offset))
}

fn keys(keys: u64, parts: u64) -> Keys {
    Keys::new(KeyLimits { keys, keys_per_address: None, parts })
}

#[test]
fn a_repeat_of_the_last_key_within_the_bound_is_recognized_after_all_others() {
    let mut keys = keys(5, 10);
    for number in 0..5 {
        assert_eq!(keys.refuse(&whole(number), at(0)), None);
        keys.store(&whole(number), id(1), id(1), at(0));
    }
    let refused = keys.refuse(&whole(5), at(1)).unwrap();
    assert_eq!((refused.limit, refused.retry_after), (5, Duration::from_secs(599)));
    assert!(matches!(keys.check(&whole(0), at(1)), Some(Outcome::Repeat { .. })));
    assert_eq!(keys.refuse(&whole(5), at(600)), None, "the windows are over");
}

#[test]
fn a_long_upload_takes_one_key() {
    let mut keys = keys(2, 10);
    keys.store(&whole(0), id(1), id(1), at(0));
    for index in 0..100 {
        assert_eq!(keys.refuse(&part(index), at(0)), None);
        keys.store(&part(index), id(2), id(2), at(0));
    }
    assert!(keys.check(&whole(0), at(0)).is_some());
    assert_eq!((keys.rows.len(), keys.by_expiry.len(), keys.parts.count), (2, 2, 10));
}

#[test]
fn keys_whose_window_is_over_take_no_memory() {
    let mut keys = keys(1_000, 1_000);
    let source = Some(KeySource::from_hash(1));
    for number in 0..50 {
        keys.store(&Key { source, ..whole(number) }, id(1), id(1), at(0));
        keys.store(&Key { source, ..part(number as u64) }, id(2), id(2), at(0));
    }
    assert_eq!(keys.count(KeySource::from_hash(1)), KeyCount { keys: 51, parts: 50 });
    assert_eq!(keys.refuse(&whole(100), at(601)), None);
    keys.store(&whole(100), id(3), id(3), at(601));
    assert_eq!((keys.rows.len(), keys.by_expiry.len(), keys.parts.count), (1, 1, 0));
    assert!(keys.sources.is_empty());
}

#[test]
fn an_upload_that_begins_again_replaces_the_old_one() {
    let mut keys = keys(10, 10);
    for index in 0..3 {
        keys.store(&part(index), id(1), id(1), at(0));
    }
    keys.store(&part(0), id(2), id(2), at(601));
    assert_eq!((keys.rows.len(), keys.parts.count), (1, 1));
}

#[test]
fn at_the_bound_an_upload_drops_parts_of_its_own_and_a_new_one_is_refused() {
    let mut keys = keys(10, 15);
    for index in 0..10 {
        keys.store(&part_of("first", index), id(1), id(1), at(0));
    }
    for index in 0..20 {
        keys.store(&part_of("second", index), id(2), id(2), at(0));
    }
    assert_eq!(keys.parts.count, 15);
    assert!(keys.refuse(&part_of("third", 0), at(0)).is_some());
    assert_eq!(keys.refuse(&whole(0), at(0)), None, "it has no parts");
    let other = |upload: &str, index: u64| Key {
        content: KeyContent::Part { index, before: [7; 16], after: [7; 16] },
        ..part_of(upload, index)
    };
    for index in 0..10 {
        assert_eq!(keys.check(&other("first", index), at(0)), Some(Outcome::KeyReused), "{index}");
    }
    let dropped = keys.check(&other("second", 0), at(0));
    assert!(matches!(dropped, Some(Outcome::Repeat { .. })), "{dropped:?}");
    assert_eq!(keys.check(&other("second", 19), at(0)), Some(Outcome::KeyReused));
}
