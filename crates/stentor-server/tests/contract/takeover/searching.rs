//! The time between a request for a stream and its start, while the server searches the log for the start.

use crate::harness::{Connection, EventStream, Server, StreamMode, get, post};

const TOPICS: usize = 20;
const EVENTS: usize = 400;
const CLIENTS: usize = 20;

/// Starts a server with many events in many topics.
async fn with_history(mode: StreamMode) -> Server {
    let server = Server::start_with(mode).await;
    for topic in 0..TOPICS {
        server.publish_each(&format!("/topics/t/{topic}"), 0..EVENTS).await;
    }
    server
}

/// Sends a request whose start position takes long to find: the newest events of all topics together.
async fn ask(server: &Server) -> Connection {
    let mut connection = server.connect().await;
    connection.send(get(&format!("/events?topic=t/**&last={}", TOPICS * EVENTS))).await;
    connection
}

#[tokio::test]
async fn bytes_that_a_client_sends_meanwhile_are_ignored() {
    for mode in StreamMode::BOTH {
        let server = with_history(mode).await;
        let mut wires = Vec::new();
        for _ in 0..CLIENTS / 4 {
            let mut connection = ask(&server).await;
            tokio::task::yield_now().await;
            connection.send(post("/topics/t/0", "never") + &get("/topics/t/0")).await;
            wires.push(connection);
        }
        let last = server.publish("/topics/t/end", "last").await;
        for connection in wires {
            let mut stream: EventStream = connection.stream().await;
            stream.position().await;
            let mut count = 0;
            while stream.next().await.unwrap().id != last {
                count += 1;
            }
            // All earlier events; one fewer if the last event was published before the search.
            let all = TOPICS * EVENTS;
            assert!(count == all || count == all - 1, "{count} of {all}");
        }
        assert_eq!(server.history_data("/topics/t/0?last=1").await, [(EVENTS - 1).to_string()]);
    }
}
