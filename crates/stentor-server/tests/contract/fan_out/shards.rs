//! Publishers and readers on every shard.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::harness::{Server, StreamMode, post};

const TOPICS: usize = 10;
/// Number of readers of each topic, and of all topics together.
const READERS: usize = 8;
const EVENTS: usize = 60;

/// Publishes numbers to a topic over one connection, and ends it.
async fn publish(server: Arc<Server>, topic: usize) {
    let mut connection = server.connect().await;
    for number in 0..EVENTS {
        connection.send(post(&format!("/topics/t/{topic}"), &number.to_string())).await;
        assert_eq!(connection.response().await.status, 201);
    }
    connection.send(post(&format!("/topics/t/{topic}?end"), "")).await;
    assert_eq!(connection.response().await.status, 201);
}

#[tokio::test]
async fn every_reader_gets_every_event_once_and_in_order_from_every_shard() {
    for mode in StreamMode::ALL {
        let server = Arc::new(Server::in_memory_with(mode).await);
        let mut readers = JoinSet::new();
        for topic in 0..TOPICS {
            for _ in 0..READERS {
                let mut stream = server.subscribe(&format!("/topics/t/{topic}")).await;
                stream.position().await;
                readers.spawn(async move {
                    let rest = stream.rest().await;
                    let data = rest[..EVENTS].iter().map(|event| event.data.as_str());
                    assert!(data.eq((0..EVENTS).map(|number| number.to_string())), "{rest:?}");
                    assert_eq!(
                        (rest.len(), rest[EVENTS].name.as_str()),
                        (EVENTS + 1, "stentor.end")
                    );
                    stream.closed().await;
                });
            }
        }
        let names: Vec<_> = (0..TOPICS).map(|topic| format!("topic=t/{topic}")).collect();
        for _ in 0..READERS {
            let path = format!("/events?{}&envelope=json", names.join("&"));
            let mut stream = server.subscribe(&path).await;
            stream.position().await;
            readers.spawn(async move {
                let rest = stream.rest().await;
                assert_eq!(rest.len(), TOPICS * (EVENTS + 1));
                assert!(rest.is_sorted_by(|one, next| one.id < next.id), "in the order of the log");
                stream.closed().await;
            });
        }
        let mut publishers = JoinSet::new();
        for topic in 0..TOPICS {
            publishers.spawn(publish(Arc::clone(&server), topic));
        }
        publishers.join_all().await;
        readers.join_all().await;
        let delivered = TOPICS * READERS * (EVENTS + 1) * 2;
        server
            .until_metric("stentor_delivered_events_total", i64::try_from(delivered).unwrap())
            .await;
        server.until_metric("stentor_streams_open", 0).await;
    }
}
