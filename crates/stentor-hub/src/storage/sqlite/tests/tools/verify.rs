//! `SqliteLog::verify`.

use std::path::Path;

use super::findings;
use crate::key::{Key, KeyContent};
use crate::publish::Publish;
use crate::storage::Storage;
use crate::storage::conformance::log::{event, name};
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::tests::{LogDir, filler};
use crate::storage::sqlite::{Finding, SqliteLog, schema};

fn keyed(topic: &str) -> Publish {
    event(topic, "keyed").with_key(Key {
        scope: Some(name(topic)),
        publisher: String::new(),
        name: "k".to_owned(),
        window: std::time::Duration::from_mins(10),
        source: None,
        content: KeyContent::Whole([7; 16]),
    })
}

fn part(topic: &str, index: u8) -> Publish {
    event(topic, "part").with_key(Key {
        scope: Some(name(topic)),
        publisher: String::new(),
        name: "up".to_owned(),
        window: std::time::Duration::from_mins(10),
        source: None,
        content: KeyContent::Part {
            index: index.into(),
            before: [index; 16],
            after: [index + 1; 16],
        },
    })
}

/// A closed log: `a` at offsets 1 to 3, `b` at 4 and its end at 5, `c` deleted at 7, an event with a key at 8.
async fn log_dir() -> LogDir {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    for n in 1..=3 {
        open.log.event("a", &n.to_string()).await;
    }
    open.log.event("b", "4").await;
    open.log.end("b").await;
    open.log.event("c", "6").await;
    open.log.delete("c").await;
    open.log.publish(keyed("d")).await;
    open.settle().await;
    log_dir
}

