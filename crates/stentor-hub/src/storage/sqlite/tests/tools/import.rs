//! `SqliteLog::export` and `SqliteLog::import`.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::findings;
use crate::cursor::Cursor;
use crate::form::Form;
use crate::storage::Storage;
use crate::storage::conformance::log::{at, contents, end, event, filters, name};
use crate::storage::sqlite::tests::{LogDir, filler};
use crate::storage::sqlite::{ExportFrom, Imported, SqliteLog, SqliteStorage, ToolError};

fn export_from(dir: &Path, topics: &str, from: ExportFrom) -> String {
    let mut log = SqliteLog::open(dir).unwrap();
    let mut export = log.export((*filters(topics)).clone(), from).unwrap();
    let mut lines = Vec::new();
    while let Some(page) = export.next_page().unwrap() {
        for record in &page.records {
            lines.extend_from_slice(record.frame(Form::Ndjson).as_slice());
        }
    }
    String::from_utf8(lines).unwrap()
}

fn export(dir: &Path, topics: &str) -> String {
    export_from(dir, topics, ExportFrom::Earliest)
}

async fn import(dir: &Path, lines: &str) -> Result<Imported, ToolError> {
    SqliteLog::import(dir, &mut lines.as_bytes(), &mut |_| {}).await
}

/// Imports lines into a new directory.
async fn imported(lines: &str) -> LogDir {
    let log_dir = LogDir::new();
    let done = import(log_dir.path(), lines).await.unwrap();
    assert_eq!(done.records, lines.lines().count() as u64);
    assert_eq!(findings(log_dir.path()), Vec::<String>::new());
    log_dir
}

/// Parses lines and removes their ids.
fn without_ids(lines: &str) -> Vec<Value> {
    let line = |line: &str| {
        let mut object: Value = serde_json::from_str(line).unwrap();
        assert!(object.as_object_mut().unwrap().remove("id").is_some());
        object
    };
    lines.lines().map(line).collect()
}

async fn varied() -> LogDir {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.publish_at(event("a", "first\r\n\0\u{2028}\"\\"), at(-9)).await;
    open.fill(2_500, filler).await;
    open.log.publish_at(end("a", "at last"), at(5)).await;
    open.log.publish_at(event("gone", "x"), at(6)).await;
    open.log.delete("gone").await;
    open.log.event("again", "of the first life").await;
    open.log.delete("again").await;
    open.log.publish_at(event("again", ""), at(7)).await;
    log_dir
}

#[tokio::test]
async fn an_imported_log_exports_the_same_lines_except_for_ids() {
    let log_dir = varied().await;
    let lines = export(log_dir.path(), "**");
    assert_eq!(lines.lines().count(), 2_503, "deletions and deleted events are left out");
    let copy = imported(&lines).await;
    let again = export(copy.path(), "**");
    assert_eq!(without_ids(&again), without_ids(&lines));
    assert_ne!(again, lines);
}

#[tokio::test]
async fn the_new_log_has_a_new_epoch_and_keeps_the_old_ids() {
    let log_dir = varied().await;
    let lines = export(log_dir.path(), "**");
    let copy = imported(&lines).await;
    let (old, new) = (log_dir.open(), copy.open());
    assert_ne!(old.storage.epoch(), new.storage.epoch());
    assert_eq!(new.storage.bounds().burned, [], "it was closed properly");
    let first = &old.log.all("a").await[0];
    let id = first.cursor().to_string();
    let records = new.log.all("a").await;
    let mut records = records.iter();
    let found =
        records.find(|record| record.attributes().publisher_id.as_ref() == Some(&id)).unwrap();
    assert_eq!((found.body(), found.time()), (first.body(), first.time()));
    assert_eq!(contents(&new.log.all("a").await)[1], "a ends: at last");
}

#[tokio::test]
async fn a_filter_exports_whole_topics_with_their_ends() {
    let log_dir = varied().await;
    let copy = imported(&export(log_dir.path(), "a loud/7")).await.open();
    assert_eq!(copy.log.all("a").await.len(), 2);
    assert_eq!(copy.log.all("loud/*").await.len(), 50);
    assert_eq!(copy.log.state("a").await.end.unwrap().end_reason(), Some("at last"));
}

