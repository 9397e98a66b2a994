//! Retention: topics are trimmed to their limits, and readers get gaps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod gated;

use std::time::Duration;

use stentor_hub::storage::{Budget, ClockJump, Storage};
use stentor_hub::{
    Event, Filters, Gap, GapReason, HistoryRequest, Hub, MemoryStorage, Publish, Retention, Start,
    StorageError, Subscribed, Subscription, Timestamp, TopicFilter, TopicLimits, TopicName,
    TopicsQuery, TryRead,
};

use crate::gated::GatedStorage;

const HOUR: Duration = Duration::from_hours(1);

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

fn filters(names: &[&str]) -> Filters {
    Filters::new(names.iter().map(|name| name.parse::<TopicFilter>().unwrap())).unwrap()
}

fn count(events: u64) -> TopicLimits {
    TopicLimits { events: Some(events), ..TopicLimits::default() }
}

/// Starts to enforce a retention.
fn retain<const N: usize>(hub: &Hub, rules: [(&str, TopicLimits); N]) {
    let rules = rules.map(|(pattern, limits)| (pattern.parse().unwrap(), limits));
    let retention = Retention::new(rules).unwrap();
    let hub = hub.clone();
    tokio::spawn(async move { hub.enforce_retention(retention).await });
}

/// Waits for some rounds. The paused clock of these tests advances when all tasks are idle.
async fn rounds() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

/// Publishes the numbers of a range as events.
async fn send(hub: &Hub, name: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        hub.send(&topic(name), number.to_string()).await.unwrap();
    }
}

