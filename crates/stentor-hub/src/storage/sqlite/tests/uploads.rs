//! Uploads under a key: the stored parts and their lifetime.

use std::time::Duration;

use super::{LogDir, Open};
use crate::key::{Key, KeyContent, KeyLimits};
use crate::publish::Publish;
use crate::storage::conformance::log::{at, event, name};
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::schema;
use crate::storage::{KeyHash, Outcome};
use crate::timestamp::Timestamp;

/// The running hash of the first `parts` parts of a content.
fn hash(content: u8, parts: u64) -> KeyHash {
    let mut hash = [0; 16];
    if parts > 0 {
        hash[..8].copy_from_slice(&parts.to_le_bytes());
        hash[7] = content;
    }
    hash
}

fn part(upload: &str, content: u8, index: u64) -> Publish {
    let (before, after) = (hash(content, index), hash(content, index + 1));
    event("a", &index.to_string()).with_key(Key {
        scope: Some(name("a")),
        publisher: String::new(),
        name: upload.to_owned(),
        window: Duration::from_secs(64),
        source: None,
        content: KeyContent::Part { index, before, after },
    })
}

impl Open {
    async fn upload(&self, upload: &str, parts: u64, now: Timestamp) -> Vec<Outcome> {
        let parts = (0..parts).map(|index| part(upload, 1, index));
        self.log.append_at(parts.collect(), now).await
    }

    async fn is_repeat(&self, publish: Publish, now: Timestamp) -> bool {
        match self.log.publish_at(publish, now).await {
            Outcome::Repeat { .. } => true,
            Outcome::KeyReused => false,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn parts_are_compared_after_a_restart() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.upload("up", 5, at(0)).await;
    drop(open);
    let open = log_dir.open();
    for index in 0..5 {
        assert!(open.is_repeat(part("up", 1, index), at(1)).await, "part {index}");
        assert!(!open.is_repeat(part("up", 2, index), at(1)).await, "part {index}");
    }
}

#[tokio::test]
async fn parts_are_deleted_with_their_key_in_slices() {
    let mut log_dir = LogDir::new();
    log_dir.limits.slice_rows = 10;
    let open = log_dir.open();
    open.upload("up", 1_000, at(0)).await;
    open.upload("later", 5, at(60)).await;
    open.settle().await;
    assert_eq!((log_dir.count("keys"), log_dir.count("upload_parts")), (2, 1_005));
    open.log.publish_at(event("a", "x"), at(65)).await;
    let slices = open.settle().await;
    assert!(slices >= 100, "{slices} slices");
    assert_eq!((log_dir.count("keys"), log_dir.count("upload_parts")), (1, 5));
    assert!(open.is_repeat(part("later", 1, 0), at(65)).await);
}

#[tokio::test]
async fn a_key_that_starts_another_upload_leaves_nothing_of_the_old_one() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.upload("up", 100, at(0)).await;
    // At the same time as the first check for expired keys, so the old parts are still stored.
    open.log.append_at((0..3).map(|index| part("up", 2, index)).collect(), at(100)).await;
    open.settle().await;
    open.log.publish_at(event("a", "x"), at(102)).await;
    open.settle().await;
    assert_eq!((log_dir.count("keys"), log_dir.count("upload_parts")), (1, 3));
    assert!(open.is_repeat(part("up", 2, 2), at(102)).await);
    assert!(!open.is_repeat(part("up", 1, 2), at(102)).await);
}

/// A log that keeps 10 part hashes.
fn of_ten_parts() -> LogDir {
    let keys = KeyLimits { keys_per_address: None, parts: 10, ..KeyLimits::sqlite() };
    LogDir::with(Limits { keys, ..Limits::default() })
}

#[tokio::test]
async fn at_the_bound_an_upload_drops_parts_of_its_own_and_a_new_one_is_refused() {
    let log_dir = of_ten_parts();
    let open = log_dir.open();
    open.upload("first", 8, at(0)).await;
    open.upload("second", 6, at(0)).await;
    open.settle().await;
    assert_eq!((log_dir.count("keys"), log_dir.count("upload_parts")), (2, 10));
    let refused = open.log.publish_at(part("third", 1, 0), at(0)).await;
    assert!(matches!(refused, Outcome::TooManyKeys(_)), "{refused:?}");
    for index in 0..8 {
        assert!(open.is_repeat(part("first", 1, index), at(2)).await, "part {index}");
        assert!(!open.is_repeat(part("first", 2, index), at(2)).await, "part {index}");
    }
    for index in 0..6 {
        let known = index >= 4;
        assert_eq!(open.is_repeat(part("second", 2, index), at(2)).await, !known, "part {index}");
    }
}

#[tokio::test]
async fn an_upload_may_have_more_parts_than_the_limit() {
    let log_dir = of_ten_parts();
    let open = log_dir.open();
    for index in 0..40 {
        let outcome = open.log.publish_at(part("up", 1, index), at(2 * index.cast_signed())).await;
        assert!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
        assert!(log_dir.count("upload_parts") <= 10);
    }
    assert!(open.is_repeat(part("up", 1, 0), at(80)).await);
    assert!(!open.is_repeat(part("up", 2, 35), at(80)).await);
}

#[tokio::test]
async fn a_quick_repeat_writes_nothing_and_a_slow_one_restarts_the_window() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.upload("up", 500, at(0)).await;
    open.settle().await;
    let wal = || std::fs::read(log_dir.path().join(format!("{}-wal", schema::FILE))).unwrap();
    let before = wal();
    open.upload("up", 500, at(0)).await;
    assert!(wal() == before, "the repeat within a 64th of the window was written");
    assert!(open.is_repeat(part("up", 1, 0), at(1)).await);
    assert!(wal() != before);
    drop(open);
    assert!(log_dir.open().is_repeat(part("up", 1, 0), at(64)).await, "the window started at 1 s");
}

#[tokio::test]
async fn an_upload_without_stored_parts_continues() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.upload("up", 3, at(0)).await;
    drop(open);
    log_dir.database().execute_batch("DELETE FROM upload_parts").unwrap();
    let open = log_dir.open();
    assert!(open.is_repeat(part("up", 1, 0), at(1)).await);
    assert!(!open.is_repeat(part("up", 2, 2), at(1)).await, "its end is known");
    open.log.publish_at(part("up", 1, 3), at(1)).await;
    assert!(!open.is_repeat(part("up", 2, 3), at(1)).await);
    assert_eq!(open.log.all("a").await.len(), 4);
}
