//! The start of a stream: options and cursors.

use super::mode;
use crate::harness::{EventStream, Server};

const NOTHING: [&str; 0] = [];

/// Publishes `count` events to a topic, numbered from 1, and returns their ids.
async fn numbers(server: &Server, topic: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 1..=count {
        ids.push(server.publish(&format!("/topics/{topic}"), format!("{topic}{number}")).await);
    }
    ids
}

/// Publishes an event, and returns the data that a stream has before it.
async fn before_now(server: &Server, path: &str, mut stream: EventStream) -> Vec<String> {
    stream.position().await;
    server.publish(path, "now").await;
    let mut data = Vec::new();
    loop {
        match stream.next().await.unwrap().data.as_str() {
            "now" => return data,
            earlier => data.push(earlier.to_owned()),
        }
    }
}

/// Returns the past events that a reader of the topic `a` with these options gets.
async fn past(server: &Server, options: &str) -> Vec<String> {
    let stream = server.subscribe(&format!("/topics/a?{options}")).await;
    before_now(server, "/topics/a", stream).await
}

#[tokio::test]
async fn without_an_option_a_stream_begins_with_new_events() {
    let server = Server::start_with(mode()).await;
    numbers(&server, "a", 3).await;
    for options in ["", "from=now", "from=", "last=", "since=&last_each=", "last_event_id="] {
        assert_eq!(past(&server, options).await, NOTHING, "{options}");
    }
}

#[tokio::test]
async fn from_earliest_begins_with_the_oldest_event() {
    let server = Server::start_with(mode()).await;
    numbers(&server, "a", 3).await;
    assert_eq!(past(&server, "from=earliest").await, ["a1", "a2", "a3"]);
}

#[tokio::test]
async fn last_begins_with_the_newest_events() {
    let server = Server::start_with(mode()).await;
    numbers(&server, "a", 5).await;
    assert_eq!(past(&server, "last=2").await, ["a4", "a5"]);
}

#[tokio::test]
async fn last_counts_over_the_whole_subscription_and_ends_do_not_count() {
    let server = Server::start_with(mode()).await;
    numbers(&server, "a", 3).await;
    numbers(&server, "b", 1).await;
    numbers(&server, "other", 4).await;
    server.publish("/topics/b?end=done", "").await;
    let mut stream = server.subscribe("/events?topic=a&topic=b&last=3").await;
    assert_eq!(stream.data(3).await, ["a2", "a3", "b1"]);
    assert_eq!(stream.next().await.unwrap().name, "stentor.end");
}

#[tokio::test]
async fn last_zero_is_the_tail() {
    let server = Server::start_with(mode()).await;
    numbers(&server, "a", 3).await;
    assert_eq!(past(&server, "last=0").await, NOTHING);
}

#[tokio::test]
async fn last_is_at_most_100_000_events() {
    let server = Server::start_with(mode()).await;
    numbers(&server, "a", 2).await;
    assert_eq!(past(&server, "last=100000").await, ["a1", "a2"]);
    let response = server.get("/topics/a?last=100001").send().await;
    assert!(response.problem(400, "too-many").contains("100000"), "{response:?}");
}

#[tokio::test]
async fn last_each_begins_with_the_newest_events_of_each_matching_topic_in_log_order() {
    let server = Server::start_with(mode()).await;
    numbers(&server, "x/a", 3).await;
    numbers(&server, "other", 2).await;
    numbers(&server, "x/b", 1).await;
    numbers(&server, "x/c", 2).await;
    let stream = server.subscribe("/events?topic=x/*&last_each=2").await;
    let past = before_now(&server, "/topics/x/a", stream).await;
    assert_eq!(past, ["x/a2", "x/a3", "x/b1", "x/c1", "x/c2"]);
}

#[tokio::test]
async fn last_each_sends_the_ends_of_the_topics_whose_newest_events_it_sends() {
    let server = Server::start_with(mode()).await;
    for topic in ["x/a", "x/b", "x/c"] {
        numbers(&server, topic, 2).await;
    }
    server.publish("/topics/x/b?end=done", "").await;
    server.publish("/topics/x/a?end=failed", "a3").await;
    numbers(&server, "x/d", 1).await;
    for path in ["/events?topic=x/*", "/events?topic=x/a&topic=x/b&topic=x/c&topic=x/d"] {
        let mut stream = server.subscribe(&format!("{path}&last_each=1")).await;
        for (at, wanted) in ["x/b2", "x/c2", "done", "a3", "failed", "x/d1"].iter().enumerate() {
            let event = stream.next().await.unwrap();
            assert!(event.data.contains(wanted), "{at} of {path}: {event:?}, not {wanted}");
        }
    }
    // If all topics have ended, each end is sent once.
    let stream = server.subscribe("/events?topic=x/a&topic=x/b&last_each=5").await.rest().await;
    let ends = stream.iter().filter(|event| event.name == "stentor.end").count();
    assert_eq!((stream.len(), ends), (7, 2));
    assert_eq!(
        server.history_data("/events?topic=x/a&topic=x/b&last_each=1").await,
        ["x/b2", "a3"]
    );
}

#[tokio::test]
async fn last_each_returns_at_most_10_000_events() {
    let server = Server::start_with(mode()).await;
    server.publish_each("/topics/x/a", 0..6_000).await;
    server.publish_each("/topics/x/b", 0..6_000).await;
    let mut stream = server.subscribe("/events?topic=x/*&last_each=5000").await;
    let data = stream.data(10_000).await;
    assert_eq!(
        (data[0].as_str(), data[5_000].as_str(), data[9_999].as_str()),
        ("1000", "1000", "5999")
    );
    server.get("/events?topic=x/*&last_each=5001").send().await.problem(400, "too-many");
}