/// The events of a topic in history.
async fn kept(hub: &Hub, name: &str) -> Vec<String> {
    let request = HistoryRequest {
        filters: filters(&[name]),
        start: Start::Earliest,
        before: None,
        limit: 1_000,
    };
    let page = hub.history(request).await.unwrap();
    page.events.iter().map(|record| record.event().unwrap().data().to_owned()).collect()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn open(hub: &Hub, names: &[&str], start: Start) -> Box<Subscription> {
    match hub.subscribe(filters(names), start).await.unwrap() {
        Subscribed::Open(subscription) => subscription,
        Subscribed::Finished => panic!("finished"),
    }
}

/// Reads `count` records.
async fn read(reader: &mut Subscription, count: usize) -> (Vec<String>, Vec<Gap>) {
    let (mut data, mut gaps) = (Vec::new(), Vec::new());
    while data.len() < count {
        let batch = reader.next().await.unwrap().expect("not finished");
        gaps.extend(batch.gap);
        data.extend(batch.records.iter().map(|record| match record.event() {
            Some(event) => event.data().to_owned(),
            None => format!("end: {}", record.end_reason().unwrap()),
        }));
    }
    (data, gaps)
}

#[tokio::test(start_paused = true)]
async fn a_topic_keeps_its_newest_events_up_to_a_number() {
    let hub = Hub::memory();
    send(&hub, "news", 0..10).await;
    send(&hub, "other", 0..10).await;
    retain(&hub, [("news", count(3))]);
    rounds().await;
    assert_eq!(kept(&hub, "news").await, numbers(7..10));
    assert_eq!(kept(&hub, "other").await, numbers(0..10));
    send(&hub, "news", 10..12).await;
    rounds().await;
    assert_eq!(kept(&hub, "news").await, numbers(9..12), "later events count too");
    assert_eq!(hub.trimmed().events, 9);
}

#[tokio::test(start_paused = true)]
async fn a_topic_keeps_its_newest_events_up_to_a_size() {
    let hub = Hub::memory();
    for data in ["four", "12345678", "four", "two"] {
        hub.send(&topic("news"), data).await.unwrap();
    }
    let limits = TopicLimits { bytes: Some(15), ..TopicLimits::default() };
    retain(&hub, [("*", limits)]);
    rounds().await;
    assert_eq!(kept(&hub, "news").await, ["12345678", "four", "two"]);
}

/// A log with old records: topic, data (`end` for an end), and age in hours.
async fn log_with_old_records(lines: &[(&str, &str, u32)]) -> MemoryStorage {
    let storage = MemoryStorage::new();
    for (name, data, hours) in lines {
        let publish = match *data {
            "end" => Publish::end(topic(name), "done"),
            data => Publish::event(topic(name), Event::new(data)),
        };
        let time = Timestamp::now().minus(*hours * HOUR);
        storage.append(vec![publish], time).await.unwrap();
    }
    storage
}

#[tokio::test(start_paused = true)]
async fn old_events_are_trimmed() {
    let lines =
        [("news", "old", 30), ("quiet", "old", 30), ("news", "older", 25), ("news", "new", 1)];
    let hub = Hub::new(log_with_old_records(&lines).await);
    let day = TopicLimits { age: Some(24 * HOUR), ..TopicLimits::default() };
    retain(&hub, [("news", day)]);
    rounds().await;
    assert_eq!(kept(&hub, "news").await, ["new"]);
    assert_eq!(kept(&hub, "quiet").await, ["old"]);
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_clock_ages_no_events() {
    let start = Timestamp::from_micros(1_000_000_000_000_000);
    let day = 24 * HOUR;
    Timestamp::simulate(start);
    let hub = Hub::memory();
    send(&hub, "news", 0..1).await;
    retain(&hub, [("news", TopicLimits { age: Some(2 * HOUR), ..TopicLimits::default() })]);
    rounds().await;
    Timestamp::simulate(start.plus(day));
    rounds().await;
    send(&hub, "news", 1..2).await;
    assert_eq!(kept(&hub, "news").await, numbers(0..2), "the clock jumped, the time did not pass");
    assert!(matches!(hub.log_time().jump, Some(ClockJump::Ahead(_))), "{:?}", hub.log_time());
    tokio::time::sleep(2 * HOUR).await;
    rounds().await;
    assert_eq!(kept(&hub, "news").await, numbers(1..2), "now two hours have passed");
    Timestamp::simulate(start.plus(2 * HOUR));
    rounds().await;
    assert_eq!(kept(&hub, "news").await, numbers(1..2), "the clock is back");
}

#[tokio::test(start_paused = true)]
async fn time_in_which_no_round_ran_is_not_a_jump() {
    let start = Timestamp::from_micros(1_000_000_000_000_000);
    Timestamp::simulate(start);
    let hub = Hub::memory();
    send(&hub, "news", 0..1).await;
    assert_eq!(hub.log_time().jump, None);
    tokio::time::sleep(48 * HOUR).await;
    assert_eq!(hub.log_time().jump, None);
    retain(&hub, [("news", TopicLimits { age: Some(2 * HOUR), ..TopicLimits::default() })]);
    rounds().await;
    assert_eq!(kept(&hub, "news").await, numbers(0..0));
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_removed_some_time_after_its_end() {
    let lines = [("a", "1", 9), ("a", "end", 8), ("open", "1", 8), ("b", "1", 2), ("b", "end", 1)];
    let hub = Hub::new(log_with_old_records(&lines).await);
    let ended = TopicLimits { ended: Some(2 * HOUR), ..TopicLimits::default() };
    retain(&hub, [("**", ended)]);
    rounds().await;
    let query = TopicsQuery { limit: 10, ..TopicsQuery::default() };
    let names: Vec<_> =
        hub.topics(query).await.unwrap().into_iter().map(|info| info.topic).collect();
    assert_eq!(names, [topic("b"), topic("open")]);
    hub.send(&topic("a"), "again").await.expect("the end is removed");
}

#[tokio::test(start_paused = true)]
async fn the_more_specific_pattern_wins() {
    let hub = Hub::memory();
    for name in ["a/b", "a/c", "x/y", "x"] {
        send(&hub, name, 0..9).await;
    }
    retain(&hub, [("**", count(5)), ("a/*", count(1)), ("a/b", count(3)), ("x", count(100))]);
    rounds().await;
    for (name, events) in [("a/b", 3), ("a/c", 1), ("x/y", 5), ("x", 9)] {
        assert_eq!(kept(&hub, name).await.len(), events, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn very_many_topics_are_all_trimmed_to_their_limits() {
    let hub = Hub::memory();
    for number in 0..2_500 {
        send(&hub, &format!("t{number}"), 0..2).await;
    }
    let mut behind = open(&hub, &["**"], Start::Earliest).await;
    retain(&hub, [("*", count(1))]);
    rounds().await;
    let query = TopicsQuery { limit: 5_000, ..TopicsQuery::default() };
    let topics = hub.topics(query).await.unwrap();
    assert_eq!(topics.len(), 2_500);
    assert!(topics.iter().all(|info| info.events == 1));
    let (data, gaps) = read(&mut behind, 2_500).await;
    assert!(data.iter().all(|data| data == "1"));
    assert_eq!(gaps.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_trimmed_events_gets_one_gap_and_the_rest() {
    let hub = Hub::memory();
    send(&hub, "news", 0..100).await;
    let mut reader = open(&hub, &["news"], Start::Earliest).await;
    let few = Budget { records: 10, ..Budget::default() };
    let TryRead::Batch(batch) = reader.try_read(few) else { panic!("it is in the window") };
    assert_eq!(batch.records.len(), 10);
    retain(&hub, [("news", count(20))]);
    rounds().await;
    let (data, gaps) = read(&mut reader, 20).await;
    assert_eq!(data, numbers(80..100));
    let [gap] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!((gap.reason, &gap.topics[..]), (GapReason::Trimmed, &["news".to_owned()][..]));
    send(&hub, "news", 100..101).await;
    assert_eq!(read(&mut reader, 1).await, (numbers(100..101), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_live_reader_is_not_disturbed() {
    let hub = Hub::memory();
    let mut reader = open(&hub, &["news"], Start::Earliest).await;
    retain(&hub, [("news", count(1))]);
    for number in 0..5 {
        send(&hub, "news", number..number + 1).await;
        assert_eq!(read(&mut reader, 1).await, (numbers(number..number + 1), Vec::new()));
        rounds().await;
    }
    assert_eq!(hub.trimmed().events, 4);
}

#[tokio::test(start_paused = true)]
async fn readers_of_a_topic_without_losses_get_no_gap() {
    let hub = Hub::memory();
    let seen = hub.send(&topic("quiet"), "seen").await.unwrap().last;
    let mut behind = open(&hub, &["quiet", "none"], Start::Earliest).await;
    send(&hub, "loud", 0..50).await;
    retain(&hub, [("**", count(2))]);
    rounds().await;
    hub.send(&topic("quiet"), "new").await.unwrap();
    let expected = vec!["seen".to_owned(), "new".to_owned()];
    assert_eq!(read(&mut behind, 2).await, (expected, Vec::new()));
    let mut back = open(&hub, &["quiet"], Start::Cursor(seen.to_string())).await;
    assert_eq!(read(&mut back, 1).await, (vec!["new".to_owned()], Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_later_reader_gets_the_kept_events_and_no_gap() {
    let hub = Hub::memory();
    send(&hub, "news", 0..10).await;
    let first = hub.tail();
    send(&hub, "news", 10..20).await;
    retain(&hub, [("news", count(5))]);
    rounds().await;
    for names in [&["news"][..], &["**"]] {
        let mut reader = open(&hub, names, Start::Earliest).await;
        assert_eq!(read(&mut reader, 5).await, (numbers(15..20), Vec::new()));
        let mut reader = open(&hub, names, Start::Cursor(first.to_string())).await;
        let (data, gaps) = read(&mut reader, 5).await;
        assert_eq!(data, numbers(15..20));
        assert_eq!(gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(), [GapReason::Trimmed]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_was_removed_with_its_end_and_is_used_again_has_not_ended() {
    let hub = Hub::memory();
    send(&hub, "job", 0..3).await;
    hub.publish(Publish::end(topic("job"), "done")).await.unwrap();
    retain(&hub, [("job", TopicLimits { ended: Some(Duration::ZERO), ..TopicLimits::default() })]);
    rounds().await;
    send(&hub, "job", 3..5).await;
    let mut reader = open(&hub, &["job"], Start::Earliest).await;
    assert_eq!(read(&mut reader, 2).await.0, numbers(3..5));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_fails_for_a_while_is_trimmed_later() {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    let hub = Hub::new(storage);
    send(&hub, "news", 0..10).await;
    gate.fail_with(StorageError::Full);
    retain(&hub, [("news", count(3))]);
    rounds().await;
    gate.recover();
    assert_eq!(kept(&hub, "news").await.len(), 10, "nothing is trimmed while the log fails");
    rounds().await;
    assert_eq!(kept(&hub, "news").await, numbers(7..10));
}

#[tokio::test(start_paused = true)]
async fn a_small_rest_is_trimmed_in_the_next_round() {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    gate.limit_trim_points(30);
    let hub = Hub::new(storage);
    send(&hub, "news", 0..75).await;
    send(&hub, "other", 0..20).await;
    retain(&hub, [("*", count(10))]);
    tokio::time::sleep(Duration::from_millis(1)).await;
    for first in [30, 60, 65] {
        assert_eq!(kept(&hub, "news").await, numbers(first..75));
        assert_eq!(kept(&hub, "other").await, numbers(10..20), "the other topic does not wait");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(hub.trimmed().events, 75);
}

#[tokio::test(start_paused = true)]
async fn without_limits_nothing_is_trimmed() {
    let hub = Hub::memory();
    send(&hub, "news", 0..10).await;
    retain(&hub, []);
    rounds().await;
    assert_eq!(kept(&hub, "news").await, numbers(0..10));
}
