//! The committer: how groups are filled, what happens to dropped publishes, and how it survives failures.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod gated;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use stentor_hub::{Event, Hub, NotReady, Publish, PublishError, StorageError, TopicName};
use tokio::runtime::Runtime;
use tokio::task::yield_now;

use crate::gated::GatedStorage;

fn news() -> TopicName {
    "news".parse().unwrap()
}

fn event(data: &(impl ToString + ?Sized)) -> Publish {
    Publish::event(news(), Event::new(data.to_string()))
}

/// A guard that counts how many of its kind exist, and how many were dropped.
struct Counted(Arc<Counts>);

#[derive(Default)]
struct Counts {
    alive: AtomicUsize,
    dropped: AtomicUsize,
}

impl Counted {
    fn new(counts: &Arc<Counts>) -> Counted {
        counts.alive.fetch_add(1, Ordering::SeqCst);
        Counted(Arc::clone(counts))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// The number of commits of publishers that each publish `rounds` times and wait for each answer. An append takes
/// `append_time`, and a publisher takes a few turns of the runtime between an answer and its next publish.
async fn commits_of_publishers(publishers: usize, rounds: usize, append_time: Duration) -> u64 {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    gate.set_append_time(append_time);
    let hub = Hub::new(storage);
    let publishers = (0..publishers).map(|number| {
        let hub = hub.clone();
        tokio::spawn(async move {
            // They do not start in step.
            for _ in 0..number {
                yield_now().await;
            }
            for _ in 0..rounds {
                hub.publish(event(&number)).await.unwrap();
                for _ in 0..4 {
                    yield_now().await;
                }
            }
        })
    });
    join_all(publishers.collect::<Vec<_>>()).await.into_iter().for_each(Result::unwrap);
    hub.commits()
}

#[tokio::test(start_paused = true)]
async fn publishers_that_wait_for_each_answer_share_one_append_per_round() {
    const ROUNDS: usize = 50;
    for publishers in [2, 4, 64, 256] {
        let commits = commits_of_publishers(publishers, ROUNDS, Duration::from_micros(800)).await;
        // A few more, because the publishers do not start in step.
        assert!(commits < ROUNDS as u64 + 6, "{publishers} publishers: {commits} commits");
    }
}

#[tokio::test(start_paused = true)]
async fn publishers_on_a_slow_disk_share_one_append_per_round() {
    const ROUNDS: usize = 50;
    for publishers in [4, 64] {
        let commits = commits_of_publishers(publishers, ROUNDS, Duration::from_millis(8)).await;
        assert!(commits < ROUNDS as u64 + 6, "{publishers} publishers: {commits} commits");
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_does_not_come_back_is_waited_for_within_bounds() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let both = tokio::spawn({
        let hub = hub.clone();
        async move { join_all([hub.publish(event("a")), hub.publish(event("b"))]).await }
    });
    gate.wait_for_append().await;
    tokio::time::advance(Duration::from_millis(100)).await;
    let third =
        tokio::spawn(
            async move { hub.publish(event("c")).await.map(|_| tokio::time::Instant::now()) },
        );
    yield_now().await;
    gate.open();
    let answered = both.await.unwrap();
    assert!(answered.iter().all(Result::is_ok));
    let begun = tokio::time::Instant::now();
    let third = third.await.unwrap().unwrap();
    assert!(third - begun <= Duration::from_millis(3), "at most 2 ms, in steps of the timer");
}

#[tokio::test]
async fn a_publish_keeps_its_guard_until_it_is_appended_although_its_caller_gave_up() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let counts = Arc::new(Counts::default());
    let in_flight = tokio::spawn({
        let (hub, guard) = (hub.clone(), Counted::new(&counts));
        async move { hub.publish_with_guard(event("in flight"), guard).await }
    });
    gate.wait_for_append().await;
    let group = vec![event("a"), event("b")];
    let mut queued = Box::pin(hub.publish_all_with_guard(group, Counted::new(&counts)));
    assert!((&mut queued).now_or_never().is_none(), "it waits for the append");
    in_flight.abort();
    assert!(in_flight.await.is_err());
    drop(queued);
    assert_eq!(counts.alive.load(Ordering::SeqCst), 2, "both publishes still take their space");
    gate.open();
    hub.publish(event("last")).await.unwrap();
    assert_eq!(counts.alive.load(Ordering::SeqCst), 0);
    assert_eq!(gate.batches(), [1, 3]);
}

#[tokio::test]
async fn a_guard_is_dropped_when_its_publish_is_refused() {
    let counts = Arc::new(Counts::default());
    let hub = Hub::memory();
    let nothing = Publish::new(Vec::new(), None);
    let refused = hub.publish_with_guard(nothing.clone(), Counted::new(&counts)).await;
    assert_eq!(refused, Err(PublishError::Empty));
    assert!(hub.publish_all_with_guard(vec![nothing], Counted::new(&counts)).await.is_err());
    hub.publish_with_guard(event("x"), Counted::new(&counts)).await.unwrap();
    assert_eq!(counts.alive.load(Ordering::SeqCst), 0);
    assert_eq!(counts.dropped.load(Ordering::SeqCst), 3);
}

/// Publishes 4,000 groups, of which half are dropped after a random number of turns. Checks the guards, and that the
/// queue has all its permits afterwards.
async fn drop_at_random_points(hub: &Hub, seed: u64) {
    const GROUPS: usize = 4_000;
    let mut random = seed;
    let mut next = move |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let counts = Arc::new(Counts::default());
    let mut tasks = Vec::new();
    for _ in 0..GROUPS {
        let group = vec![event("x"); usize::try_from(next(300)).unwrap() + 1];
        let guard = Counted::new(&counts);
        let hub = hub.clone();
        let gives_up = next(2) == 0;
        tasks.push((
            tokio::spawn(async move { hub.publish_all_with_guard(group, guard).await }),
            gives_up,
        ));
        if next(4) == 0 {
            for _ in 0..next(6) {
                yield_now().await;
            }
            for (task, gives_up) in &tasks {
                if *gives_up {
                    task.abort();
                }
            }
        }
    }
    let mut answered = 0;
    for (task, _) in tasks {
        answered += usize::from(task.await.is_ok_and(|published| published.is_ok()));
    }
    assert!(answered >= GROUPS / 3, "those that waited have an answer");
    // Takes all permits, so it waits until every other publish has left the queue.
    hub.publish_all(vec![event("last"); 16_384]).await.unwrap();
    assert_eq!(counts.alive.load(Ordering::SeqCst), 0);
    assert_eq!(counts.dropped.load(Ordering::SeqCst), GROUPS, "each guard exactly once");
}

#[tokio::test(start_paused = true)]
async fn permits_and_guards_of_dropped_publishes_are_released_once() {
    for seed in 0..3 {
        let (storage, gate) = GatedStorage::new();
        gate.open();
        gate.set_append_time(Duration::from_micros(700));
        drop_at_random_points(&Hub::new(storage), seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permits_and_guards_of_dropped_publishes_are_released_once_on_several_threads() {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    drop_at_random_points(&Hub::new(storage), 7).await;
}

#[tokio::test]
async fn publishers_that_give_up_cannot_exceed_the_bound_of_the_queue() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    for _ in 0..20_000 {
        assert!(hub.publish(event("x")).now_or_never().is_none());
    }
    gate.open();
    hub.publish_all(vec![event("last"); 16_384]).await.unwrap();
    let appended: usize = gate.batches().iter().sum();
    assert_eq!(appended, 2 * 16_384);
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let large = "x".repeat(1 << 20);
    for _ in 0..200 {
        assert!(hub.publish(event(&large)).now_or_never().is_none());
    }
    gate.open();
    hub.publish_all(vec![event("last"); 16_384]).await.unwrap();
    let appended: usize = gate.batches().iter().sum();
    assert!((60..=64).contains(&(appended - 16_384)), "{appended}");
}

#[tokio::test]
async fn a_publish_that_cannot_wait_does_not_overtake_one_that_waits_for_space() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let mut full = Box::pin(hub.publish_all(vec![event("x"); 16_384]));
    assert!((&mut full).now_or_never().is_none());
    let mut waiting = Box::pin(hub.publish(event("waiting")));
    assert!((&mut waiting).now_or_never().is_none());
    gate.append_now();
    gate.open();
    full.await.unwrap();
    assert_eq!(hub.publish_now(event("now")), Err(event("now")));
    let waiting = waiting.await.unwrap();
    // The task ends after the answer.
    yield_now().await;
    let now = hub.publish_now(event("now")).unwrap().unwrap();
    assert!(waiting.first.offset < now.first.offset);
}

#[tokio::test]
async fn a_panic_of_the_log_fails_its_append_and_not_the_next_one() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    gate.panic_once();
    let first = tokio::spawn({
        let hub = hub.clone();
        async move { hub.publish(event("first")).await }
    });
    gate.wait_for_append().await;
    let mut second = Box::pin(hub.publish(event("second")));
    assert!((&mut second).now_or_never().is_none());
    gate.open();
    let error = first.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("the log panicked during the append"), "{error}");
    second.await.unwrap();
    assert_eq!(hub.committer_restarts(), 1);
    hub.check_ready(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_log_that_panics_at_once_fails_the_publish_and_not_its_caller() {
    let (storage, gate) = GatedStorage::new();
    gate.open();
    let hub = Hub::new(storage);
    gate.panic_once();
    let error = hub.publish(event("first")).await.unwrap_err();
    assert!(error.to_string().contains("the log panicked during the append"), "{error}");
    hub.publish(event("second")).await.unwrap();
    assert_eq!(hub.committer_restarts(), 1);
}

#[tokio::test]
async fn a_call_without_publishes_appends_nothing() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    assert_eq!(hub.publish_all(Vec::new()).now_or_never(), Some(Ok(Vec::new())));
    assert_eq!(gate.batches(), [0; 0]);
}

#[tokio::test]
async fn a_failed_append_answers_all_its_publishers_and_the_next_batch_proceeds() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    gate.fail_with(StorageError::Full);
    gate.open();
    let refused = join_all((0..10).map(|number| hub.publish(event(&number)))).await;
    assert!(refused.iter().all(|refused| *refused == Err(StorageError::Full.into())));
    gate.recover();
    join_all((0..10).map(|number| hub.publish(event(&number)))).await.into_iter().for_each(
        |published| {
            published.unwrap();
        },
    );
    assert_eq!(hub.committer_restarts(), 0);
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn publishers_go_on_when_the_runtime_of_another_shuts_down() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let (ends, stays) = (runtime(), runtime());
    let spawn = |runtime: &Runtime, data: &'static str| {
        let hub = hub.clone();
        runtime.spawn(async move { hub.publish(event(data)).await })
    };
    let lost = spawn(&ends, "on the runtime that ends");
    stays.block_on(gate.wait_for_append());
    let queued = [spawn(&stays, "a"), spawn(&stays, "b")];
    stays.block_on(async {
        // Ends when both wait for the append in flight.
        while hub.queued_publishes() < 2 {
            yield_now().await;
        }
    });
    ends.shutdown_background();
    assert!(stays.block_on(lost).is_err(), "cancelled with its runtime");
    gate.open();
    for queued in queued {
        stays.block_on(queued).unwrap().unwrap();
    }
    assert_eq!(hub.committer_restarts(), 1);
    assert_eq!((gate.batches().iter().sum::<usize>(), gate.appends_max()), (3, 1));
}

