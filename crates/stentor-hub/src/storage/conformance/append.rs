//! Appends: outcomes, order, times.

use super::Log;
use super::log::{appended, at, contents, cursors, end, end_entry, entry, event, name, offsets};
use crate::cursor::Cursor;
use crate::publish::Entry;
use crate::record::Body;
use crate::storage::Outcome;
use crate::timestamp::Timestamp;

fn ended(topic: &str, end: Cursor) -> Outcome {
    Outcome::Ended { topic: name(topic), end }
}

pub async fn every_publish_has_an_outcome_in_order(log: &Log) {
    let end_of_b = log.end("b").await;
    let batch = vec![event("a", "1"), event("b", "2"), event("c", "3"), event("b", "4")];
    let outcomes = log.append(batch).await;
    let ids = cursors(&log.all("a c").await);
    assert_eq!(
        outcomes,
        [
            Outcome::Appended { first: ids[0], last: ids[0] },
            ended("b", end_of_b),
            Outcome::Appended { first: ids[1], last: ids[1] },
            ended("b", end_of_b),
        ]
    );
}

pub async fn an_empty_batch_has_no_outcomes(log: &Log) {
    log.event("a", "1").await;
    let tail = log.storage.bounds().tail;
    assert_eq!(log.append(Vec::new()).await, []);
    assert_eq!(log.storage.bounds().tail, tail);
}

pub async fn an_outcome_has_the_ids_of_the_first_and_the_last_record(log: &Log) {
    let one = appended(&log.publish(event("a", "1")).await);
    let publish = event("a", "2").and(entry("b", "3")).and(entry("a", "4"));
    let three = appended(&log.publish(publish).await);
    let ids = cursors(&log.all("**").await);
    assert_eq!(ids.len(), 4);
    assert_eq!(one, (ids[0], ids[0]));
    assert_eq!(three, (ids[1], ids[3]));
    assert!(ids.iter().all(Cursor::is_event_id));
}

pub async fn offsets_rise_in_the_order_of_the_batch(log: &Log) {
    let batch = (0..300).map(|n| match n % 3 {
        0 => event("a", &format!("{n}")).and(entry("b", &format!("{n}+"))),
        1 => event("c/d", &format!("{n}")),
        _ => event("a", &format!("{n}")),
    });
    let outcomes = log.append(batch.collect()).await;
    let ids: Vec<Cursor> = outcomes.iter().map(appended).flat_map(|(a, b)| [a, b]).collect();
    assert!(offsets(&ids).is_sorted());
    let sink_records = log.sink_records();
    assert_eq!(sink_records.len(), 400);
    assert!(sink_records.is_sorted_by(|a, b| a.offset() < b.offset()));
    let expected = (0..300).flat_map(|n| match n % 3 {
        0 => vec![format!("a: {n}"), format!("b: {n}+")],
        1 => vec![format!("c/d: {n}")],
        _ => vec![format!("a: {n}")],
    });
    assert_eq!(contents(&sink_records), expected.collect::<Vec<_>>());
}

pub async fn offsets_are_never_used_again(log: &Log) {
    let first = log.event("a", "1").await;
    log.trim("a", first).await;
    let second = log.event("a", "2").await;
    let deletion = log.delete("a").await;
    let third = log.event("a", "3").await;
    assert!(first.offset < second.offset);
    assert!(second.offset < deletion);
    assert!(deletion < third.offset);
}

pub async fn one_publish_may_go_to_several_topics(log: &Log) {
    let publish = event("a", "1").and(entry("b", "2")).and(entry("c/d", "3"));
    appended(&log.publish(publish).await);
    assert_eq!(contents(&log.all("**").await), ["a: 1", "b: 2", "c/d: 3"]);
    assert_eq!(contents(&log.all("b").await), ["b: 2"]);
}

pub async fn an_event_and_the_end_are_one_publish(log: &Log) {
    let (first, last) = appended(&log.publish(event("a", "1").and(end_entry("a"))).await);
    let records = log.all("a").await;
    assert_eq!(contents(&records), ["a: 1", "a ends: done"]);
    assert_eq!(cursors(&records), [first, last]);
}

pub async fn an_ended_topic_refuses_events_and_reports_the_id_of_its_end(log: &Log) {
    log.event("a", "1").await;
    let last = log.end("a").await;
    assert_eq!(log.publish(event("a", "2")).await, ended("a", last));
    assert_eq!(log.publish(end("a", "again")).await, ended("a", last));
    let outcome = log.publish(event("a", "2").and(end_entry("a"))).await;
    assert_eq!(outcome, ended("a", last));
    assert_eq!(contents(&log.all("a").await), ["a: 1", "a ends: done"]);
}

pub async fn nothing_of_a_publish_is_appended_if_one_of_its_topics_has_ended(log: &Log) {
    let last = log.end("b").await;
    for publish in [
        event("a", "1").and(entry("b", "2")).and(entry("c", "3")),
        event("b", "1").and(entry("a", "2")),
        event("a", "1").and(entry("b", "2")),
    ] {
        assert_eq!(log.publish(publish).await, ended("b", last));
    }
    assert_eq!(contents(&log.all("**").await), ["b ends: done"]);
    assert_eq!(log.state("a").await.events, 0);
}

