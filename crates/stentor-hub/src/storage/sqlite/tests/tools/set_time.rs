//! `SqliteLog::set_time`.

use std::time::Duration;

use super::findings;
use crate::key::{Key, KeyContent};
use crate::publish::Publish;
use crate::storage::conformance::log::{appended, at, contents, event, name};
use crate::storage::sqlite::SqliteLog;
use crate::storage::sqlite::tests::LogDir;
use crate::storage::{Outcome, Storage, TimeSet};

const DAY: i64 = 24 * 3_600;

fn keyed() -> Publish {
    event("a", "keyed").with_key(Key {
        scope: Some(name("a")),
        publisher: String::new(),
        name: "k".to_owned(),
        window: Duration::from_mins(10),
        source: None,
        content: KeyContent::Whole([7; 16]),
    })
}

/// A log whose clock was right at 1 s, and a day ahead from then on. Returns the ids.
async fn ahead(log_dir: &LogDir) -> Vec<crate::Cursor> {
    let open = log_dir.open();
    let mut ids = vec![appended(&open.log.publish_at(event("a", "1"), at(1)).await).0];
    drop(open);
    let open = log_dir.open();
    for data in ["2", "3"] {
        ids.push(appended(&open.log.publish_at(event("a", data), at(DAY)).await).0);
    }
    ids.push(appended(&open.log.publish_at(keyed(), at(DAY)).await).0);
    ids
}

#[tokio::test]
async fn later_records_get_the_time_and_keep_their_ids() {
    let log_dir = LogDir::new();
    let ids = ahead(&log_dir).await;
    let set = SqliteLog::set_time(log_dir.path(), at(2)).await.unwrap();
    assert_eq!(set, TimeSet { before: at(DAY), records: 3, keys: 1 });
    assert_eq!(findings(log_dir.path()), Vec::<String>::new());
    let open = log_dir.open();
    let records = open.log.all("a").await;
    assert_eq!(contents(&records), ["a: 1", "a: 2", "a: 3", "a: keyed"]);
    let times: Vec<_> = records.iter().map(|record| record.time()).collect();
    assert_eq!(times, [at(1), at(2), at(2), at(2)]);
    let same: Vec<_> = records.iter().map(|record| record.cursor()).collect();
    assert_eq!(same, ids);
    let repeat = open.log.publish_at(keyed(), at(2 + 590)).await;
    assert!(matches!(repeat, Outcome::Repeat { .. }), "{repeat:?}");
    appended(&open.log.publish_at(keyed(), at(2 + 601)).await);
    assert_eq!(open.log.all("a").await[4].time(), at(603), "times are no longer pinned");
    assert_eq!(open.storage.log_time(at(603)).jump, None);
}

#[tokio::test]
async fn a_log_whose_records_are_not_later_is_not_changed() {
    let log_dir = LogDir::new();
    ahead(&log_dir).await;
    let set = SqliteLog::set_time(log_dir.path(), at(DAY)).await.unwrap();
    assert_eq!(set, TimeSet { before: at(DAY), records: 0, keys: 0 });
}

#[tokio::test]
async fn a_log_in_use_is_refused() {
    let log_dir = LogDir::new();
    ahead(&log_dir).await;
    let open = log_dir.open();
    assert!(SqliteLog::set_time(log_dir.path(), at(2)).await.is_err());
    assert_eq!(open.log.all("a").await[1].time(), at(DAY));
}

#[tokio::test]
async fn a_directory_without_a_log_stays_empty() {
    let directory = tempfile::tempdir().unwrap();
    assert!(SqliteLog::set_time(directory.path(), at(2)).await.is_err());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
