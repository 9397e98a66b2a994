//! Limits for topics and for the whole log: which events are removed, and which readers get a gap.

use std::time::Duration;

use serde_json::{Value, json};
use stentor_hub::TopicLimits;

use crate::harness::{EventStream, Options, Server, StreamMode};

const TRIMMED: &str = "stentor_trimmed_events_total";

/// Starts a server that limits the topics that match `pattern`.
async fn retaining(pattern: &str, limits: TopicLimits) -> Server {
    Options::on_disk().retain(pattern, limits).start().await
}

fn newest(events: u64) -> TopicLimits {
    TopicLimits { events: Some(events), ..TopicLimits::default() }
}

/// Returns the id of the first event of a page of history, and the `earliest` of the page.
async fn first(server: &Server, path: &str) -> (Value, Value) {
    let page = server.page(path).await;
    (page["events"][0]["id"].clone(), page["earliest"].clone())
}

#[tokio::test]
async fn a_topic_keeps_its_newest_events_and_readers_of_older_ones_get_a_gap() {
    let server = retaining("news", newest(3)).await;
    let lost = server.publish("/topics/news", "0").await;
    let quiet = server.publish("/topics/quiet", "seen").await;
    let position = server.subscribe("/topics/news").await.position().await;
    server.publish_each("/topics/news", 1..10).await;
    server.until_metric(TRIMMED, 7).await;
    assert_eq!(server.metric("stentor_trimmed_bytes_total").await, 7);
    assert_eq!(server.history_data("/topics/news").await, ["7", "8", "9"]);
    let (id, earliest) = first(&server, "/topics/news").await;
    assert_eq!(id, earliest);

    for cursor in [&lost, &position] {
        let mut stream = server.resume("/topics/news", cursor).await;
        let (position_after, gap) = stream.gap().await;
        assert_eq!((&gap["reason"], &gap["topics"]), (&json!("trimmed"), &json!(["news"])));
        assert_eq!(gap["earliest"], id);
        assert_eq!(stream.data(3).await, ["7", "8", "9"]);
        let mut stream = server.resume("/topics/news", &position_after).await;
        assert_eq!(stream.position().await, position_after, "the gap is reported once");
    }
    let mut stream = server.subscribe("/topics/news?from=earliest").await;
    stream.position().await;
    assert_eq!(stream.data(1).await, ["7"], "a reader without a cursor gets no gap");

    server.publish("/topics/quiet", "new").await;
    let mut stream = server.resume("/topics/quiet", &quiet).await;
    stream.position().await;
    assert_eq!(stream.data(1).await, ["new"], "a quiet topic lost nothing");
}

#[tokio::test]
async fn an_ended_topic_is_removed_after_its_time() {
    let limits = TopicLimits { ended: Some(Duration::ZERO), ..TopicLimits::default() };
    let server = retaining("jobs/*", limits).await;
    let end = server.publish("/topics/jobs/1?end=done", "all of it").await;
    server.publish("/topics/jobs/2", "continues").await;
    server.until_metric(TRIMMED, 1).await;
    let topics = server.get("/topics").send().await.json();
    assert_eq!(topics["topics"].as_array().unwrap().len(), 1, "{topics}");
    server.publish("/topics/jobs/1", "again").await;
    let mut stream = server.resume("/topics/jobs/1", &end).await;
    stream.next_any().await.unwrap();
    assert_eq!(stream.data(1).await, ["again"], "the topic is a new one");
}

#[tokio::test]
async fn a_live_reader_is_not_disturbed_by_the_removal_of_older_events() {
    let server = retaining("*", newest(1)).await;
    let mut stream = server.subscribe("/topics/news").await;
    stream.position().await;
    for number in 0..4 {
        server.publish("/topics/news", number.to_string()).await;
        assert_eq!(stream.data(1).await, [number.to_string()]);
        server.until_metric(TRIMMED, number).await;
    }
    assert_eq!(server.metric("stentor_gaps_total").await, 0);
}

#[tokio::test]
async fn a_reader_that_retention_passes_while_it_is_stopped_gets_a_gap_and_continues() {
    for mode in StreamMode::BOTH {
        for options in [Options::on_disk(), Options::in_memory()] {
            let server = options.mode(mode).retain("flood", newest(5)).start().await;
            gets_a_gap_when_trimmed(&server, 5).await;
        }
    }
}