#[test]
fn publishers_do_not_wait_for_a_busy_runtime_without_publishers() {
    const HANG: Duration = Duration::from_mins(1);
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let (busy, other) = (runtime(), runtime());
    let spawn = |runtime: &Runtime, data: &'static str| {
        let hub = hub.clone();
        runtime.spawn(async move { hub.publish(event(data)).await })
    };
    let first = spawn(&busy, "on the runtime that becomes busy");
    other.block_on(gate.wait_for_append());
    let second = spawn(&other, "on the other runtime");
    other.block_on(async {
        while hub.queued_publishes() < 1 {
            yield_now().await;
        }
    });
    gate.let_through(1);
    other.block_on(first).unwrap().unwrap();
    other.block_on(gate.wait_for_append());
    let (release, blocks) = std::sync::mpsc::channel::<()>();
    busy.spawn(async move { blocks.recv() });
    gate.open();
    let second = other.block_on(async { tokio::time::timeout(HANG, second).await });
    drop(release);
    second.unwrap().unwrap().unwrap();
}

#[test]
fn an_append_whose_publishers_are_gone_ends_before_the_next_one_starts() {
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let counts = Arc::new(Counts::default());
    let ends = runtime();
    ends.spawn({
        let (hub, guard) = (hub.clone(), Counted::new(&counts));
        async move { hub.publish_with_guard(event("in flight"), guard).await }
    });
    ends.block_on(gate.wait_for_append());
    ends.shutdown_timeout(Duration::from_secs(10));
    assert_eq!(counts.alive.load(Ordering::SeqCst), 0);
    let next = runtime();
    next.block_on(async {
        hub.check_ready(Duration::from_secs(10)).await.unwrap();
        let mut second = Box::pin(hub.publish(event("second")));
        assert!((&mut second).now_or_never().is_none());
        gate.open();
        second.await.unwrap();
    });
    assert_eq!((gate.batches(), gate.appends_max()), (vec![1, 1], 1));
}