/// The SQL that damages a log, then two parts of the expected finding.
type Damage = (&'static str, &'static str, &'static str);

async fn is_found(damages: &[Damage]) {
    let sound = log_dir().await;
    assert_eq!(findings(sound.path()), Vec::<String>::new());
    for (sql, place, what) in damages {
        let copy = sound.copy();
        copy.database().execute_batch(sql).unwrap();
        copy.seal();
        let found = findings(copy.path());
        let named = found.iter().any(|finding| finding.contains(place) && finding.contains(what));
        assert!(named, "{sql}: {found:?}");
    }
}

#[tokio::test]
async fn invalid_records_are_found() {
    is_found(&[
        ("DELETE FROM topic_records WHERE offset = 2", "record at offset 2", "index"),
        ("DELETE FROM records WHERE offset = 2", "topic \"a\"", "offset 2 is missing"),
        (
            "UPDATE topic_records SET bytes = 9 WHERE offset = 2",
            "record at offset 2",
            "its kind or size",
        ),
        (
            "UPDATE topic_records SET kind = 1 WHERE offset = 2",
            "record at offset 2",
            "its kind or size",
        ),
        (
            "UPDATE records SET topic = 99 WHERE offset = 2",
            "record at offset 2",
            "(row 99) does not exist",
        ),
        (
            "UPDATE records SET time = 5 WHERE offset = 3",
            "record at offset 3",
            "before that of an earlier record",
        ),
        ("UPDATE records SET kind = 9 WHERE offset = 3", "record at offset 3", "cannot be read"),
        (
            "UPDATE records SET data = CAST(x'ff' AS TEXT) WHERE offset = 3",
            "record at offset 3",
            "cannot be read",
        ),
        (
            "UPDATE records SET type = 'a' || char(10) WHERE offset = 3",
            "record at offset 3",
            "cannot be read",
        ),
        (
            "UPDATE records SET publisher_id = CAST(x'ff' AS TEXT) WHERE offset = 3",
            "record at offset 3",
            "cannot be read",
        ),
        (
            "UPDATE records SET offset = 999999 WHERE offset = 8",
            "record at offset 999999",
            "after the last reserved offset",
        ),
    ])
    .await;
}

#[tokio::test]
async fn topics_that_disagree_with_their_records_are_found() {
    is_found(&[
        (
            "UPDATE topics SET events = 4 WHERE name = 'a'",
            "topic \"a\"",
            "4 events of 3 bytes, but it has 3",
        ),
        (
            "UPDATE topics SET bytes = 1 WHERE name = 'a'",
            "topic \"a\"",
            "3 events of 1 bytes, but it has 3",
        ),
        ("UPDATE topics SET last = 2 WHERE name = 'a'", "topic \"a\"", "should be 3"),
        (
            "UPDATE topics SET removed_through = 999999 WHERE name = 'a'",
            "topic \"a\"",
            "after the last reserved offset",
        ),
        (
            "UPDATE topics SET removed_through = 1, events = 2, bytes = 2 WHERE name = 'a'",
            "topic \"a\"",
            "will not be purged",
        ),
        ("UPDATE topics SET removals = 50 WHERE name = 'a'", "topic \"a\"", "removal count 50"),
        (
            "UPDATE topics SET end_offset = 77 WHERE name = 'b'",
            "topic \"b\"",
            "its end at offset 77 is missing",
        ),
        (
            "UPDATE topics SET end_offset = 4 WHERE name = 'b'",
            "topic \"b\"",
            "offset 4 is not its end",
        ),
        (
            "UPDATE topics SET end_offset = 7 WHERE name = 'b'",
            "topic \"b\"",
            "offset 7 is not its end",
        ),
        (
            "UPDATE topics SET end_check = 1 WHERE name = 'b'",
            "topic \"b\"",
            "does not match its check",
        ),
        (
            "UPDATE topics SET end_offset = NULL WHERE name = 'b'",
            "record at offset 5",
            "not the end of its topic",
        ),
        (
            "UPDATE topics SET name = 'c' || char(10) WHERE name = 'c'",
            "the topic in row 3",
            "cannot be read",
        ),
        (
            "UPDATE topics SET end_offset = NULL WHERE name = 'c'",
            "topic \"c\"",
            "has no deletion record",
        ),
    ])
    .await;
}

#[tokio::test]
async fn inconsistencies_of_the_log_as_a_whole_are_found() {
    is_found(&[
        ("UPDATE log SET reserved_through = 6", "the log", "offset 8 was assigned"),
        ("UPDATE log SET tail = 6", "the log", "closed at offset 6"),
        ("UPDATE log SET floor = 60", "the log", "was closed at offset 8 and has offset 60"),
        ("UPDATE log SET epoch = -1", "the row of the table `log`", "cannot be read"),
        ("DELETE FROM log", "the row of the table `log`", "cannot be read"),
        (
            "INSERT INTO burned VALUES (2, 3, 0)",
            "burned range 2 to 3",
            "record at offset 2 is in it",
        ),
        ("INSERT INTO burned VALUES (30, 20, 0)", "burned range 30 to 20", "overlaps"),
        ("INSERT INTO burned VALUES (30, 40, 0), (35, 50, 0)", "burned range 35 to 50", "overlaps"),
        ("UPDATE keys SET last_offset = 999999", "key \"k\"", "does not refer"),
        ("UPDATE keys SET first_offset = 9", "key \"k\"", "does not refer"),
        ("UPDATE keys SET hash = x'00'", "key \"k\"", "does not refer"),
        ("UPDATE keys SET first_check = -1", "key \"k\"", "cannot be read"),
        ("INSERT INTO leases VALUES ('a', 0, 0)", "lease of the topic \"a\"", "not valid"),
    ])
    .await;
}

#[tokio::test]
async fn invalid_parts_of_an_upload_are_found() {
    let sound = LogDir::new();
    let open = sound.open();
    open.log.append((0..4).map(|index| part("d", index)).collect()).await;
    drop(open);
    assert_eq!(findings(sound.path()), Vec::<String>::new());
    for (sql, what) in [
        ("DELETE FROM keys", "no key"),
        ("UPDATE keys SET upload = 0", "no key"),
        ("DELETE FROM upload_parts WHERE part = 2", "3 parts from 0 to 3, but 4 events"),
        ("DELETE FROM upload_parts WHERE part = 3", "3 parts from 0 to 2, but 4 events"),
        ("UPDATE upload_parts SET part = 4 WHERE part = 3", "4 parts from 0 to 4, but 4 events"),
        ("UPDATE upload_parts SET part = -1 WHERE part = 0", "from -1 to 3"),
    ] {
        let copy = sound.copy();
        copy.database().execute_batch(sql).unwrap();
        copy.seal();
        let found = findings(copy.path());
        let named =
            |finding: &String| finding.contains("upload at offset 1") && finding.contains(what);
        assert!(found.iter().any(named), "{sql}: {found:?}");
    }
    let copy = sound.copy();
    copy.database().execute_batch("DELETE FROM upload_parts WHERE part < 2").unwrap();
    assert_eq!(findings(copy.path()), Vec::<String>::new(), "the oldest may be deleted");
}

#[tokio::test]
async fn a_broken_index_of_the_file_is_found() {
    let log_dir = log_dir().await;
    let database = log_dir.database();
    database
        .execute_batch(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, '(expires)', '(count)') WHERE name = 'keys_expires';",
        )
        .unwrap();
    drop(database);
    let found = findings(log_dir.path());
    assert!(found.iter().any(|finding| finding.starts_with("the file: ")), "{found:?}");
}

