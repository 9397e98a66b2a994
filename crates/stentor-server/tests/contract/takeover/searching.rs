//! What happens while the log is searched for the place at which a stream begins.

use crate::harness::{Connection, EventStream, Server, StreamMode, get, post};

const TOPICS: usize = 20;
const EVENTS: usize = 400;
const CLIENTS: usize = 20;

/// A server with much to search through.
async fn with_much(mode: StreamMode) -> Server {
    let server = Server::start_with(mode).await;
    for topic in 0..TOPICS {
        server.publish_each(&format!("/topics/t/{topic}"), 0..EVENTS).await;
    }
    server
}

/// Asks for what takes long to find: the newest of all topics together.
async fn ask(server: &Server) -> Connection {
    let mut connection = server.connect().await;
    connection.send(get(&format!("/events?topic=t/**&last={}", TOPICS * EVENTS))).await;
    connection
}

#[tokio::test]
async fn what_a_client_sends_meanwhile_is_for_nobody() {
    for mode in StreamMode::BOTH {
        let server = with_much(mode).await;
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
            // All of before, or all but the first if the last event was in time to be one of the newest.
            let all = TOPICS * EVENTS;
            assert!(count == all || count == all - 1, "{count} of {all}");
        }
        assert_eq!(server.history_data("/topics/t/0?last=1").await, [(EVENTS - 1).to_string()]);
    }
}
