//! Pages of history that are read while the log changes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics")]

mod gated;

use std::time::Duration;

use futures_util::FutureExt;
use stentor_hub::storage::Storage;
use stentor_hub::{
    Cursor, Event, Filters, HistoryError, HistoryRequest, Hub, Offset, Publish, Start,
    StorageError, SubscribeError, Timestamp, TopicName,
};

use crate::gated::GatedStorage;

#[tokio::test]
async fn a_topic_that_ends_while_its_page_is_read_has_not_ended_on_that_page() {
    let (storage, gate) = GatedStorage::new();
    let log = storage.log();
    gate.open();
    let hub = Hub::new(storage);
    let job: TopicName = "job".parse().unwrap();
    hub.send(&job, "first").await.unwrap();

    gate.hold_queries(true);
    let request = |start| HistoryRequest {
        filters: Filters::topic(job.clone()),
        start,
        before: None,
        limit: 10,
    };
    let mut reading = hub.history(request(Start::Earliest)).boxed();
    assert!((&mut reading).now_or_never().is_none());
    let last = Publish::event(job.clone(), Event::new("last"));
    log.append(vec![last, Publish::end(job.clone(), "done")], Timestamp::now()).await.unwrap();
    gate.hold_queries(false);
    let page = reading.await.unwrap();
    assert_eq!((page.events.len(), page.next), (1, None));
    assert!(page.ended.is_none(), "the last event is on no page yet");

    let page = hub.history(request(Start::Cursor(page.tail.to_string()))).await.unwrap();
    assert_eq!(page.events.len(), 1);
    assert_eq!(page.ended.unwrap().end_reason(), Some("done"));
}

#[tokio::test]
async fn the_gap_of_a_page_names_topics_that_lose_events_while_the_page_is_read() {
    let (storage, gate) = GatedStorage::new();
    let log = storage.log();
    gate.open();
    let hub = Hub::new(storage);
    let topic = |name: &str| -> TopicName { name.parse().unwrap() };
    let gone = hub.send(&topic("job/0"), "gone").await.unwrap().last;
    // The end fills the first read, and no event is on the page yet.
    hub.publish(Publish::end(topic("job/1"), "done")).await.unwrap();
    let next = hub.send(&topic("job/2"), "next").await.unwrap().last;
    hub.send(&topic("job/3"), "left").await.unwrap();
    log.trim(vec![(topic("job/0"), gone.offset)]).await.unwrap();

    let request = HistoryRequest {
        filters: Filters::new(["job/*".parse().unwrap()]).unwrap(),
        start: Start::Cursor(Cursor::position(gone.epoch, Offset::ZERO).to_string()),
        before: None,
        limit: 1,
    };
    let mut reading = hub.history(request).boxed();
    gate.hold_at_second_read(&mut reading);
    log.trim(vec![(topic("job/2"), next.offset)]).await.unwrap();
    gate.hold_queries(false);
    let page = reading.await.unwrap();
    assert_eq!(page.events[0].event().unwrap().data(), "left");
    assert_eq!(page.gap.unwrap().topics, ["job/0", "job/2"]);
}

/// A page of one event after the begin of the log. It needs no query before its first read.
fn page_of(hub: &Hub, pattern: &str) -> HistoryRequest {
    let start = Cursor::position(hub.epoch(), Offset::ZERO).to_string();
    let filters = Filters::new([pattern.parse().unwrap()]).unwrap();
    HistoryRequest { filters, start: Start::Cursor(start), before: None, limit: 1 }
}

#[tokio::test]
async fn a_short_page_does_not_wait_for_long_ones_to_complete() {
    const ENDS: usize = 30;
    let (storage, gate) = GatedStorage::new();
    gate.open();
    let hub = Hub::new(storage);
    for number in 0..ENDS {
        // Each end fills a read of a page.
        let topic = format!("job/{number}").parse().unwrap();
        hub.publish(Publish::end(topic, "done")).await.unwrap();
    }
    hub.send(&"short".parse().unwrap(), "x").await.unwrap();

    gate.hold_queries(true);
    let mut long: Vec<_> = (0..8).map(|_| hub.history(page_of(&hub, "job/*")).boxed()).collect();
    assert!(long.iter_mut().all(|page| page.now_or_never().is_none()));
    let mut short = hub.history(page_of(&hub, "short")).boxed();
    assert!((&mut short).now_or_never().is_none());
    let mut passed = 0;
    let page = loop {
        assert!(passed < 64, "the long pages go first");
        gate.pass_query();
        passed += 1;
        tokio::task::yield_now().await;
        assert!(long.iter_mut().all(|page| page.now_or_never().is_none()));
        if let Some(page) = (&mut short).now_or_never() {
            break page.unwrap();
        }
    };
    assert_eq!(page.events[0].event().unwrap().data(), "x");
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_read_cannot_begin_in_time_is_refused_as_busy() {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    let hub = Hub::new(storage);
    hub.send(&"t".parse().unwrap(), "x").await.unwrap();
    gate.hold_queries(true);
    let mut reading: Vec<_> = (0..8).map(|_| hub.history(page_of(&hub, "t")).boxed()).collect();
    assert!(reading.iter_mut().all(|page| page.now_or_never().is_none()));
    let waiting = tokio::time::timeout(Duration::from_mins(1), hub.history(page_of(&hub, "t")));
    let error = waiting.await.expect("it is refused in time").unwrap_err();
    let busy = HistoryError::Start(SubscribeError::Storage(StorageError::Busy));
    assert_eq!(error, busy);
}
