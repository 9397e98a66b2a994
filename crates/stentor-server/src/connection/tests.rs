use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stentor_hub::Hub;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::context::Stentor;

/// Connects a client to a connection that runs as a task. Also returns the number of runs of the task.
async fn connect(stentor: Stentor) -> (TcpStream, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let stop = Stop { drained: CancellationToken::new(), aborted: CancellationToken::new() };
    let terms = Terms { by_shard: None, idle_timeout: Duration::from_secs(75) };
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    tokio::spawn(async move {
        let mut connection = pin!(run(stream.into(), stentor, stop, terms, None));
        poll_fn(|cx| {
            count.fetch_add(1, Ordering::Relaxed);
            connection.as_mut().poll(cx)
        })
        .await;
    });
    (client, runs)
}

/// Reads a response up to the end of its JSON body.
async fn response(client: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("}\n") {
        text.push(char::from(client.read_u8().await.unwrap()));
    }
    text
}

#[tokio::test]
async fn a_publish_with_a_small_body_runs_the_task_of_the_connection_once() {
    const PUBLISHES: usize = 50;
    let (mut client, runs) = connect(Stentor::new(Hub::memory())).await;
    let publish =
        b"POST /topics/news HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello";
    for _ in 0..PUBLISHES {
        client.write_all(publish).await.unwrap();
        assert!(response(&mut client).await.starts_with("HTTP/1.1 201"));
    }
    // The first run waits for the first byte.
    assert!(runs.load(Ordering::Relaxed) <= PUBLISHES + 2, "{runs:?} runs");
}

#[tokio::test]
async fn a_body_that_arrives_in_pieces_is_read_to_its_end() {
    let (mut client, _) = connect(Stentor::new(Hub::memory())).await;
    for _ in 0..3 {
        let head =
            b"POST /topics/news HTTP/1.1\r\nhost: localhost\r\ncontent-length: 300000\r\n\r\n";
        client.write_all(head).await.unwrap();
        for _ in 0..30 {
            client.write_all(&[b'x'; 10_000]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(response(&mut client).await.starts_with("HTTP/1.1 201"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_preface_of_http2_that_arrives_byte_by_byte_has_the_time_of_one_head() {
    let (mut client, _) = connect(Stentor::new(Hub::memory())).await;
    let begun = Instant::now();
    for byte in &HTTP2_PREFACE[..10] {
        client.write_all(&[*byte]).await.unwrap();
        if let Ok(closed) = timeout(HEAD_TIME_MAX * 2 / 3, client.read_u8()).await {
            assert!(closed.is_err());
            break;
        }
    }
    assert!(begun.elapsed() < HEAD_TIME_MAX * 2, "it is closed in time");
}
