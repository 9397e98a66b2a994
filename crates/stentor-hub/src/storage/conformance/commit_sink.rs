//! The log as a whole: epoch, bounds, and the records that its sink gets.

use futures_util::FutureExt;

use super::Log;
use super::log::{appended, at, contents, end, entry, event, name};
use crate::key::{Key, KeyContent};
use crate::storage::Outcome;

pub async fn the_epoch_never_changes_and_is_in_every_id(log: &Log) {
    let epoch = log.storage.epoch();
    let event = log.event("a", "1").await;
    let end = log.end("a").await;
    log.delete("a").await;
    assert_eq!((event.epoch, end.epoch), (epoch, epoch));
    assert_eq!(log.storage.epoch(), epoch);
    for record in log.all("**").await {
        assert_eq!(record.cursor().epoch, epoch);
    }
}

pub async fn a_log_that_never_stopped_uncleanly_has_burned_nothing(log: &Log) {
    assert_eq!(log.storage.bounds().burned, []);
    log.event("a", "1").await;
    assert_eq!(log.storage.bounds().burned, []);
}

pub async fn the_tail_is_the_offset_of_the_last_record(log: &Log) {
    let begin = log.storage.bounds().tail;
    let first = log.event("a", "1").await;
    assert!(first.offset > begin);
    assert_eq!(log.storage.bounds().tail, first.offset);
    let publish = event("a", "2").and(entry("b", "3"));
    let (_, last) = appended(&log.publish(publish).await);
    assert_eq!(log.storage.bounds().tail, last.offset);
}

pub async fn the_sink_has_the_appended_records_when_append_returns(log: &Log) {
    assert_eq!(contents(&log.sink_records()), [""; 0]);
    log.event("a", "1").await;
    assert_eq!(contents(&log.sink_records()), ["a: 1"]);
    log.append(vec![event("b", "2"), end("a", "done")]).await;
    assert_eq!(contents(&log.sink_records()), ["a: 1", "b: 2", "a ends: done"]);
}

pub async fn the_sink_gets_each_record_once_and_in_order(log: &Log) {
    for round in 0..20 {
        let batch = (0..10).map(|n| event(&format!("t{}", n % 3), &format!("{round}.{n}")));
        log.append(batch.collect()).await;
    }
    let sink_records = log.sink_records();
    assert_eq!(sink_records.len(), 200);
    assert!(sink_records.is_sorted_by(|a, b| a.offset() < b.offset()));
    assert_eq!(contents(&sink_records), contents(&log.all("**").await));
}

pub async fn the_sink_gets_nothing_of_a_refused_publish(log: &Log) {
    log.end("a").await;
    log.append(vec![event("b", "1").and(entry("a", "2")), event("b", "3")]).await;
    assert_eq!(contents(&log.sink_records()), ["a ends: done", "b: 3"]);
}

pub async fn the_sink_gets_a_deletion_in_log_order(log: &Log) {
    log.event("a", "1").await;
    let deletion = log.delete("a").await;
    // When the sink gets this record, it must have got all records before it.
    log.event("b", "2").await;
    assert_eq!(contents(&log.sink_records()), ["a: 1", "a deleted", "b: 2"]);
    assert_eq!(log.sink_records()[1].offset(), deletion);
}

pub async fn the_sink_gets_the_records_that_are_read(log: &Log) {
    log.append_at(vec![event("a", "1").and(entry("b", "2")), end("a", "why")], at(3)).await;
    assert_eq!(log.sink_records(), log.all("**").await);
}

pub async fn a_dropped_append_is_whole_or_not_at_all(log: &Log) {
    let content = KeyContent::Whole([1; 16]);
    let window = std::time::Duration::from_mins(10);
    let scope = Some(name("a"));
    let key = Key {
        scope,
        publisher: String::new(),
        name: "k".to_owned(),
        window,
        source: None,
        content,
    };
    let publish = event("a", "1").and(entry("a", "2")).with_key(key);
    // Polled once, then dropped.
    let _ = log.storage.append(vec![publish.clone()], at(0)).now_or_never();
    let outcome = log.publish(publish).await;
    assert!(matches!(outcome, Outcome::Appended { .. } | Outcome::Repeat { .. }), "{outcome:?}");
    assert_eq!(contents(&log.all("a").await), ["a: 1", "a: 2"]);
    assert_eq!(contents(&log.sink_records()), ["a: 1", "a: 2"]);
}

pub async fn closing_finishes_running_appends(log: &Log) {
    let mut append = log.storage.append(vec![event("a", "1")], at(0));
    let early = (&mut append).now_or_never();
    log.storage.close().await;
    let answer = match early {
        Some(answer) => answer,
        None => append.await,
    };
    let sink_records = contents(&log.sink_records());
    match answer {
        Ok(_) => assert_eq!(sink_records, ["a: 1"]),
        Err(_) => assert_eq!(sink_records, [""; 0]),
    }
}
