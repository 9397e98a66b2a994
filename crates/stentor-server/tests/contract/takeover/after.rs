//! Bytes that a client sends after its request for a stream are ignored.

use super::streams_alone;
use crate::harness::{Server, StreamMode, get, post};

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
async fn bytes_in_the_segment_of_the_request_are_never_executed() {
    for mode in StreamMode::BOTH {
        for (what, noise) in noise() {
            eprintln!("after the request: {what}");
            let server = Server::in_memory_with(mode).await;
            let mut connection = server.connect().await;
            connection.send(get("/topics/t") + &noise).await;
            streams_alone(&server, connection.stream().await).await;
        }
    }
}

#[tokio::test]
async fn bytes_that_arrive_later_are_never_executed() {
    for mode in StreamMode::BOTH {
        for (what, noise) in noise() {
            eprintln!("later: {what}");
            let server = Server::in_memory_with(mode).await;
            let mut stream = server.subscribe("/topics/t").await;
            stream.send(noise.as_bytes()).await.unwrap();
            streams_alone(&server, stream).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_bytes_just_before_the_end_still_gets_the_end() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
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
