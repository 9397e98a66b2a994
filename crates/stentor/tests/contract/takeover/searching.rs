//! What happens while the log is searched for the place at which a stream begins.

use crate::harness::{Connection, EventStream, Server, StreamMode, get, post};

const TOPICS: usize = 20;
const EVENTS: usize = 400;
const CLIENTS: usize = 20;

/// A server with much to search through.
async fn with_much(streams: StreamMode) -> Server {
    let server = streams.on_disk().await;
    for topic in 0..TOPICS {
        server.publish_each(&format!("/topics/t/{topic}"), 0..EVENTS).await;
    }
    server
}

/// Asks for what takes long to find: the newest of all topics together.
async fn ask(server: &Server) -> Connection {
    let mut wire = server.connect().await;
    wire.send(get(&format!("/events?topic=t/**&last={}", TOPICS * EVENTS))).await;
    wire
}

#[tokio::test]
async fn what_a_client_sends_meanwhile_is_for_nobody() {
    for streams in StreamMode::BOTH {
        let server = with_much(streams).await;
        let mut wires = Vec::new();
        for _ in 0..CLIENTS / 4 {
            let mut wire = ask(&server).await;
            tokio::task::yield_now().await;
            wire.send(post("/topics/t/0", "never") + &get("/topics/t/0")).await;
            wires.push(wire);
        }
        let last = server.publish("/topics/t/end", "last").await;
        for wire in wires {
            let mut stream: EventStream = wire.stream().await;
            stream.position().await;
            let mut count = 0;
            while stream.next().await.unwrap().id != last {
                count += 1;
            }
            // All of before, or all but the first if the last event was in time to be one of the newest.
            let all = TOPICS * EVENTS;
            assert!(count == all || count == all - 1, "{count} of {all}");
        }
        assert_eq!(server.history_data("/topics/t/0?last=1").await, [(EVENTS - 1).to_string()]);
    }
}

#[tokio::test]
async fn clients_that_leave_meanwhile_leave_nothing_behind() {
    for streams in StreamMode::BOTH {
        let server = with_much(streams).await;
        let files = server.open_files_at_rest().await;
        for round in 0..CLIENTS {
            let mut wire = ask(&server).await;
            for _ in 0..round % 5 {
                tokio::task::yield_now().await;
            }
            match round % 3 {
                0 => drop(wire),
                1 => wire.reset(),
                _ => {
                    wire.close_write().await;
                    let came = wire.until_closed().await.expect("no reset");
                    let is_stream = came.starts_with(b"HTTP/1.1 200 OK\r\n");
                    assert!(came.is_empty() || is_stream, "{came:?}");
                }
            }
        }
        server.until_metric("stentor_connections_open", 1).await;
        server.until_metric("stentor_streams_open", 0).await;
        // Readers of the log may have been opened meanwhile.
        server.until_open_files(files + 16).await;
    }
}
