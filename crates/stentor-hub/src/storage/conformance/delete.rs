//! Deletions, and deleted topics that are used again.

use futures_util::FutureExt;

use super::Log;
use super::log::{appended, at, contents, end, event, name, topic_names};
use crate::cursor::Offset;
use crate::storage::{Removed, TopicState};

pub async fn a_deletion_has_an_offset_and_replaces_the_records(log: &Log) {
    let first = log.event("a", "1").await;
    let last = log.event("a", "2").await;
    let deletion = log.delete("a").await;
    assert!(deletion > last.offset);
    assert_eq!(log.storage.bounds().tail, deletion);
    for after in [Offset::ZERO, first.offset, last.offset, deletion.previous()] {
        let records = log.after("a", after).await;
        assert_eq!(contents(&records), ["a deleted"]);
        assert_eq!(records[0].offset(), deletion);
    }
    assert_eq!(contents(&log.after("a", deletion).await), [""; 0]);
}

pub async fn a_missing_topic_is_not_deleted(log: &Log) {
    let id = log.event("a", "1").await;
    let tail = log.event("trimmed", "1").await;
    log.trim("trimmed", tail).await;
    for topic in ["none", "A", "a/", "trimmed"] {
        assert_eq!(log.storage.delete(name(topic), at(0)).await, Ok(None), "{topic}");
    }
    let deletion = log.delete("a").await;
    assert_eq!(log.storage.delete(name("a"), at(0)).await, Ok(None), "deleted already");
    assert!(deletion > id.offset);
    assert_eq!(log.storage.bounds().tail, deletion);
    assert_eq!(contents(&log.all("*").await), ["a deleted"]);
}

pub async fn a_deleted_topic_has_no_counts_and_no_end_but_the_deletion(log: &Log) {
    log.event("a", "1").await;
    log.end("a").await;
    let deletion = log.delete("a").await;
    let state = log.state("a").await;
    assert_eq!((state.events, state.bytes), (0, 0));
    let end = state.end.unwrap();
    assert_eq!((end.offset(), end.end_reason()), (deletion, Some("deleted")));
    assert!(state.removed_through < deletion);
}

pub async fn older_readers_read_the_deletion_and_get_no_gap(log: &Log) {
    let first = log.event("a", "1").await;
    log.event("b", "1").await;
    log.event("a", "2").await;
    log.delete("a").await;
    for after in [Offset::ZERO, first.offset] {
        for filter in ["a", "*", "b a"] {
            assert_eq!(log.gap(filter, after).await, None);
            let last = log.after(filter, after).await.pop().unwrap();
            assert_eq!(last.end_reason(), Some("deleted"));
        }
    }
}

pub async fn readers_of_a_trimmed_and_deleted_topic_get_no_gap(log: &Log) {
    let first = log.event("a", "1").await;
    log.event("a", "2").await;
    log.trim("a", first).await;
    assert!(log.gap("a", Offset::ZERO).await.is_some());
    log.delete("a").await;
    assert_eq!(log.gap("a", Offset::ZERO).await, None);
    assert_eq!(log.gap("*", Offset::ZERO).await, None);
}

pub async fn a_deletion_is_not_trimmed(log: &Log) {
    log.event("a", "1").await;
    let deletion = log.delete("a").await;
    let state = log.state("a").await;
    log.storage.trim(vec![(name("a"), deletion)]).await.unwrap();
    assert_eq!(contents(&log.all("a").await), ["a deleted"]);
    assert_eq!(log.state("a").await, state);
    assert_eq!(log.gap("a", Offset::ZERO).await, None);
}

pub async fn an_ended_topic_that_was_deleted_takes_events_again(log: &Log) {
    log.event("a", "1").await;
    log.end("a").await;
    log.delete("a").await;
    let outcomes = log.append(vec![event("a", "2"), end("a", "again"), event("a", "3")]).await;
    appended(&outcomes[0]);
    appended(&outcomes[1]);
    assert_eq!(contents(&log.all("a").await), ["a: 2", "a ends: again"]);
}

pub async fn a_deleted_topic_that_is_used_again_has_new_counts(log: &Log) {
    log.event("a", "1234").await;
    log.event("a", "5").await;
    let deletion = log.delete("a").await;
    log.event("a", "12").await;
    let expected = TopicState { events: 1, bytes: 2, end: None, removed_through: deletion };
    assert_eq!(log.state("a").await, expected);
    assert_eq!(contents(&log.all("a").await), ["a: 12"], "the deletion is removed");
    assert_eq!(log.storage.fetch(vec![deletion]).await, Ok(Vec::new()));
}

