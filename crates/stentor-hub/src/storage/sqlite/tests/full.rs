//! Behaviour on a full disk.

use super::{LogDir, large};
use crate::cursor::Offset;
use crate::storage::conformance::log::{appended, at, contents, event, name, request};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::write::ballast::Ballast;
use crate::storage::sqlite::write::checkpoint::{Checkpoint, checkpoint};
use crate::storage::sqlite::write::pages::growth;
use crate::storage::sqlite::write::writer::Writer;
use crate::storage::{Storage, StorageError, TopicsQuery};

/// A log whose database cannot grow beyond 4 MB, filled until it is full.
async fn full() -> (LogDir, super::Open) {
    let log_dir = LogDir::with(Limits { pages: Some(1_000), ..Limits::default() });
    let open = log_dir.open();
    open.log.append(vec![event("other", "1")]).await;
    for _ in 0..1_000 {
        match open.storage.append(vec![large(1)], at(0)).await {
            Ok(_) => {}
            Err(StorageError::Full) => return (log_dir, open),
            Err(other) => panic!("{other}"),
        }
    }
    panic!("it is never full");
}

#[tokio::test]
async fn a_full_disk_refuses_events_and_nothing_else() {
    let (log_dir, open) = full().await;
    let (held, tail) = (open.log.state("big").await.events, open.tail());
    assert!(!log_dir.holds_ballast(), "the ballast was released");
    let again = open.storage.append(vec![large(1)], at(0)).await;
    assert_eq!(again, Err(StorageError::Full));
    assert_eq!((open.log.state("big").await.events, open.tail()), (held, tail), "all or nothing");
    assert_eq!(open.log.all("big").await.len() as u64, held, "reading still works");
    let query = TopicsQuery { limit: 10, ..TopicsQuery::default() };
    assert_eq!(open.storage.topics(query).await.unwrap().len(), 2);
}

#[tokio::test]
async fn deleting_on_a_full_disk_makes_room_for_events() {
    let (log_dir, open) = full().await;
    open.log.delete("big").await;
    open.settle().await;
    appended(&open.log.publish(event("other", "2")).await);
    assert!(log_dir.holds_ballast(), "the ballast is back");
    assert_eq!(contents(&open.log.all("**").await), ["other: 1", "big deleted", "other: 2"]);
}

#[tokio::test]
async fn trimming_on_a_full_disk_makes_room_for_events() {
    let (log_dir, open) = full().await;
    open.storage.trim(vec![(name("big"), open.tail())]).await.unwrap();
    open.settle().await;
    appended(&open.log.publish(event("other", "2")).await);
    assert!(log_dir.holds_ballast());
    assert_eq!(contents(&open.log.all("**").await), ["other: 1", "other: 2"]);
}

#[tokio::test]
async fn appends_continue_after_a_pause_when_there_is_space_again() {
    let (log_dir, open) = full().await;
    assert_eq!(open.storage.append(vec![event("a", "")], at(0)).await, Err(StorageError::Full));
    assert!(!log_dir.holds_ballast(), "there is no attempt within a second");
    appended(&open.log.publish_at(event("other", "2"), at(2)).await);
    assert!(log_dir.holds_ballast());
}

#[tokio::test]
async fn a_log_that_was_left_full_can_be_opened_and_cleared() {
    let (log_dir, open) = full().await;
    drop(open);
    let open = log_dir.open();
    let page = open.storage.read(request("big", Offset::ZERO)).await.unwrap();
    assert!(!page.records.is_empty());
    open.log.delete("big").await;
    open.settle().await;
    appended(&open.log.publish(event("other", "2")).await);
}

#[tokio::test]
async fn a_log_that_was_killed_on_a_full_disk_can_be_opened_and_cleared() {
    let (log_dir, open) = full().await;
    let log_dir = log_dir.copy();
    drop(open);
    let open = log_dir.open();
    open.storage.trim(vec![(name("big"), open.tail())]).await.unwrap();
    open.settle().await;
    appended(&open.log.publish(event("other", "2")).await);
    assert_eq!(contents(&open.log.all("**").await), ["other: 1", "other: 2"]);
}

