//! The bounds of idempotency keys on disk, and their time.

use std::net::IpAddr;
use std::time::Duration;

use super::LogDir;
use crate::key::{Key, KeyContent, KeyLimits, KeySource};
use crate::publish::Publish;
use crate::storage::conformance::log::{appended, at, event, name};
use crate::storage::sqlite::limits::Limits;
use crate::storage::{ClockJump, Outcome, Storage};

/// Seconds of a key window.
const WINDOW: i64 = 600;

fn limited(keys: u64, keys_per_address: Option<u64>) -> LogDir {
    let keys = KeyLimits { keys, keys_per_address, ..KeyLimits::sqlite() };
    LogDir::with(Limits { keys, ..Limits::default() })
}

fn keyed(number: u64, source: impl Into<Option<KeySource>>) -> Publish {
    event("a", "x").with_key(Key {
        scope: Some(name("a")),
        publisher: String::new(),
        name: number.to_string(),
        window: Duration::from_secs(WINDOW.unsigned_abs()),
        source: source.into(),
        content: KeyContent::Whole([1; 16]),
    })
}

fn source(hash: u64) -> KeySource {
    KeySource::from_hash(hash)
}

fn is_refused(outcome: &Outcome, of_address: bool) -> bool {
    matches!(outcome, Outcome::TooManyKeys(refused) if refused.of_address == of_address)
}

#[tokio::test]
async fn the_keys_of_each_address_are_counted_across_restarts() {
    let log_dir = limited(10, Some(3));
    let open = log_dir.open();
    for number in 0..3 {
        appended(&open.log.publish(keyed(number, source(u64::MAX))).await);
    }
    appended(&open.log.publish(keyed(10, source(2))).await);
    drop(open);
    let open = log_dir.open();
    assert!(is_refused(&open.log.publish(keyed(3, source(u64::MAX))).await, true));
    let repeat = open.log.publish(keyed(0, source(u64::MAX))).await;
    assert!(matches!(repeat, Outcome::Repeat { .. }), "{repeat:?}");
    appended(&open.log.publish(keyed(11, source(2))).await);
    for number in 20..25 {
        appended(&open.log.publish(keyed(number, None)).await);
    }
    assert!(is_refused(&open.log.publish(keyed(12, source(2))).await, false), "the log is full");
    appended(&open.log.publish_at(keyed(3, source(u64::MAX)), at(WINDOW)).await);
}

#[tokio::test]
async fn a_refused_transaction_counts_no_key() {
    let log_dir = limited(10, Some(2));
    let open = log_dir.open();
    let half_done = open.storage.log.writes.run(|writer| {
        let failed: Result<(), _> = writer.transact(|transaction| {
            transaction
                .publish_all([(keyed(0, source(1)), at(0)), (keyed(1, source(1)), at(0))])?;
            Err(crate::storage::sqlite::db_error::DbError::Sqlite(
                rusqlite::Error::QueryReturnedNoRows,
            ))
        });
        Ok(failed.is_err())
    });
    assert_eq!(half_done.await, Ok(true));
    for number in 0..2 {
        appended(&open.log.publish(keyed(number, source(1))).await);
    }
}

#[tokio::test]
async fn the_address_of_a_publisher_is_not_stored() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let address: IpAddr = "192.0.2.77".parse().unwrap();
    let hashed = KeySource::new(open.storage.epoch(), address);
    appended(&open.log.publish(keyed(0, Some(hashed))).await);
    drop(open);
    let sources = "SELECT source FROM keys";
    let stored: i64 = log_dir.database().query_row(sources, [], |row| row.get(0)).unwrap();
    assert_eq!(stored.cast_unsigned(), hashed.hash());
}

#[tokio::test]
async fn a_jump_of_the_clock_forgets_no_key() {
    const DAY: i64 = 24 * 3_600;
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let ids = appended(&open.log.publish_at(keyed(0, None), at(DAY)).await);
    let repeat = Outcome::Repeat { first: ids.0, last: ids.1 };
    appended(&open.log.publish_at(event("a", "ahead"), at(2 * DAY)).await);
    let time = open.storage.log_time(at(2 * DAY));
    assert!(time.now < at(DAY + 60), "records age by the time that passes: {time:?}");
    assert!(matches!(time.jump, Some(ClockJump::Ahead(_))), "{time:?}");
    assert_eq!(open.log.publish_at(keyed(0, None), at(2 * DAY)).await, repeat);
    assert_eq!(open.log.publish_at(keyed(0, None), at(DAY + 1)).await, repeat);
    let time = open.storage.log_time(at(DAY + 1));
    assert!(matches!(time.jump, Some(ClockJump::Behind(_))), "record times are pinned: {time:?}");
    drop(open);
    let open = log_dir.open();
    assert_eq!(open.log.publish_at(keyed(0, None), at(DAY + 2)).await, repeat);
    let later = open.log.publish_at(keyed(0, None), at(DAY + WINDOW)).await;
    assert!(matches!(later, Outcome::Appended { .. }), "its window is over: {later:?}");
}

#[tokio::test]
async fn a_log_that_was_closed_for_long_has_no_jump() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    appended(&open.log.publish_at(keyed(0, None), at(0)).await);
    drop(open);
    let open = log_dir.open();
    let time = open.storage.log_time(at(90_000));
    assert_eq!((time.now, time.jump), (at(90_000), None));
    let again = open.log.publish_at(keyed(0, None), at(90_000)).await;
    assert!(matches!(again, Outcome::Appended { .. }), "{again:?}");
}

/// Takes about a minute. Run it with `STENTOR_LONG_KEYS=1`.
#[tokio::test]
async fn the_first_of_very_many_keys_is_still_known() {
    if std::env::var_os("STENTOR_LONG_KEYS").is_none() {
        return;
    }
    let log_dir = limited(KeyLimits::SQLITE_KEYS, None);
    let open = log_dir.open();
    let first = appended(&open.log.publish(keyed(0, None)).await);
    let numbers: Vec<u64> = (1..KeyLimits::SQLITE_KEYS).collect();
    for numbers in numbers.chunks(10_000) {
        let batch = numbers.iter().map(|number| keyed(*number, None)).collect();
        for outcome in open.log.append(batch).await {
            appended(&outcome);
        }
    }
    let refused = open.log.publish(keyed(KeyLimits::SQLITE_KEYS, None)).await;
    assert!(is_refused(&refused, false), "{refused:?}");
    let repeat = open.log.publish(keyed(0, None)).await;
    assert_eq!(repeat, Outcome::Repeat { first: first.0, last: first.1 });
}
