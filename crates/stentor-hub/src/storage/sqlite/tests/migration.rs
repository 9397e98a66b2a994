//! The migration of a log of an older format.

use super::LogDir;
use super::tools::findings;
use crate::storage::sqlite::{SqliteLog, SqliteOpenError, SqliteOptions, SqliteStorage, schema};

/// A log of format version 1 with one event.
fn old_log() -> LogDir {
    let log_dir = LogDir::new();
    schema::create_first_version(log_dir.path()).unwrap();
    log_dir
        .database()
        .execute_batch(
            "INSERT INTO topics VALUES (1, 'a', 1, 3, 1, NULL, NULL, 0, 0, 0, 0, NULL);
             INSERT INTO records (offset, topic, kind, time, data) VALUES (1, 1, 0, 5, 'one');
             INSERT INTO topic_records VALUES (1, 1, 0, 3);
             UPDATE log SET tail = 1, time = 5, reserved_through = 100;",
        )
        .unwrap();
    log_dir
}

#[test]
fn a_log_of_an_older_format_is_backed_up_before_its_migration() {
    let log_dir = old_log();
    drop(SqliteStorage::open(log_dir.path()).unwrap());
    let copy = log_dir.path().join("before-v3");
    let info = SqliteLog::open(&copy).unwrap().info().unwrap();
    assert_eq!((info.format, info.events), (1, 1));
    assert_eq!(findings(&copy), Vec::<String>::new());
    let info = SqliteLog::open(log_dir.path()).unwrap().info().unwrap();
    assert_eq!((info.format, info.events), (3, 1));
    assert_eq!(findings(log_dir.path()), Vec::<String>::new());
}

#[test]
fn the_backup_can_be_skipped() {
    let log_dir = old_log();
    let options = SqliteOptions { migration_backup: false, ..SqliteOptions::default() };
    drop(SqliteStorage::open_with(log_dir.path(), options).unwrap());
    assert!(!log_dir.path().join("before-v3").exists());
}

#[test]
fn a_log_that_is_damaged_is_not_migrated_without_being_asked() {
    let log_dir = old_log();
    log_dir.database().execute("DELETE FROM records", []).unwrap();
    let refused = SqliteStorage::open(log_dir.path()).err().unwrap();
    assert!(matches!(refused, SqliteOpenError::MigrationBackup { found: 1, .. }), "{refused}");
    assert!(refused.to_string().contains("--no-backup"), "{refused}");
    assert_eq!(SqliteLog::open(log_dir.path()).unwrap().info().unwrap().format, 1);
}
