//! What a client sends behind its request for a stream is for nobody.

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::streams_alone;
use crate::harness::{StreamMode, TIMEOUT, get, post};

/// What one server may take for itself beside the log, whatever it is sent.
const MEMORY_MAX: usize = 64 << 20;
/// What a client sends that does not stop.
const FLOOD_BYTES: usize = 32 << 20;

fn noise() -> Vec<(&'static str, String)> {
    vec![
        ("garbage", "\0\u{1}\r\n\r\nno request at all\r\n\r\n".to_owned()),
        ("a publish", post("/topics/t", "never")),
        ("another request for a stream", get("/topics/t?from=earliest")),
        ("half a request", "POST /topics/t HTTP/1.1\r\nHost: loc".to_owned()),
        ("a broken chunk", "zz\r\n".to_owned()),
    ]
}

#[tokio::test]
async fn bytes_in_the_segment_of_the_request_are_never_answered_nor_executed() {
    for streams in StreamMode::BOTH {
        for (what, noise) in noise() {
            eprintln!("behind it: {what}");
            let server = streams.in_memory().await;
            let mut wire = server.connect().await;
            wire.send(get("/topics/t") + &noise).await;
            streams_alone(&server, wire.stream().await).await;
        }
    }
}

#[tokio::test]
async fn bytes_that_come_later_are_never_answered_nor_executed() {
    for streams in StreamMode::BOTH {
        for (what, noise) in noise() {
            eprintln!("later: {what}");
            let server = streams.in_memory().await;
            let mut stream = server.subscribe("/topics/t").await;
            stream.send(noise.as_bytes()).await.unwrap();
            streams_alone(&server, stream).await;
        }
    }
}

#[tokio::test]
async fn bytes_that_come_just_before_the_end_do_not_cost_the_client_the_end() {
    for streams in StreamMode::BOTH {
        let server = streams.in_memory().await;
        for round in 0..50 {
            let path = format!("/topics/job/{round}");
            let end = format!("{path}?end=done");
            let mut stream = server.subscribe(&path).await;
            stream.position().await;
            let sent = stream.send(&[b'x'; 3_000]);
            let (sent, _) = tokio::join!(sent, server.publish(&end, "last"));
            sent.unwrap();
            let rest = stream.rest().await;
            assert_eq!((rest.len(), rest[1].name.as_str()), (2, "stentor.end"));
            stream.closed().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_never_stops_sending_costs_no_memory_and_disturbs_nobody() {
    for streams in StreamMode::BOTH {
        let server = streams.in_memory().await;
        let mut other = server.subscribe("/topics/t").await;
        other.position().await;
        let mut floods = Vec::new();
        for _ in 0..4 {
            let mut socket = server.get("/topics/t").connect().await;
            floods.push(tokio::spawn(async move {
                let noise = vec![b'x'; 1 << 16];
                // The server may take it, leave it, or close the connection.
                for _ in 0..FLOOD_BYTES / noise.len() {
                    if socket.write_all(&noise).await.is_err() {
                        break;
                    }
                }
                socket
            }));
        }
        for number in 0..100 {
            server.publish("/topics/t", number.to_string()).await;
            assert_eq!(other.data(1).await, [number.to_string()]);
        }
        let memory = server.memory();
        assert!(memory < MEMORY_MAX, "{memory} bytes");
        for flood in floods {
            flood.abort();
            // However far it came, it is gone now.
            drop(flood.await);
        }
        drop(other);
        // A client whose bytes were left alone is missed when something is written to it.
        let missed = timeout(TIMEOUT, async {
            while server.metric("stentor_streams_open").await > 0 {
                server.publish("/topics/t", "is anybody there?").await;
            }
        });
        missed.await.expect("they are missed");
        server.until_metric("stentor_connections_open", 1).await;
    }
}
