//! `SqliteLog::backup`.

use std::path::PathBuf;

use super::findings;
use crate::cursor::Offset;
use crate::hub::Hub;
use crate::storage::conformance::log::{Log, contents, event};
use crate::storage::sqlite::tests::{LogDir, Open, filler};
use crate::storage::sqlite::{SqliteLog, SqliteStorage, ToolError, schema};
use crate::{Filters, GapReason, Start, StartPosition, Subscribed};

fn copy_of(log_dir: &LogDir) -> (LogDir, PathBuf) {
    let parent = LogDir::new();
    let dir = parent.path().join("copy");
    SqliteLog::open(log_dir.path()).unwrap().backup(&dir).unwrap();
    (parent, dir)
}

fn log_in(dir: &std::path::Path) -> Log {
    Log::of(std::sync::Arc::new(SqliteStorage::open(dir).unwrap()))
}

async fn filled() -> (LogDir, Open) {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(500, filler).await;
    open.log.end("loud/7").await;
    open.log.delete("loud/8").await;
    (log_dir, open)
}

#[tokio::test]
async fn a_copy_has_all_records_and_continues_after_the_reservation() {
    let (log_dir, open) = filled().await;
    let (_parent, dir) = copy_of(&log_dir);
    assert_eq!(findings(&dir), Vec::<String>::new());
    let tail = open.tail();
    open.log.event("loud/1", "after the backup").await;
    let copy = log_in(&dir);
    assert_eq!(copy.storage.epoch(), open.storage.log.state.epoch);
    assert_eq!(copy.all("**").await, open.log.between("**", Offset::ZERO, tail).await);
    let next = copy.event("loud/1", "of the copy").await.offset;
    assert!(next > Offset::new(tail.get() + log_dir.limits.reserve / 2), "{next}");
}

#[tokio::test]
async fn a_copy_of_a_closed_log_counts_as_not_closed_too() {
    let (log_dir, open) = filled().await;
    drop(open);
    let (_parent, dir) = copy_of(&log_dir);
    assert!(!SqliteLog::open(&dir).unwrap().info().unwrap().clean);
    assert!(
        SqliteLog::open(log_dir.path()).unwrap().info().unwrap().clean,
        "the original is unchanged"
    );
}

/// The start position of a reader that resumes from the copy with an id of the original.
async fn opening(hub: &Hub, id: impl ToString) -> StartPosition {
    let filters = Filters::topic("a".parse().unwrap());
    match hub.subscribe(filters, Start::Cursor(id.to_string())).await.unwrap() {
        Subscribed::Open(mut reader) => reader.start_position().await.unwrap(),
        Subscribed::Finished => panic!("nothing has ended"),
    }
}

#[tokio::test]
async fn a_reader_that_has_read_more_than_the_copy_has_gets_a_gap() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let both = open.log.event("a", "in both").await;
    let (_parent, dir) = copy_of(&log_dir);
    let lost = open.log.event("a", "in the original only").await;
    let hub = Hub::new(SqliteStorage::open(&dir).unwrap());
    assert!(matches!(opening(&hub, both).await, StartPosition::At(_)));
    let StartPosition::Gap(gap) = opening(&hub, lost).await else { panic!("no gap") };
    assert_eq!(gap.reason, GapReason::Future);
    hub.close().await;
}

#[tokio::test]
async fn an_id_that_both_logs_assigned_to_different_events_is_detected() {
    let mut log_dir = LogDir::new();
    log_dir.limits.reserve = 4;
    let open = log_dir.open();
    open.log.event("a", "in both").await;
    let (_parent, dir) = copy_of(&log_dir);
    let storage = SqliteStorage::open_with_limits(&dir, log_dir.limits).unwrap();
    // Both continue until they have assigned the same offset to different events.
    let copy = Log::of(std::sync::Arc::new(storage));
    let ours = copy.event("a", "of the copy").await;
    let other = loop {
        let other = open.log.event("a", "of the original").await;
        if other.offset == ours.offset {
            break other;
        }
    };
    assert_ne!(ours, other);
    copy.storage.close().await;
    let hub = Hub::new(SqliteStorage::open_with_limits(&dir, log_dir.limits).unwrap());
    assert!(matches!(opening(&hub, ours).await, StartPosition::At(_)));
    assert!(matches!(opening(&hub, other).await, StartPosition::Gap(_)));
    hub.close().await;
}

#[tokio::test]
async fn a_directory_that_is_not_empty_is_left_as_it_is() {
    let (log_dir, _open) = filled().await;
    let log = SqliteLog::open(log_dir.path()).unwrap();
    let other = LogDir::new();
    std::fs::write(other.path().join("letter"), "dear").unwrap();
    let error = log.backup(other.path()).unwrap_err();
    assert!(matches!(error, ToolError::Occupied { .. }), "{error}");
    let names: Vec<_> =
        std::fs::read_dir(other.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["letter"]);
    let error = log.backup(log_dir.path()).unwrap_err();
    assert!(matches!(error, ToolError::Exists { .. }), "{error}");
}

#[tokio::test]
async fn the_files_of_a_killed_backup_are_not_a_log_and_the_next_backup_removes_them() {
    let (log_dir, _open) = filled().await;
    let (parent, dir) = copy_of(&log_dir);
    let halved = parent.path().join("halved");
    std::fs::create_dir_all(halved.join("unfinished")).unwrap();
    std::fs::write(halved.join("lock"), "1\n").unwrap();
    std::fs::copy(dir.join(schema::FILE), halved.join("unfinished").join(schema::FILE)).unwrap();
    assert!(matches!(SqliteLog::open(&halved), Err(ToolError::Missing { .. })));
    SqliteLog::open(log_dir.path()).unwrap().backup(&halved).unwrap();
    assert!(!halved.join("unfinished").exists());
    assert_eq!(findings(&halved), Vec::<String>::new());
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing_behind() {
    let (log_dir, open) = filled().await;
    drop(open);
    // Overwrite the root page of the table `records`.
    let database = log_dir.database();
    let page: i64 = database
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'records'", [], |row| {
            row.get(0)
        })
        .unwrap();
    drop(database);
    let file = log_dir.path().join(schema::FILE);
    let mut bytes = std::fs::read(&file).unwrap();
    let start = usize::try_from(page - 1).unwrap() * 4096;
    bytes[start..start + 4096].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let parent = LogDir::new();
    let dir = parent.path().join("copy");
    assert!(SqliteLog::open(log_dir.path()).unwrap().backup(&dir).is_err());
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_directory_that_is_in_use_gets_no_backup() {
    let (log_dir, _open) = filled().await;
    let parent = LogDir::new();
    let lock = crate::storage::sqlite::lock::Lock::take(parent.path()).unwrap();
    let error = SqliteLog::open(log_dir.path()).unwrap().backup(parent.path()).unwrap_err();
    assert!(error.to_string().contains("in use by process"), "{error}");
    drop(lock);
    SqliteLog::open(log_dir.path()).unwrap().backup(parent.path()).unwrap();
    let copy = log_in(parent.path());
    assert_eq!(contents(&copy.all("loud/9").await).len(), 10);
    copy.append(vec![event("a", "it is a log")]).await;
}