#[tokio::test]
async fn records_that_are_not_purged_yet_are_not_a_finding() {
    let log_dir = LogDir::with(Limits { slice_rows: 1, ..Limits::default() });
    let open = log_dir.open();
    open.fill(400, filler).await;
    let last = open.log.event("loud/1", "last").await;
    open.log.trim("loud/1", last).await;
    let copy = log_dir.copy();
    copy.database().execute("UPDATE topics SET sweep_through = NULL", []).unwrap();
    copy.seal();
    let found = findings(copy.path());
    assert!(
        found.iter().any(|finding| finding.contains("loud/1")),
        "they are still stored: {found:?}"
    );
    assert_eq!(findings(log_dir.path()), Vec::<String>::new());
    open.log.delete("loud/2").await;
    assert_eq!(findings(log_dir.path()), Vec::<String>::new());
    open.log.event("loud/2", "born again").await;
    assert_eq!(findings(log_dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_log_that_was_killed_again_and_again_is_sound() {
    let mut log_dir = LogDir::new();
    for n in 0..5 {
        let open = log_dir.open();
        open.log.event("a", &n.to_string()).await;
        let copy = log_dir.copy();
        assert_eq!(findings(copy.path()), Vec::<String>::new());
        drop(open);
        log_dir = copy;
    }
}

#[tokio::test]
async fn findings_beyond_the_maximum_are_only_counted() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(1_500, filler).await;
    drop(open);
    log_dir.database().execute("UPDATE topic_records SET bytes = bytes + 1", []).unwrap();
    let mut passed_on = 0;
    let counted = SqliteLog::open(log_dir.path()).unwrap().verify(&mut |_| passed_on += 1).unwrap();
    assert_eq!(passed_on, Finding::MAX);
    assert!(counted >= 1_500, "{counted}");
}

/// Any byte of the file may be wrong. Every tool must return a result or an error.
#[tokio::test]
async fn a_file_with_wrong_bytes_never_causes_a_panic() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(300, |n| event(&format!("t{}", n % 7), &"x".repeat(n))).await;
    open.log.delete("t1").await;
    open.storage.close().await;
    let bytes = std::fs::read(log_dir.path().join(schema::FILE)).unwrap();
    let mut random = fastrand::Rng::with_seed(4_711);
    for _ in 0..40 {
        let copy = LogDir::new();
        let mut bytes = bytes.clone();
        for _ in 0..random.usize(1..200) {
            let at = random.usize(100..bytes.len());
            bytes[at] = random.u8(..);
        }
        std::fs::write(copy.path().join(schema::FILE), bytes).unwrap();
        run_every_tool(copy.path());
    }
}

fn run_every_tool(dir: &Path) {
    use crate::storage::conformance::log::filters;
    use crate::storage::sqlite::ExportFrom;
    let Ok(mut log) = SqliteLog::open(dir) else { return };
    let _ = log.info();
    let _ = log.verify(&mut |_| {});
    if let Ok(mut export) = log.export((*filters("**")).clone(), ExportFrom::Earliest) {
        while let Ok(Some(_)) = export.next_page() {}
    }
    let target = tempfile::tempdir().unwrap();
    let _ = log.backup(&target.path().join("copy"));
}
