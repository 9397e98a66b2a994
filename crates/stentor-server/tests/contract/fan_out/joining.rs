//! Readers that connect and leave while events are published at full speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use stentor_hub::Cursor;
use tokio::task::JoinSet;

use crate::harness::{EventStream, Server, StreamMode};

/// Number of concurrent publishers, and events in each of their uploads.
const PUBLISHERS: usize = 2;
const UPLOAD: usize = 100;
/// Number of readers in total, and at the same time.
const READERS: usize = 120;
const AT_ONCE: usize = 12;

/// The position at which a reader started, and the ids of the events it received.
struct Seen {
    position: String,
    ids: Vec<String>,
}

/// Publishers that publish without a pause until they are stopped.
struct Flood {
    stop: Arc<AtomicBool>,
    publishers: JoinSet<()>,
}

impl Flood {
    fn begin(server: &Arc<Server>) -> Flood {
        let stop = Arc::new(AtomicBool::new(false));
        let mut publishers = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let (server, stop) = (Arc::clone(server), Arc::clone(&stop));
            publishers.spawn(async move {
                for slice in 0.. {
                    let first = slice * UPLOAD;
                    let lines = (first..first + UPLOAD).map(|n| format!("{publisher}/{n}"));
                    server.publish_each("/topics/t", lines).await;
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        Flood { stop, publishers }
    }

    /// Stops the publishers, and returns the ids of all events in order.
    async fn end(self, server: &Server) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.publishers.join_all().await;
        server.publish("/topics/t?end", "").await;
        let mut all = server.subscribe("/topics/t?from=earliest").await.rest().await;
        assert_eq!(all.pop().unwrap().name, "stentor.end");
        all.into_iter().map(|event| event.id).collect()
    }
}

/// Asserts that a reader received consecutive events of `all`, starting after its position.
#[track_caller]
fn assert_gapless(seen: &Seen, all: &[String]) {
    let offset = |id: &String| id.parse::<Cursor>().unwrap().offset;
    let position = offset(&seen.position);
    let from = all.partition_point(|id| offset(id) <= position);
    let wanted = &all[from..from + seen.ids.len()];
    let hole = seen.ids.iter().zip(wanted).position(|(seen, wanted)| seen != wanted);
    assert_eq!(hole, None, "after {}: {:?} instead of {wanted:?}", seen.position, seen.ids);
}

/// Reads `count` events.
async fn read(stream: &mut EventStream, count: usize, ids: &mut Vec<String>) {
    for _ in 0..count {
        let event = stream.next().await.expect("the stream continues");
        assert_eq!(event.name, "message", "an event of the topic: {}", event.data);
        ids.push(event.id);
    }
}

/// Subscribes, reads some events and disconnects.
async fn subscribe_and_leave(server: Arc<Server>, mut rng: Rng) -> Seen {
    let mut stream = server.subscribe("/topics/t").await;
    let position = stream.position().await;
    let mut ids = Vec::new();
    read(&mut stream, rng.usize(0..300), &mut ids).await;
    Seen { position, ids }
}

/// Reconnects many times, each time after the last event.
async fn reconnect(server: Arc<Server>, mut rng: Rng) -> Seen {
    let mut stream = server.subscribe("/topics/t").await;
    let position = stream.position().await;
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..10 {
        read(&mut stream, rng.usize(0..60), &mut ids).await;
        if rng.bool() {
            stream.reset();
        } else {
            drop(stream);
        }
        let last = ids.last().unwrap_or(&position);
        stream = server.resume("/topics/t", last).await;
        let again = stream.position().await;
        assert!(last.starts_with(&again), "the stream begins at {again} instead of {last}");
    }
    read(&mut stream, 10, &mut ids).await;
    Seen { position, ids }
}

/// Runs `count` readers, at most `AT_ONCE` at the same time.
async fn readers<F>(
    server: &Arc<Server>,
    count: usize,
    reader: impl Fn(Arc<Server>, Rng) -> F,
) -> Vec<Seen>
where
    F: Future<Output = Seen> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut seen = Vec::new();
    for number in 0..count {
        if running.len() == AT_ONCE {
            seen.push(running.join_next().await.unwrap().unwrap());
        }
        running.spawn(reader(Arc::clone(server), Rng::with_seed(number as u64)));
    }
    seen.extend(running.join_all().await);
    seen
}

#[tokio::test]
async fn a_reader_that_subscribes_during_publishes_gets_all_from_its_position_on() {
    for mode in StreamMode::ALL {
        let server = Arc::new(Server::in_memory_with(mode).await);
        let flood = Flood::begin(&server);
        let all_seen = readers(&server, READERS, subscribe_and_leave).await;
        let all = flood.end(&server).await;
        for seen in all_seen {
            assert_gapless(&seen, &all);
        }
        server.until_metric("stentor_streams_open", 0).await;
    }
}

#[tokio::test]
async fn a_reader_that_resumes_after_its_last_id_gets_everything_once() {
    for mode in StreamMode::ALL {
        let server = Arc::new(Server::start_with(mode).await);
        let flood = Flood::begin(&server);
        let all_seen = readers(&server, 2 * AT_ONCE, reconnect).await;
        let all = flood.end(&server).await;
        for seen in all_seen {
            assert_gapless(&seen, &all);
        }
        assert_eq!(server.metric("stentor_gaps_total").await, 0);
    }
}