/// Publishes while a reader is stopped, until all but the newest `kept` events are removed. The reader must get a gap.
async fn gets_a_gap_when_trimmed(server: &Server, kept: usize) {
    const EVENTS: usize = 40;
    let socket = server.get("/topics/flood").header("Accept", "text/event-stream").connect().await;
    server.until_metric("stentor_streams_open", 1).await;
    for number in 0..EVENTS {
        let data = format!("{number:0>7}").repeat((1 << 18) / 7);
        server.publish("/topics/flood", data).await;
    }
    server.until_metric(TRIMMED, i64::try_from(EVENTS - kept).unwrap()).await;

    let number_of = |data: &str| data[..7].parse::<usize>().unwrap();
    let mut stream = EventStream::begin(socket).await;
    let (mut next, mut id) = (0, stream.position().await);
    // The events already in the socket arrive in order. If an event is removed while it is sent, the stream is cut.
    let gap = loop {
        match stream.try_next().await {
            Ok(Some(event)) if event.name == "stentor.gap" => {
                break serde_json::from_str::<Value>(&event.data).unwrap();
            }
            Ok(Some(event)) => {
                assert_eq!(number_of(&event.data), next);
                (next, id) = (next + 1, event.id);
            }
            Ok(None) => panic!("a clean end although the topic continues"),
            Err(_) => {
                stream = server.resume("/topics/flood", &id).await;
                break stream.gap().await.1;
            }
        }
    };
    assert_eq!((&gap["reason"], &gap["topics"]), (&json!("trimmed"), &json!(["flood"])));
    assert!(next < EVENTS - kept);
    for number in EVENTS - kept..EVENTS {
        let event = stream.next().await.unwrap();
        assert_eq!(number_of(&event.data), number);
        if number == EVENTS - kept {
            assert_eq!(gap["earliest"], event.id);
        }
    }
}

#[tokio::test]
async fn the_oldest_events_of_all_topics_are_removed_when_the_log_is_full() {
    // Each limit holds three large events and not four. In memory, frames count towards the limit too.
    for (options, kind) in [
        (Options::on_disk().retain_bytes(4_000_000), "on disk"),
        (Options::in_memory().retain_bytes(7_000_000), "in memory"),
    ] {
        let server = options.start().await;
        let old = server.publish("/topics/old", "1").await;
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(server.publish("/topics/large", "x".repeat(1 << 20)).await);
        }
        server.until_metric(TRIMMED, 18).await;
        let (id, earliest) = first(&server, "/topics/large?limit=1").await;
        assert_eq!((&id, &earliest), (&json!(ids[17]), &json!(ids[17])), "{kind}");
        let (_, gap) = server.resume("/topics/large", &ids[0]).await.gap().await;
        assert_eq!((&gap["reason"], &gap["earliest"]), (&json!("trimmed"), &id));
        server.resume("/topics/old", &old).await.position().await;
        server.resume("/topics/large", &ids[16]).await.position().await;
    }
}

/// Copies the log of a stopped server to another stopped server.
fn restore(from: &Server, to: &Server) {
    let (from, to) = (from.data(), to.data());
    std::fs::remove_dir_all(&to).unwrap();
    std::fs::create_dir(&to).unwrap();
    for file in std::fs::read_dir(&from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn readers_that_are_ahead_of_a_restored_copy_get_a_gap() {
    let (mut original, mut copy) = (Server::start().await, Server::start().await);
    let common = original.publish("/topics/news", "1").await;
    original.stop().await;
    copy.stop().await;
    restore(&original, &copy);
    original.start_again().await;
    copy.start_again().await;
    let lost = original.publish("/topics/news", "only in the original").await;

    let mut stream = copy.resume("/topics/news", &lost).await;
    assert_eq!(stream.gap().await.1["reason"], "future");
    let other = copy.publish("/topics/news", "only in the copy").await;
    assert_ne!(other, lost, "the offsets are equal, the events are not");
    assert_eq!(stream.data(1).await, ["only in the copy"]);
    let mut stream = copy.resume("/topics/news", &lost).await;
    assert_eq!(stream.gap().await.1["reason"], "epoch");
    assert_eq!(stream.data(2).await, ["1", "only in the copy"], "the reader gets the whole topic");
    let mut stream = copy.resume("/topics/news", &common).await;
    stream.position().await;
    assert_eq!(
        stream.data(1).await,
        ["only in the copy"],
        "a reader of the common part lost nothing"
    );
}
