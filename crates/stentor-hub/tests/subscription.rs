//! Subscriptions: catch-up and live as one stream, gaps, ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

use futures_util::FutureExt;
use stentor_hub::storage::Budget;
use stentor_hub::{
    Batch, Cursor, Filters, Gap, GapReason, Hub, MemoryStorage, Publish, Start, StartPosition,
    Subscribed, Subscription, TopicFilter, TopicName,
};

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

fn filters(names: &[&str]) -> Filters {
    Filters::new(names.iter().map(|name| name.parse::<TopicFilter>().unwrap())).unwrap()
}

async fn open(hub: &Hub, names: &[&str], start: Start) -> Box<Subscription> {
    match hub.subscribe(filters(names), start).await.unwrap() {
        Subscribed::Open(subscription) => subscription,
        Subscribed::Finished => panic!("finished"),
    }
}

/// Reads `count` records.
async fn read(subscription: &mut Subscription, count: usize) -> (Vec<String>, Vec<Gap>) {
    let (mut data, mut gaps) = (Vec::new(), Vec::new());
    while data.len() < count {
        let batch = subscription.next().await.unwrap().expect("not finished");
        take(batch, &mut data, &mut gaps);
    }
    (data, gaps)
}

fn take(batch: Batch, data: &mut Vec<String>, gaps: &mut Vec<Gap>) {
    gaps.extend(batch.gap);
    data.extend(batch.records.iter().map(|record| match record.event() {
        Some(event) => event.data().to_owned(),
        None => format!("end: {}", record.end_reason().unwrap()),
    }));
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn catch_up_and_live_are_one_stream_without_a_seam() {
    // A window of a few records, so that most reads need the storage.
    let hub = Hub::with_window(MemoryStorage::new(), 2_000);
    let news = topic("news");
    for number in 0..500 {
        hub.send(&news, number.to_string()).await.unwrap();
    }
    let mut reader = open(&hub, &["news"], Start::Earliest).await;
    let publisher = tokio::spawn({
        let (hub, news) = (hub.clone(), news.clone());
        async move {
            for number in 500..2_000 {
                hub.send(&news, number.to_string()).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let (data, gaps) = read(&mut reader, 2_000).await;
    publisher.await.unwrap();
    assert_eq!(data, numbers(0..2_000));
    assert!(gaps.is_empty());
}

#[tokio::test]
async fn a_reader_of_trimmed_events_gets_one_gap_and_continues() {
    let hub = Hub::with_window(MemoryStorage::with_bytes(40_000), 2_000);
    let news = topic("news");
    let mut reader = open(&hub, &["news"], Start::Earliest).await;
    hub.send(&news, "first").await.unwrap();
    assert_eq!(read(&mut reader, 1).await.0, ["first"]);
    for number in 0..1_000 {
        hub.send(&news, number.to_string()).await.unwrap();
    }
    let (data, gaps) = read(&mut reader, 20).await;
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].reason, GapReason::Trimmed);
    assert_eq!(gaps[0].topics, ["news"]);
    let first: u32 = data[0].parse().unwrap();
    assert!(first > 800, "the newest events are left: {first}");
    let left = 1_000 - first as usize - data.len();
    let (rest, more_gaps) = read(&mut reader, left).await;
    assert_eq!([data, rest].concat(), numbers(first..1_000));
    assert!(more_gaps.is_empty());
}

#[tokio::test]
async fn a_quiet_topic_has_no_gap_when_others_are_trimmed() {
    let hub = Hub::with_window(MemoryStorage::with_bytes(40_000), 2_000);
    let mut quiet = open(&hub, &["quiet"], Start::Now).await;
    for number in 0..1_000 {
        hub.send(&topic("loud"), number.to_string()).await.unwrap();
    }
    hub.send(&topic("quiet"), "at last").await.unwrap();
    let (data, gaps) = read(&mut quiet, 1).await;
    assert_eq!(data, ["at last"]);
    assert!(gaps.is_empty());
}

#[tokio::test]
async fn the_position_of_a_reader_passes_only_records_that_do_not_match_or_were_read() {
    let hub = Hub::memory();
    let mut reader = open(&hub, &["mine"], Start::Now).await;
    hub.send(&topic("other"), "x").await.unwrap();
    assert!(reader.next().now_or_never().is_none());
    assert_eq!(reader.cursor(), hub.tail());
    let before = reader.cursor();
    hub.send(&topic("mine"), "y").await.unwrap();
    assert_eq!(reader.cursor(), before, "not read yet");
    assert_eq!(read(&mut reader, 1).await.0, ["y"]);
    assert_eq!(reader.cursor(), hub.tail());
}

#[tokio::test]
async fn an_event_that_several_filters_match_is_sent_once() {
    let hub = Hub::memory();
    let mut reader = open(&hub, &["a/b", "a/*", "**", "c"], Start::Now).await;
    for name in ["a/b", "c", "d"] {
        hub.send(&topic(name), name).await.unwrap();
    }
    assert_eq!(read(&mut reader, 3).await.0, ["a/b", "c", "d"]);
    assert!(reader.next().now_or_never().is_none());
}

#[tokio::test]
async fn the_newest_events_of_each_topic_are_sent_before_new_ones() {
    let hub = Hub::memory();
    for number in 0..3 {
        for name in ["a", "b"] {
            hub.send(&topic(name), format!("{name}{number}")).await.unwrap();
        }
    }
    let mut reader = open(&hub, &["*"], Start::LastEach(1)).await;
    hub.send(&topic("a"), "new").await.unwrap();
    assert_eq!(read(&mut reader, 3).await.0, ["a2", "b2", "new"]);
}

#[tokio::test]
async fn the_newest_of_a_topic_are_followed_by_its_end_in_log_order_however_they_are_read() {
    let hub = Hub::with_window(MemoryStorage::new(), 0);
    for number in 0..6 {
        let name = if number % 2 == 0 { "t/even" } else { "t/odd" };
        hub.send(&topic(name), number.to_string()).await.unwrap();
    }
    hub.publish(Publish::end(topic("t/even"), "done")).await.unwrap();
    hub.send(&topic("t/odd"), "7").await.unwrap();
    for records in 1..8 {
        let budget = Budget { records, ..Budget::default() };
        let mut reader = open(&hub, &["t/*"], Start::LastEach(2)).await;
        let mut data = Vec::new();
        while data.len() < 5 {
            let batch = reader.read_from_storage(budget).await.unwrap();
            // The reader takes only the first record of each batch.
            reader.give_back(&batch.records[1..]);
            let first = Batch { gap: None, records: batch.records[..1].to_vec() };
            take(first, &mut data, &mut Vec::new());
        }
        assert_eq!(data, ["2", "4", "5", "end: done", "7"]);
        assert!(reader.next().now_or_never().is_none(), "no record is sent twice");
    }
}

#[tokio::test]
async fn a_stream_finishes_after_the_last_of_its_topics_has_ended() {
    let hub = Hub::memory();
    let mut reader = open(&hub, &["a", "b"], Start::Now).await;
    hub.publish(Publish::end(topic("b"), "b is done")).await.unwrap();
    hub.send(&topic("a"), "more of a").await.unwrap();
    hub.publish(Publish::end(topic("a"), "a is done")).await.unwrap();
    assert_eq!(read(&mut reader, 3).await.0, ["end: b is done", "more of a", "end: a is done"]);
    assert!(reader.next().await.unwrap().is_none());
}

#[tokio::test]
async fn only_the_id_of_the_end_finishes_a_reader_at_its_start() {
    let hub = Hub::memory();
    let news = topic("news");
    hub.send(&news, "last words").await.unwrap();
    let end = hub.publish(Publish::end(news, "done")).await.unwrap().last;
    let event_id = Start::Cursor(end.to_string());
    let finished = hub.subscribe(filters(&["news"]), event_id).await.unwrap();
    assert!(matches!(finished, Subscribed::Finished));
    for start in [Start::Now, Start::Last(5), Start::Cursor(hub.tail().to_string())] {
        let mut reader = open(&hub, &["news"], start.clone()).await;
        let (data, gaps) = read(&mut reader, 1).await;
        assert_eq!(data.last().unwrap(), "end: done", "{start:?}");
        assert!(gaps.is_empty());
        assert!(reader.next().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_cursor_that_cannot_be_parsed_starts_with_a_gap_and_all_events() {
    let hub = Hub::memory();
    let first = hub.send(&topic("news"), "one").await.unwrap().first;
    let mut reader = open(&hub, &["news"], Start::Cursor("nonsense".to_owned())).await;
    let StartPosition::Gap(gap) = reader.start_position().await.unwrap() else { panic!("no gap") };
    assert_eq!((gap.reason, gap.requested.as_str()), (GapReason::Unreadable, "nonsense"));
    assert_eq!(gap.earliest, Some(first.to_string()));
    let (data, gaps) = read(&mut reader, 1).await;
    assert_eq!(data, ["one"]);
    assert!(gaps.is_empty(), "reported once");
}

#[tokio::test]
async fn a_cursor_of_another_history_gets_a_gap() {
    let other = Hub::memory();
    let foreign = other.send(&topic("news"), "elsewhere").await.unwrap().first;
    let hub = Hub::memory();
    let mut reader = open(&hub, &["news"], Start::Cursor(foreign.to_string())).await;
    let StartPosition::Gap(gap) = reader.start_position().await.unwrap() else { panic!("no gap") };
    assert_eq!((gap.reason, gap.earliest), (GapReason::Epoch, None));
}

#[tokio::test]
async fn a_deletion_is_reported_as_an_end_and_after_the_name_is_used_again_as_a_gap() {
    // With a live window, and with one that is so small that all reads need the storage.
    for hub in [Hub::memory(), Hub::with_window(MemoryStorage::new(), 0)] {
        let news = topic("news");
        let old = hub.send(&news, "old").await.unwrap().first;
        assert!(hub.delete(&news).await.unwrap());
        let before = Cursor::position(old.epoch, old.offset.previous());
        let before = Start::Cursor(before.to_string());
        let mut reader = open(&hub, &["news"], before.clone()).await;
        let (data, gaps) = read(&mut reader, 1).await;
        assert_eq!((data, gaps), (vec!["end: deleted".to_owned()], vec![]));
        assert!(reader.next().await.unwrap().is_none());

        let mut new_reader = open(&hub, &["news"], Start::Earliest).await;
        assert!(
            new_reader.next().now_or_never().is_none(),
            "for a new reader the topic is like a new one"
        );
        hub.send(&news, "new").await.unwrap();
        assert_eq!(read(&mut new_reader, 1).await, (vec!["new".to_owned()], vec![]));

        hub.send(&topic("other"), "takes the small window for itself").await.unwrap();
        for names in [["news"], ["**"]] {
            let mut reader = open(&hub, &names, before.clone()).await;
            let (data, gaps) = read(&mut reader, 1).await;
            assert_eq!(data.first().unwrap(), "new");
            assert_eq!(gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(), [GapReason::Deleted]);
        }
    }
}

#[tokio::test]
async fn a_reader_that_began_after_a_deletion_waits_for_the_topic_even_if_it_reconnects() {
    let hub = Hub::memory();
    let (job, gone) = (topic("job"), topic("gone"));
    hub.send(&gone, "old").await.unwrap();
    assert!(hub.delete(&gone).await.unwrap());
    let id = hub.send(&job, "one").await.unwrap().last;
    let end = hub.publish(Publish::end(job, "done")).await.unwrap().last;
    let mut before = open(&hub, &["job", "gone"], Start::Cursor(id.to_string())).await;
    let mut behind = open(&hub, &["job", "gone"], Start::Cursor(end.to_string())).await;
    assert_eq!(read(&mut before, 1).await.0, ["end: done"]);
    for reader in [&mut before, &mut behind] {
        assert!(reader.next().now_or_never().is_none(), "it waits for the deleted topic");
    }
    hub.send(&gone, "new").await.unwrap();
    for reader in [&mut before, &mut behind] {
        assert_eq!(read(reader, 1).await, (vec!["new".to_owned()], vec![]));
    }
    assert!(hub.delete(&gone).await.unwrap());
    for reader in [&mut before, &mut behind] {
        assert_eq!(read(reader, 1).await.0, ["end: deleted"]);
        assert!(reader.next().await.unwrap().is_none());
    }
    let deletion = hub.record(behind.cursor().offset).await.unwrap().unwrap().cursor();
    let start = Start::Cursor(deletion.to_string());
    let subscribed = hub.subscribe(filters(&["job", "gone"]), start).await.unwrap();
    assert!(matches!(subscribed, Subscribed::Finished), "it has both ends");
}

#[tokio::test]
async fn a_dropped_subscription_is_no_longer_counted() {
    let hub = Hub::memory();
    let news = topic("news");
    let (a, b) = (open(&hub, &["news"], Start::Now).await, open(&hub, &["*"], Start::Now).await);
    assert_eq!(hub.subscribers(&news), 2);
    drop(a);
    assert_eq!(hub.subscribers(&news), 1);
    drop(b);
    assert_eq!(hub.subscribers(&news), 0);
}
