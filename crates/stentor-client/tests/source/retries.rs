//! Retries and the idle timeout.

use std::time::Duration;

use stentor_client::{EventSource, EventSourceError, State};
use tokio::time::Instant;

use crate::support::{NO_CONTENT, Server, response, stream};
use crate::{data_of, source, until_waiting};

#[tokio::test]
async fn a_transient_error_is_retried_after_the_requested_wait() {
    let date = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(5);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date);
    for (status, retry_after, least) in [
        (503, "90", 90),
        (503, date.as_ref().map_or("", String::as_str), 240),
        (429, "90", 90),
        (500, "90", 90),
        (502, "", 0),
        (504, "soon", 0),
    ] {
        let server = Server::start().await;
        let mut source = source(&server.url("/"));
        let headers = format!("retry-after: {retry_after}\r\n");
        let response = response(&format!("{status} Error"), &headers, "");
        let before = Instant::now();
        let (_, (until, reason)) =
            tokio::join!(server.respond([response]), until_waiting(&mut source));
        let wait = until - before;
        assert!(wait >= Duration::from_secs(least), "{status}, {retry_after}: {wait:?}");
        match reason {
            EventSourceError::Status { status: found, .. } => assert_eq!(found.as_u16(), status),
            reason => panic!("{reason}"),
        }
    }
}

#[tokio::test]
async fn after_a_503_the_source_continues_after_the_last_id() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let responses = [
        response("503 Service Unavailable", "retry-after: 0\r\n", ""),
        stream("id: 1\ndata: a\n\n"),
        response("429 Too Many Requests", "", ""),
        NO_CONTENT.to_owned(),
    ];
    let (requests, data) = tokio::join!(server.respond(responses), data_of(&mut source));
    assert_eq!(data, ["a"]);
    assert_eq!(requests[3].last_event_id(), Some("1"));
}

#[tokio::test]
async fn a_broken_connection_is_resumed_without_an_error() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let broken = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\n\
                  id: 1\ndata: a\n\n";
    let (requests, data) = tokio::join!(server.respond([broken, NO_CONTENT]), data_of(&mut source));
    assert_eq!(data, ["a"]);
    assert_eq!(requests[1].last_event_id(), Some("1"));
}

#[tokio::test]
async fn an_unreachable_server_is_retried() {
    let server = Server::start().await;
    let url = server.url("/");
    drop(server);
    let mut source = EventSource::new(url).unwrap();
    let (_, reason) = until_waiting(&mut source).await;
    assert!(matches!(reason, EventSourceError::Unreachable { .. }), "{reason}");
}

#[tokio::test]
async fn the_idle_timeout_ends_a_silent_connection() {
    let timeout = Duration::from_secs(10);
    for (head, state) in [
        (stream(": hi\n"), "in a stream"),
        (String::new(), "before the response"),
        ("HTTP/1.1 200 O".to_owned(), "within the head"),
    ] {
        let server = Server::start().await;
        let mut source =
            EventSource::builder(server.url("/")).idle_timeout(timeout).build().unwrap();
        let script = async {
            let mut connection = server.accept().await;
            connection.write(&head).await;
            connection
        };
        let connection = if state == "in a stream" {
            tokio::join!(script, source.next_chunk()).0
        } else {
            tokio::select! {
                connection = script => connection,
                item = source.next() => panic!("{item:?}"),
            }
        };
        // The server sends nothing from now on, so the clock may run ahead.
        tokio::time::pause();
        let (_, reason) = until_waiting(&mut source).await;
        tokio::time::resume();
        assert!(
            matches!(reason, EventSourceError::IdleTimeout { after } if after == timeout),
            "{state}"
        );
        drop(connection);
    }
}

#[tokio::test]
async fn a_silent_stream_is_not_progress() {
    let server = Server::start().await;
    let mut source = EventSource::builder(server.url("/"))
        .idle_timeout(Duration::from_secs(10))
        .healthy_after(Duration::from_secs(9))
        .build()
        .unwrap();
    let script = async {
        let mut connection = server.accept().await;
        connection.write(&stream(": hi\n")).await;
        connection
    };
    let (_connection, _) = tokio::join!(script, source.next_chunk());
    tokio::time::pause();
    until_waiting(&mut source).await;
    assert!(matches!(source.state(), State::Waiting { attempt: 2, .. }), "{:?}", source.state());
}
