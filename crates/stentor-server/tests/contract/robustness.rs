//! Clients that send broken requests or close the connection leave nothing behind.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{Response, Server, send_raw};

const OPEN: &str = "stentor_connections_open";

#[tokio::test]
async fn a_request_head_that_stops_half_way_leaves_nothing_behind() {
    let server = Server::in_memory().await;
    for half in
        ["", "P", "POST /topics/t HT", "GET / HTTP/1.1\r\nHost: loc", "PRI * HTTP/2.0\r\n\r\nS"]
    {
        let mut socket = TcpStream::connect(&server.address).await.unwrap();
        socket.write_all(half.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        drop(socket);
    }
    server.until_metric(OPEN, 1).await;
    server.publish("/topics/t", "still there").await;
}

#[tokio::test]
async fn a_body_that_stops_half_way_publishes_nothing() {
    let server = Server::start().await;
    let length = server.request("POST", "/topics/t").header("Content-Length", "10");
    let mut socket = length.connect().await;
    socket.write_all(b"half").await.unwrap();
    let mut chunked = server.upload("/topics/t", "text/plain").await;
    chunked.send("half").await;
    let mut batch = server.upload("/topics", "application/json").await;
    batch.send("[{\"topic\":\"t\",\"data\":\"x\"}]").await;
    drop((socket, chunked, batch));
    server.until_metric(OPEN, 1).await;
    assert_eq!(server.history("/topics/t").await.len(), 0);
    server.until_metric("stentor_body_bytes", 0).await;
}

#[tokio::test]
async fn a_request_head_over_16_kib_is_431() {
    let server = Server::in_memory().await;
    let request = |bytes: usize| {
        let fill = "x".repeat(bytes);
        format!(
            "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: {fill}\r\n\r\n"
        )
    };
    let response = send_raw(&server.address, request(15_000).as_bytes()).await;
    assert_eq!(Response::parse(&response).status, 200);
    let response = send_raw(&server.address, request(17_000).as_bytes()).await;
    assert_eq!(Response::parse(&response).status, 431);
    let path =
        format!("GET /events?topic={} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(17_000));
    let response = send_raw(&server.address, path.as_bytes()).await;
    assert_eq!(Response::parse(&response).status, 431);
}

#[tokio::test]
async fn bytes_that_are_not_http_get_400_or_a_close() {
    let server = Server::in_memory().await;
    for noise in ["\0\0\0\0\r\n\r\n", "hello\r\n\r\n", "GET\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n"] {
        let response = send_raw(&server.address, noise.as_bytes()).await;
        assert!(
            response.is_empty() || Response::parse(&response).status == 400,
            "{noise:?}: {response:?}"
        );
    }
    server.until_metric(OPEN, 1).await;
}
