//! Wake-ups: readers at the tail are woken, lagging readers are counted only, and none is missed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics")]

use std::time::Duration;

use futures_util::FutureExt;
use stentor_hub::storage::Budget;
use stentor_hub::{
    Consumer, Filters, Hub, MemoryStorage, Start, Subscribed, Subscription, TopicFilter, TopicName,
    TryRead,
};

/// Ten times longer than the slowest machine needs.
const HANG: Duration = Duration::from_mins(2);

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

fn filters(texts: &[&str]) -> Filters {
    Filters::new(texts.iter().map(|text| text.parse::<TopicFilter>().unwrap())).unwrap()
}

async fn open(hub: &Hub, texts: &[&str], start: Start) -> Box<Subscription> {
    match hub.subscribe(filters(texts), start).await.unwrap() {
        Subscribed::Open(subscription) => subscription,
        Subscribed::Finished => panic!("finished"),
    }
}

fn was_woken(consumer: &Consumer) -> bool {
    consumer.woken().now_or_never().is_some()
}

fn read_data(subscription: &mut Subscription) -> Vec<String> {
    let mut data = Vec::new();
    loop {
        match subscription.try_read(Budget::default()) {
            TryRead::Batch(batch) => data.extend(
                batch.records.iter().map(|r| r.event().expect("an event").data().to_owned()),
            ),
            TryRead::AtTail => return data,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_new_subscription_wakes_its_consumer_once() {
    let hub = Hub::memory();
    let reader = open(&hub, &["news"], Start::Now).await;
    assert!(was_woken(reader.consumer()), "there may be something to read");
    assert!(!was_woken(reader.consumer()));
}

#[tokio::test]
async fn a_reader_that_lags_is_counted_but_not_woken() {
    let hub = Hub::memory();
    let news = topic("news");
    hub.send(&news, "0").await.unwrap();
    let mut reader = open(&hub, &["news"], Start::Earliest).await;
    let _ = was_woken(reader.consumer());
    for number in 1..10 {
        hub.send(&news, number.to_string()).await.unwrap();
        assert!(!was_woken(reader.consumer()), "it has not read to the tail");
        assert_eq!(hub.subscribers(&news), 1);
    }
    assert_eq!(read_data(&mut reader).len(), 10);
    hub.send(&news, "10").await.unwrap();
    assert!(was_woken(reader.consumer()));
    hub.send(&news, "11").await.unwrap();
    assert!(!was_woken(reader.consumer()), "it was woken and has not read since");
    assert_eq!(read_data(&mut reader), ["10", "11"]);
    hub.send(&topic("other"), "12").await.unwrap();
    assert!(!was_woken(reader.consumer()));
}

#[tokio::test]
async fn a_fork_is_counted_but_not_woken() {
    let hub = Hub::memory();
    let news = topic("news");
    let shard = Consumer::new();
    let mut group = open(&hub, &["news"], Start::Now).await;
    group.notify(&shard, 7);
    assert_eq!(read_data(&mut group), [""; 0]);
    let losses = group.losses_reported();
    let mut forks: Vec<_> =
        (0..100).map(|_| group.fork(group.cursor().offset, losses, [])).collect();
    for fork in &mut forks {
        assert_eq!(read_data(fork), [""; 0], "it waits at the tail for room in its socket");
    }
    assert_eq!(hub.subscribers(&news), 101);
    hub.send(&news, "a").await.unwrap();
    let mut ready = Vec::new();
    shard.take_ready(&mut ready);
    assert_eq!(ready, [7], "only the group is woken");
    assert!(was_woken(&shard));
    drop(group);
    hub.send(&news, "b").await.unwrap();
    shard.take_ready(&mut ready);
    assert_eq!(ready, [7], "no fork has a key");
    assert!(!was_woken(&shard), "no fork is woken");
    assert_eq!(read_data(&mut forks[0]), ["a", "b"]);
    drop(forks);
    assert_eq!(hub.subscribers(&news), 0);
}

#[tokio::test]
async fn a_reader_whose_patterns_overlap_is_counted_once() {
    let hub = Hub::memory();
    let _both = open(&hub, &["a/*", "*/b", "a/b", "**"], Start::Now).await;
    let _one = open(&hub, &["*/b"], Start::Now).await;
    let counts = ["a/b", "a/c", "c/b", "c", "$x"].map(|name| hub.subscribers(&topic(name)));
    assert_eq!(counts, [2, 1, 2, 1, 0]);
}

#[tokio::test]
async fn a_quiet_subscription_reads_no_record_of_other_topics_when_it_is_woken() {
    // The window holds a few records only, so that a reader that must look at all of them needs the storage.
    let hub = Hub::with_window(MemoryStorage::new(), 2_000);
    let shard = Consumer::new();
    for texts in [&["user/7/*"][..], &["user/7/inbox"], &["x", "user/*/inbox"]] {
        let mut group = open(&hub, texts, Start::Now).await;
        group.notify(&shard, 1);
        assert_eq!(read_data(&mut group), [""; 0]);
        let mut alone = open(&hub, texts, Start::Now).await;
        assert_eq!(read_data(&mut alone), [""; 0]);
        for number in 0..1_000 {
            hub.send(&topic("log"), number.to_string()).await.unwrap();
        }
        for number in 0..3 {
            hub.send(&topic("user/7/inbox"), number.to_string()).await.unwrap();
        }
        let mut ready = Vec::new();
        shard.take_ready(&mut ready);
        assert_eq!(ready, [1]);
        group.rearm();
        assert_eq!(read_data(&mut group), ["0", "1", "2"]);
        assert_eq!(read_data(&mut alone), ["0", "1", "2"]);
    }
}

#[tokio::test]
async fn a_group_that_is_rearmed_twice_before_it_reads_misses_nothing() {
    let hub = Hub::memory();
    let (news, shard) = (topic("news"), Consumer::new());
    let mut group = open(&hub, &["news"], Start::Now).await;
    group.notify(&shard, 1);
    group.rearm();
    assert_eq!(read_data(&mut group), [""; 0]);
    for data in ["a", "b", "c"] {
        hub.send(&news, data).await.unwrap();
        group.rearm();
    }
    assert_eq!(read_data(&mut group), ["a", "b", "c"]);
}

/// Readers of many kinds get all events of publishers in other threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_missed_beside_concurrent_publishers() {
    const PUBLISHERS: usize = 3;
    const EVENTS: usize = 2_000;
    let hub = Hub::with_window(MemoryStorage::new(), 64 << 10);
    let mut readers = Vec::new();
    for (number, texts) in [&["a/b"][..], &["a/*"], &["**"], &["a/b", "*/b"], &["*/b", "x"]]
        .iter()
        .cycle()
        .take(15)
        .enumerate()
    {
        let mut reader = open(&hub, texts, Start::Now).await;
        let mut rng = fastrand::Rng::with_seed(number as u64);
        readers.push(tokio::spawn(async move {
            let mut count = 0;
            while count < PUBLISHERS * EVENTS {
                let batch = reader.next().await.unwrap().expect("not finished");
                assert!(batch.gap.is_none());
                count += batch.records.len();
                // Lag sometimes, so that it stops listening and starts again.
                for _ in 0..rng.usize(0..3) {
                    tokio::task::yield_now().await;
                }
            }
            count
        }));
    }
    // A group with a key, driven as a shard does it.
    let mut group = open(&hub, &["a/*", "q"], Start::Now).await;
    let shard = Consumer::new();
    group.notify(&shard, 5);
    readers.push(tokio::spawn(async move {
        let (mut count, mut ready) = (0, vec![5]);
        while count < PUBLISHERS * EVENTS {
            if !ready.is_empty() {
                ready.clear();
                group.rearm();
                loop {
                    match group.try_read(Budget::default()) {
                        TryRead::Batch(batch) => count += batch.records.len(),
                        TryRead::NeedsStorage => {
                            let batch = group.read_from_storage(Budget::default()).await.unwrap();
                            count += batch.records.len();
                        }
                        TryRead::AtTail => break,
                        TryRead::Finished => panic!("finished"),
                    }
                }
            }
            if count < PUBLISHERS * EVENTS {
                shard.woken().await;
                shard.take_ready(&mut ready);
            }
        }
        count
    }));
    for _ in 0..PUBLISHERS {
        let hub = hub.clone();
        tokio::spawn(async move {
            for number in 0..EVENTS {
                hub.send(&topic("a/b"), "x").await.unwrap();
                if number % 7 == 0 {
                    hub.send(&topic("other/c/d"), "y").await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    for (number, reader) in readers.into_iter().enumerate() {
        let read = tokio::time::timeout(HANG, reader).await;
        read.unwrap_or_else(|_| panic!("reader {number} was not woken")).unwrap();
    }
}