#[tokio::test]
async fn since_begins_with_the_first_event_of_that_time_or_later() {
    let server = Server::start_with(mode()).await;
    numbers(&server, "a", 4).await;
    let events = server.history("/topics/a").await;
    for (at, event) in events.iter().enumerate() {
        let time = event["time"].as_str().unwrap();
        let first = events.iter().position(|event| event["time"] == time).unwrap();
        assert!(first <= at);
        let mut stream = server.subscribe(&format!("/topics/a?since={time}")).await;
        assert_eq!(stream.next().await.unwrap().data, events[first]["data"]);
    }
    let mut stream = server.subscribe("/topics/a?since=1999-12-31T23:59:59Z").await;
    assert_eq!(stream.data(4).await, ["a1", "a2", "a3", "a4"]);
}

#[tokio::test]
async fn since_takes_an_unescaped_plus() {
    let server = Server::start_with(mode()).await;
    numbers(&server, "a", 2).await;
    for since in
        ["2020-01-01T01:00:00+01:00", "2020-01-01T01:00:00%2B01:00", "2020-01-01T00:00:00-05:00"]
    {
        let mut stream = server.subscribe(&format!("/topics/a?since={since}")).await;
        assert_eq!(stream.data(2).await, ["a1", "a2"], "{since}");
    }
}

#[tokio::test]
async fn a_time_in_the_future_is_the_tail() {
    let server = Server::start_with(mode()).await;
    numbers(&server, "a", 2).await;
    assert_eq!(past(&server, "since=2999-01-01T00:00:00Z").await, NOTHING);
}

#[tokio::test]
async fn an_invalid_start_is_refused_with_advice() {
    let server = Server::start_with(mode()).await;
    for (options, code, advice) in [
        ("from=start", "query", "from=earliest"),
        ("last=-1", "query", "digits"),
        ("last=many", "query", "digits"),
        ("last_each=1.5", "query", "digits"),
        ("since=yesterday", "time", "RFC 3339"),
        ("since=2026-01-01T00:00:00", "time", "offset"),
    ] {
        let response = server.get(&format!("/topics/a?{options}")).send().await;
        let detail = response.problem(400, code);
        assert!(detail.contains(advice), "{options}: {detail}");
    }
}

#[tokio::test]
async fn two_starts_at_once_are_refused() {
    let server = Server::start_with(mode()).await;
    let starts = ["from=earliest", "last=1", "last_each=1", "since=2020-01-01T00:00:00Z"];
    for (at, one) in starts.iter().enumerate() {
        for other in &starts[at + 1..] {
            let response = server.get(&format!("/topics/a?{one}&{other}")).send().await;
            response.problem(400, "query");
        }
    }
}

#[tokio::test]
async fn a_cursor_overrides_every_other_start() {
    let server = Server::start_with(mode()).await;
    let ids = numbers(&server, "a", 4).await;
    for start in
        ["from=earliest", "from=now", "last=4", "last_each=1", "since=2020-01-01T00:00:00Z"]
    {
        let mut stream = server.resume(&format!("/topics/a?{start}"), &ids[1]).await;
        assert_eq!(stream.data(2).await, ["a3", "a4"], "{start}");
    }
}

#[tokio::test]
async fn the_header_wins_over_the_parameter() {
    let server = Server::start_with(mode()).await;
    let ids = numbers(&server, "a", 3).await;
    let path = format!("/topics/a?last_event_id={}", ids[0]);
    let mut stream = server.subscribe(&path).await;
    assert_eq!(stream.data(2).await, ["a2", "a3"]);
    let mut stream = server.resume(&path, &ids[1]).await;
    assert_eq!(stream.data(1).await, ["a3"]);
}

#[tokio::test]
async fn a_cursor_may_be_named_as_polyfills_do_and_the_last_one_counts() {
    let server = Server::start_with(mode()).await;
    let ids = numbers(&server, "a", 3).await;
    for query in [
        format!("lastEventId={}", ids[1]),
        format!("last_event_id={}&lastEventId={}", ids[0], ids[1]),
        format!("lastEventId={}&last_event_id={}", ids[0], ids[1]),
        format!("lastEventId={}&lastEventId={}", ids[0], ids[1]),
        format!("last_event_id={}&last_event_id={}&lastEventId=", ids[0], ids[1]),
    ] {
        for path in ["/topics/a?", "/events?topic=a&"] {
            let mut stream = server.subscribe(&format!("{path}{query}")).await;
            assert_eq!(stream.data(1).await, ["a3"], "{path}{query}");
        }
    }
    let mut stream = server.resume(&format!("/topics/a?lastEventId={}", ids[0]), &ids[1]).await;
    assert_eq!(stream.data(1).await, ["a3"], "the header wins");
    let page = server.page(&format!("/topics/a?lastEventId={}", ids[1])).await;
    assert_eq!(page["events"][0]["data"], "a3");
}

#[tokio::test]
async fn an_empty_cursor_counts_as_absent() {
    let server = Server::start_with(mode()).await;
    let ids = numbers(&server, "a", 3).await;
    let mut stream = server.resume("/topics/a?from=earliest", "").await;
    assert_eq!(stream.data(3).await, ["a1", "a2", "a3"]);
    let mut stream = server.resume(&format!("/topics/a?last_event_id={}", ids[1]), "").await;
    assert_eq!(stream.data(1).await, ["a3"]);
    let mut stream = server.subscribe("/topics/a?from=earliest&last_event_id=").await;
    assert_eq!(stream.data(1).await, ["a1"]);
}
