//! Clients that disconnect while their connection becomes a stream: the server frees everything.

use crate::harness::{Connection, Server, StreamMode, get, until_no_client_is_left};

/// Number of clients at the same time.
const AT_ONCE: usize = 100;

/// The way in which a client disconnects.
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
                // The server closes the other side. A reset is allowed here.
                let _ = connection.until_closed().await;
            }
        }
    }
}

/// Connects `clients` clients and disconnects them: before, while and after they get their response.
async fn connect_and_leave(server: &Server, clients: usize, leaving: Leaving, path: &str) {
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
        // The others stay a little longer, and disconnect in the opposite order.
        while let Some(connection) = stay.pop() {
            leaving.leave(connection).await;
        }
    }
}

#[tokio::test]
async fn thousands_that_disconnect_during_the_takeover_leave_nothing_behind() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        server.publish_each("/topics/t", 0..10).await;
        let files = server.open_files_at_rest().await;
        for leaving in [Leaving::Close, Leaving::Reset, Leaving::HalfClose] {
            eprintln!("leaving: {leaving:?}");
            connect_and_leave(&server, 1_000, leaving, "/topics/t").await;
            server.until_metric("stentor_connections_open", 1).await;
            server.until_metric("stentor_streams_open", 0).await;
            server.until_open_files(files + 16).await;
        }
        server.publish("/topics/t", "for no reader").await;
        assert_eq!(server.metric("stentor_streams_open").await, 0);
    }
}

#[tokio::test]
async fn clients_that_disconnect_with_much_left_to_send_leave_nothing_behind() {
    for mode in StreamMode::BOTH {
        let server = Server::start_with(mode).await;
        server.publish_each("/topics/t", (0..50).map(|_| "x".repeat(10_000))).await;
        let files = server.open_files_at_rest().await;
        for leaving in [Leaving::Close, Leaving::Reset, Leaving::HalfClose] {
            eprintln!("leaving: {leaving:?}");
            connect_and_leave(&server, 300, leaving, "/topics/t?from=earliest").await;
        }
        server.until_metric("stentor_connections_open", 1).await;
        server.until_metric("stentor_streams_open", 0).await;
        server.until_open_files(files + 16).await;
    }
}

#[tokio::test]
async fn a_connection_whose_client_closes_its_side_right_after_the_request_ends() {
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
            let received = connection.until_closed().await.expect("no reset");
            assert!(
                received.is_empty() || received.starts_with(b"HTTP/1.1 200 OK\r\n"),
                "{received:?}"
            );
        }
        until_no_client_is_left(&server).await;
        server.until_open_files(files + 16).await;
    }
}

#[tokio::test]
async fn a_request_and_its_close_that_are_read_together_leave_nothing_behind() {
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
            let received = connection.until_closed().await.expect("no reset");
            assert!(
                received.is_empty() || received.starts_with(b"HTTP/1.1 200 OK\r\n"),
                "{received:?}"
            );
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
async fn clients_that_leave_while_the_start_is_searched_leave_nothing_behind() {
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
                    let received = connection.until_closed().await.expect("no reset");
                    let is_stream = received.starts_with(b"HTTP/1.1 200 OK\r\n");
                    assert!(received.is_empty() || is_stream, "{received:?}");
                }
            }
        }
        server.until_metric("stentor_connections_open", 1).await;
        server.until_metric("stentor_streams_open", 0).await;
        // The storage may have opened more readers of the log meanwhile.
        server.until_open_files(files + 16).await;
    }
}
