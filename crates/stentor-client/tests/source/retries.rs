//! Retries and the idle timeout.

use std::time::Duration;

use stentor_client::{EventSource, EventSourceError, State};
use tokio::time::Instant;

use crate::support::{Connection, NO_CONTENT, Server, response, stream};
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

/// Opens a stream that begins with these parts, a pause before each. The connection then stays open without bytes, as
/// behind a proxy that does not notice that its server is gone. Returns the source and the connection.
async fn silent_after(parts: &[&str], pause: Duration) -> (EventSource, Connection, Server) {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write(&stream("")).await;
        connection
    };
    let mut connection = tokio::select! {
        connection = script => connection,
        item = source.next() => panic!("{item:?}"),
    };
    for part in parts {
        // The source waits in the meantime.
        tokio::time::pause();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            item = source.next_chunk() => panic!("{item:?}"),
        }
        tokio::time::resume();
        connection.write(part).await;
        let chunk = source.next_chunk().await.unwrap().unwrap();
        assert_eq!(chunk.bytes, part.as_bytes());
    }
    (source, connection, server)
}

#[tokio::test]
async fn silence_after_keep_alives_ends_a_connection_and_the_source_continues_after_the_last_id() {
    for (parts, pause, least, most) in [
        ([":\n", "id: 7\ndata: x\n\n", ":\n", ":\n"].as_slice(), 15, 45, 50),
        (&[": stentor\n", "id: 7\ndata: x\n\n"], 0, 54, 55),
    ] {
        let (mut source, connection, server) =
            silent_after(parts, Duration::from_secs(pause)).await;
        tokio::time::pause();
        let (_, reason) = until_waiting(&mut source).await;
        tokio::time::resume();
        let EventSourceError::IdleTimeout { after } = reason else { panic!("{reason}") };
        assert!((least..=most).contains(&after.as_secs()), "{parts:?}: {after:?}");
        let (next, _) = tokio::join!(server.respond([NO_CONTENT]), source.next());
        assert_eq!(next[0].last_event_id(), Some("7"), "{parts:?}");
        drop(connection);
    }
}

#[tokio::test]
async fn a_silent_stream_without_keep_alives_stays_open() {
    let greeting = [": connected\n", "data: x\n\n"].as_slice();
    let once = [": connected\n", ": still here\n"].as_slice();
    for (parts, pause) in [(greeting, 0), (&["data: x\n\n", "data: y\n\n"], 15), (once, 0)] {
        let (mut source, connection, _server) =
            silent_after(parts, Duration::from_secs(pause)).await;
        tokio::time::pause();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_hours(24)) => {}
            item = source.next() => panic!("{item:?}"),
        }
        tokio::time::resume();
        assert!(matches!(source.state(), State::Open(_)), "{parts:?}: {:?}", source.state());
        drop(connection);
    }
}
