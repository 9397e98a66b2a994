//! Damaged files: data on the disk is never trusted.

use std::time::Duration;

use super::{Limits, LogDir};
use crate::cursor::Offset;
use crate::hub::Hub;
use crate::retention::{Retention, TopicLimits};
use crate::storage::conformance::log::{at, contents, event, filters, name, request};
use crate::storage::sqlite::{RepairOptions, SqliteLog, SqliteStorage, schema};
use crate::storage::{Outcome, ReadRequest, Seek, Storage, StorageError, TopicsQuery};
use crate::{GapReason, HistoryRequest, Start, Subscribed};

/// A log of four records that was then changed with SQL.
async fn changed(sql: &str) -> LogDir {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    for n in 1..=3 {
        open.log.event("a", &n.to_string()).await;
    }
    open.log.event("b", "4").await;
    drop(open);
    log_dir.database().execute_batch(sql).unwrap();
    log_dir
}

/// Reads everything that a reader of `a` gets: contents, and `gap` for damage.
async fn read(log_dir: &LogDir, filters: &str) -> Vec<String> {
    let open = log_dir.open();
    let (mut after, mut got) = (Offset::ZERO, Vec::new());
    while after < open.tail() {
        let page = open.storage.read(request(filters, after)).await.unwrap();
        if let Some(damaged) = page.damaged {
            got.push(format!(
                "gap {:?}",
                damaged.topics.iter().map(crate::topic::TopicName::as_str).collect::<Vec<_>>()
            ));
        }
        got.extend(contents(&page.records));
        assert!(page.through > after);
        after = page.through;
    }
    assert!(open.log.storage.damaged() > 0 || !got.iter().any(|text| text.starts_with("gap")));
    got
}

#[tokio::test]
async fn a_record_that_has_changed_becomes_a_gap_for_its_readers_alone() {
    for change in [
        "kind = 1",
        "kind = 9",
        "time = time + 1",
        "type = 'x'",
        "type = 'a' || char(10) || 'b'",
        "event_id = '7'",
        "retry = 5",
        "publisher_id = 'x'",
        "attributes = x'00'",
        "id_check = id_check + 1",
        "data = 'other'",
        "data = CAST(x'ff' AS TEXT)",
        "sum = sum + 1",
    ] {
        let log_dir = changed(&format!("UPDATE records SET {change} WHERE offset = 2")).await;
        let expected = ["a: 1", "gap [\"a\"]", "a: 3"];
        assert_eq!(read(&log_dir, "a").await, expected, "{change}");
        assert_eq!(read(&log_dir, "b").await, ["b: 4"], "{change}");
    }
}

#[tokio::test]
async fn a_record_that_is_missing_becomes_a_gap() {
    let log_dir = changed("DELETE FROM records WHERE offset = 2").await;
    assert_eq!(read(&log_dir, "a").await, ["a: 1", "gap [\"a\"]", "a: 3"]);
    assert_eq!(read(&log_dir, "**").await, ["a: 1", "gap []", "a: 3", "b: 4"]);
}

#[tokio::test]
async fn an_index_entry_that_is_missing_becomes_a_gap() {
    for (offset, expected) in [
        (1, ["gap [\"a\"]", "a: 2", "a: 3"]),
        (2, ["a: 1", "gap [\"a\"]", "a: 3"]),
        (3, ["a: 1", "a: 2", "gap [\"a\"]"]),
    ] {
        let log_dir = changed(&format!("DELETE FROM topic_records WHERE offset = {offset}")).await;
        assert_eq!(read(&log_dir, "a").await, expected);
    }
}

#[tokio::test]
async fn an_index_entry_of_a_record_of_another_topic_becomes_a_gap() {
    let log_dir =
        changed("UPDATE topic_records SET offset = 4 WHERE topic = 1 AND offset = 3").await;
    assert_eq!(read(&log_dir, "a").await, ["a: 1", "a: 2", "gap [\"a\"]"]);
}

#[tokio::test]
async fn a_scan_reports_a_record_that_changed_its_topic_or_offset() {
    for change in ["topic = 2", "topic = 99", "time = 1", "head_sum = 1", "offset = 40"] {
        let log_dir = changed(&format!("UPDATE records SET {change} WHERE offset = 2")).await;
        assert_eq!(read(&log_dir, "**").await, ["a: 1", "gap []", "a: 3", "b: 4"], "{change}");
    }
}

#[tokio::test]
async fn a_damaged_topic_is_a_gap_for_its_readers_and_refuses_publishes() {
    let log_dir = changed("UPDATE topics SET removed_through = -5 WHERE name = 'a'").await;
    assert_eq!(read(&log_dir, "a b").await, ["gap []", "b: 4"]);
    let open = log_dir.open();
    let batch = vec![event("b", "5"), event("a", "refused"), event("c", "6")];
    let outcomes = open.log.append(batch).await;
    let Outcome::Damaged { reason } = &outcomes[1] else { panic!("{outcomes:?}") };
    assert!(reason.contains("the topic \"a\""), "{reason}");
    assert!(outcomes[0].is_stored() && outcomes[2].is_stored(), "others are not affected");
    assert_eq!(contents(&open.log.all("b c").await), ["b: 4", "b: 5", "c: 6"]);
}

