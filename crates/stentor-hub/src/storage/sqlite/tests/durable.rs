//! Durability: what survives a restart.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use stentor_sse::{Decoder, Item};

use super::{LogDir, schema};
use crate::cursor::Offset;
use crate::key::{Key, KeyContent};
use crate::publish::Publish;
use crate::storage::conformance::log::{
    appended, at, contents, entry, event, filters, name, request, topic_names,
};
use crate::storage::sqlite::{SqliteOpenError, SqliteStorage};
use crate::storage::{Outcome, Seek, Storage, StorageError};

#[tokio::test]
async fn appended_records_are_there_after_a_drop_without_close() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let id = open.log.event("a", "1").await;
    open.log.end("b").await;
    let epoch = open.storage.epoch();
    drop(open);
    let open = log_dir.open();
    assert_eq!(contents(&open.log.all("**").await), ["a: 1", "b ends: done"]);
    assert_eq!(open.log.all("a").await[0].cursor(), id, "with the same ids");
    assert_eq!(open.storage.epoch(), epoch);
}

#[tokio::test]
async fn after_a_drop_or_a_close_offsets_continue_without_a_break() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.event("a", "1").await;
    open.storage.close().await;
    let open = log_dir.open();
    assert_eq!(open.log.event("a", "2").await.offset, Offset::new(2));
    drop(open);
    let open = log_dir.open();
    assert_eq!(open.log.event("a", "3").await.offset, Offset::new(3));
    assert_eq!(open.storage.bounds().burned, []);
}

#[tokio::test]
async fn offsets_continue_even_if_the_newest_records_were_trimmed() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let last = open.log.event("a", "1").await;
    open.log.trim("a", last).await;
    open.settle().await;
    drop(open);
    assert_eq!(log_dir.count("records"), 0);
    assert_eq!(log_dir.open().log.event("a", "2").await.offset, Offset::new(2));
}

#[tokio::test]
async fn after_an_unclean_stop_offsets_continue_after_the_reservation() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    for n in 1..=5 {
        open.log.event("a", &n.to_string()).await;
    }
    let copy = log_dir.copy();
    let after = copy.open();
    let bounds = after.storage.bounds();
    let [(first, last)] = bounds.burned[..] else { panic!("{bounds:?}") };
    assert_eq!(first, Offset::new(6), "every acknowledged record is there");
    assert!(last >= Offset::new(5 + copy.limits.reserve / 2), "{last}");
    assert_eq!(bounds.tail, last);
    assert_eq!(after.log.all("a").await.len(), 5);
    assert_eq!(after.log.event("a", "6").await.offset, last.next());
    assert_eq!(after.log.after("a", Offset::new(5)).await.len(), 1, "reading continues after it");
    drop(after);
    assert_eq!(copy.open().storage.bounds().burned, [(first, last)], "a clean stop burns nothing");
}

#[tokio::test]
async fn records_before_a_burned_range_are_found_by_time() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.publish_at(event("a", "1"), at(10)).await;
    open.log.publish_at(event("a", "2"), at(20)).await;
    let copy = log_dir.copy().open();
    let third = appended(&copy.log.publish_at(event("a", "3"), at(30)).await).0.offset;
    for (second, after) in [(5, Offset::ZERO), (15, Offset::new(1)), (25, third.previous())] {
        let sought = copy.storage.seek(filters("a"), Seek::Since(at(second))).await.unwrap();
        assert_eq!(sought.after, after, "since second {second}");
    }
}

#[tokio::test]
async fn unclean_stops_without_an_append_burn_a_range_each() {
    let log_dir = LogDir::new();
    let first = log_dir.open();
    first.log.event("a", "1").await;
    let copy = log_dir.copy();
    let second = copy.open();
    let third = copy.copy().open();
    let bounds = third.storage.bounds();
    let between = second.storage.bounds().tail;
    assert_eq!(bounds.burned, [(Offset::new(2), between), (between.next(), bounds.tail)]);
    assert!(bounds.tail > between, "the offsets that the second one reserved are burned too");
}

#[tokio::test]
async fn the_reservation_is_always_ahead_of_the_assigned_offsets() {
    let mut log_dir = LogDir::new();
    log_dir.limits.reserve = 10;
    let open = log_dir.open();
    for n in 0..40 {
        let offset = open.log.event("a", &n.to_string()).await.offset;
        let reserved: i64 = log_dir
            .database()
            .query_row("SELECT reserved_through FROM log", [], |row| row.get(0))
            .unwrap();
        assert!(reserved.unsigned_abs() >= offset.get() + 4, "{reserved} at {offset}");
    }
}

