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
async fn a_request_head_over_56_kib_is_431() {
    let server = Server::in_memory().await;
    let request = |bytes: usize| {
        let fill = "x".repeat(bytes);
        format!(
            "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: {fill}\r\n\r\n"
        )
    };
    let response = send_raw(&server.address, request(57_000).as_bytes()).await;
    assert_eq!(Response::parse(&response).status, 200);
    let response = send_raw(&server.address, request(58_000).as_bytes()).await;
    assert_eq!(Response::parse(&response).status, 431);
    let path =
        format!("GET /events?topic={} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(58_000));
    let response = send_raw(&server.address, path.as_bytes()).await;
    assert_eq!(Response::parse(&response).status, 431);
}

#[tokio::test]
async fn a_transfer_coding_other_than_chunked_is_501_and_publishes_nothing() {
    let server = Server::in_memory().await;
    for codings in ["gzip, chunked", "gzip\r\nTransfer-Encoding: chunked", "identity, chunked"] {
        for path in ["/topics/t", "/topics/t?end", "/topics"] {
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {codings}\r\n\
                 Connection: close\r\n\r\n1\r\nx\r\n0\r\n\r\n"
            );
            let response = send_raw(&server.address, request.as_bytes()).await;
            Response::parse(&response).problem(501, "transfer-coding");
        }
    }
    assert_eq!(server.history("/topics/t").await.len(), 0);
}

#[tokio::test]
async fn a_body_whose_length_or_head_is_ambiguous_is_400() {
    let server = Server::in_memory().await;
    for headers in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1, 2",
        "Content-Length: +1",
        "Content-Length: 0x1",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
        "Content-Length: 1\r\nX: a\r\n folded",
        "Content-Length : 1",
        "Content-Length: 1\r\nX\0: a",
    ] {
        let request = format!("POST /topics/t HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\nxx");
        let response = send_raw(&server.address, request.as_bytes()).await;
        assert_eq!(Response::parse(&response).status, 400, "{headers:?}");
    }
    assert_eq!(server.history("/topics/t").await.len(), 0);
}

#[tokio::test]
async fn the_most_filters_of_the_greatest_length_fit_into_a_request() {
    let server = Server::in_memory().await;
    for letters in ["x", "%C3%BC"] {
        let length = if letters.len() == 1 { 252 } else { 126 };
        let topics: Vec<_> =
            (100..164).map(|number| format!("topic={number}/{}", letters.repeat(length))).collect();
        let mut stream = server.subscribe(&format!("/events?{}", topics.join("&"))).await;
        stream.position().await;
        let last = topics.last().unwrap().strip_prefix("topic=").unwrap();
        server.publish(&format!("/topics/{last}"), "read").await;
        assert_eq!(stream.data(1).await, ["read"]);
    }
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
