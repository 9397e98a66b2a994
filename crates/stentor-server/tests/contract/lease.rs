//! `lease=`: a topic ends when its producer is silent.

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::harness::{EventStream, Server, TIMEOUT};

/// Waits for an end with the reason `producer lost`, and returns the data before it.
async fn lost(mut stream: EventStream) -> Vec<String> {
    let mut rest = stream.rest().await;
    let end = rest.pop().unwrap();
    assert_eq!(end.name, "stentor.end", "{end:?}");
    let data: Value = serde_json::from_str(&end.data).unwrap();
    assert_eq!(data["reason"], "producer lost");
    rest.into_iter().map(|event| event.data).collect()
}

#[tokio::test]
async fn readers_of_a_topic_that_lost_its_producer_get_the_end() {
    let server = Server::start().await;
    let mut reader = server.subscribe("/topics/job").await;
    reader.position().await;
    server.publish("/topics/job?lease=1", "half").await;
    assert_eq!(lost(reader).await, ["half"]);
    let late = server.post("/topics/job", "too late").send().await;
    late.problem(409, "topic-ended");
}

#[tokio::test]
async fn the_lease_of_an_upload_begins_before_its_first_event() {
    let server = Server::start().await;
    let reader = server.subscribe("/topics/job").await;
    let upload = server.upload("/topics/job?lease=1", "application/x-ndjson").await;
    let nothing: [&str; 0] = [];
    assert_eq!(lost(reader).await, nothing);
    drop(upload);
}

#[tokio::test]
async fn a_lease_of_zero_removes_the_lease() {
    let server = Server::start().await;
    server.publish("/topics/kept?lease=1", "1").await;
    server.publish("/topics/kept?lease=0", "2").await;
    // This lease expires after the other one would have.
    server.publish("/topics/lost?lease=1", "1").await;
    lost(server.subscribe("/topics/lost?from=earliest").await).await;
    server.publish("/topics/kept", "3").await;
}

#[tokio::test]
async fn an_end_that_was_published_stays_the_only_one() {
    let server = Server::start().await;
    server.publish("/topics/job?lease=1&end=done", "all").await;
    server.publish("/topics/other?lease=1", "1").await;
    lost(server.subscribe("/topics/other?from=earliest").await).await;
    let page = server.page("/topics/job").await;
    assert_eq!(page["ended"]["reason"], "done");
}

#[tokio::test]
async fn a_repeat_gives_no_lease_to_a_topic_that_was_deleted_since() {
    let server = Server::start().await;
    let publish = |topic: &str| {
        let publish = server.post(&format!("/topics/{topic}?lease=1"), "x");
        publish.header("Idempotency-Key", "k").send()
    };
    assert_eq!(publish("job").await.status, 201);
    assert_eq!(server.delete("/topics/job").send().await.status, 204);
    assert_eq!(publish("job").await.status, 200);
    // If the topic still exists, a repeat does set the lease: its publisher relies on it.
    assert_eq!(publish("other").await.status, 201);
    server.publish("/topics/other?lease=0", "x").await;
    assert_eq!(publish("other").await.status, 200);
    lost(server.subscribe("/topics/other?from=earliest").await).await;
    server.publish("/topics/job", "the new topic has not ended").await;
}

#[tokio::test]
async fn an_invalid_lease_is_refused_and_nothing_is_published() {
    let server = Server::in_memory().await;
    for lease in ["86401", "99999999999999999999"] {
        let response = server.post(&format!("/topics/job?lease={lease}"), "x").send().await;
        assert!(
            response.problem(400, "lease").contains("at most 86400 s"),
            "{lease}: {response:?}"
        );
    }
    for lease in ["soon", "-1", "1.5"] {
        let response = server.post(&format!("/topics/job?lease={lease}"), "x").send().await;
        assert_eq!(response.status, 400, "{lease}: {response:?}");
        assert!(response.text().contains("lease"), "{response:?}");
    }
    assert_eq!(server.page("/topics/job").await["events"], json!([]));
}

#[tokio::test]
async fn each_event_whose_request_was_reset_has_its_lease() {
    let server = Server::start().await;
    let client = Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let arrived = timeout(TIMEOUT, async {
        // The pauses before the resets grow until some requests arrive, also on a slow machine.
        for round in 0.. {
            reset_publishes(&server, &client, round).await;
            let page = server.page("/topics?prefix=job/&limit=1000").await;
            if page["topics"].as_array().unwrap().len() >= 20 {
                return;
            }
        }
    });
    arrived.await.expect("some requests arrive");
    // Requests that the server has read are committed before this one.
    server.publish("/topics/last", "x").await;
    let all_ended = timeout(TIMEOUT, async {
        loop {
            let page = server.page("/topics?prefix=job/&limit=1000").await;
            let topics = page["topics"].as_array().unwrap();
            if topics.iter().all(|topic| topic["ended"] == true) {
                return topics.len();
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    let topics = all_ended.await.expect("all topics end in time");
    assert!(topics >= 20, "{topics} requests arrived");
}

/// Sends 100 publishes with a lease over HTTP/2, and resets each after a random time. It grows with `round`.
async fn reset_publishes(server: &Server, client: &Client, round: u32) {
    let mut requests = Vec::new();
    for number in 0..100 {
        let url = server.url(&format!("/topics/job/{round}-{number}?lease=1"));
        let request = client.post(url).body("started");
        // Dropping the request resets its stream.
        let patience = Duration::from_micros(fastrand::u64(0..8_000 << round.min(8)));
        requests.push(tokio::spawn(async move {
            let _ = timeout(patience, request.send()).await;
        }));
    }
    for request in requests {
        request.await.unwrap();
    }
}
