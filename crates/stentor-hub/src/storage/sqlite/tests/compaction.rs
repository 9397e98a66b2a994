//! Compaction: the records that are left take no more space than necessary.

use std::sync::Arc;

use stentor_sse::{Event, EventId, EventType};

use super::tools::findings;
use super::{LogDir, Open};
use crate::cursor::Offset;
use crate::publish::Publish;
use crate::record::{Attributes, Record};
use crate::storage::Storage;
use crate::storage::conformance::log::{at, contents, event, name};
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::write::compaction::Compaction;
use crate::storage::sqlite::write::writer::Writer;

/// A small event in one of ten topics, in turn.
fn small(n: usize) -> Publish {
    event(&format!("t{}", n % 10), &format!("{n:0>100}"))
}

/// An event of one of many kinds, some of them large.
fn mixed(n: usize) -> Publish {
    let data = "x".repeat(if n.is_multiple_of(1_000) { 9_000 } else { n * 7 % 400 });
    let mut own = Event::new(data);
    if n.is_multiple_of(3) {
        own = own.with_type(EventType::new("tick").unwrap()).with_id(EventId::new("7").unwrap());
    }
    let mut publish = Publish::event(name(&format!("t{}", n % 10)), own);
    publish.entries[0].attributes =
        Attributes { publisher_id: n.is_multiple_of(2).then(|| format!("own-{n}")) };
    publish
}

impl LogDir {
    /// Number of pages in use.
    fn used_pages(&self) -> f64 {
        let number = |sql| self.database().query_row(sql, [], |row| row.get::<_, f64>(0)).unwrap();
        number("PRAGMA page_count") - number("PRAGMA freelist_count")
    }
}

/// Creates a log with events of ten topics in turn, and trims nine of the topics one after the other. Compaction is
/// off until the limits of the log are changed.
async fn sparse(events: usize, make: impl Fn(usize) -> Publish) -> LogDir {
    let log_dir = LogDir::with(Limits { compaction_bytes: u64::MAX, ..Limits::default() });
    let open = log_dir.open();
    open.fill(events, make).await;
    for topic in 1..10 {
        open.storage.trim(vec![(name(&format!("t{topic}")), Offset::MAX)]).await.unwrap();
        open.settle().await;
    }
    log_dir
}

/// Starts a pass, as if much was purged.
fn begin(writer: &mut Writer) {
    writer.limits = Limits::default();
    writer.compaction = Compaction::default();
    writer.compaction.purged(u64::MAX);
    writer.start_compaction_if_due().unwrap();
    assert!(writer.is_compacting());
}

impl Open {
    async fn begin(&self) {
        let begun = self.storage.log.writes.run(|writer| {
            begin(writer);
            Ok(())
        });
        begun.await.unwrap();
    }