#[tokio::test]
async fn a_key_is_a_repeat_after_a_restart() {
    let log_dir = LogDir::new();
    let key = |hash| Key {
        scope: Some(name("a")),
        publisher: "p".to_owned(),
        name: "k".to_owned(),
        window: Duration::from_mins(1),
        source: None,
        content: KeyContent::Whole([hash; 16]),
    };
    let open = log_dir.open();
    let batch = event("a", "1").and(entry("a", "2"));
    let (first, last) = appended(&open.log.publish(batch.clone().with_key(key(1))).await);
    drop(open);
    let open = log_dir.open();
    let repeat = open.log.publish(batch.clone().with_key(key(1))).await;
    assert_eq!(repeat, Outcome::Repeat { first, last });
    assert_eq!(open.log.publish(batch.with_key(key(2))).await, Outcome::KeyReused);
    assert_eq!(open.log.all("a").await.len(), 2);
}

#[tokio::test]
async fn an_upload_continues_after_a_restart() {
    let log_dir = LogDir::new();
    let part = |index: u8| Key {
        scope: Some(name("a")),
        publisher: String::new(),
        name: "k".to_owned(),
        window: Duration::from_mins(1),
        source: None,
        content: KeyContent::Part {
            index: index.into(),
            before: [index; 16],
            after: [index + 1; 16],
        },
    };
    let open = log_dir.open();
    let first = appended(&open.log.publish(event("a", "0").with_key(part(0))).await).0;
    drop(open);
    let open = log_dir.open();
    let last = appended(&open.log.publish(event("a", "1").with_key(part(1))).await).1;
    drop(open);
    let open = log_dir.open();
    let probe = |index| open.log.publish(Publish::new(Vec::new(), Some(part(index))));
    assert_eq!(probe(1).await, Outcome::Repeat { first, last });
    assert_eq!(probe(2).await, Outcome::KeyReused, "the third part is not stored");
}

#[tokio::test]
async fn removals_and_deletions_are_reported_after_a_restart() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let trimmed = open.log.event("trimmed", "1").await;
    open.log.event("trimmed", "2").await;
    open.log.event("deleted", "1").await;
    open.log.event("again", "1").await;
    open.log.trim("trimmed", trimmed).await;
    open.log.delete("deleted").await;
    open.log.delete("again").await;
    open.log.event("again", "2").await;
    let reported = open.log.removals().await;
    drop(open);
    let open = log_dir.open();
    assert_eq!(
        contents(&open.log.all("*").await),
        ["trimmed: 2", "deleted deleted", "again: 2"],
        "in log order"
    );
    let gap = open.log.gap("trimmed deleted again", Offset::ZERO).await.unwrap();
    assert_eq!(gap.topics, topic_names(&["again", "trimmed"]));
    assert_eq!(
        open.log.gap_beyond("**", Offset::ZERO, reported).await,
        None,
        "it was reported before"
    );
}

#[tokio::test]
async fn time_does_not_go_back_after_a_restart() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let id = appended(&open.log.publish_at(event("a", "1"), at(100)).await).0;
    open.log.trim("a", id).await;
    open.settle().await;
    drop(open);
    let open = log_dir.open();
    open.log.publish_at(event("a", "2"), at(50)).await;
    assert_eq!(open.log.all("a").await[0].time(), at(100));
}

#[tokio::test]
async fn a_type_with_a_nul_from_a_stream_is_kept() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let event = match Decoder::new().decode(&mut &b"event: a\0b\ndata: 1\n\n"[..]) {
        Some(Ok(Item::Event(event))) => event,
        other => panic!("{other:?}"),
    };
    let event_type = event.event_type().unwrap().clone();
    open.log.publish(Publish::event(name("a"), event)).await;
    let read = open.log.all("a").await;
    assert_eq!(read[0].event().unwrap().event_type(), Some(&event_type));
    assert_eq!(event_type.as_str(), "a\0b");
}

#[tokio::test]
async fn a_log_in_use_is_refused_and_the_error_says_what_to_do() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let error = log_dir.refused();
    let SqliteOpenError::Locked { dir, process } = &error else { panic!("{error}") };
    assert_eq!((dir.as_path(), *process), (log_dir.path(), Some(std::process::id())));
    let text = error.to_string();
    assert!(text.contains(&log_dir.path().display().to_string()), "{text}");
    assert!(text.contains("stop that program first, or choose another directory"), "{text}");
    open.storage.close().await;
    log_dir.open();
}