#[tokio::test(start_paused = true)]
async fn a_hub_is_not_ready_while_an_append_is_overdue() {
    let deadline = Duration::from_secs(1);
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    hub.check_ready(deadline).await.unwrap();
    let publishing = tokio::spawn({
        let hub = hub.clone();
        async move { hub.publish(event("x")).await }
    });
    gate.wait_for_append().await;
    hub.check_ready(deadline).await.unwrap();
    tokio::time::advance(Duration::from_secs(3)).await;
    let running = Duration::from_secs(3);
    assert_eq!(hub.check_ready(deadline).await, Err(NotReady::AppendOverdue { running }));
    gate.open();
    publishing.await.unwrap().unwrap();
    hub.check_ready(deadline).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hub_is_not_ready_while_its_log_does_not_answer() {
    let deadline = Duration::from_secs(1);
    let (storage, gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    gate.hold_queries(true);
    assert_eq!(hub.check_ready(deadline).await, Err(NotReady::StorageOverdue { deadline }));
    gate.hold_queries(false);
    hub.check_ready(deadline).await.unwrap();
    gate.fail_with(StorageError::Full);
    assert_eq!(hub.check_ready(deadline).await, Err(StorageError::Full.into()));
}

#[test]
fn a_publish_without_a_runtime_says_what_to_do() {
    let (storage, _gate) = GatedStorage::new();
    let hub = Hub::new(storage);
    let error = hub.publish(event("x")).now_or_never().unwrap().unwrap_err();
    assert!(error.to_string().contains("call it from a task"), "{error}");
    Hub::memory().publish_all(vec![event("x")]).now_or_never().unwrap().unwrap();
}