#[tokio::test]
async fn the_ballast_covers_the_growth_of_the_file() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let batch = (0..1_000).map(large).collect();
    // In one job, so that there is no checkpoint in between.
    let sizes = open.storage.log.writes.run(|writer| {
        writer.append(batch, at(0), at(0))?;
        Ok((growth(&writer.connection)?, writer.ballast.bytes()))
    });
    let (growth, ballast) = sizes.await.unwrap();
    assert!(growth > 10_000_000, "{growth}");
    assert!(ballast >= growth + Ballast::BYTES, "{ballast}");
    open.log.delete("big").await;
    open.settle().await;
    assert_eq!(
        log_dir.ballast_bytes(),
        Ballast::BYTES,
        "space that is no longer needed is returned"
    );
}

#[tokio::test]
async fn an_append_without_space_for_its_checkpoint_is_refused() {
    let log_dir = LogDir::with(Limits { ballast: Some(12 << 20), ..Limits::default() });
    let open = log_dir.open();
    let refused = open.storage.append((0..1_000).map(large).collect(), at(0)).await;
    assert_eq!(refused, Err(StorageError::Full));
    assert_eq!(open.tail(), Offset::ZERO, "all or nothing");
    appended(&open.log.publish_at(large(1), at(2)).await);
}

#[tokio::test]
async fn a_checkpoint_runs_when_the_ballast_cannot_grow() {
    let log_dir = LogDir::with(Limits { ballast: Some(12 << 20), ..Limits::default() });
    let open = log_dir.open();
    let half = || (0..500).map(large).collect();
    let appended = open.storage.log.writes.run(move |writer| {
        writer.append(half(), at(0), at(0))?;
        // Together they exceed the ballast.
        Ok([
            writer.append(half(), at(0), at(0)).is_ok(),
            writer.append(half(), at(2), at(2)).is_ok(),
        ])
    });
    assert_eq!(appended.await, Ok([false, true]));
    assert_eq!(open.log.all("big").await.len(), 2 * 450);
}

#[tokio::test]
async fn there_is_no_checkpoint_while_another_program_uses_the_space() {
    let before = LogDir::new();
    let open = before.open();
    let batch = (0..1_000).map(large).collect();
    let killed = open.storage.log.writes.run(move |writer| {
        writer.append(batch, at(0), at(0))?;
        Ok(before.copy())
    });
    let mut log_dir = killed.await.unwrap();
    std::fs::remove_file(log_dir.path().join("ballast")).unwrap();
    log_dir.limits.ballast = Some(3 << 20);
    let open = log_dir.open();
    open.storage.trim(vec![(name("none"), Offset::MAX)]).await.unwrap();
    assert!(log_dir.file_bytes() < 1 << 20, "it would not fit");
    assert_eq!(open.storage.append(vec![large(1)], at(0)).await, Err(StorageError::Full));
    open.log.delete("big").await;
    open.settle().await;
    assert!(log_dir.file_bytes() > 1 << 20, "the rest fits");
}

#[tokio::test]
async fn a_commit_that_failed_behind_its_writes_is_overwritten() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    appended(&open.log.publish(event("a", "1")).await);
    let frames = open.storage.log.writes.run(|writer| {
        let frames =
            |writer: &Writer| checkpoint(&writer.connection, Checkpoint::Noop).unwrap().total;
        let before = frames(writer);
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_NOMEM);
        let error = rusqlite::Error::SqliteFailure(code, None).into();
        assert!(!matches!(writer.discard_commit(error), DbError::Failed(_)));
        Ok((before, frames(writer)))
    });
    let (before, after) = frames.await.unwrap();
    assert!(after > before, "{after} frames after {before}");
    assert_eq!(log_dir.copy().open().log.all("a").await.len(), 1);
}
