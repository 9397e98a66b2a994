//! Servers that send endless or invalid response heads.

use std::future::{Future, pending};
use std::time::Duration;

use stentor_client::{EventSource, EventSourceError};
use tokio::time::sleep;

use crate::support::{Server, response};
use crate::{fatal_error, source, until_waiting};

/// Number of bytes to send: more than any limit of a response.
const PLENTY: usize = 64 * 1024 * 1024;

/// Connects to a server that sends `begin` and then repeats `part`. Returns the reason why the source waits, and the
/// number of bytes that the server sent.
async fn endless_response(begin: &str, part: &[u8]) -> (EventSourceError, usize) {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write(begin).await;
        connection.write_repeatedly(part, PLENTY).await
    };
    let (written, (_, reason)) = tokio::join!(script, until_waiting(&mut source));
    (reason, written)
}

#[tokio::test]
async fn an_endless_head_is_cut_off_and_retried_later() {
    let long = [b'x'; 4096];
    for (begin, part) in [
        ("HTTP/1.1 200 OK\r\n", &b"x-more: and more\r\n"[..]),
        ("HTTP/1.1 200 OK\r\nx-long: ", &long),
        ("HTTP/1.1 200 ", &long),
        ("", &long),
    ] {
        let (reason, written) = endless_response(begin, part).await;
        assert!(matches!(reason, EventSourceError::Unreachable { .. }), "{begin}: {reason}");
        // The count includes bytes that were in transit when the source closed the connection.
        assert!(written < 16 * 1024 * 1024, "{begin}: {written} bytes");
    }
}

/// Connects to a server that never completes a response head. Returns the reason why the source waits.
async fn without_response(server: &Server, never: impl Future<Output = ()>) -> EventSourceError {
    let mut source = EventSource::builder(server.url("/"))
        .idle_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    tokio::select! {
        biased;
        (_, reason) = until_waiting(&mut source) => reason,
        () = never => unreachable!(),
    }
}

#[tokio::test]
async fn endless_interim_responses_end_at_the_idle_timeout() {
    let server = Server::start().await;
    let script = async {
        let hint = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
        server.accept().await.write_repeatedly(hint, usize::MAX).await;
        pending::<()>().await;
    };
    let reason = without_response(&server, script).await;
    assert!(matches!(reason, EventSourceError::IdleTimeout { .. }), "{reason}");
}

#[tokio::test]
async fn a_head_that_arrives_byte_by_byte_ends_at_the_idle_timeout() {
    let server = Server::start().await;
    let script = async {
        let mut connection = server.accept().await;
        connection.write("HTTP/1.1 200 OK\r\nx-drip: ").await;
        loop {
            connection.write_repeatedly(b"x", 1).await;
            sleep(Duration::from_millis(5)).await;
        }
    };
    let reason = without_response(&server, script).await;
    assert!(matches!(reason, EventSourceError::IdleTimeout { .. }), "{reason}");
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_is_unreachable() {
    for nonsense in
        ["SSH-2.0-OpenSSH_9.2\r\n", "\0\0\0\u{1}", "HTTP/1.1 999999 X\r\n\r\n", "data: a\n\n"]
    {
        let server = Server::start().await;
        let mut source = source(&server.url("/"));
        let (_, (_, reason)) = tokio::join!(server.respond([nonsense]), until_waiting(&mut source));
        assert!(matches!(reason, EventSourceError::Unreachable { .. }), "{nonsense:?}: {reason}");
    }
}

#[tokio::test]
async fn a_compressed_stream_is_refused_with_its_encoding() {
    for encoding in ["gzip", "br", "GZIP", "deflate, gzip"] {
        let server = Server::start().await;
        let mut source = source(&server.url("/"));
        let headers =
            format!("content-type: text/event-stream\r\ncontent-encoding: {encoding}\r\n");
        let responses = [response("200 OK", &headers, "\u{1f}data: no\n\n")];
        let (_, error) = tokio::join!(server.respond(responses), fatal_error(&mut source));
        assert!(matches!(error, EventSourceError::ContentEncoding { .. }), "{error}");
        assert!(error.to_string().contains(encoding), "{error}");
    }
}

#[tokio::test]
async fn an_endless_page_with_200_is_not_read() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n").await;
        connection.write_repeatedly(&[b'<'; 4096], PLENTY).await
    };
    let (written, error) = tokio::join!(script, fatal_error(&mut source));
    assert!(matches!(error, EventSourceError::ContentType { .. }), "{error}");
    assert!(written < PLENTY);
}

#[tokio::test]
async fn an_endless_problem_is_not_read_completely() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection
            .write("HTTP/1.1 404 X\r\ncontent-type: application/problem+json\r\n\r\n\"")
            .await;
        connection.write_repeatedly(&[b'x'; 4096], PLENTY).await
    };
    let (written, error) = tokio::join!(script, fatal_error(&mut source));
    assert!(matches!(error, EventSourceError::Status { problem: None, .. }), "{error}");
    assert!(written < PLENTY);
}
