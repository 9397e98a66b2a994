//! The end of a topic against readers who come at that very moment.

use std::sync::Arc;

use fastrand::Rng;
use tokio::task::JoinSet;

use super::mode;
use crate::harness::{Received, Server};

/// How many topics are ended.
const RACES: usize = 1_000;
/// How many of them at the same time, each with readers of its own.
const AT_ONCE: usize = 20;
/// Readers of each race.
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

/// One reader is live when the topic ends; the others come while it does.
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
    assert_eq!(again.status, 204, "who knows the end is told that there is nothing more");
}

/// The last event if it came late enough to be meant, then the end, then a clean close, which
/// [`EventStream::rest`](crate::harness::EventStream::rest) insists on.
#[track_caller]
fn assert_ended(rest: &[Received], has_all: bool) {
    let names: Vec<&str> = rest.iter().map(|event| event.name.as_str()).collect();
    match names[..] {
        ["message", "stentor.end"] => assert_eq!(rest[0].data, "last"),
        ["stentor.end"] if !has_all => {}
        _ => panic!("{names:?}"),
    }
}
