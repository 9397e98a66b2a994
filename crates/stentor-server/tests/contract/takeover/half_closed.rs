//! Clients that close their sending side after the request, as `nc -N` does.

use crate::harness::{Response, Server, StreamMode, get, post, until_no_client_is_left};

#[tokio::test]
async fn a_reader_that_closes_its_side_is_closed() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut stream = server.subscribe("/topics/t").await;
        stream.position().await;
        stream.close_write().await;
        until_no_client_is_left(&server).await;
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_with_its_request_is_answered() {
    const TAKEN: [StreamMode; 3] =
        [StreamMode::Shards, StreamMode::OneShard, StreamMode::ManyShards];
    for mode in TAKEN {
        let server = Server::start_with(mode).await;
        server.publish_each("/topics/t", 0..20).await;
        for _ in 0..20 {
            let page = get("/topics/t").replace("\r\n\r\n", "\r\nAccept: application/json\r\n\r\n");
            let page = Response::parse(&send_and_close(&server, &page).await).json();
            assert_eq!(page["events"].as_array().unwrap().len(), 20);
            let posted =
                Response::parse(&send_and_close(&server, &post("/topics/other", "x")).await);
            assert_eq!(posted.status, 201);
            // A stream without an end stops when its reader has left, and this reader has.
            let stream = send_and_close(&server, &get("/topics/t?from=earliest")).await;
            let stream = Response::parse(&stream).text();
            assert_eq!(
                stream.matches("\ndata: ").count(),
                21,
                "the position, and all events: {stream}"
            );
        }
        until_no_client_is_left(&server).await;
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_gets_all_of_a_large_stream_and_its_end() {
    const EVENTS: usize = 60;
    let large = "x".repeat(100_000);
    for mode in [StreamMode::Shards, StreamMode::OneShard] {
        let server = Server::in_memory_with(mode).await;
        for topic in ["/topics/over", "/topics/open"] {
            for number in 0..EVENTS {
                server.publish(topic, format!("{number} {large}")).await;
            }
        }
        server.publish("/topics/over?end", "").await;
        for topic in ["/topics/over", "/topics/open"] {
            let mut connection = server.connect_narrow().await;
            connection.send(get(&format!("{topic}?from=earliest"))).await;
            connection.close_write().await;
            // The server has filled the buffers by now, and knows of the close.
            connection.read_slowly().await;
            let stream = connection.until_closed().await.expect("no reset");
            assert!(stream.ends_with(b"\r\n0\r\n\r\n"), "the end of the response is missing");
            let stream = Response::parse(&stream).text();
            let received: Vec<&str> = stream
                .lines()
                .filter_map(|line| line.strip_prefix("data: ")?.strip_suffix(large.as_str()))
                .collect();
            let sent: Vec<String> = (0..EVENTS).map(|number| format!("{number} ")).collect();
            assert_eq!(received, sent, "{topic}");
        }
        until_no_client_is_left(&server).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_large_stream_is_noticed() {
    let server = Server::in_memory().await;
    for _ in 0..60 {
        server.publish("/topics/t", "x".repeat(100_000)).await;
    }
    for leaves_by_reset in [false, true] {
        for _ in 0..20 {
            let mut connection = server.connect_narrow().await;
            connection.send(get("/topics/t?from=earliest")).await;
            connection.read_slowly().await;
            if leaves_by_reset { connection.reset() } else { drop(connection) }
        }
        until_no_client_is_left(&server).await;
    }
}

/// Sends a request, closes the sending side, and returns what the server sends.
async fn send_and_close(server: &Server, request: &str) -> Vec<u8> {
    let mut connection = server.connect().await;
    connection.send(request).await;
    connection.close_write().await;
    connection.until_closed().await.expect("no reset")
}
