//! Clients that vanish in the moment in which their connection becomes a stream.

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
    async fn leave(self, mut wire: Connection) {
        match self {
            Leaving::Close => drop(wire),
            Leaving::Reset => wire.reset(),
            Leaving::HalfClose => {
                wire.close_write().await;
                // The server closes the other side, in which way does not matter here.
                let _ = wire.until_closed().await;
            }
        }
    }
}

/// Lets so many come and go: before, while and after they are answered.
async fn come_and_go(server: &Server, clients: usize, leaving: Leaving, path: &str) {
    for _ in 0..clients / AT_ONCE {
        let mut stay = Vec::new();
        for number in 0..AT_ONCE {
            let mut wire = server.connect().await;
            let request = get(path);
            match number % 4 {
                0 => wire.send(&request[..request.len() - 2]).await,
                1 => wire.send(&request).await,
                2 => {
                    wire.send(&request).await;
                    tokio::task::yield_now().await;
                }
                _ => {
                    wire.send(&request).await;
                    wire.response().await;
                }
            }
            if number % 8 < 4 {
                leaving.leave(wire).await;
            } else {
                stay.push(wire);
            }
        }
        // The others stay a little longer, and go in the other order.
        while let Some(wire) = stay.pop() {
            leaving.leave(wire).await;
        }
    }
}

#[tokio::test]
async fn thousands_that_vanish_in_the_act_leave_nothing_behind() {
    for streams in StreamMode::BOTH {
        let server = streams.in_memory().await;
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
    for streams in StreamMode::BOTH {
        let server = streams.on_disk().await;
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
