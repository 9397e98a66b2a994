//! Clients that send their request and close their side of the connection, as `nc -N` does.

use crate::harness::{Response, Server, StreamMode, get, post};

async fn until_nobody_is_left(server: &Server) {
    server.until_metric("stentor_connections_open", 1).await;
    server.until_metric("stentor_streams_open", 0).await;
}

#[tokio::test]
async fn a_reader_that_closes_its_side_is_let_go() {
    for streams in StreamMode::BOTH {
        let server = streams.in_memory().await;
        let mut stream = server.subscribe("/topics/t").await;
        stream.position().await;
        stream.close_write().await;
        until_nobody_is_left(&server).await;
    }
}

#[tokio::test]
async fn a_connection_whose_client_closes_its_side_right_behind_the_request_ends() {
    for streams in StreamMode::BOTH {
        let server = streams.in_memory().await;
        let files = server.open_files_at_rest().await;
        for round in 0..100 {
            let mut wire = server.connect().await;
            wire.send(get("/topics/t")).await;
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            wire.close_write().await;
            let came = wire.until_closed().await.expect("no reset");
            assert!(came.is_empty() || came.starts_with(b"HTTP/1.1 200 OK\r\n"), "{came:?}");
        }
        until_nobody_is_left(&server).await;
        server.until_open_files(files + 16).await;
    }
}

#[tokio::test]
async fn a_request_and_the_close_that_are_found_together_leave_nothing_behind() {
    for streams in StreamMode::BOTH {
        let server = streams.on_disk().await;
        server.publish_each("/topics/t", 0..100).await;
        server.signal("STOP").await;
        let mut wires = Vec::new();
        for _ in 0..50 {
            let mut wire = server.connect().await;
            wire.send(get("/topics/t?from=earliest")).await;
            wire.close_write().await;
            wires.push(wire);
        }
        server.signal("CONT").await;
        for wire in wires {
            let came = wire.until_closed().await.expect("no reset");
            assert!(came.is_empty() || came.starts_with(b"HTTP/1.1 200 OK\r\n"), "{came:?}");
        }
        until_nobody_is_left(&server).await;
        server.publish("/topics/t", "still there").await;
    }
}

#[tokio::test]
async fn whoever_closes_its_side_with_its_request_is_answered() {
    const TAKEN: [StreamMode; 3] =
        [StreamMode::Shards, StreamMode::OneShard, StreamMode::ManyShards];
    for streams in TAKEN {
        let server = streams.on_disk().await;
        server.publish_each("/topics/t", 0..20).await;
        for _ in 0..20 {
            let page = get("/topics/t").replace("\r\n\r\n", "\r\nAccept: application/json\r\n\r\n");
            let page = Response::parse(&ask_and_shut(&server, &page).await).json();
            assert_eq!(page["events"].as_array().unwrap().len(), 20);
            let posted = Response::parse(&ask_and_shut(&server, &post("/topics/other", "x")).await);
            assert_eq!(posted.status, 201);
            // A stream has an end only when its reader has gone, and by this it has.
            let stream = ask_and_shut(&server, &get("/topics/t?from=earliest")).await;
            let stream = Response::parse(&stream).text();
            assert_eq!(
                stream.matches("\ndata: ").count(),
                21,
                "the position, and all events: {stream}"
            );
        }
        until_nobody_is_left(&server).await;
    }
}

/// Sends this and closes its side, and gives what comes.
async fn ask_and_shut(server: &Server, request: &str) -> Vec<u8> {
    let mut wire = server.connect().await;
    wire.send(request).await;
    wire.close_write().await;
    wire.until_closed().await.expect("no reset")
}
