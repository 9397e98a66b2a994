//! Clients that disconnect while their connection becomes a stream: the server frees everything.

use crate::harness::{Connection, Server, StreamMode, get};

/// How many of them are there at the same time.
const AT_ONCE: usize = 100;

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Close,
    Reset,
    HalfClose,
}

impl Leaving {
    async fn leave(self, mut connection: Connection) {
        match self {
            Leaving::Close => drop(connection),
            Leaving::Reset => connection.reset(),
            Leaving::HalfClose => {
                connection.close_write().await;
                // The server closes the other side, in which way does not matter here.
                let _ = connection.until_closed().await;
            }
        }
    }
}

/// Lets so many come and go: before, while and after they are answered.
async fn come_and_go(server: &Server, clients: usize, leaving: Leaving, path: &str) {
    for _ in 0..clients / AT_ONCE {
        let mut stay = Vec::new();
        for number in 0..AT_ONCE {
            let mut connection = server.connect().await;
            let request = get(path);
            match number % 4 {
                0 => connection.send(&request[..request.len() - 2]).await,
                1 => connection.send(&request).await,
                2 => {
                    connection.send(&request).await;
                    tokio::task::yield_now().await;
                }
                _ => {
                    connection.send(&request).await;
                    connection.response().await;
                }
            }
            if number % 8 < 4 {
                leaving.leave(connection).await;
            } else {
                stay.push(connection);
            }
        }
        // The others stay a little longer, and go in the other order.
        while let Some(connection) = stay.pop() {
            leaving.leave(connection).await;
        }
    }
}

#[tokio::test]
async fn thousands_that_vanish_in_the_act_leave_nothing_behind() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        server.publish_each("/topics/t", 0..10).await;
        let files = server.open_files_at_rest().await;
        for leaving in [Leaving::Close, Leaving::Reset, Leaving::HalfClose] {
            eprintln!("leaving: {leaving:?}");
            come_and_go(&server, 1_000, leaving, "/topics/t").await;
            server.until_metric("stentor_connections_open", 1).await;
            server.until_metric("stentor_streams_open", 0).await;
            server.until_open_files(files + 16).await;
        }
        server.publish("/topics/t", "for nobody").await;
        assert_eq!(server.metric("stentor_streams_open").await, 0);
    }
}

#[tokio::test]
async fn they_leave_nothing_behind_while_there_is_much_to_send_to_them() {
    for mode in StreamMode::BOTH {
        let server = Server::start_with(mode).await;
        server.publish_each("/topics/t", (0..50).map(|_| "x".repeat(10_000))).await;
        let files = server.open_files_at_rest().await;
        for leaving in [Leaving::Close, Leaving::Reset, Leaving::HalfClose] {
            eprintln!("leaving: {leaving:?}");
            come_and_go(&server, 300, leaving, "/topics/t?from=earliest").await;
        }
        server.until_metric("stentor_connections_open", 1).await;
        server.until_metric("stentor_streams_open", 0).await;
        server.until_open_files(files + 16).await;
    }
}

async fn until_no_client_is_left(server: &Server) {
    server.until_metric("stentor_connections_open", 1).await;
    server.until_metric("stentor_streams_open", 0).await;
}

#[tokio::test]
async fn a_connection_whose_client_closes_its_side_right_behind_the_request_ends() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let files = server.open_files_at_rest().await;
        for round in 0..100 {
            let mut connection = server.connect().await;
            connection.send(get("/topics/t")).await;
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            connection.close_write().await;
            let came = connection.until_closed().await.expect("no reset");
            assert!(came.is_empty() || came.starts_with(b"HTTP/1.1 200 OK\r\n"), "{came:?}");
        }
        until_no_client_is_left(&server).await;
        server.until_open_files(files + 16).await;
    }
}

#[tokio::test]
async fn a_request_and_the_close_that_are_found_together_leave_nothing_behind() {
    for mode in StreamMode::BOTH {
        let server = Server::start_with(mode).await;
        server.publish_each("/topics/t", 0..100).await;
        server.signal("STOP").await;
        let mut connections = Vec::new();
        for _ in 0..50 {
            let mut connection = server.connect().await;
            connection.send(get("/topics/t?from=earliest")).await;
            connection.close_write().await;
            connections.push(connection);
        }
        server.signal("CONT").await;
        for connection in connections {
            let came = connection.until_closed().await.expect("no reset");
            assert!(came.is_empty() || came.starts_with(b"HTTP/1.1 200 OK\r\n"), "{came:?}");
        }
        until_no_client_is_left(&server).await;
        server.publish("/topics/t", "still there").await;
    }
}

const TOPICS: usize = 20;
const EVENTS: usize = 400;
const CLIENTS: usize = 20;

/// Sends a request whose start takes long to find: the newest events of all topics together.
async fn ask(server: &Server) -> Connection {
    let mut connection = server.connect().await;
    connection.send(get(&format!("/events?topic=t/**&last={}", TOPICS * EVENTS))).await;
    connection
}

#[tokio::test]
async fn clients_that_leave_meanwhile_leave_nothing_behind() {
    for mode in StreamMode::BOTH {
        let server = Server::start_with(mode).await;
        for topic in 0..TOPICS {
            server.publish_each(&format!("/topics/t/{topic}"), 0..EVENTS).await;
        }
        let files = server.open_files_at_rest().await;
        for round in 0..CLIENTS {
            let mut connection = ask(&server).await;
            for _ in 0..round % 5 {
                tokio::task::yield_now().await;
            }
            match round % 3 {
                0 => drop(connection),
                1 => connection.reset(),
                _ => {
                    connection.close_write().await;
                    let came = connection.until_closed().await.expect("no reset");
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