pub async fn a_deleted_topic_that_is_used_again_reports_a_gap_to_older_readers(log: &Log) {
    let first = log.event("a", "1").await;
    log.event("b", "1").await;
    let deletion = log.delete("a").await;
    log.event("a", "2").await;
    let removals = log.removals().await;
    for after in [Offset::ZERO, first.offset, deletion.previous()] {
        for filter in ["a", "*", "b a"] {
            let expected = Removed { deleted: true, topics: topic_names(&["a"]), removals };
            assert_eq!(log.gap(filter, after).await, Some(expected));
        }
    }
    assert_eq!(log.gap("b", Offset::ZERO).await, None);
}

pub async fn a_gap_reported_before_the_topic_is_used_again_is_reported_again(log: &Log) {
    let first = log.event("a", "1").await;
    log.event("a", "2").await;
    log.trim("a", first).await;
    let reported = log.gap("a", Offset::ZERO).await.unwrap().removals;
    log.delete("a").await;
    assert_eq!(log.gap_beyond("a", Offset::ZERO, reported).await, None);
    // The topic is deleted and not used again yet. A reader can start here, and will read the deletion.
    let begun = log.removals().await;
    log.event("a", "3").await;
    for reported in [reported, begun] {
        for filter in ["a", "*"] {
            let gap = log.gap_beyond(filter, Offset::ZERO, reported).await;
            assert_eq!(gap.map(|gap| gap.topics), Some(topic_names(&["a"])));
        }
    }
    let now = log.removals().await;
    assert_eq!(log.gap_beyond("a", Offset::ZERO, now).await, None);
}

pub async fn a_reader_that_read_the_deletion_gets_no_gap(log: &Log) {
    log.event("a", "1").await;
    let deletion = log.delete("a").await;
    log.event("a", "2").await;
    for filter in ["a", "*"] {
        assert_eq!(log.gap(filter, deletion).await, None);
        assert_eq!(contents(&log.after(filter, deletion).await), ["a: 2"]);
    }
}

pub async fn a_topic_that_is_used_again_can_be_deleted_again(log: &Log) {
    log.event("a", "1").await;
    let first = log.delete("a").await;
    log.event("a", "2").await;
    let second = log.delete("a").await;
    assert!(second > first);
    assert_eq!(contents(&log.all("a").await), ["a deleted"]);
    assert_eq!(log.gap("a", Offset::ZERO).await, None);
    log.event("a", "3").await;
    assert_eq!(log.state("a").await.removed_through, second);
    assert!(log.gap("a", first).await.is_some_and(|gap| gap.deleted));
}

pub async fn a_deletion_does_not_affect_other_topics(log: &Log) {
    for topic in ["a", "a/b", "A", "ab"] {
        log.event(topic, "1").await;
    }
    log.delete("a").await;
    assert_eq!(contents(&log.all("**").await), ["a/b: 1", "A: 1", "ab: 1", "a deleted"]);
    for topic in ["a/b", "A", "ab"] {
        assert_eq!(log.state(topic).await.events, 1);
        assert_eq!(log.gap(topic, Offset::ZERO).await, None);
    }
}

pub async fn the_time_of_a_deletion_never_goes_back(log: &Log) {
    log.publish_at(event("a", "1"), at(5)).await;
    log.storage.delete(name("a"), at(3)).await.unwrap();
    log.publish_at(event("b", "1"), at(6)).await;
    log.storage.delete(name("b"), at(9)).await.unwrap();
    log.publish_at(event("c", "1"), at(7)).await;
    let times: Vec<_> = log.all("*").await.iter().map(|record| record.time()).collect();
    assert_eq!(times, [at(5), at(9), at(9)]);
}

pub async fn a_dropped_deletion_removes_nothing_that_was_appended_later(log: &Log) {
    log.event("a", "1").await;
    // Polled once, then dropped.
    let _ = log.storage.delete(name("a"), at(0)).now_or_never();
    let _ = log.storage.delete(name("a"), at(0)).await;
    log.event("a", "2").await;
    log.event("b", "3").await;
    assert_eq!(contents(&log.all("a").await), ["a: 2"]);
}
