//! Servers that send endless or broken streams.

use stentor_client::{EventSource, EventSourceError};

use crate::support::{NO_CONTENT, STREAM, Server};
use crate::{data_of, fatal_error, quick, source};

const EVENT_BYTES_MAX: usize = 64 * 1024;
const PLENTY: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn an_endless_line_or_event_is_fatal_at_the_limit() {
    let long = [b'x'; 4096];
    for (begin, part) in [
        ("data: ", &long[..]),
        (": ", &long),
        ("id: ", &long),
        ("event: ", &long),
        ("retry: ", b"1111"),
        ("", &long),
        ("", b"data: more\n"),
        ("", b"data\n"),
    ] {
        let server = Server::start().await;
        let mut source = quick(&server.url("/")).event_bytes_max(EVENT_BYTES_MAX).build().unwrap();
        let script = async {
            let mut connection = server.accept().await;
            connection.write(&format!("{STREAM}{begin}")).await;
            connection.write_repeatedly(part, PLENTY).await
        };
        let (written, error) = tokio::join!(script, fatal_error(&mut source));
        assert!(matches!(error, EventSourceError::Decode(_)), "{begin}: {error}");
        assert!(written < PLENTY, "{begin}: the source closed the connection");
    }
}

#[tokio::test]
async fn the_default_limit_is_sixteen_mebibytes() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write(&format!("{STREAM}data: ")).await;
        connection.write_repeatedly(&[b'x'; 4096], PLENTY).await
    };
    let (written, error) = tokio::join!(script, fatal_error(&mut source));
    assert!(error.to_string().contains("16777216 bytes"), "{error}");
    assert!(written >= 16 * 1024 * 1024);
}

#[tokio::test]
async fn an_endless_block_without_data_takes_no_memory() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).event_bytes_max(1024).build().unwrap();
    let script = async {
        let mut connection = server.accept().await;
        connection.write(STREAM).await;
        connection
            .write_repeatedly(b"event: x\nunknown: y\nid: 1\n: comment\nretry: x\n", 1024 * 1024)
            .await;
        connection.write("data: at last\n\n").await;
    };
    let ((), event) = tokio::join!(script, source.next());
    assert_eq!(event.unwrap().unwrap().data(), "at last");
}

#[tokio::test]
async fn a_stream_that_arrives_byte_by_byte_is_complete() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write(STREAM).await;
        for byte in "\u{FEFF}id: 1\r\ndata: ünï\r\ndata: two\r\n\r\n".as_bytes() {
            connection.write_repeatedly(&[*byte], 1).await;
            tokio::task::yield_now().await;
        }
    };
    let ((), event) = tokio::join!(script, source.next());
    assert_eq!(event.unwrap().unwrap().data(), "ünï\ntwo");
}

#[tokio::test]
async fn an_incomplete_or_invalid_http_chunk_is_a_broken_connection() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
                10\r\nid: 1\ndata: a\n\n\n\r\n";
    for rest in ["ff\r\ndata: cut", "zz\r\n", "-1\r\n", "ffffffffffffffffff\r\n", "3\r\nabcdef"] {
        let server = Server::start().await;
        let mut source = source(&server.url("/"));
        let responses = [format!("{head}{rest}"), NO_CONTENT.to_owned()];
        let (requests, data) = tokio::join!(server.respond(responses), data_of(&mut source));
        assert_eq!(data, ["a"], "{rest}");
        assert_eq!(requests[1].last_event_id(), Some("1"), "{rest}");
    }
}

#[tokio::test]
async fn the_reconnection_time_is_at_most_one_hour() {
    let server = Server::start().await;
    let mut source = EventSource::new(server.url("/")).unwrap();
    let responses = [format!("{STREAM}retry: 99999999999999999999\n")];
    let before = tokio::time::Instant::now();
    let (_, (until, _)) =
        tokio::join!(server.respond(responses), crate::until_waiting(&mut source));
    assert!((60..=62).contains(&((until - before).as_secs() / 60)));
}
