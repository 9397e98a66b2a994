//! `Idempotency-Key` on an upload: a repeat publishes only the missing events, and is refused if it differs.

use serde_json::json;

use crate::harness::scenarios::uploads;
use crate::harness::{Server, assert_differs_after, keyed_upload, lines, numbers, upload_lines};

const NDJSON: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

#[tokio::test]
async fn an_upload_that_was_cut_continues_where_it_stopped() {
    for (kind, cut, again) in [
        (NDJSON, "0\n1\nha", "0\n1\nhalf\n3\n"),
        (
            EVENTS,
            "data: 0\n\ndata: 1\n\ndata: ha",
            "data: 0\n\ndata: 1\n\ndata: half\n\ndata: 3\n\n",
        ),
    ] {
        for server in [Server::start().await, Server::in_memory().await] {
            let mut stream = server.subscribe("/topics/t").await;
            let mut upload = keyed_upload(&server, kind).upload().await;
            upload.send(cut).await;
            assert_eq!(stream.data(2).await, ["0", "1"]);
            drop(upload);
            let response = keyed_upload(&server, kind).body(again).send().await;
            assert_eq!((response.status, &response.json()["count"]), (201, &json!(4)));
            assert_eq!(server.history_data("/topics/t").await, ["0", "1", "half", "3"]);
        }
    }
}

#[tokio::test]
async fn a_longer_repeat_publishes_the_rest_also_after_a_restart() {
    let mut server = Server::start().await;
    for count in [1, 2, 1_500, 4_000] {
        let response = upload_lines(&server, lines(count)).await;
        assert_eq!((response.status, &response.json()["count"]), (201, &json!(count)));
        server.restart().await;
    }
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    assert_eq!(stream.data(4_000).await, numbers(4_000));
    let response = upload_lines(&server, lines(4_001)).await;
    assert_eq!(response.status, 201);
    assert_eq!(stream.data(1).await, ["4000"]);
}

#[tokio::test]
async fn a_shorter_repeat_is_a_repeat_if_it_agrees() {
    let server = Server::start().await;
    let first = upload_lines(&server, lines(5)).await.json();
    let shorter = upload_lines(&server, lines(3)).await;
    assert_eq!((shorter.status, &shorter.json()["count"]), (200, &json!(3)));
    assert_eq!(shorter.json()["first_id"], first["first_id"]);
    assert_eq!(server.history("/topics/t").await.len(), 5);
}

#[tokio::test]
async fn a_longer_repeat_that_differs_early_publishes_nothing() {
    for server in [Server::start().await, Server::in_memory().await] {
        upload_lines(&server, lines(100)).await;
        let body = lines(300).replacen("\n37\n", "\nother\n", 1);
        let response = upload_lines(&server, body).await;
        assert_differs_after(&server, &response, 37).await;
        assert_eq!(server.history("/topics/t?limit=1000").await.len(), 100);
    }
}

#[tokio::test]
async fn an_upload_that_differs_is_refused_while_it_is_open() {
    let server = Server::start().await;
    upload_lines(&server, lines(3)).await;
    let mut upload = keyed_upload(&server, NDJSON).upload().await;
    upload.send("0\nother\n").await;
    assert_differs_after(&server, &upload.response().await, 1).await;
}

#[tokio::test]
async fn equal_uploads_at_the_same_time_publish_each_event_once() {
    for server in [Server::start().await, Server::in_memory().await] {
        let (mut one, mut other) = (
            keyed_upload(&server, NDJSON).upload().await,
            keyed_upload(&server, NDJSON).upload().await,
        );
        for n in 0..500 {
            one.send(format!("{n}\n")).await;
            other.send(format!("{n}\n")).await;
        }
        let (one, other) = tokio::join!(one.finish(), other.finish());
        for response in [&one, &other] {
            assert!(matches!(response.status, 200 | 201), "{response:?}");
            assert_eq!(response.json()["count"], 500);
        }
        assert_eq!(server.history_data("/topics/t?limit=1000").await, numbers(500));
    }
}

#[tokio::test]
async fn a_shorter_repeat_that_differs_is_refused_where_it_does() {
    uploads::a_shorter_repeat_that_differs_is_refused_where_it_does(Server::start().await).await;
}
