//! Group commit: one append in flight; publishes that arrive meanwhile share the next one.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod gated;

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use stentor_hub::{Event, Hub, Publish, PublishError, Published, StorageError, TopicName};
use tokio::task::JoinHandle;

use crate::gated::{Gate, GatedStorage};

fn news() -> TopicName {
    "news".parse().unwrap()
}

fn event(data: &(impl ToString + ?Sized)) -> Publish {
    Publish::event(news(), Event::new(data.to_string()))
}

/// A publish whose append waits at the gate.
async fn at_gate(
    hub: &Hub,
    gate: &Gate,
    publish: Publish,
) -> JoinHandle<Result<Published, PublishError>> {
    let hub = hub.clone();
    let publishing = tokio::spawn(async move { hub.publish(publish).await });
    gate.wait_for_append().await;
    publishing
}

#[tokio::test]
async fn publishes_that_arrive_during_an_append_share_the_next_one() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let first = at_gate(&hub, &gate, event("first")).await;
    let mut rest = Box::pin(join_all((0..100).map(|number| hub.publish(event(&number)))));
    assert!((&mut rest).now_or_never().is_none(), "they wait for the log");
    gate.open();
    first.await.unwrap().unwrap();
    let published: Vec<_> =
        rest.await.into_iter().map(|published| published.unwrap().first).collect();
    assert!(published.is_sorted_by_key(|cursor| cursor.offset), "in the order of arrival");
    assert_eq!(gate.batches(), [1, 100]);
}

#[tokio::test]
async fn publishes_of_one_call_are_never_split() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let first = at_gate(&hub, &gate, event("first")).await;
    let large = "x".repeat(3 << 20);
    let groups = [vec![event("x"); 3_000], vec![event("x"); 5_000], vec![event(&large); 6]];
    let mut rest = Box::pin(join_all(groups.map(|group| hub.publish_all(group))));
    assert!((&mut rest).now_or_never().is_none(), "they wait for the log");
    gate.open();
    first.await.unwrap().unwrap();
    assert!(rest.await.into_iter().flat_map(Result::unwrap).all(|published| published.is_ok()));
    assert_eq!(gate.batches(), [1, 3_000, 5_000, 6]);
}

#[tokio::test]
async fn a_publish_never_requires_one_of_another_publisher() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let first = at_gate(&hub, &gate, Publish::end(news(), "done")).await;
    let late = || event("too late").requiring_previous();
    let other = || Publish::event("other".parse().unwrap(), Event::new("x")).requiring_previous();
    let mut refused = Box::pin(hub.publish_all(vec![late(), other()]));
    let mut others = Box::pin(hub.publish_all(vec![other(), other()]));
    let mut alone = Box::pin(hub.publish(other()));
    assert!((&mut refused).now_or_never().is_none() && (&mut others).now_or_never().is_none());
    assert!((&mut alone).now_or_never().is_none());
    gate.open();
    first.await.unwrap().unwrap();
    let refused = refused.await.unwrap();
    assert!(matches!(refused[..], [Err(PublishError::Ended { .. }), Err(PublishError::Withheld)]));
    assert!(others.await.unwrap().iter().all(Result::is_ok));
    alone.await.unwrap();
    assert_eq!(gate.batches(), [1, 5]);
}

#[tokio::test(start_paused = true)]
async fn on_a_slow_disk_publishers_that_were_just_answered_share_the_next_append() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let publish_twice = || {
        let hub = hub.clone();
        tokio::spawn(async move {
            hub.publish(event("one")).await.unwrap();
            hub.publish(event("two")).await.unwrap();
        })
    };
    let first = publish_twice();
    gate.wait_for_append().await;
    let second = publish_twice();
    tokio::time::advance(Duration::from_millis(8)).await;
    gate.open();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(gate.batches(), [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_single_publisher_does_not_wait_for_others() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let alone = tokio::spawn(async move { hub.publish(event("alone")).await.map(|_| hub) });
    gate.wait_for_append().await;
    tokio::time::advance(Duration::from_millis(8)).await;
    gate.open();
    let hub = alone.await.unwrap().unwrap();
    let answered = tokio::time::Instant::now();
    hub.publish(event("again")).await.unwrap();
    assert_eq!(answered.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_publisher_that_gives_up_delays_no_other() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let gives_up = at_gate(&hub, &gate, event("given up")).await;
    gives_up.abort();
    let _ = gives_up.await;
    let second = tokio::spawn({
        let hub = hub.clone();
        async move { hub.publish(event("second")).await }
    });
    gate.open();
    assert!(second.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_failed_log_is_reported_to_the_publisher_and_to_the_program() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let failure = StorageError::Failed { reason: "a sync failed".to_owned() };
    gate.fail_with(failure.clone());
    gate.open();
    assert!(hub.failed().now_or_never().is_none());
    assert_eq!(hub.publish(event("x")).await, Err(PublishError::Storage(failure.clone())));
    assert_eq!(hub.failed().await, failure);
}

#[tokio::test]
async fn a_log_that_may_have_to_wait_returns_a_publish_that_cannot_wait() {
    let (storage, _gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    assert_eq!(hub.publish_now(event("x")), Err(event("x")));
}

#[tokio::test]
async fn a_log_in_memory_publishes_without_waiting() {
    let hub = Hub::memory();
    let first = hub.publish_now(event("first")).unwrap().unwrap();
    let second = hub.publish(event("second")).await.unwrap();
    assert!(first.first.offset < second.first.offset);
    assert_eq!(hub.tail().offset, second.last.offset);
    let nothing = Publish::new(Vec::new(), None);
    assert_eq!(hub.publish_now(nothing), Ok(Err(PublishError::Empty)));
}

#[test]
fn publishers_of_many_threads_are_answered_in_log_order() {
    const EACH: usize = 2_000;
    let hub = Hub::memory();
    let answered = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut offsets = Vec::new();
                while offsets.len() < EACH {
                    if let Ok(published) = hub.publish_now(event("x")) {
                        offsets.push(published.unwrap().first.offset);
                    }
                }
                assert!(offsets.is_sorted(), "a later publish is a later record");
                answered.lock().unwrap().extend(offsets);
            });
        }
    });
    let mut answered = answered.into_inner().unwrap();
    answered.sort_unstable();
    answered.dedup();
    assert_eq!(answered.len(), 4 * EACH, "each publish has its own record");
}

#[tokio::test]
async fn a_task_that_publishes_in_a_loop_lets_others_run() {
    let hub = Hub::memory();
    let other = tokio::spawn(async {});
    while !other.is_finished() {
        hub.publish(event("x")).await.unwrap();
    }
}