#[tokio::test]
async fn damaged_topics_do_not_stop_the_size_limit_and_the_purge_of_the_others() {
    let mut log_dir = LogDir::with(Limits { bytes_max: Some(1 << 20), ..Limits::default() });
    let open = log_dir.open();
    for topic in ["a", "b", "c", "d"] {
        let id = open.log.event(topic, "1").await;
        if topic != "a" {
            open.log.trim(topic, id).await;
        }
    }
    open.settle().await;
    drop(open);
    // `a` has the oldest record and one to purge, and `b` is empty for longest.
    let damage = "UPDATE topics SET sweep_through = 1 WHERE name = 'a';
                  UPDATE topics SET last = last + 1 WHERE name = 'b';";
    log_dir.database().execute_batch(damage).unwrap();
    log_dir.limits.empty_topics = 1;
    let open = log_dir.open();
    open.fill(3_000, |n| event("loud", &format!("{n:0>1000}"))).await;
    open.settle().await;
    assert!(log_dir.count("records") < 1_000, "the oldest are trimmed and purged");
    assert_eq!(log_dir.count("topics WHERE name IN ('c', 'd')"), 0, "they are forgotten");
    assert!(open.log.storage.damaged() > 0);
}

#[tokio::test]
async fn a_damaged_topic_does_not_stop_the_limits_of_the_others() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    for topic in ["a", "a", "b", "b"] {
        open.log.event(topic, "1").await;
    }
    drop(open);
    log_dir.database().execute("UPDATE topics SET last = 9 WHERE name = 'a'", []).unwrap();
    let hub = Hub::new(SqliteStorage::open(log_dir.path()).unwrap());
    let one = TopicLimits { events: Some(1), ..TopicLimits::default() };
    let retention = Retention::new([("**".parse().unwrap(), one)]).unwrap();
    let trimmed = async {
        while hub.trimmed().events == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = hub.enforce_retention(retention) => {}
        () = trimmed => {}
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("nothing is trimmed"),
    }
    assert_eq!(
        hub.topics(TopicsQuery { limit: 9, ..TopicsQuery::default() }).await.unwrap().len(),
        1
    );
    hub.close().await;
}

#[tokio::test]
async fn a_damaged_topic_with_removals_is_a_gap_once_and_does_not_stop_its_readers() {
    for readers in ["**", "a b", "b *"] {
        let log_dir = LogDir::new();
        let open = log_dir.open();
        for topic in ["a", "a", "b"] {
            open.log.event(topic, "1").await;
        }
        open.log.trim("a", open.log.all("a").await[0].cursor()).await;
        drop(open);
        log_dir.database().execute("UPDATE topics SET events = 7 WHERE name = 'a'", []).unwrap();
        let open = log_dir.open();
        let page = open.storage.read(request(readers, Offset::ZERO)).await.unwrap();
        assert!(page.damaged.is_some(), "{readers}");
        // A page ends before the damaged record, or has the records after it.
        let known =
            ReadRequest { losses_reported: page.removals, ..request(readers, page.through) };
        let rest = open.storage.read(known).await.unwrap();
        assert_eq!(rest.damaged, None, "{readers}: it was reported");
        assert_eq!(contents(&[page.records, rest.records].concat()), ["b: 1"], "{readers}");
        assert_eq!(open.log.storage.states(vec![name("a"), name("b")]).await.unwrap()[1].events, 1);
    }
}

#[tokio::test]
async fn a_damaged_record_at_the_position_of_a_reader_does_not_stop_it() {
    let log_dir = changed("UPDATE records SET data = 'other' WHERE offset = 2").await;
    let open = log_dir.open();
    assert_eq!(open.storage.fetch(vec![Offset::new(2), Offset::new(3)]).await.unwrap().len(), 1);
    assert_eq!(contents(&open.log.after("a", Offset::new(2)).await), ["a: 3"]);
}

#[tokio::test]
async fn a_damaged_newest_event_of_a_topic_is_a_gap() {
    let log_dir = changed("UPDATE records SET data = 'other' WHERE offset = 3").await;
    let hub = Hub::new(SqliteStorage::open(log_dir.path()).unwrap());
    for (readers, expected) in [("a b", &["b: 4"][..]), ("a", &[])] {
        let (filters, start) = ((*filters(readers)).clone(), Start::LastEach(1));
        let Subscribed::Open(mut reader) =
            hub.subscribe(filters.clone(), start.clone()).await.unwrap()
        else {
            panic!("finished")
        };
        let batch = reader.next().await.unwrap().unwrap();
        assert_eq!(contents(&batch.records), expected, "{readers}");
        let page =
            hub.history(HistoryRequest { filters, start, before: None, limit: 9 }).await.unwrap();
        assert_eq!(contents(&page.events), expected, "{readers}");
        for gap in [batch.gap.unwrap(), page.gap.unwrap()] {
            assert_eq!((gap.reason, gap.topics), (GapReason::Damaged, vec!["a".to_owned()]));
        }
    }
    hub.close().await;
}

