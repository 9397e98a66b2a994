//! Start options.

use super::sub;
use crate::harness::{Server, stentor};

#[tokio::test]
async fn the_newest_events_are_those_of_all_topics_or_of_each() {
    let server = Server::in_memory().await;
    for (topic, data) in [("a", "1"), ("a", "2"), ("b", "3"), ("b", "4")] {
        server.publish(&format!("/topics/{topic}"), data).await;
    }
    let done = sub(&server, &["a", "b", "--last", "2", "--count", "2"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "3\n4\n"), "{done:?}");
    let done = sub(&server, &["a", "b", "--last-each", "1", "--count", "2"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "2\n4\n"), "{done:?}");
}

#[tokio::test]
async fn a_start_time_is_a_timestamp_or_a_duration_ago() {
    let server = Server::in_memory().await;
    server.publish("/topics/t", "first").await;
    server.publish("/topics/t", "second").await;
    let time = server.history("/topics/t").await[0]["time"].as_str().unwrap().to_owned();
    for since in [time.as_str(), "10m", "1d"] {
        let done = sub(&server, &["t", "--since", since, "--count", "2"]).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), "first\nsecond\n"), "{done:?}");
    }
    let done = sub(&server, &["t", "--since", "yesterday"]).run().await;
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("10m"), "{done:?}");
}

#[tokio::test]
async fn a_subscription_starts_after_an_id() {
    let server = Server::in_memory().await;
    let first = server.publish("/topics/t", "first").await;
    server.publish("/topics/t", "second").await;
    let done = sub(&server, &["t", "--last-event-id", &first, "--count", "1"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "second\n"), "{done:?}");
}

#[tokio::test]
async fn starts_that_exclude_each_other_are_refused() {
    for args in [
        ["sub", "t", "--from", "now", "--last", "1"],
        ["sub", "t", "--since", "1h", "--last-each", "1"],
        ["sub", "t", "--last-event-id", "x", "--from", "earliest"],
    ] {
        let done = stentor(&args).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{done:?}");
    }
    let done = stentor(&["sub", "http://127.0.0.1:1/", "--last", "1"]).run().await;
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("--last works with topics only"), "{done:?}");
}
