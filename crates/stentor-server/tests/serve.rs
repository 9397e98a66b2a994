//! `serve` in another program, on both kinds of runtime.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

use std::net::SocketAddr;
use std::time::Duration;

use stentor_hub::{Hub, TopicName};
use stentor_server::{Stentor, bind, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Maximum time a test waits. Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);

fn start(stentor: &Stentor) -> (SocketAddr, JoinHandle<std::io::Result<()>>) {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(serve(listener, stentor.clone(), stentor.clone())))
}

async fn subscribe(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = b"GET /topics/news HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket.write_all(request).await.unwrap();
    read_until(&mut socket, "stentor.cursor").await;
    socket
}

async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let mut bytes = [0; 1024];
        let count = timeout(PATIENCE, socket.read(&mut bytes)).await.unwrap().unwrap();
        assert!(count > 0, "the stream ended before {text:?}: {seen:?}");
        seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    seen
}

async fn readers_get_events_and_a_clean_end() {
    let stentor = Stentor::new(Hub::memory());
    let (address, served) = start(&stentor);
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(subscribe(address).await);
    }
    let news = TopicName::new("news").unwrap();
    for number in 0..50 {
        stentor.hub().send(&news, format!("event {number}.")).await.unwrap();
    }
    for reader in &mut readers {
        read_until(reader, "event 49.").await;
    }
    stentor.drain().cancel();
    for reader in &mut readers {
        read_until(reader, "\r\n0\r\n\r\n").await;
    }
    drop(readers);
    timeout(PATIENCE, served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn readers_are_served_on_a_single_threaded_runtime() {
    readers_get_events_and_a_clean_end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_are_served_on_a_multi_threaded_runtime() {
    readers_get_events_and_a_clean_end().await;
}
