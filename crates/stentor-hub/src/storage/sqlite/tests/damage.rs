//! Damaged files: data on the disk is never trusted.

use super::LogDir;
use crate::cursor::Offset;
use crate::storage::conformance::log::{at, contents, event, filters, name, request};
use crate::storage::sqlite::{SqliteStorage, schema};
use crate::storage::{Seek, Storage, StorageError, TopicsQuery};

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

async fn failed(log_dir: &LogDir, words: &str) {
    let open = log_dir.open();
    let read = open.storage.read(request("a", Offset::ZERO)).await;
    let Err(StorageError::Failed { reason }) = &read else { panic!("{read:?}") };
    assert!(reason.contains(words), "{reason}");
    let append = open.storage.append(vec![event("c", "1")], at(0)).await;
    assert!(matches!(append, Err(StorageError::Failed { .. })), "nothing more is written");
    assert_eq!(contents(&open.log.all("b").await), ["b: 4"], "sound records are still readable");
}

#[tokio::test]
async fn a_record_of_an_unknown_kind_is_a_failure_that_names_it() {
    let log_dir = changed("UPDATE records SET kind = 9 WHERE offset = 2").await;
    failed(&log_dir, "the record at offset 2 cannot be read").await;
}

#[tokio::test]
async fn a_type_that_cannot_be_published_is_a_failure() {
    let log_dir =
        changed("UPDATE records SET type = 'a' || char(10) || 'b' WHERE offset = 2").await;
    failed(&log_dir, "the record at offset 2 cannot be read").await;
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_a_failure() {
    let log_dir = changed("UPDATE records SET data = CAST(x'ff' AS TEXT) WHERE offset = 2").await;
    failed(&log_dir, "the record at offset 2 cannot be read").await;
}

#[tokio::test]
async fn a_record_that_is_only_in_the_index_is_a_failure() {
    let log_dir = changed("DELETE FROM records WHERE offset = 2").await;
    failed(&log_dir, "the record at offset 2 is missing").await;
}

#[tokio::test]
async fn a_negative_offset_is_a_failure() {
    let log_dir = changed("UPDATE topics SET removed_through = -5 WHERE name = 'a'").await;
    failed(&log_dir, "the topic \"a\" cannot be read").await;
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
