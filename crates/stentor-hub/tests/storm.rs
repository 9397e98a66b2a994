//! Crowds of readers: the storage gets one query for all of them, and no event is lost or duplicated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod gated;
mod storm {
    pub(crate) mod chance;
}

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use stentor_hub::{
    Cursor, Filters, Hub, Publish, Start, StartPosition, StorageError, SubscribeError, Subscribed,
    TopicName,
};

use crate::gated::{Gate, GatedStorage};

const CROWD: usize = 1_000;

/// A hub of 50 events whose live window has only the newest record, as after a restart. Also returns the id of the
/// event before the last 20.
async fn restarted() -> (Hub, Gate, Cursor) {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    let hub = Hub::with_window(storage, 0);
    let mut ids = Vec::new();
    for number in 0..50 {
        ids.push(hub.send(&news(), number.to_string()).await.unwrap().first);
    }
    (hub, gate, ids[29])
}

fn news() -> TopicName {
    "news".parse().unwrap()
}

/// A reader that reads `count` events and returns them.
fn reader(hub: &Hub, start: Start, count: usize) -> BoxFuture<'_, Result<Vec<String>, String>> {
    async move {
        let in_words = |error: SubscribeError| error.to_string();
        let filters = Filters::topic(news());
        let subscribed = hub.subscribe(filters, start).await.map_err(in_words)?;
        let Subscribed::Open(mut subscription) = subscribed else { return Err("204".to_owned()) };
        let opening = subscription.start_position().await.map_err(|error| error.to_string())?;
        assert!(matches!(opening, StartPosition::At(_)), "no gap: {opening:?}");
        let mut data = Vec::new();
        while data.len() < count {
            let batch = subscription.next().await.map_err(|error| error.to_string())?;
            let records = batch.expect("the topic has not ended").records;
            data.extend(records.iter().map(|record| record.event().unwrap().data().to_owned()));
        }
        Ok(data)
    }
    .boxed()
}

/// A crowd of readers with one cursor.
fn crowd(hub: &Hub, cursor: Cursor) -> Vec<BoxFuture<'_, Result<Vec<String>, String>>> {
    (0..CROWD).map(|_| reader(hub, Start::Cursor(cursor.to_string()), 20)).collect()
}

fn missed() -> Vec<String> {
    (30..50).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_crowd_that_connects_at_once_needs_the_queries_of_one_reader() {
    let (hub, gate, cursor) = restarted().await;
    gate.hold_queries(true);
    let mut all = join_all(crowd(&hub, cursor));
    assert!((&mut all).now_or_never().is_none(), "all wait for one result");
    gate.hold_queries(false);
    for data in all.await {
        assert_eq!(data.unwrap(), missed());
    }
    assert_eq!(gate.queries(), ["fetch", "states", "read"]);
}

#[tokio::test]
async fn a_crowd_that_connects_one_by_one_needs_the_queries_of_one_reader_despite_new_events() {
    let (hub, gate, cursor) = restarted().await;
    for (number, reader) in crowd(&hub, cursor).into_iter().enumerate() {
        assert_eq!(reader.await.unwrap(), missed());
        if number % 100 == 0 {
            hub.send(&news(), "new").await.unwrap();
        }
    }
    assert_eq!(gate.queries(), ["fetch", "states", "read"]);
}

#[tokio::test]
async fn a_crowd_without_cursors_queries_the_end_of_its_topic_once() {
    let (hub, gate, _) = restarted().await;
    for _ in 0..CROWD {
        hub.subscribe(Filters::topic(news()), Start::Now).await.unwrap();
        hub.send(&"other".parse().unwrap(), "the tail moves").await.unwrap();
    }
    assert_eq!(gate.queries(), ["states"]);
}

#[tokio::test]
async fn the_newest_events_are_queried_once_until_there_is_a_newer_one() {
    let (hub, gate, _) = restarted().await;
    for expected in ["49", "50"] {
        for _ in 0..CROWD {
            assert_eq!(reader(&hub, Start::Last(1), 1).await.unwrap(), [expected]);
        }
        hub.send(&news(), "50").await.unwrap();
    }
    let seeks = gate.queries().iter().filter(|question| **question == "seek").count();
    assert_eq!(seeks, 2);
}

#[tokio::test]
async fn a_failure_reaches_all_waiting_readers_and_is_not_cached() {
    let (hub, gate, cursor) = restarted().await;
    gate.hold_queries(true);
    let mut all = join_all(crowd(&hub, cursor));
    assert!((&mut all).now_or_never().is_none());
    let failure = StorageError::Unavailable { reason: "the disk is unavailable".to_owned() };
    gate.fail_with(failure.clone());
    gate.hold_queries(false);
    for data in all.await {
        assert_eq!(data, Err(failure.to_string()));
    }
    assert_eq!(gate.queries(), ["fetch"]);
    gate.recover();
    assert_eq!(crowd(&hub, cursor).pop().unwrap().await.unwrap(), missed());
}

#[tokio::test]
async fn readers_that_give_up_do_not_affect_others() {
    let (hub, gate, cursor) = restarted().await;
    gate.hold_queries(true);
    let mut all = crowd(&hub, cursor);
    for reader in &mut all {
        assert!(reader.now_or_never().is_none());
    }
    // The first one started the query. All but a few in the middle give up.
    let left: Vec<_> = all.drain(400..410).collect();
    drop(all);
    gate.hold_queries(false);
    for reader in left {
        assert_eq!(reader.await.unwrap(), missed());
    }
    assert_eq!(gate.queries(), ["fetch", "states", "read"]);
}

#[tokio::test]
async fn a_query_without_waiting_readers_is_sent_again() {
    let (hub, gate, cursor) = restarted().await;
    gate.hold_queries(true);
    let mut all = join_all(crowd(&hub, cursor));
    assert!((&mut all).now_or_never().is_none());
    drop(all);
    gate.hold_queries(false);
    assert_eq!(crowd(&hub, cursor).pop().unwrap().await.unwrap(), missed());
    assert_eq!(gate.queries(), ["fetch", "fetch", "states", "read"]);
}

#[tokio::test]
async fn a_deletion_is_not_sent_to_later_readers() {
    let (hub, _, cursor) = restarted().await;
    assert_eq!(crowd(&hub, cursor).pop().unwrap().await.unwrap(), missed());
    assert!(hub.delete(&news()).await.unwrap());
    let start = Start::Cursor(cursor.to_string());
    let subscribed = hub.subscribe(Filters::topic(news()), start).await.unwrap();
    let Subscribed::Open(mut late) = subscribed else {
        panic!("the deletion is not for a new reader")
    };
    let batch = late.next().await.unwrap().unwrap();
    assert_eq!(batch.records.len(), 1);
    assert_eq!(batch.records[0].end_reason(), Some("deleted"));
}

#[tokio::test]
async fn a_reader_with_the_id_of_a_later_end_is_finished() {
    let (hub, _, cursor) = restarted().await;
    assert_eq!(crowd(&hub, cursor).pop().unwrap().await.unwrap(), missed());
    let end = hub.publish(Publish::end(news(), "done")).await.unwrap().last;
    let finished = reader(&hub, Start::Cursor(end.to_string()), 1).now_or_never();
    assert_eq!(finished, Some(Err("204".to_owned())), "it does not wait for records after the end");
}
