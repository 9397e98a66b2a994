//! Freed space, and limits on stored rows.

use std::time::Duration;

use super::{LogDir, filler, large};
use crate::cursor::Offset;
use crate::key::{Key, KeyContent};
use crate::storage::conformance::log::{at, contents, event, name, topic_names};
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::schema;
use crate::storage::{Outcome, Storage, TrimLimits};

/// Timeout: far longer than any of this takes.
const TIMEOUT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn deleting_a_topic_makes_the_file_smaller() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(2_000, large).await;
    open.settle().await;
    let before = log_dir.file_bytes();
    assert!(before > 20_000_000, "{before}");
    open.log.delete("big").await;
    let slices = open.settle().await;
    assert!(slices < 100, "{slices} slices for 1,800 records and 5,400 pages");
    let after = log_dir.file_bytes();
    assert!(after < before / 5, "{before} bytes became {after}");
    assert_eq!(open.log.all("small").await.len(), 200);
    assert_eq!(log_dir.count("records"), 200 + 1);
    assert_eq!(log_dir.count("topic_records"), 200 + 1);
}

#[tokio::test]
async fn trimming_makes_the_file_smaller() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(2_000, large).await;
    open.settle().await;
    let before = log_dir.file_bytes();
    let through = open.tail();
    open.storage.trim(vec![(name("big"), through)]).await.unwrap();
    open.settle().await;
    assert!(log_dir.file_bytes() < before / 5);
    assert_eq!(log_dir.count("records"), 200);
}

#[tokio::test]
async fn readiness_checks_do_not_keep_a_log_from_tidying_up() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(2_000, large).await;
    open.storage.trim(vec![(name("big"), open.tail())]).await.unwrap();
    assert!(log_dir.wal_bytes() > log_dir.file_bytes() / 8, "there is space to return");
    let checks_until_tidy = async {
        while log_dir.wal_bytes() > log_dir.file_bytes() / 8 {
            open.storage.check().await.unwrap();
        }
    };
    tokio::time::timeout(TIMEOUT, checks_until_tidy).await.unwrap();
}

#[tokio::test]
async fn a_log_that_shrank_keeps_no_large_write_ahead_log() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(2_000, large).await;
    open.storage.trim(vec![(name("big"), open.tail())]).await.unwrap();
    assert!(log_dir.wal_bytes() > log_dir.file_bytes() / 8, "there is space to return");
    open.settle().await;
    assert!(log_dir.wal_bytes() <= log_dir.file_bytes() / 8);
    assert_eq!(open.log.all("small").await.len(), 200);
}

#[tokio::test]
async fn maintenance_runs_between_jobs() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(3_000, filler).await;
    open.log.delete("loud/1").await;
    // A slice of maintenance follows each job, so a number of jobs finish it.
    let mut left = log_dir.count("records");
    for _ in 0..20 {
        open.storage.trim(vec![(name("none"), Offset::MAX)]).await.unwrap();
        left = log_dir.count("records");
    }
    assert_eq!(left, 3_000 - 60 + 1);
}

#[tokio::test]
async fn a_long_read_from_outside_delays_no_publisher() {
    let mut log_dir = LogDir::new();
    log_dir.limits.wal_pages = 10;
    let open = log_dir.open();
    open.log.event("a", "0").await;
    let outside = log_dir.database();
    outside.execute_batch("BEGIN; SELECT count(*) FROM records").unwrap();
    let publish = async {
        for n in 1..50 {
            open.log.event("a", &n.to_string()).await;
        }
    };
    tokio::time::timeout(TIMEOUT, publish).await.expect("no publisher waits");
    drop(outside);
    // Four transactions of about 12 MiB each.
    open.fill(4_000, large).await;
    assert!(log_dir.wal_bytes() < 30 << 20, "then the write-ahead log restarts");
}

#[tokio::test]
async fn removed_records_are_purged_after_a_restart_too() {
    let mut log_dir = LogDir::new();
    log_dir.limits.slice_rows = 10;
    let open = log_dir.open();
    open.fill(1_000, |n| event("a", &n.to_string())).await;
    open.log.delete("a").await;
    drop(open);
    assert!(log_dir.count("records") > 1, "there is something left to do");
    let open = log_dir.open();
    assert_eq!(contents(&open.log.all("a").await), ["a deleted"]);
    open.settle().await;
    assert_eq!(log_dir.count("records"), 1);
}

#[tokio::test]
async fn large_records_are_purged_in_small_slices() {
    let mut log_dir = LogDir::new();
    log_dir.limits.slice_bytes = 1;
    let open = log_dir.open();
    open.fill(100, large).await;
    open.log.delete("big").await;
    let slices = open.settle().await;
    assert!(slices >= 80, "{slices} slices for 90 records");
    assert_eq!(log_dir.count("records"), 10 + 1);
}

#[tokio::test]
async fn a_long_trim_runs_in_steps_and_ends_at_the_right_offset() {
    let mut log_dir = LogDir::new();
    log_dir.limits.trim_rows = 7;
    let open = log_dir.open();
    open.fill(100, |n| event("a", &n.to_string())).await;
    open.storage.trim(vec![(name("a"), Offset::new(60))]).await.unwrap();
    let state = open.log.state("a").await;
    assert_eq!((state.events, state.removed_through), (40, Offset::new(60)));
    assert_eq!(state.bytes, 80);
    assert_eq!(open.log.all("a").await.len(), 40);
}