#[tokio::test]
async fn an_export_starts_where_requested() {
    let log_dir = varied().await;
    let open = log_dir.open();
    let all = open.log.all("**").await;
    let lines = |from| export_from(log_dir.path(), "**", from).lines().count();
    let after = all[2_000].cursor();
    assert_eq!(lines(ExportFrom::After(after)), 502);
    assert_eq!(lines(ExportFrom::Since(at(5))), 2, "the end and the last one");
    assert_eq!(lines(ExportFrom::Since(at(500))), 0);
    let foreign = Cursor { epoch: crate::Epoch::new(1), ..after };
    let mut log = SqliteLog::open(log_dir.path()).unwrap();
    let refused = log.export((*filters("**")).clone(), ExportFrom::After(foreign));
    assert!(matches!(refused, Err(ToolError::ForeignId { .. })));
    let beyond = Cursor { offset: open.tail().next(), ..after };
    let refused = log.export((*filters("**")).clone(), ExportFrom::After(beyond));
    assert!(matches!(refused, Err(ToolError::Beyond { .. })));
}

#[tokio::test]
async fn records_removed_during_an_export_are_reported() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(3_000, filler).await;
    let last = open.log.event("loud/0", "last").await;
    let mut log = SqliteLog::open(log_dir.path()).unwrap();
    let mut export = log.export((*filters("**")).clone(), ExportFrom::Earliest).unwrap();
    let first = export.next_page().unwrap().unwrap();
    assert_eq!(first.removed, None);
    open.log.trim("loud/0", last).await;
    open.log.event("loud/1", "after the export began").await;
    let (mut reported, mut records) = (Vec::new(), first.records);
    while let Some(page) = export.next_page().unwrap() {
        reported.extend(page.removed);
        records.extend(page.records);
    }
    assert_eq!(reported.len(), 1, "once");
    assert_eq!(reported[0].topics, [name("loud/0")]);
    assert!(records.iter().all(|record| record.offset() <= last.offset), "it ends at the tail");
    assert_eq!(records.len(), 3_000 - 20);
}

#[tokio::test]
async fn times_never_go_back_and_an_end_gets_that_of_the_record_before() {
    let log_dir = imported(
        "{\"type\":\"stentor.end\",\"id\":\"e\",\"topic\":\"z\",\"reason\":\"first of all\"}\n\
         {\"topic\":\"a\",\"time\":\"2023-11-14T22:13:30Z\",\"data\":\"1\"}\n\
         {\"topic\":\"a\",\"time\":\"2023-11-14T22:13:20Z\",\"data\":\"2\"}\n\
         {\"type\":\"stentor.end\",\"topic\":\"a\",\"reason\":\"\"}\n",
    )
    .await;
    let all = log_dir.open().log.all("**").await;
    assert_eq!(all.iter().map(|record| record.time()).collect::<Vec<_>>(), [at(10); 4]);
    assert_eq!(contents(&all), ["z ends: first of all", "a: 1", "a: 2", "a ends: "]);
}

#[tokio::test]
async fn positions_and_gaps_of_a_live_stream_are_ignored() {
    let log_dir = LogDir::new();
    let lines = "\n{\"type\":\"stentor.cursor\",\"id\":\"x\"}\n \r\n{\"topic\":\"a\",\"data\":\"1\"}\r\n\
                 {\"type\":\"stentor.gap\",\"id\":\"y\",\"reason\":\"trimmed\"}\n{\"topic\":\"a\",\"data\":\"2\"}";
    let done = import(log_dir.path(), lines).await.unwrap();
    assert_eq!(done, Imported { records: 2, lines: 6 });
    assert_eq!(contents(&log_dir.open().log.all("**").await), ["a: 1", "a: 2"]);
}

#[tokio::test]
async fn a_byte_order_mark_before_the_first_line_is_ignored() {
    let log_dir = LogDir::new();
    import(log_dir.path(), "\u{feff}{\"topic\":\"a\",\"data\":\"1\"}\n").await.unwrap();
    assert_eq!(contents(&log_dir.open().log.all("**").await), ["a: 1"]);
}

