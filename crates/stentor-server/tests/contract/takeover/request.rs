//! Every valid form of a request for a stream is answered with a stream.

use super::streams_alone;
use crate::harness::{Options, Response, Server, StreamMode, get, post};

/// Sends a request and asserts that the only response is a stream.
async fn is_answered_with_a_stream(mode: StreamMode, request: &str) {
    eprintln!("request: {request:?}");
    let server = Server::in_memory_with(mode).await;
    let mut connection = server.connect().await;
    connection.send(request).await;
    streams_alone(&server, connection.stream().await).await;
}

/// Returns a request for the stream with these header lines, followed by `body`.
fn with(headers: &str, body: &str) -> String {
    format!("GET /topics/t HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_request_may_arrive_byte_by_byte() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut connection = server.connect().await;
        connection.send_bytewise(&get("/topics/t")).await;
        streams_alone(&server, connection.stream().await).await;
    }
}

#[tokio::test]
async fn a_publish_and_a_stream_may_arrive_byte_by_byte() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut connection = server.connect().await;
        connection.send_bytewise(&(post("/topics/other", "1") + &get("/topics/t"))).await;
        assert_eq!(connection.response().await.status, 201);
        streams_alone(&server, connection.stream().await).await;
    }
}

#[tokio::test]
async fn an_upgrade_header_is_ignored() {
    for mode in StreamMode::BOTH {
        for headers in [
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ",
            "Connection: keep-alive",
            "Connection: close",
        ] {
            is_answered_with_a_stream(mode, &with(headers, "")).await;
        }
    }
}

#[tokio::test]
async fn the_body_of_a_request_for_a_stream_is_not_a_request() {
    let inner = post("/topics/t", "smuggled");
    let length = inner.len();
    let chunked = format!("{length:x}\r\n{inner}\r\n0\r\n\r\n");
    let content_length = format!("Content-Length: {length}");
    for mode in StreamMode::BOTH {
        for (headers, body) in [
            ("Content-Length: 0", ""),
            (content_length.as_str(), inner.as_str()),
            ("Transfer-Encoding: chunked", "0\r\n\r\n"),
            ("Transfer-Encoding: chunked", chunked.as_str()),
        ] {
            is_answered_with_a_stream(mode, &with(headers, body)).await;
        }
    }
}

#[tokio::test]
async fn a_stream_does_not_wait_for_the_body_of_its_request() {
    for mode in StreamMode::BOTH {
        for headers in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            is_answered_with_a_stream(mode, &with(headers, "")).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_the_stream_instead() {
    for mode in StreamMode::BOTH {
        for (headers, body) in [
            ("Expect: 100-continue", ""),
            ("Expect: 100-continue\r\nContent-Length: 0", ""),
            ("Expect: 100-continue\r\nContent-Length: 5", ""),
            ("Expect: 100-continue\r\nContent-Length: 5", "hello"),
            ("Expect: 100-continue\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ] {
            is_answered_with_a_stream(mode, &with(headers, body)).await;
        }
    }
}

#[tokio::test]
async fn a_publish_with_100_continue_may_be_followed_by_a_stream() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut connection = server.connect().await;
        let head = "POST /topics/other HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n";
        connection.send(format!("{head}Expect: 100-continue\r\n\r\n")).await;
        assert_eq!(connection.response().await.status, 100);
        connection.send("hello".to_owned() + &get("/topics/t")).await;
        assert_eq!(connection.response().await.status, 201);
        streams_alone(&server, connection.stream().await).await;
    }
}

#[tokio::test]
async fn clients_of_http_1_0_get_the_same_bytes_without_chunks_and_then_the_close() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        for number in 0..3 {
            server.publish("/topics/t", format!("{number}\nsecond line")).await;
        }
        let mut readers = Vec::new();
        for request in [
            get("/topics/t?from=earliest"),
            "GET /topics/t?from=earliest HTTP/1.0\r\n\r\n".to_owned(),
            "GET /topics/t?from=earliest HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
        ] {
            let mut connection = server.connect().await;
            connection.send(request).await;
            let mut stream = connection.stream().await;
            let is_chunked = stream.head.header("transfer-encoding") == Some("chunked");
            assert_eq!(is_chunked, readers.is_empty(), "{:?}", stream.head);
            let connection = stream.head.header("connection").unwrap();
            assert!(connection.starts_with("close"), "{connection}");
            stream.data(3).await;
            readers.push(stream);
        }
        server.publish("/topics/t", "live").await;
        server.publish("/topics/t?end=done", "last").await;
        let mut texts = Vec::new();
        for mut reader in readers {
            assert_eq!(reader.rest().await.len(), 3);
            let text = String::from_utf8(std::mem::take(&mut reader.text)).unwrap();
            let (_, behind_retry) = text.split_once('\n').unwrap();
            texts.push(behind_retry.to_owned());
            reader.closed().await;
        }
        assert!(texts[0].ends_with("\"reason\":\"done\"}\n\n"), "{}", texts[0]);
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    }
}

#[tokio::test]
async fn the_head_says_the_same_on_every_path() {
    let mut heads = Vec::new();
    for mode in StreamMode::BOTH {
        let server = Options::in_memory().mode(mode).origin("https://app.example").start().await;
        for accept in ["*/*", "application/x-ndjson"] {
            let request = server.get("/topics/t").header("Accept", accept);
            let stream = request.header("Origin", "https://app.example").open().await;
            let allowed = stream.head.header("access-control-allow-origin");
            assert_eq!(allowed, Some("https://app.example"));
            let head = server.request("HEAD", "/topics/t").header("Accept", accept);
            let head = head.header("Origin", "https://app.example").send().await;
            let (stream, head) = (sorted_headers(&stream.head), sorted_headers(&head));
            let expected: Vec<_> =
                stream.iter().filter(|(name, _)| name != "transfer-encoding").cloned().collect();
            assert_eq!(expected, head, "HEAD has the headers of GET");
            heads.push((accept, stream));
        }
        let mut foreign = server.connect().await;
        foreign.send(get("/topics/t").replace("localhost", "evil.example")).await;
        foreign.response().await.problem(403, "host");
        let page = server.get("/topics/t").header("Accept", "text/html").send().await;
        assert_eq!(page.status, 303);
    }
    for (accept, head) in &heads {
        let same = heads.iter().all(|(other, headers)| accept != other || head == headers);
        assert!(same, "{heads:?}");
    }
}

/// Returns the headers of a response sorted by name, without the date.
fn sorted_headers(response: &Response) -> Vec<(String, String)> {
    let mut headers = response.headers.clone();
    headers.retain(|(name, _)| name != "date");
    headers.sort();
    headers
}