#[tokio::test]
async fn the_trim_point_of_a_long_topic_is_returned_in_parts() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(7_000, |n| event("a", &n.to_string())).await;
    let keep = TrimLimits { events: Some(1_000), ..TrimLimits::default() };
    let mut parts = 0;
    while let Some(through) = open.storage.trim_point(name("a"), keep).await.unwrap() {
        open.storage.trim(vec![(name("a"), through)]).await.unwrap();
        parts += 1;
    }
    assert!((2..=6).contains(&parts), "{parts} parts");
    let state = open.log.state("a").await;
    assert_eq!((state.events, state.removed_through), (1_000, Offset::new(6_000)));
}

#[tokio::test]
async fn many_topics_are_trimmed_and_purged_together() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(20_000, |n| event(&format!("t{}", n % 10_000), "1")).await;
    open.settle().await;
    let topics = (0..10_000).map(|n| (name(&format!("t{n}")), Offset::new(10_000)));
    open.storage.trim(topics.collect()).await.unwrap();
    let slices = open.settle().await;
    assert!(slices < 200, "{slices} slices for 10,000 records of as many topics");
    assert_eq!(log_dir.count("records"), 10_000);
    assert_eq!(open.log.state("t7").await.events, 1);
}

#[tokio::test]
async fn the_losses_of_forgotten_topics_are_known_after_a_restart() {
    let log_dir = LogDir::with(Limits { empty_topics: 2, ..Limits::default() });
    let open = log_dir.open();
    let mut ids = Vec::new();
    for topic in ["a", "b", "c", "d"] {
        ids.push(open.log.event(topic, "1").await);
    }
    for (topic, id) in ["a", "b", "c", "d"].into_iter().zip(&ids) {
        open.log.trim(topic, *id).await;
    }
    open.settle().await;
    assert_eq!(log_dir.count("topics"), 2);
    drop(open);
    let open = log_dir.open();
    for (topic, id) in ["a", "b", "c", "d"].into_iter().zip(&ids) {
        assert_eq!(open.log.state(topic).await.removed_through, id.offset, "{topic}");
    }
    assert_eq!(open.log.state("e").await.removed_through, Offset::ZERO);
    let gap = open.log.gap("a", Offset::ZERO).await.unwrap();
    assert_eq!(gap.topics, topic_names(&["a"]));
    assert!(open.log.gap("*", ids[1].offset.previous()).await.is_some());
    assert_eq!(open.log.gap("a", ids[1]).await, None, "no forgotten removal is after it");
    assert_eq!(
        open.log.gap_beyond("a", Offset::ZERO, gap.removals).await,
        None,
        "it is reported once"
    );
}

#[tokio::test]
async fn readers_of_a_forgotten_topic_that_is_used_again_get_a_gap() {
    let log_dir = LogDir::with(Limits { empty_topics: 0, ..Limits::default() });
    let open = log_dir.open();
    let old = open.log.event("a", "1").await;
    open.log.trim("a", old).await;
    open.settle().await;
    assert_eq!(log_dir.count("topics"), 0);
    open.log.event("a", "2").await;
    let gap = open.log.gap("a", Offset::ZERO).await.unwrap();
    assert_eq!(gap.topics, topic_names(&["a"]));
    assert_eq!(open.log.gap("a", old).await, None);
    open.settle().await;
    assert_eq!(
        contents(&open.log.all("a").await),
        ["a: 2"],
        "a topic that has records is not forgotten"
    );
}

#[tokio::test]
async fn a_forgotten_deletion_becomes_a_gap() {
    let log_dir = LogDir::with(Limits { empty_topics: 0, ..Limits::default() });
    let open = log_dir.open();
    open.log.event("a", "1").await;
    let reported = open.log.removals().await;
    let deletion = open.log.delete("a").await;
    open.settle().await;
    assert_eq!((log_dir.count("topics"), log_dir.count("records")), (0, 0));
    assert!(open.log.gap_beyond("a", Offset::ZERO, reported).await.is_some());
    assert_eq!(open.log.gap_beyond("a", deletion, reported).await, None, "it was read");
    assert_eq!(open.storage.delete(name("a"), at(0)).await.unwrap(), None);
}

#[tokio::test]
async fn failed_maintenance_is_retried_without_a_job() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(100, large).await;
    open.settle().await;
    let outside = log_dir.database();
    let stalled = open.storage.log.writes.run(move |writer| {
        writer.trim(vec![(name("big"), Offset::MAX)])?;
        writer.connection.busy_timeout(Duration::ZERO).unwrap();
        outside.execute_batch("BEGIN IMMEDIATE").unwrap();
        writer.maintain();
        writer.connection.busy_timeout(schema::BUSY).unwrap();
        Ok(!writer.has_maintenance() && !writer.is_settled())
    });
    assert_eq!(stalled.await, Ok(true), "it is not retried at once");
    let is_done = async {
        while log_dir.count("records") > 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, is_done).await.expect("it is retried later");
}

fn key(n: u64) -> Key {
    Key {
        scope: None,
        publisher: String::new(),
        name: n.to_string(),
        window: Duration::from_secs(60 + n),
        source: None,
        content: KeyContent::Whole([0; 16]),
    }
}

#[tokio::test]
async fn expired_keys_are_deleted() {
    let mut log_dir = LogDir::new();
    log_dir.limits.slice_rows = 2;
    let open = log_dir.open();
    for n in 0..9 {
        open.log.publish(event("a", "1").with_key(key(n))).await;
    }
    open.log.publish_at(event("a", "1"), at(64)).await;
    open.settle().await;
    assert_eq!(log_dir.count("keys"), 4, "those of the first 64 seconds are deleted");
    let outcome = open.log.publish_at(event("a", "1").with_key(key(8)), at(64)).await;
    assert!(matches!(outcome, Outcome::Repeat { .. }));
}
