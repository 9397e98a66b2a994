//! The files of an open log: the lock on them, and files that are deleted or replaced.

use std::fs;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::{LogDir, Open, large, schema};
use crate::storage::conformance::log::{appended, at, event};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::{SqliteLog, SqliteOpenError};
use crate::storage::{Storage, StorageError};

/// Longer than the interval of the checks. A test that waits this long has failed.
const HANG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_log_stays_locked_when_its_lock_file_is_deleted() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.event("a", "1").await;
    fs::remove_file(log_dir.path().join("lock")).unwrap();
    for _ in 0..2 {
        let error = log_dir.refused();
        assert!(matches!(error, SqliteOpenError::Locked { .. }), "{error}");
    }
    assert!(SqliteLog::open(log_dir.path()).unwrap().info().unwrap().in_use);
    open.log.event("a", "2").await;
    open.storage.close().await;
    assert_eq!(log_dir.open().log.all("a").await.len(), 2);
}

/// The locks that this process has on the database, as the system lists them.
#[cfg(target_os = "linux")]
fn locks(log_dir: &LogDir) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;

    let inode = fs::metadata(log_dir.path().join(schema::FILE)).unwrap().ino();
    let list = fs::read_to_string("/proc/locks").unwrap_or_default();
    let of_file = list.lines().filter(|line| line.contains(&format!(":{inode} ")));
    // Without the number of the line.
    let mut locks: Vec<String> =
        of_file.filter_map(|line| line.split_once(": ")).map(|(_, lock)| lock.to_owned()).collect();
    locks.sort();
    locks
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn reading_a_log_in_the_process_that_writes_it_drops_no_lock() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.event("a", "1").await;
    let before = locks(&log_dir);
    assert!(!before.is_empty(), "the system lists the locks");
    drop(SqliteLog::open(log_dir.path()).unwrap());
    log_dir.refused();
    assert_eq!(locks(&log_dir), before);
}

impl Open {
    /// Makes the next check of the files due, and appends.
    async fn append_after_a_second(&self) -> Result<(), StorageError> {
        let due = self.storage.log.writes.run(|writer| {
            writer.files.forget_check();
            Ok(())
        });
        due.await?;
        self.storage.append(vec![event("a", "2")], at(0)).await.map(drop)
    }
}

#[tokio::test]
async fn a_log_whose_files_are_deleted_or_replaced_fails() {
    let delete_all = |log_dir: &LogDir| fs::remove_dir_all(log_dir.path()).unwrap();
    let move_away = |log_dir: &LogDir| {
        fs::rename(log_dir.path(), log_dir.path().with_extension("moved")).unwrap();
    };
    let delete_database = |log_dir: &LogDir| {
        fs::remove_file(log_dir.path().join(schema::FILE)).unwrap();
    };
    let delete_wal = |log_dir: &LogDir| {
        fs::remove_file(log_dir.path().join(schema::WAL_FILE)).unwrap();
    };
    let replace = |log_dir: &LogDir| {
        let (path, copy) = (log_dir.path().join(schema::FILE), log_dir.path().join("copy"));
        fs::copy(&path, &copy).unwrap();
        fs::rename(copy, path).unwrap();
    };
    let changes: [&dyn Fn(&LogDir); 5] =
        [&delete_all, &move_away, &delete_database, &delete_wal, &replace];
    for (number, change) in changes.into_iter().enumerate() {
        let log_dir = LogDir::new();
        let open = log_dir.open();
        open.log.event("a", "1").await;
        change(&log_dir);
        let refused = open.append_after_a_second().await;
        let Err(StorageError::Failed { reason }) = refused else { panic!("{number}: {refused:?}") };
        assert!(reason.contains("deleted or replaced"), "{reason}");
        timeout(HANG, open.storage.failed()).await.unwrap();
        let _ = fs::remove_dir_all(log_dir.path().with_extension("moved"));
    }
}

#[tokio::test]
async fn a_deleted_directory_fails_an_idle_log() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.event("a", "1").await;
    open.settle().await;
    fs::remove_dir_all(log_dir.path()).unwrap();
    let reason = timeout(HANG, open.storage.failed()).await.unwrap().to_string();
    assert!(reason.contains("deleted or replaced"), "{reason}");
}

#[tokio::test]
async fn an_append_needs_no_new_file_descriptor() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.event("a", "1").await;
    // The ballast cannot be opened any more, as without a free descriptor.
    let ballast = log_dir.path().join("ballast");
    fs::rename(&ballast, log_dir.path().join("moved")).unwrap();
    fs::create_dir(&ballast).unwrap();
    appended(&open.log.append((0..1_000).map(large).collect()).await[0]);
    open.log.delete("big").await;
    open.settle().await;
    appended(&open.log.append((0..1_000).map(large).collect()).await[0]);
}

#[test]
fn a_missing_descriptor_is_not_a_full_disk() {
    const EMFILE: i32 = 24;
    const ENOSPC: i32 = 28;
    let error = |code| StorageError::from(DbError::no_ballast(&io::Error::from_raw_os_error(code)));
    assert_eq!(error(ENOSPC), StorageError::Full);
    let text = error(EMFILE).to_string();
    assert!(matches!(error(EMFILE), StorageError::Unavailable { .. }), "{text}");
    assert!(text.contains("free file descriptor"), "{text}");
}
