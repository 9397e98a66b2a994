//! A server that stops ends its streams cleanly, each with a delay for the reconnect.

use std::collections::HashSet;

use crate::harness::{EventStream, Response, Server, StreamMode, get};

const READERS: usize = 50;

/// Returns the `retry:` with which a stream ended.
fn last_retry(stream: &EventStream) -> u32 {
    let text = String::from_utf8_lossy(&stream.text);
    let last = text.trim_end().rsplit('\n').next().unwrap();
    let retry = last.strip_prefix("retry: ").unwrap_or_else(|| panic!("{text:?}"));
    retry.parse().unwrap()
}

/// Opens [`READERS`] streams and reads their positions.
async fn open_readers(server: &Server) -> Vec<EventStream> {
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut stream = server.subscribe("/topics/t").await;
        stream.position().await;
        readers.push(stream);
    }
    readers
}

#[tokio::test]
async fn every_reader_gets_its_own_delay_for_the_reconnect() {
    for mode in StreamMode::ALL {
        let mut server = Server::start_with(mode).await;
        let readers = open_readers(&server).await;
        let id = server.publish("/topics/t", "last").await;
        // A reader that does not have the event yet would get it after its reconnect.
        let delivered = i64::try_from(READERS).unwrap();
        server.until_metric("stentor_delivered_events_total", delivered).await;
        server.shut_down();
        let mut delays = HashSet::new();
        for mut reader in readers {
            let rest = reader.rest().await;
            assert_eq!((rest.len(), rest[0].data.as_str()), (1, "last"));
            assert_eq!(reader.last_event_id(), id);
            delays.insert(last_retry(&reader));
            reader.closed().await;
        }
        assert!(delays.len() > READERS / 2, "{delays:?}");
        assert!(delays.iter().all(|delay| (1_000..=15_000).contains(delay)), "{delays:?}");
        server.stopped().await;
    }
}

#[tokio::test]
async fn an_event_that_is_acknowledged_before_the_stop_reaches_every_live_reader() {
    for mode in StreamMode::ALL {
        for _ in 0..5 {
            let mut server = Server::start_with(mode).await;
            let readers = open_readers(&server).await;
            let id = server.publish("/topics/t", "last").await;
            server.shut_down();
            for mut reader in readers {
                let rest = reader.rest().await;
                assert_eq!((rest.len(), rest[0].data.as_str()), (1, "last"));
                assert_eq!(reader.last_event_id(), id);
                last_retry(&reader);
                reader.closed().await;
            }
            server.stopped().await;
        }
    }
}

#[tokio::test]
async fn readers_that_had_stopped_do_not_delay_the_shutdown_and_lose_nothing() {
    for mode in StreamMode::BOTH {
        let mut server = Server::start_with(mode).await;
        let mut stuck = Vec::new();
        for _ in 0..20 {
            stuck.push(server.get("/topics/t").connect().await);
        }
        server.until_metric("stentor_streams_open", 20).await;
        for number in 0..12 {
            server.publish("/topics/t", format!("{number} {}", "x".repeat(1 << 20))).await;
        }
        server.restart().await;
        for socket in stuck.into_iter().step_by(10) {
            let mut stream = EventStream::begin(socket).await;
            let mut id = stream.position().await;
            let mut next = 0;
            while let Ok(Some(event)) = stream.try_next().await {
                assert!(event.data.starts_with(&format!("{next} ")));
                (next, id) = (next + 1, event.id);
            }
            assert!(next < 12, "the reader had stopped reading");
            let mut stream = server.resume("/topics/t", &id).await;
            for number in next..12 {
                assert!(stream.next().await.unwrap().data.starts_with(&format!("{number} ")));
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_connects_during_the_shutdown_gets_a_clean_end_or_no_connection() {
    for mode in StreamMode::ALL {
        let mut server = Server::start_with(mode).await;
        server.publish_each("/topics/t", 0..100).await;
        let mut wires = Vec::new();
        for number in 0..200 {
            let mut connection = server.connect().await;
            if number % 2 == 0 {
                connection.send(get("/topics/t?from=earliest")).await;
            }
            wires.push(connection);
        }
        server.shut_down();
        let mut answered = 0;
        for mut connection in wires.into_iter().rev() {
            // Half of the clients have sent their request already; the request of the others arrives too late.
            connection.try_send(get("/topics/t")).await;
            let Ok(received) = connection.until_closed().await else { continue };
            if received.is_empty() {
                continue;
            }
            answered += 1;
            let response = Response::parse(&received);
            let whole = match response.header("content-length") {
                Some(length) => length == response.body.len().to_string(),
                None => received.ends_with(b"0\r\n\r\n"),
            };
            assert!(whole && response.status == 200, "{response:?}");
            let text = response.text();
            let last = text.trim_end().lines().last().unwrap();
            assert!(last.starts_with("retry: "), "{text}");
        }
        assert!(answered > 0);
        server.stopped().await;
    }
}