#[tokio::test]
async fn each_damaged_record_is_counted_once() {
    let log_dir = changed("UPDATE records SET data = 'other' WHERE offset IN (2, 4)").await;
    let open = log_dir.open();
    for _ in 0..3 {
        for topic in ["a", "b"] {
            open.storage.read(request(topic, Offset::ZERO)).await.unwrap();
        }
    }
    // The page of `a` ends before its damaged record.
    open.storage.read(request("a", Offset::new(1))).await.unwrap();
    assert_eq!(open.log.storage.damaged(), 2);
}

#[tokio::test]
async fn a_log_without_the_row_of_log_is_not_opened() {
    let log_dir = changed("DELETE FROM log").await;
    let error = log_dir.refused().to_string();
    assert!(error.contains("the row of the table `log` cannot be read"), "{error}");
}

/// Any byte of the file may be wrong. Every call must return a result or an error, and no thread may panic.
#[tokio::test]
async fn a_file_with_wrong_bytes_gives_errors_and_never_a_panic() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(500, |n| event(&format!("t{}", n % 7), &"x".repeat(n))).await;
    open.log.delete("t1").await;
    drop(open);
    let whole = std::fs::read(log_dir.path().join(schema::FILE)).unwrap();
    let mut random = fastrand::Rng::with_seed(20_261_121);
    for _ in 0..40 {
        let copy = LogDir::new();
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..200) {
            let at = random.usize(100..bytes.len());
            bytes[at] = random.u8(..);
        }
        std::fs::write(copy.path().join(schema::FILE), bytes).unwrap();
        let Ok(storage) = SqliteStorage::open(copy.path()) else { continue };
        run_every_query(&storage).await;
    }
}

async fn run_every_query(storage: &SqliteStorage) {
    let mut after = Offset::ZERO;
    for _ in 0..100 {
        let Some(page) = unless_worker_died(storage.read(request("t0 t1 t3 **", after)).await)
        else {
            break;
        };
        after = page.through;
    }
    for seek in [Seek::Since(at(1)), Seek::Newest { count: 600, before: Offset::MAX }] {
        unless_worker_died(storage.seek(filters("t2 **"), seek).await);
    }
    let topics = (0..7).map(|n| name(&format!("t{n}"))).collect();
    unless_worker_died(storage.states(topics).await);
    unless_worker_died(storage.topics(TopicsQuery { limit: 10, ..TopicsQuery::default() }).await);
    unless_worker_died(storage.newest_each(filters("**"), 3, Offset::MAX, 100).await);
    unless_worker_died(storage.trim(vec![(name("t2"), Offset::new(300))]).await);
    unless_worker_died(storage.delete(name("t3"), at(0)).await);
    unless_worker_died(storage.append(vec![event("t4", "new")], at(0)).await);
}

fn unless_worker_died<T>(answer: Result<T, StorageError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            assert!(!error.to_string().contains("ended unexpectedly"), "a thread panicked");
            None
        }
    }
}

#[tokio::test]
async fn a_repair_keeps_what_is_known_of_forgotten_topics() {
    let log_dir = changed(
        "UPDATE log SET floor = 1, floor_removals = 1, removals = 1;
         INSERT INTO forgotten (prefix, removed_through, removals, sum) VALUES ('z', 1, 1, 0);",
    )
    .await;
    log_dir.seal();
    let sum = crate::storage::sqlite::tables::forgotten::SEALED;
    crate::storage::sqlite::tables::sum::seal(&log_dir.database(), sum, "true").unwrap();
    log_dir.database().execute("UPDATE records SET data = 'other' WHERE offset = 2", []).unwrap();
    let options = RepairOptions { accept_loss: true, ..RepairOptions::default() };
    let repaired = SqliteLog::repair(log_dir.path(), &options, &mut |_| {}).unwrap();
    assert_eq!((repaired.records, repaired.lost, repaired.lost_rows), (3, 1, 0));
    assert_eq!(log_dir.count("forgotten"), 1);
    assert_eq!(read(&log_dir, "a").await, ["a: 1", "gap [\"a\"]", "a: 3"]);
}

#[tokio::test]
async fn a_repair_that_would_lose_a_record_changes_nothing_without_consent() {
    let log_dir = changed("UPDATE records SET data = 'other' WHERE offset = 2").await;
    let before = std::fs::read(log_dir.path().join(schema::FILE)).unwrap();
    let refused =
        SqliteLog::repair(log_dir.path(), &RepairOptions::default(), &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("--accept-loss"), "{refused}");
    assert!(std::fs::read(log_dir.path().join(schema::FILE)).unwrap() == before);
}
