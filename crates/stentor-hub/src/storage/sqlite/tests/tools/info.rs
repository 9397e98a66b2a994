//! `SqliteLog::info`.

use crate::cursor::{Cursor, Epoch, Offset};
use crate::key::{Key, KeyContent};
use crate::storage::conformance::log::{at, event, name};
use crate::storage::sqlite::tests::LogDir;
use crate::storage::sqlite::{SqliteLog, SqliteOpenError, ToolError, schema};

fn info_of(log_dir: &LogDir) -> crate::storage::sqlite::LogInfo {
    SqliteLog::open(log_dir.path()).unwrap().info().unwrap()
}

fn refused(log_dir: &LogDir) -> ToolError {
    SqliteLog::open(log_dir.path()).unwrap_err()
}

#[tokio::test]
async fn a_log_in_use_is_described() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let key = Key {
        scope: Some(name("a")),
        publisher: String::new(),
        name: "k".to_owned(),
        window: std::time::Duration::from_mins(1),
        source: None,
        content: KeyContent::Whole([7; 16]),
    };
    open.log.publish_at(event("a", "123").with_key(key), at(1)).await;
    let second = open.log.event("a", "45").await;
    open.log.publish_at(event("b", "6"), at(9)).await;
    open.log.end("b").await;
    open.log.event("c", "7").await;
    open.log.delete("c").await;
    open.log.trim("a", second).await;
    open.log.event("a", "89").await;
    let info = info_of(&log_dir);
    assert_eq!((info.in_use, info.process), (true, Some(std::process::id())));
    assert_eq!(info.epoch, open.storage.log.state.epoch);
    assert_eq!(info.tail, Cursor::position(info.epoch, open.tail()));
    assert_eq!((info.records, info.events, info.event_bytes), (4, 2, 3));
    assert_eq!((info.topics, info.ended_topics, info.keys), (2, 1, 1));
    assert_eq!((info.oldest, info.newest), (Some(at(9)), Some(at(9))));
    assert!(info.database_bytes > 0 && info.wal_bytes > 0, "{info:?}");
    assert!(!info.clean);
    drop(open);
    let info = info_of(&log_dir);
    assert_eq!((info.in_use, info.process, info.clean), (false, None, true));
    assert_eq!((info.records, info.wal_bytes), (4, 0));
}

#[tokio::test]
async fn reading_does_not_change_the_file() {
    let log_dir = LogDir::new();
    drop(log_dir.open());
    let file = log_dir.path().join(schema::FILE);
    let before = std::fs::read(&file).unwrap();
    info_of(&log_dir);
    super::findings(log_dir.path());
    assert!(std::fs::read(&file).unwrap() == before);
    assert_eq!(log_dir.open().tail(), Offset::ZERO, "and it opens as before");
}

#[tokio::test]
async fn a_closed_log_is_one_file_again_when_the_last_tool_is_done() {
    let log_dir = LogDir::new();
    drop(log_dir.open());
    let files = || [schema::WAL_FILE, "log.db-shm"].map(|file| log_dir.path().join(file).exists());
    let (mut one, mut other) =
        (SqliteLog::open(log_dir.path()).unwrap(), SqliteLog::open(log_dir.path()).unwrap());
    one.info().unwrap();
    drop(one);
    assert_eq!(files(), [true, true], "the other tool needs them");
    other.info().unwrap();
    drop(other);
    assert_eq!(files(), [false, false]);
}

#[tokio::test]
async fn a_log_that_was_not_closed_is_not_changed() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.event("a", "1").await;
    let copy = LogDir::new();
    for file in [schema::FILE, schema::WAL_FILE] {
        std::fs::copy(log_dir.path().join(file), copy.path().join(file)).unwrap();
    }
    let both =
        || [schema::FILE, schema::WAL_FILE].map(|file| std::fs::read(copy.path().join(file)));
    let before = both().map(Result::unwrap);
    assert_eq!(info_of(&copy).records, 1);
    assert!(both().map(Result::unwrap) == before);
}

#[tokio::test]
async fn a_closed_log_is_read_without_a_write_ahead_log() {
    let parent = LogDir::new();
    let dir = parent.path().join("50 % of #1?");
    drop(crate::storage::sqlite::SqliteStorage::open(&dir).unwrap());
    let address = schema::at_rest(&dir.join(schema::FILE)).unwrap();
    let at_rest = rusqlite::Connection::open_with_flags(address, schema::AT_REST).unwrap();
    let clean = at_rest.query_row("SELECT clean FROM log", [], |row| row.get::<_, bool>(0));
    assert_eq!(clean, Ok(true));
    assert!(!dir.join(schema::WAL_FILE).exists());
}

#[tokio::test]
async fn a_log_of_the_first_version_is_read_without_migration() {
    let log_dir = LogDir::new();
    schema::create_first_version(log_dir.path()).unwrap();
    let info = info_of(&log_dir);
    assert_eq!((info.format, info.epoch, info.records, info.leases), (1, Epoch::new(7), 0, 0));
    assert_eq!(super::findings(log_dir.path()), Vec::<String>::new());
    let version: i64 =
        log_dir.database().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1, "nothing was migrated");
}

#[tokio::test]
async fn a_missing_log_is_reported() {
    let log_dir = LogDir::new();
    assert!(matches!(refused(&log_dir), ToolError::Missing { .. }));
    assert!(!log_dir.path().join(schema::FILE).exists(), "and none is created");
    std::fs::write(log_dir.path().join(schema::FILE), vec![7; 8192]).unwrap();
    assert!(matches!(refused(&log_dir), ToolError::Open(SqliteOpenError::NotALog { .. })));
    let file = SqliteLog::open(log_dir.path().join(schema::FILE)).unwrap_err();
    assert!(matches!(file, ToolError::Open(SqliteOpenError::NotADirectory { .. })));
}

#[tokio::test]
async fn a_newer_log_is_refused_with_its_version() {
    let log_dir = LogDir::new();
    drop(log_dir.open());
    log_dir.database().pragma_update(None, "user_version", 99).unwrap();
    let error = refused(&log_dir);
    assert!(matches!(error, ToolError::Open(SqliteOpenError::Newer { found: 99, .. })), "{error}");
}
