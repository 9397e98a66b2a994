//! Servers whose answers are not to end before they begin.

use std::future::{Future, pending};
use std::time::Duration;

use stentor_client::{EventSource, EventSourceError};
use tokio::time::sleep;

use crate::support::{Server, answer};
use crate::{fatal_error, source, until_waiting};

/// More than any head may hold, and little enough to send.
const PLENTY: usize = 64 * 1024 * 1024;

/// Follows a server that begins its answer with this and goes on with that for ever: why the source
/// waits, and how many bytes it took.
async fn pour(begin: &str, piece: &[u8]) -> (EventSourceError, usize) {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write(begin).await;
        connection.pour(piece, PLENTY).await
    };
    let (poured, (_, reason)) = tokio::join!(script, until_waiting(&mut source));
    (reason, poured)
}

#[tokio::test]
async fn endless_headers_are_cut_off_and_tried_again_later() {
    let piece = [b'x'; 4096];
    for (begin, piece) in [
        ("HTTP/1.1 200 OK\r\n", &b"x-more: and more\r\n"[..]),
        ("HTTP/1.1 200 OK\r\nx-long: ", &piece),
        ("HTTP/1.1 200 ", &piece),
        ("", &piece),
    ] {
        let (reason, poured) = pour(begin, piece).await;
        assert!(matches!(reason, EventSourceError::Unreachable { .. }), "{begin}: {reason}");
        // What was on the way when it left counts as well.
        assert!(poured < 16 * 1024 * 1024, "{begin}: {poured} bytes");
    }
}

/// Follows a server that is heard of but never answers: why the source waits.
async fn wait_out(server: &Server, never: impl Future<Output = ()>) -> EventSourceError {
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
async fn answers_that_go_before_the_answer_do_not_outlast_the_idle_timeout() {
    let server = Server::start().await;
    let script = async {
        let hint = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
        server.accept().await.pour(hint, usize::MAX).await;
        pending::<()>().await;
    };
    let reason = wait_out(&server, script).await;
    assert!(matches!(reason, EventSourceError::IdleTimeout { .. }), "{reason}");
}

#[tokio::test]
async fn a_head_that_drips_does_not_outlast_the_idle_timeout() {
    let server = Server::start().await;
    let script = async {
        let mut connection = server.accept().await;
        connection.write("HTTP/1.1 200 OK\r\nx-drip: ").await;
        loop {
            connection.pour(b"x", 1).await;
            sleep(Duration::from_millis(5)).await;
        }
    };
    let reason = wait_out(&server, script).await;
    assert!(matches!(reason, EventSourceError::IdleTimeout { .. }), "{reason}");
}

#[tokio::test]
async fn what_is_no_http_is_an_unreachable_server() {
    for nonsense in
        ["SSH-2.0-OpenSSH_9.2\r\n", "\0\0\0\u{1}", "HTTP/1.1 999999 X\r\n\r\n", "data: a\n\n"]
    {
        let server = Server::start().await;
        let mut source = source(&server.url("/"));
        let (_, (_, reason)) = tokio::join!(server.answer([nonsense]), until_waiting(&mut source));
        assert!(matches!(reason, EventSourceError::Unreachable { .. }), "{nonsense:?}: {reason}");
    }
}

#[tokio::test]
async fn a_compressed_stream_is_refused_by_name() {
    for encoding in ["gzip", "br", "GZIP", "deflate, gzip"] {
        let server = Server::start().await;
        let mut source = source(&server.url("/"));
        let headers =
            format!("content-type: text/event-stream\r\ncontent-encoding: {encoding}\r\n");
        let answers = [answer("200 OK", &headers, "\u{1f}data: no\n\n")];
        let (_, error) = tokio::join!(server.answer(answers), fatal_error(&mut source));
        assert!(matches!(error, EventSourceError::ContentEncoding { .. }), "{error}");
        assert!(error.to_string().contains(encoding), "{error}");
    }
}

#[tokio::test]
async fn a_page_with_200_is_left_at_once_however_long_it_is() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n").await;
        connection.pour(&[b'<'; 4096], PLENTY).await
    };
    let (poured, error) = tokio::join!(script, fatal_error(&mut source));
    assert!(matches!(error, EventSourceError::ContentType { .. }), "{error}");
    assert!(poured < PLENTY);
}

#[tokio::test]
async fn an_explanation_without_end_is_not_read_to_its_end() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection
            .write("HTTP/1.1 404 X\r\ncontent-type: application/problem+json\r\n\r\n\"")
            .await;
        connection.pour(&[b'x'; 4096], PLENTY).await
    };
    let (poured, error) = tokio::join!(script, fatal_error(&mut source));
    assert!(matches!(error, EventSourceError::Status { problem: None, .. }), "{error}");
    assert!(poured < PLENTY);
}
