//! Readers that come in crowds: the storage is asked once for all, and nobody loses or doubles anything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
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

/// A hub that holds no more than the newest record in memory, as after a restart, with 50 events; and
/// the id of the one that has 20 behind it.
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

/// A reader that reads so many events and returns them.
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
            let records = batch.expect("the topic goes on").records;
            data.extend(records.iter().map(|record| record.event().unwrap().data().to_owned()));
        }
        Ok(data)
    }
    .boxed()
}

/// So many readers with the same cursor.
fn crowd(hub: &Hub, cursor: Cursor) -> Vec<BoxFuture<'_, Result<Vec<String>, String>>> {
    (0..CROWD).map(|_| reader(hub, Start::Cursor(cursor.to_string()), 20)).collect()
}

fn missed() -> Vec<String> {
    (30..50).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_crowd_that_comes_at_once_asks_as_much_as_one_reader() {
    let (hub, gate, cursor) = restarted().await;
    gate.hold_questions(true);
    let mut all = join_all(crowd(&hub, cursor));
    assert!((&mut all).now_or_never().is_none(), "all wait for the same answer");
    gate.hold_questions(false);
    for data in all.await {
        assert_eq!(data.unwrap(), missed());
    }
    assert_eq!(gate.questions(), ["fetch", "states", "read"]);
}

#[tokio::test]
async fn a_crowd_that_comes_one_by_one_asks_as_much_as_one_reader_though_events_come_meanwhile() {
    let (hub, gate, cursor) = restarted().await;
    for (number, reader) in crowd(&hub, cursor).into_iter().enumerate() {
        assert_eq!(reader.await.unwrap(), missed());
        if number % 100 == 0 {
            hub.send(&news(), "new").await.unwrap();
        }
    }
    assert_eq!(gate.questions(), ["fetch", "states", "read"]);
}

#[tokio::test]
async fn a_crowd_without_cursors_asks_once_whether_its_topic_goes_on() {
    let (hub, gate, _) = restarted().await;
    for _ in 0..CROWD {
        hub.subscribe(Filters::topic(news()), Start::Now).await.unwrap();
        hub.send(&"other".parse().unwrap(), "the tail moves").await.unwrap();
    }
    assert_eq!(gate.questions(), ["states"]);
}

#[tokio::test]
async fn the_newest_events_are_asked_for_once_until_there_is_a_newer_one() {
    let (hub, gate, _) = restarted().await;
    for expected in ["49", "50"] {
        for _ in 0..CROWD {
            assert_eq!(reader(&hub, Start::Last(1), 1).await.unwrap(), [expected]);
        }
        hub.send(&news(), "50").await.unwrap();
    }
    let seeks = gate.questions().iter().filter(|question| **question == "seek").count();
    assert_eq!(seeks, 2);
}

#[tokio::test]
async fn a_failure_reaches_all_who_wait_and_is_forgotten() {
    let (hub, gate, cursor) = restarted().await;
    gate.hold_questions(true);
    let mut all = join_all(crowd(&hub, cursor));
    assert!((&mut all).now_or_never().is_none());
    let failure = StorageError::Unavailable { reason: "the disk is away".to_owned() };
    gate.fail_with(failure.clone());
    gate.hold_questions(false);
    for data in all.await {
        assert_eq!(data, Err(failure.to_string()));
    }
    assert_eq!(gate.questions(), ["fetch"]);
    gate.recover();
    assert_eq!(crowd(&hub, cursor).pop().unwrap().await.unwrap(), missed());
}

#[tokio::test]
async fn readers_that_give_up_hurt_nobody() {
    let (hub, gate, cursor) = restarted().await;
    gate.hold_questions(true);
    let mut all = crowd(&hub, cursor);
    for reader in &mut all {
        assert!(reader.now_or_never().is_none());
    }
    // The first one asked for all, and all but a few in the middle go.
    let left: Vec<_> = all.drain(400..410).collect();
    drop(all);
    gate.hold_questions(false);
    for reader in left {
        assert_eq!(reader.await.unwrap(), missed());
    }
    assert_eq!(gate.questions(), ["fetch", "states", "read"]);
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_any_more_is_asked_again() {
    let (hub, gate, cursor) = restarted().await;
    gate.hold_questions(true);
    let mut all = join_all(crowd(&hub, cursor));
    assert!((&mut all).now_or_never().is_none());
    drop(all);
    gate.hold_questions(false);
    assert_eq!(crowd(&hub, cursor).pop().unwrap().await.unwrap(), missed());
    assert_eq!(gate.questions(), ["fetch", "fetch", "states", "read"]);
}

#[tokio::test]
async fn what_was_deleted_is_told_to_nobody_who_comes_later() {
    let (hub, _, cursor) = restarted().await;
    assert_eq!(crowd(&hub, cursor).pop().unwrap().await.unwrap(), missed());
    assert!(hub.delete(&news()).await.unwrap());
    let start = Start::Cursor(cursor.to_string());
    let subscribed = hub.subscribe(Filters::topic(news()), start).await.unwrap();
    let Subscribed::Open(mut late) = subscribed else { panic!("not told of the deletion") };
    let batch = late.next().await.unwrap().unwrap();
    assert_eq!(batch.records.len(), 1);
    assert_eq!(batch.records[0].end_reason(), Some("deleted"));
}

#[tokio::test]
async fn a_reader_with_the_receipt_of_an_end_that_came_since_is_finished() {
    let (hub, _, cursor) = restarted().await;
    assert_eq!(crowd(&hub, cursor).pop().unwrap().await.unwrap(), missed());
    let end = hub.publish(Publish::end(news(), "done")).await.unwrap().last;
    let finished = reader(&hub, Start::Cursor(end.to_string()), 1).now_or_never();
    assert_eq!(finished, Some(Err("204".to_owned())), "it does not wait for what is behind it");
}