    /// Runs a pass over the whole log. Returns the number of runs it tried, and the number of those it rewrote.
    async fn pass(&self, log_dir: &LogDir) -> (usize, usize) {
        let outside = log_dir.database();
        let version = move || {
            outside.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let passed = self.storage.log.writes.run(move |writer| {
            begin(writer);
            let (mut places, mut written) = (0, 0);
            let mut before = version();
            while writer.compact().unwrap() {
                let after = version();
                places += 1;
                written += usize::from(before != after);
                before = after;
            }
            Ok((places, written))
        });
        passed.await.unwrap()
    }
}

#[tokio::test]
async fn records_between_trimmed_ones_take_no_more_than_in_a_fresh_log() {
    for make in [small, mixed] {
        let (log_dir, fresh) = (sparse(20_000, make).await, LogDir::new());
        let alone = fresh.open();
        alone.fill(2_000, |n| make(n * 10)).await;
        let needed = fresh.used_pages();
        let sparse = log_dir.used_pages();
        assert!(sparse > 1.3 * needed, "{sparse} pages before for what takes {needed}");
        let open = log_dir.open();
        open.begin().await;
        open.settle().await;
        let used = log_dir.used_pages();
        assert!(used <= 1.2 * needed, "{used} pages for what takes {needed}");
    }
}

#[tokio::test]
async fn topics_that_are_trimmed_together_leave_no_unused_space() {
    let (log_dir, fresh) = (LogDir::new(), LogDir::new());
    let open = log_dir.open();
    open.fill(20_000, small).await;
    let topics = (1..10).map(|n| (name(&format!("t{n}")), Offset::MAX));
    open.storage.trim(topics.collect()).await.unwrap();
    open.settle().await;
    fresh.open().fill(2_000, |n| small(n * 10)).await;
    let (used, needed) = (log_dir.used_pages(), fresh.used_pages());
    assert!(used <= 1.3 * needed, "{used} pages for what takes {needed}");
}

#[tokio::test]
async fn compacted_records_are_unchanged() {
    let log_dir = sparse(3_000, mixed).await;
    let open = log_dir.open();
    let before = open.log.all("**").await;
    assert_eq!(before.len(), 300);
    assert!(open.pass(&log_dir).await.1 > 0, "some runs were rewritten");
    let all = |records: &[Arc<Record>]| format!("{records:?}");
    assert_eq!(all(&open.log.all("**").await), all(&before));
    drop(open);
    assert_eq!(findings(log_dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_log_that_loses_its_oldest_records_is_tried_in_a_few_places_and_not_rewritten() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    for round in 1..=3 {
        open.fill(20_000, |n| event("t", &format!("{n:0>200}"))).await;
        let through = Offset::new(open.tail().get() - 20_000);
        open.storage.trim(vec![(name("t"), through)]).await.unwrap();
        open.settle().await;
        let (places, written) = open.pass(&log_dir).await;
        assert!(places < 40, "{places} of 80 runs in round {round}");
        assert_eq!(written, 0, "in round {round}");
    }
}

#[tokio::test]
async fn a_compacted_log_is_not_rewritten_again() {
    let log_dir = sparse(20_000, small).await;
    let open = log_dir.open();
    let first = open.pass(&log_dir).await;
    assert!(first.1 >= 3, "{first:?}");
    assert_eq!(open.pass(&log_dir).await.1, 0);
}

#[tokio::test]
async fn large_records_are_not_rewritten() {
    let log_dir = sparse(1_000, |n| event(&format!("t{}", n % 10), &"x".repeat(10_000))).await;
    let open = log_dir.open();
    assert_eq!(open.pass(&log_dir).await.1, 0);
}

#[tokio::test]
async fn a_log_that_was_just_opened_is_not_scanned() {
    let mut log_dir = sparse(20_000, small).await;
    let sparse = log_dir.used_pages();
    log_dir.limits = Limits::default();
    log_dir.open().settle().await;
    assert!(log_dir.used_pages() >= sparse);
}

#[tokio::test]
async fn a_pass_starts_when_much_was_purged() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(20_000, small).await;
    open.settle().await;
    let mut begun = Vec::new();
    for topic in 1..10 {
        open.storage.trim(vec![(name(&format!("t{topic}")), Offset::MAX)]).await.unwrap();
        let begins = open.storage.log.writes.run(|writer| {
            while writer.has_maintenance() && !writer.is_compacting() {
                writer.maintain();
            }
            Ok(writer.is_compacting())
        });
        begun.push(begins.await.unwrap());
    }
    assert_eq!(begun.first(), Some(&false), "a tenth is little");
    assert_eq!(begun.last(), Some(&true));
}

#[tokio::test]
async fn events_are_appended_and_read_during_a_pass() {
    let log_dir = sparse(20_000, small).await;
    let open = log_dir.open();
    let before = contents(&open.log.all("t0").await);
    let sparse = log_dir.used_pages();
    let begun = open.storage.log.writes.run(|writer| {
        begin(writer);
        Ok(())
    });
    begun.await.unwrap();
    for n in 0..60 {
        open.log.event("new", &n.to_string()).await;
        assert_eq!(contents(&open.log.all("t0").await), before);
    }
    open.settle().await;
    assert_eq!(open.log.all("new").await.len(), 60);
    let dense = log_dir.used_pages();
    assert!(dense < 0.8 * sparse, "{sparse} pages became {dense}");
}

#[tokio::test]
async fn a_log_that_was_killed_during_a_pass_is_sound_and_compacted_by_the_next_pass() {
    let log_dir = sparse(20_000, small).await;
    let open = log_dir.open();
    let before = contents(&open.log.all("**").await);
    let killed = open.storage.log.writes.run(move |writer| {
        begin(writer);
        assert!(writer.compact().unwrap() && writer.is_compacting(), "there is more to do");
        Ok(log_dir.copy())
    });
    let killed = killed.await.unwrap();
    assert_eq!(findings(killed.path()), Vec::<String>::new());
    let sparse = killed.used_pages();
    let open = killed.open();
    assert_eq!(contents(&open.log.all("**").await), before);
    open.begin().await;
    open.settle().await;
    let dense = killed.used_pages();
    assert!(dense < 0.9 * sparse, "{sparse} pages became {dense}");
}

#[tokio::test]
async fn there_is_no_compaction_on_a_full_disk() {
    let log_dir = sparse(20_000, small).await;
    let open = log_dir.open();
    let maintained = open.storage.log.writes.run(|writer| {
        begin(writer);
        writer.ballast.release();
        while writer.has_maintenance() {
            assert!(!writer.is_compacting());
            writer.maintain();
        }
        Ok(())
    });
    maintained.await.unwrap();
    let sparse = log_dir.used_pages();
    open.log.publish_at(event("new", "1"), at(2)).await;
    open.settle().await;
    let dense = log_dir.used_pages();
    assert!(dense < 0.8 * sparse, "{sparse} pages became {dense} when there was space again");
}