#[tokio::test]
async fn a_log_of_a_newer_version_is_refused_and_left_as_it_is() {
    let log_dir = LogDir::new();
    drop(log_dir.open());
    log_dir.database().pragma_update(None, "user_version", 7).unwrap();
    let error = log_dir.refused();
    assert!(matches!(error, SqliteOpenError::Newer { found: 7, known: 3 }), "{error}");
    assert!(error.to_string().contains("use the newer version"), "{error}");
    log_dir.database().pragma_update(None, "user_version", 3).unwrap();
    log_dir.open();
}

#[test]
fn a_file_of_another_program_is_refused_and_left_as_it_is() {
    let database = LogDir::new();
    database.database().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let text = LogDir::new();
    std::fs::write(
        text.path().join(schema::FILE),
        "not a database, but long enough for one".repeat(99),
    )
    .unwrap();
    for log_dir in [database, text] {
        let before = std::fs::read(log_dir.path().join(schema::FILE)).unwrap();
        let error = log_dir.refused();
        assert!(matches!(error, SqliteOpenError::NotALog { .. }), "{error}");
        assert_eq!(std::fs::read(log_dir.path().join(schema::FILE)).unwrap(), before);
    }
}

#[test]
fn a_directory_that_is_a_file_is_refused() {
    let log_dir = LogDir::new();
    let file = log_dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let Err(error) = SqliteStorage::open(&file) else { panic!("it was opened") };
    assert!(matches!(error, SqliteOpenError::NotADirectory { .. }), "{error}");
}

#[tokio::test]
async fn a_closed_log_returns_an_error() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.event("a", "1").await;
    open.storage.close().await;
    open.storage.close().await;
    let read = open.storage.read(request("a", Offset::ZERO)).await;
    assert!(matches!(read, Err(StorageError::Unavailable { .. })), "{read:?}");
    let append = open.storage.append(vec![event("a", "2")], at(0)).await;
    assert!(matches!(append, Err(StorageError::Unavailable { .. })), "{append:?}");
    assert_eq!(open.tail(), Offset::new(1), "state in memory is still available");
}

#[tokio::test]
async fn after_a_close_the_database_is_one_file() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.event("a", "1").await;
    open.storage.close().await;
    let mut files: Vec<_> = std::fs::read_dir(log_dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["ballast", "lock", "log.db"]);
}

#[test]
fn the_commit_sink_gets_a_record_before_readers_can_see_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let log_dir = LogDir::new();
    let storage = Arc::new(SqliteStorage::open(log_dir.path()).unwrap());
    let (seen, watched) = mpsc::channel();
    let weak = Arc::downgrade(&storage);
    storage.follow(Box::new(move |commit| {
        let records = commit.records;
        let (storage, offset) = (weak.upgrade().unwrap(), records[0].offset());
        let (page, fetched) = runtime().block_on(async {
            let page = storage.read(request("a", Offset::ZERO)).await.unwrap();
            (page, storage.fetch(vec![offset]).await.unwrap())
        });
        seen.send((offset, storage.bounds().tail, page.through, page.records, fetched)).unwrap();
    }));
    runtime().block_on(storage.append(vec![event("a", "1")], at(0))).unwrap();
    assert_eq!(
        watched.recv().unwrap(),
        (Offset::new(1), Offset::ZERO, Offset::ZERO, vec![], vec![])
    );
    assert_eq!(storage.bounds().tail, Offset::new(1));
}

#[tokio::test]
async fn a_log_of_the_first_version_is_migrated_and_keeps_its_records() {
    let log_dir = LogDir::new();
    schema::create_first_version(log_dir.path()).unwrap();
    let insert = "INSERT INTO topics VALUES (1, 'news', 1, 5, 1, NULL, NULL, 0, 0, 0, 0, NULL);
                  INSERT INTO records VALUES (1, 1, 0, 9, NULL, NULL, NULL, NULL, NULL, 'hello');
                  INSERT INTO topic_records VALUES (1, 1, 0, 5);
                  UPDATE log SET tail = 1, time = 9;";
    log_dir.database().execute_batch(insert).unwrap();
    let open = log_dir.open();
    assert_eq!(contents(&open.log.all("news").await), ["news: hello"]);
    assert_eq!(open.storage.epoch().get(), 7);
    open.log.event("news", "again").await;
    open.storage.close().await;
    let open = log_dir.open();
    assert_eq!(contents(&open.log.all("news").await), ["news: hello", "news: again"]);
}
