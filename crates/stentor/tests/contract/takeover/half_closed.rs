//! Clients that send their request and close their side of the connection, as `nc -N` does.

use crate::harness::{Server, Streams, get};

async fn until_nobody_is_left(server: &Server) {
    server.until_metric("stentor_connections_open", 1).await;
    server.until_metric("stentor_streams_open", 0).await;
}

#[tokio::test]
async fn a_reader_that_closes_its_side_is_let_go() {
    for streams in Streams::BOTH {
        let server = streams.in_memory().await;
        let mut stream = server.subscribe("/topics/t").await;
        stream.position().await;
        stream.shut().await;
        until_nobody_is_left(&server).await;
    }
}

#[tokio::test]
async fn a_connection_whose_client_closes_its_side_right_behind_the_request_ends() {
    for streams in Streams::BOTH {
        let server = streams.in_memory().await;
        let files = server.open_files();
        for round in 0..100 {
            let mut wire = server.wire().await;
            wire.send(get("/topics/t")).await;
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            wire.shut().await;
            let came = wire.until_closed().await.expect("no reset");
            assert!(came.is_empty() || came.starts_with(b"HTTP/1.1 200 OK\r\n"), "{came:?}");
        }
        until_nobody_is_left(&server).await;
        server.until_files(files + 16).await;
    }
}

#[tokio::test]
async fn a_request_and_the_close_that_are_found_together_leave_nothing_behind() {
    for streams in Streams::BOTH {
        let server = streams.on_disk().await;
        server.publish_each("/topics/t", 0..100).await;
        server.signal("STOP").await;
        let mut wires = Vec::new();
        for _ in 0..50 {
            let mut wire = server.wire().await;
            wire.send(get("/topics/t?from=earliest")).await;
            wire.shut().await;
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
