//! `stentor sub`.

use serde_json::{Value, json};

use crate::harness::{Done, Server, stentor};

/// `sub` of these topics from their start.
async fn sub(server: &Server, args: &[&str]) -> Done {
    let url = server.url("");
    let all: Vec<&str> = ["sub", "--url", &url].iter().chain(args).copied().collect();
    stentor(&all).run().await
}

#[tokio::test]
async fn data_is_printed_until_the_topic_ends() {
    let server = Server::start().await;
    server.publish("/topics/finite", "one").await;
    server.publish("/topics/finite", "two\nlines").await;
    server.publish("/topics/finite?end=done", "last").await;
    let done = sub(&server, &["finite", "--from", "earliest"]).await;
    assert_eq!((done.code, done.out.as_str()), (Some(0), "one\ntwo\nlines\nlast\n"), "{done:?}");
    assert!(done.talk.contains("finite has ended: done"), "{done:?}");
    // Nothing but the end is left: that ends it too.
    let done = sub(&server, &["finite"]).await;
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
}

#[tokio::test]
async fn it_follows_live_and_stops_after_its_count() {
    let server = Server::start().await;
    let url = server.url("");
    let first = server.publish("/topics/live", "before").await;
    let mut running =
        stentor(&["sub", "--url", &url, "live", "--last", "1", "--count", "3"]).start().await;
    assert_eq!(running.line().await.as_deref(), Some("before"));
    server.publish("/topics/live", "during").await;
    assert_eq!(running.line().await.as_deref(), Some("during"));
    server.publish("/topics/live", "third").await;
    server.publish("/topics/live", "fourth").await;
    let done = running.end().await;
    assert_eq!((done.code, done.out.as_str()), (Some(0), "third\n"), "{done:?}");
    let done = sub(&server, &["live", "--last-event-id", &first, "--count", "2"]).await;
    assert_eq!((done.code, done.out.as_str()), (Some(0), "during\nthird\n"), "{done:?}");
}

#[tokio::test]
async fn each_format_prints_an_event_its_own_way() {
    let server = Server::start().await;
    let id = server.publish("/topics/t?type=tick", "a\nb").await;
    let args = |format| ["t", "--from", "earliest", "--count", "1", "--format", format];

    assert_eq!(sub(&server, &args("data")).await.out, "a\nb\n");
    let object: Value = serde_json::from_str(&sub(&server, &args("json")).await.out).unwrap();
    let members: Vec<&String> = object.as_object().unwrap().keys().collect();
    assert_eq!(members, ["id", "topic", "type", "time", "data"]);
    assert_eq!((&object["id"], &object["topic"]), (&json!(id), &json!("t")));
    assert_eq!((&object["type"], &object["data"]), (&json!("tick"), &json!("a\nb")));
    let pretty = sub(&server, &args("pretty")).await.out;
    let time = object["time"].as_str().unwrap();
    assert_eq!(pretty, format!("{time}  tick  a\\nb\n"));
    let raw = sub(&server, &args("raw")).await.out;
    assert!(raw.starts_with("retry: "), "{raw}");
    assert!(raw.ends_with(&format!("\n\nid: {id}\nevent: tick\ndata: a\ndata: b\n\n")), "{raw}");
}

#[tokio::test]
async fn several_topics_come_in_one_stream() {
    let server = Server::start().await;
    server.publish("/topics/a/1", "first").await;
    server.publish("/topics/b", "second").await;
    server.publish("/topics/a/2", "third").await;
    let done = sub(&server, &["a/*", "b", "--from", "earliest", "--count", "3"]).await;
    assert_eq!((done.code, done.out.as_str()), (Some(0), "first\nsecond\nthird\n"), "{done:?}");
}

#[tokio::test]
async fn it_misses_nothing_over_a_crash_of_the_server() {
    let mut server = Server::start().await;
    let url = server.url("");
    server.publish("/topics/t", "before").await;
    let mut running = stentor(&["sub", "--url", &url, "t", "--from", "earliest"]).start().await;
    assert_eq!(running.line().await.as_deref(), Some("before"));
    server.kill_and_restart().await;
    server.publish("/topics/t", "after").await;
    server.publish("/topics/t?end", "").await;
    assert_eq!(running.line().await.as_deref(), Some("after"));
    let done = running.end().await;
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.talk.contains("connected again"), "{done:?}");
}

#[tokio::test]
async fn what_cannot_be_followed_is_said_in_words() {
    let server = Server::start().await;
    let wrong = server.url("/nowhere");
    let page = server.url("/");
    for (args, words) in [
        (vec!["sub", wrong.as_str()], "404"),
        (vec!["sub", page.as_str()], "text/event-stream"),
        (vec!["sub", "--url", "nonsense", "t"], "nonsense"),
        (vec!["sub", "nonsense://x"], "nonsense"),
    ] {
        let done = stentor(&args).run().await;
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{args:?}: {done:?}");
        assert!(
            done.talk.starts_with("stentor: ") && done.talk.contains(words),
            "{args:?}: {done:?}"
        );
        assert!(!done.talk.contains("panicked"), "{done:?}");
    }
}
