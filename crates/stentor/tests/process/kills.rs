//! Events, ends, topics, idempotency keys and leases survive a kill (SIGKILL) of the server.

use serde_json::json;

use crate::harness::scenarios::{batches, uploads};
use crate::harness::{
    EventStream, Response, Server, StreamMode, awkward_texts, events_with_ids, keyed_upload, lines,
    numbers, upload_events_with_ids, upload_lines,
};

const NDJSON: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

#[tokio::test]
async fn data_survives_a_kill_byte_for_byte() {
    let mut server = Server::start().await;
    let texts = awkward_texts();
    for text in &texts {
        server.publish("/topics/t", text.as_str()).await;
    }
    server.publish("/topics/t?end", "").await;
    server.kill_and_restart().await;
    assert_eq!(server.history_data("/topics/t").await, texts);
}

#[tokio::test]
async fn an_end_survives_a_kill() {
    let mut server = Server::start().await;
    let end = server.publish("/topics/job?end=done", "").await;
    server.kill_and_restart().await;
    server.post("/topics/job", "late").send().await.problem(409, "topic-ended");
    assert_eq!(server.publish("/topics/job?end", "").await, end);
}

#[tokio::test]
async fn the_list_of_topics_survives_a_kill() {
    let mut server = Server::start().await;
    server.publish("/topics/news", "hello").await;
    server.publish("/topics/job?end=done", "x").await;
    let mut topics = server.page("/topics").await;
    server.kill_and_restart().await;
    let mut again = server.page("/topics").await;
    // The size of a topic may be estimated differently after a restart.
    for topic in [&mut topics, &mut again]
        .into_iter()
        .flat_map(|page| page["topics"].as_array_mut().unwrap())
    {
        topic["bytes"].take();
    }
    assert_eq!(again, topics);
}

#[tokio::test]
async fn a_lease_survives_a_kill() {
    let mut server = Server::start().await;
    server.publish("/topics/job?lease=2", "half").await;
    server.kill_and_restart().await;
    let mut stream: EventStream = server.subscribe("/topics/job?from=earliest").await;
    let rest = stream.rest().await;
    assert_eq!((rest.len(), rest[0].data.as_str()), (2, "half"));
    assert!(rest[1].data.contains("producer lost"), "{rest:?}");
}

/// Publishes with an idempotency key.
async fn publish_keyed(server: &Server, path: &str, key: &str, body: &str) -> Response {
    server.post(path, body).header("Idempotency-Key", key).send().await
}

#[tokio::test]
async fn a_key_is_remembered_after_a_kill() {
    let mut server = Server::start().await;
    let first = publish_keyed(&server, "/topics/t", "k", "x").await;
    let batch = publish_keyed(&server, "/topics/t?end", "k-end", "bye").await;
    server.kill_and_restart().await;
    let again = publish_keyed(&server, "/topics/t", "k", "x").await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    let again = publish_keyed(&server, "/topics/t?end", "k-end", "bye").await;
    assert_eq!((again.status, again.json()), (200, batch.json()));
    publish_keyed(&server, "/topics/t", "k", "y").await.problem(422, "key-reused");
}

#[tokio::test]
async fn the_key_of_a_batch_covers_all_of_it() {
    batches::the_key_of_a_batch_covers_all_of_it(Server::start().await).await;
}

#[tokio::test]
async fn a_repeated_upload_publishes_only_what_is_missing() {
    uploads::a_repeated_upload_publishes_only_what_is_missing(Server::start().await).await;
}

#[tokio::test]
async fn an_upload_cut_by_a_kill_continues_where_it_stopped() {
    let mut server = Server::start().await;
    let mut stream = server.subscribe("/topics/t").await;
    let mut cut = keyed_upload(&server, NDJSON).upload().await;
    for n in 0..300 {
        cut.send(format!("{n}\n")).await;
    }
    stream.data(200).await;
    server.kill_and_restart().await;
    let response = upload_lines(&server, lines(500)).await;
    assert_eq!((response.status, &response.json()["count"]), (201, &json!(500)));
    assert_eq!(server.history_data("/topics/t?limit=1000").await, numbers(500));
    let again = upload_lines(&server, lines(500)).await;
    assert_eq!((again.status, again.json()), (200, response.json()));
}

#[tokio::test]
async fn a_shorter_repeat_that_differs_is_refused_where_it_does() {
    uploads::a_shorter_repeat_that_differs_is_refused_where_it_does(Server::start().await).await;
}

#[tokio::test]
async fn a_repeated_upload_with_ids_publishes_only_what_is_missing() {
    uploads::a_repeated_upload_with_ids_publishes_only_what_is_missing(Server::start().await).await;
}

#[tokio::test]
async fn an_upload_with_ids_cut_by_a_kill_continues_where_it_stopped() {
    let mut server = Server::start().await;
    let mut stream = server.subscribe("/topics/t").await;
    let mut cut = server.upload("/topics/t?dedupe=id", EVENTS).await;
    for name in &numbers(3_000) {
        cut.send(events_with_ids([name])).await;
    }
    stream.data(2_000).await;
    server.kill_and_restart().await;
    let response = upload_events_with_ids(&server, events_with_ids(numbers(5_000))).await;
    assert_eq!((response.status, &response.json()["count"]), (201, &json!(5_000)));
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    assert_eq!(stream.data(5_000).await, numbers(5_000));
    let again = upload_events_with_ids(&server, events_with_ids(numbers(5_000))).await;
    assert_eq!((again.status, again.json()), (200, response.json()));
}

#[tokio::test]
async fn readers_that_reconnect_all_at_once_after_a_restart_miss_nothing() {
    const READERS: usize = 200;
    for mode in StreamMode::ALL {
        let mut server = Server::start_with(mode).await;
        let seen = server.publish("/topics/t", "seen").await;
        server.publish_each("/topics/t", 0..20).await;
        server.kill_and_restart().await;
        let mut connections = Vec::new();
        for _ in 0..READERS {
            connections
                .push(server.get("/topics/t").header("Last-Event-ID", &seen).connect().await);
        }
        server.publish("/topics/t?end", "20").await;
        for socket in connections {
            let mut stream = EventStream::begin(socket).await;
            assert!(seen.starts_with(&stream.position().await));
            let rest = stream.rest().await;
            let data = rest[..21].iter().map(|event| event.data.as_str());
            assert!(data.eq((0..21).map(|number| number.to_string())), "{rest:?}");
            stream.closed().await;
        }
        assert_eq!(server.metric("stentor_gaps_total").await, 0);
    }
}