pub async fn an_entry_after_an_end_in_the_same_publish_refuses_all_of_it(log: &Log) {
    for more in [entry("a", "3"), end_entry("a")] {
        let publish = event("b", "1").and(end_entry("a")).and(more);
        let outcome = log.publish(publish).await;
        assert!(matches!(&outcome, Outcome::Ended { topic, .. } if *topic == name("a")));
    }
    assert_eq!(contents(&log.all("**").await), [""; 0]);
    assert_eq!(log.state("a").await.end, None);
    log.event("a", "the topic has not ended").await;
}

pub async fn a_refused_publish_does_not_fail_the_others(log: &Log) {
    let last = log.end("b").await;
    let refused = event("a", "no").and(entry("b", "no"));
    let outcomes = log.append(vec![event("a", "1"), refused, event("a", "2")]).await;
    appended(&outcomes[0]);
    assert_eq!(outcomes[1], ended("b", last));
    appended(&outcomes[2]);
    assert_eq!(contents(&log.all("a").await), ["a: 1", "a: 2"]);
}

pub async fn later_publishes_of_a_batch_see_the_end_that_an_earlier_one_appended(log: &Log) {
    let batch = vec![
        event("a", "1"),
        end("a", "done"),
        event("a", "2"),
        event("b", "3").and(entry("a", "4")),
        event("b", "5"),
    ];
    let outcomes = log.append(batch).await;
    let (last, _) = appended(&outcomes[1]);
    assert_eq!(outcomes[2..4], [ended("a", last), ended("a", last)]);
    assert_eq!(contents(&log.all("**").await), ["a: 1", "a ends: done", "b: 5"]);
}

pub async fn a_publish_that_requires_a_stored_one_is_appended(log: &Log) {
    let batch = vec![
        event("a", "1"),
        event("b", "2").requiring_previous(),
        end("a", "done").requiring_previous(),
    ];
    for outcome in log.append(batch).await {
        appended(&outcome);
    }
    assert_eq!(contents(&log.all("**").await), ["a: 1", "b: 2", "a ends: done"]);
}

pub async fn a_publish_that_requires_a_refused_one_is_withheld(log: &Log) {
    let last = log.end("a").await;
    let outcomes = log.append(vec![event("a", "no"), event("b", "no").requiring_previous()]).await;
    assert_eq!(outcomes, [ended("a", last), Outcome::Withheld]);
    assert_eq!(contents(&log.all("**").await), ["a ends: done"]);
    assert_eq!(log.sink_records().len(), 1);
}

pub async fn a_chain_of_publishes_is_withheld_up_to_one_that_requires_none(log: &Log) {
    log.end("a").await;
    let more = || event("b", "no").and(entry("c", "no")).requiring_previous();
    let batch = vec![
        event("a", "no"),
        more(),
        more(),
        event("b", "1"),
        event("b", "2").requiring_previous(),
    ];
    let outcomes = log.append(batch).await;
    assert_eq!(outcomes[1..3], [Outcome::Withheld, Outcome::Withheld]);
    assert_eq!(contents(&log.all("b c").await), ["b: 1", "b: 2"]);
}

pub async fn the_first_of_a_batch_requires_none(log: &Log) {
    log.end("a").await;
    log.append(vec![event("b", "1"), event("a", "no")]).await;
    appended(&log.publish(event("b", "2").requiring_previous()).await);
    assert_eq!(contents(&log.all("b").await), ["b: 1", "b: 2"]);
}

pub async fn a_deletion_cannot_be_published(log: &Log) {
    log.event("a", "1").await;
    let deletion = Entry::new(name("a"), Body::Deleted);
    // Any outcome is allowed, but nothing is appended.
    let answer = log.storage.append(vec![event("b", "2").and(deletion)], at(0)).await;
    let appended = matches!(answer.as_deref(), Ok([Outcome::Appended { .. }]));
    assert!(!appended, "{answer:?}");
    assert_eq!(contents(&log.all("**").await), ["a: 1"]);
    assert_eq!(log.state("a").await.end, None);
}

pub async fn the_time_of_a_record_is_now_to_the_microsecond(log: &Log) {
    let now = Timestamp::from_micros(1_700_000_000_123_457);
    let later = Timestamp::from_micros(1_700_000_000_123_458);
    log.publish_at(event("a", "1").and(entry("b", "2")), now).await;
    log.publish_at(event("a", "3"), later).await;
    let records = log.all("**").await;
    let times: Vec<Timestamp> = records.iter().map(|record| record.time()).collect();
    assert_eq!(times, [now, now, later]);
}

pub async fn the_time_of_a_record_never_goes_back(log: &Log) {
    for (now, time) in [(5, 5), (3, 5), (5, 5), (4, 5), (6, 6), (-100, 6)] {
        let topic = format!("t{now}");
        log.publish_at(event(&topic, "x"), at(now)).await;
        let sink_records = log.sink_records();
        assert_eq!(sink_records.last().unwrap().time(), at(time), "at {now}");
    }
    assert_eq!(log.sink_records(), log.all("**").await);
}

pub async fn the_time_does_not_go_back_when_the_record_before_was_removed(log: &Log) {
    let (last, _) = appended(&log.publish_at(event("a", "1"), at(9)).await);
    log.trim("a", last).await;
    log.publish_at(event("a", "2"), at(1)).await;
    assert_eq!(log.all("a").await[0].time(), at(9));
}
