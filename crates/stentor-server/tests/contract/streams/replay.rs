//! Reading the past while new events are published and old ones are trimmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use stentor_hub::TopicLimits;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::mode;
use crate::harness::{EventStream, Options, Received, Server, TIMEOUT};

const EVENTS: usize = 20_000;
/// Number of events that retention keeps.
const KEPT: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_replay_while_a_topic_is_written_and_trimmed_get_a_gap_for_every_loss() {
    let limits = TopicLimits { events: Some(KEPT as u64), ..TopicLimits::default() };
    let server = Arc::new(Options::on_disk().mode(mode()).retain("t", limits).start().await);
    let published = Arc::new(AtomicUsize::new(0));
    let before_all = server.subscribe("/topics/t").await.position().await;
    let mut readers = JoinSet::new();
    for seed in 0..4 {
        let mut rng = Rng::with_seed(seed);
        let path = if rng.bool() { "/topics/t" } else { "/events?topic=t&topic=none/*" };
        // The position before all events, so that every event that the reader misses is a loss.
        let position = server.subscribe(path).await.position().await;
        readers.spawn(replay(Arc::clone(&server), Arc::clone(&published), rng, path, position));
    }
    while published.load(Ordering::Acquire) < EVENTS {
        let from = published.load(Ordering::Acquire);
        server.publish_each("/topics/t", from..from + 200).await;
        server.publish("/topics/other", "x").await;
        published.store(from + 200, Ordering::Release);
    }
    readers.join_all().await;
    // The readers above may have kept pace with the publisher. This one is too late for the oldest events.
    let trimmed = timeout(TIMEOUT, async {
        let count = async || server.page("/topics?prefix=t").await["topics"][0]["events"].as_u64();
        while count().await > Some(KEPT as u64) {
            sleep(Duration::from_millis(20)).await;
        }
    });
    trimmed.await.expect("the topic is trimmed");
    let rng = Rng::with_seed(4);
    let gaps = replay(Arc::clone(&server), published, rng, "/topics/t", before_all).await;
    assert!(gaps > 0, "no gap for events that were trimmed");
}

/// Reads some events, disconnects until there are more, and resumes, until the end. Returns the number of gaps.
async fn replay(
    server: Arc<Server>,
    published: Arc<AtomicUsize>,
    mut rng: Rng,
    path: &str,
    mut position: String,
) -> usize {
    let mut gaps = 0;
    let mut next = 0;
    while next < EVENTS {
        let mut stream = server.resume(path, &position).await;
        for _ in 0..rng.usize(1..2_000) {
            if next == EVENTS {
                break;
            }
            let (gap, event) = event_after_gap(&mut stream).await;
            let number: usize = event.data.parse().unwrap();
            assert!(number >= next, "{number} received again, {next} is next");
            assert_eq!(gap.is_some(), number > next, "{gap:?} before {number}, {next} is next");
            if let Some(gap) = gap {
                assert_eq!(gap["reason"], "trimmed");
                assert_eq!(gap["earliest"], event.id);
                gaps += 1;
            }
            (next, position) = (number + 1, event.id);
        }
        let more = (next + rng.usize(0..6_000)).min(EVENTS);
        while published.load(Ordering::Acquire) < more {
            tokio::task::yield_now().await;
        }
    }
    gaps
}

/// Returns the next event, and the gap before it if there is one.
async fn event_after_gap(stream: &mut EventStream) -> (Option<Value>, Received) {
    let first = stream.next().await.expect("the topic continues");
    if first.name != "stentor.gap" {
        return (None, first);
    }
    let gap = serde_json::from_str(&first.data).unwrap();
    (Some(gap), stream.next().await.expect("an event after the gap"))
}