#[tokio::test]
async fn the_number_of_an_invalid_line_is_reported_and_nothing_is_left_behind() {
    let good = "{\"topic\":\"a\",\"data\":\"1\"}\n".repeat(1_200);
    for (line, words) in [
        ("nonsense", "not an event object"),
        ("{\"topic\":\"a\",\"data\":", "not an event object"),
        ("[]", "not an event object"),
        ("[null,\"a\",null,null,\"x\",null,null]", "not an event object"),
        ("\u{feff}{\"topic\":\"a\",\"data\":\"x\"}", "not an event object"),
        ("{\"topic\":\"a\"}", "needs its `data`"),
        ("{\"topic\":\"a\",\"data\":5}", "invalid type"),
        ("{\"data\":\"x\"}", "needs its `topic`"),
        ("{\"topic\":\"a/*\",\"data\":\"x\"}", "cannot have the segment"),
        ("{\"topic\":\"$SYS\",\"data\":\"x\"}", "reserved"),
        ("{\"topic\":\"a\",\"data\":\"x\",\"time\":\"yesterday\"}", "`time`"),
        ("{\"topic\":\"a\",\"data\":\"x\",\"type\":\"stentor.own\"}", "reserved for the server"),
        ("{\"topic\":\"a\",\"data\":\"x\",\"type\":\"a\\nb\"}", "line break"),
        ("{\"topic\":\"a\",\"data\":\"x\",\"retry\":-1}", "invalid value"),
        ("{\"topic\":\"a\",\"type\":\"stentor.end\"}", "needs its `reason`"),
        ("{\"topic\":\"a\",\"data\":\"\\ud800\"}", "not an event object"),
    ] {
        let parent = LogDir::new();
        let dir = parent.path().join("new");
        let error = import(&dir, &format!("{good}{line}\n")).await.unwrap_err().to_string();
        assert!(error.starts_with("line 1201: ") && error.contains(words), "{line}: {error}");
        assert!(!error.contains("at line 1 "), "{error}");
        assert!(!dir.exists(), "{line}");
    }
}

#[tokio::test]
async fn an_event_after_the_end_of_its_topic_is_an_invalid_line() {
    let parent = LogDir::new();
    let lines = "{\"topic\":\"a\",\"type\":\"stentor.end\",\"reason\":\"\"}\n\n{\"topic\":\"a\",\"data\":\"\"}\n";
    let error = import(&parent.path().join("new"), lines).await.unwrap_err().to_string();
    assert_eq!(error, "line 3: the topic \"a\" ended on an earlier line");
}

#[tokio::test]
async fn an_existing_log_is_never_imported_into() {
    let log_dir = varied().await;
    let lines = export(log_dir.path(), "**");
    assert!(matches!(import(log_dir.path(), &lines).await, Err(ToolError::Exists { .. })));
    let open = log_dir.open();
    assert!(import(log_dir.path(), &lines).await.is_err());
    drop(open);
    assert_eq!(export(log_dir.path(), "**"), lines);
}

#[tokio::test]
async fn an_import_locks_its_directory() {
    let parent = LogDir::new();
    let dir = parent.path().join("new");
    let mut refusals = 0;
    let mut progress = |_| {
        let refused = SqliteStorage::open(&dir).map(drop).unwrap_err();
        assert!(refused.to_string().contains("in use by process"), "{refused}");
        refusals += 1;
    };
    let lines = "{\"topic\":\"a\",\"data\":\"1\"}\n".repeat(1_500);
    SqliteLog::import(&dir, &mut lines.as_bytes(), &mut progress).await.unwrap();
    assert!(refusals > 0);
    assert_eq!(SqliteStorage::open(&dir).unwrap().bounds().tail.get(), 1_500);
}

/// An event that could have been published.
fn any_line() -> impl Strategy<Value = Value> {
    let topic = "[a-c/é ]{1,3}";
    let event_type = prop_oneof![Just("message".to_owned()), "[^\r\n]{1,8}"]
        .prop_filter("reserved", |name| !name.starts_with("stentor."));
    let retry = proptest::option::of(0_u64..=3_600_000);
    (topic, event_type, any::<String>(), retry, 0_i64..99).prop_map(
        |(topic, event_type, data, retry, seconds)| {
            let time = at(seconds).to_string();
            let mut line = json!({"topic": topic, "type": event_type, "time": time, "data": data});
            if let Some(retry) = retry {
                line["retry"] = retry.into();
            }
            line
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_survives_export_and_import(
        mut lines in proptest::collection::vec(any_line(), 0..60),
        reason in any::<String>(),
    ) {
        lines.push(json!({"type": "stentor.end", "topic": "the/end", "reason": reason}));
        let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let first = imported(&text).await;
            let exported = export(first.path(), "**");
            let second = imported(&exported).await;
            let again = without_ids(&export(second.path(), "**"));
            assert_eq!(again, without_ids(&exported));
            for (line, exported) in lines.iter().zip(again) {
                // The import made times rise.
                let mut line = line.clone();
                if line.get("time").is_some() {
                    line["time"] = exported["time"].clone();
                }
                assert_eq!(exported, line);
            }
        });
    }
}
