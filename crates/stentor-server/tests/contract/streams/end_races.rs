//! Readers that subscribe while the topic ends.

use std::sync::Arc;

use fastrand::Rng;
use tokio::task::JoinSet;

use super::mode;
use crate::harness::{Received, Server};

/// Number of topics that are ended.
const RACES: usize = 1_000;
/// Number of topics at the same time, each with its own readers.
const AT_ONCE: usize = 20;
/// Number of readers of each topic.
const READERS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_thousand_races_the_last_event_precedes_the_end_for_every_reader() {
    let server = Arc::new(Server::start_with(mode()).await);
    let mut races = JoinSet::new();
    for number in 0..RACES {
        if races.len() == AT_ONCE {
            races.join_next().await.unwrap().unwrap();
        }
        races.spawn(race(Arc::clone(&server), number));
    }
    races.join_all().await;
    server.until_metric("stentor_streams_open", 0).await;
}

/// Ends a topic that one reader reads live, while other readers subscribe.
async fn race(server: Arc<Server>, number: usize) {
    let topic = format!("race/{number}");
    let path = format!("/topics/{topic}");
    let mut rng = Rng::with_seed(number as u64);
    let mut live = server.subscribe(&path).await;
    live.position().await;

    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        let (server, pause) = (Arc::clone(&server), rng.usize(0..40));
        let path = if reader == 0 { path.clone() } else { format!("{path}?from=earliest") };
        readers.spawn(async move {
            for _ in 0..pause {
                tokio::task::yield_now().await;
            }
            (reader > 0, server.subscribe(&path).await.rest().await)
        });
    }
    if number.is_multiple_of(2) {
        server.publish(&format!("{path}?end=done"), "last").await;
    } else {
        server.publish(&path, "last").await;
        server.publish(&format!("{path}?end=done"), "").await;
    }

    let rest = live.rest().await;
    assert_ended(&rest, true);
    let end = &rest[1].id;
    for (has_all, rest) in readers.join_all().await {
        assert_ended(&rest, has_all);
        assert_eq!(rest.last().map(|end| &end.id), Some(end));
    }
    let again = server.get(&path).header("Last-Event-ID", end).send().await;
    assert_eq!(again.status, 204, "a reader that has the end gets 204");
}

/// Asserts that a reader got the last event, unless it subscribed too late, and then the end.
/// [`EventStream::rest`](crate::harness::EventStream::rest) asserts the clean close.
#[track_caller]
fn assert_ended(rest: &[Received], has_all: bool) {
    let names: Vec<&str> = rest.iter().map(|event| event.name.as_str()).collect();
    match names[..] {
        ["message", "stentor.end"] => assert_eq!(rest[0].data, "last"),
        ["stentor.end"] if !has_all => {}
        _ => panic!("{names:?}"),
    }
}
