//! Clients that close their sending side, or leave, while they read a stream.
//!
//! The clock is paused: it moves on only when server and client both wait. Keep-alives come once an hour, so nothing
//! but the close itself tells the server about it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot continue panics")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use stentor_hub::{Hub, TopicName};
use stentor_server::{Config, ServeOptions, Stentor, bind, serve_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The way of a stream to its reader.
#[derive(Clone, Copy, Debug)]
enum Stream {
    /// A shard writes to the socket.
    TakenOver,
    /// hyper writes a body of this crate.
    Body,
    /// hyper writes a body that an axum router has boxed.
    Boxed,
}

const STREAMS: [Stream; 3] = [Stream::TakenOver, Stream::Body, Stream::Boxed];

/// Headers after the request line, and the part of the body that is sent.
const REQUESTS: [&str; 5] = [
    "\r\n",
    "Content-Length: 3\r\n\r\nabc",
    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "Content-Length: 3\r\n\r\na",
    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
];

struct Server {
    stentor: Stentor,
    address: SocketAddr,
}

impl Server {
    fn start(stream: Stream) -> Server {
        tick();
        let config = Config { keep_alive: Duration::from_hours(1), ..Config::default() };
        let stentor = Stentor::with_config(Hub::memory(), config);
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let takeover = !matches!(stream, Stream::Body);
        let options = ServeOptions { takeover, ..ServeOptions::default() };
        if let Stream::Boxed = stream {
            let router = Router::new().fallback_service(stentor.clone());
            tokio::spawn(serve_with(options, listener, router, stentor.clone()));
        } else {
            tokio::spawn(serve_with(options, listener, stentor.clone(), stentor.clone()));
        }
        Server { stentor, address }
    }

    async fn publish(&self, data: String) {
        self.stentor.hub().send(&TopicName::new("t").unwrap(), data).await.unwrap();
    }

    /// Opens a stream, and reads its greeting.
    async fn subscribe(&self, request: &str) -> (TcpStream, String) {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        // The kernel's clock is not paused.
        socket.set_nodelay(true).unwrap();
        let head = "GET /topics/t?from=earliest HTTP/1.1\r\nHost: localhost\r\n";
        socket.write_all([head, request].concat().as_bytes()).await.unwrap();
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("stentor.cursor") {
            assert!(socket.read_buf(&mut text).await.expect("no reset") > 0);
        }
        (socket, String::from_utf8(text).unwrap())
    }

    fn streams_open(&self) -> String {
        let text = self.stentor.metrics().to_text(self.stentor.hub());
        let line = text.lines().find_map(|line| line.strip_prefix("stentor_streams_open "));
        line.unwrap().to_owned()
    }
}

/// Makes the clock move in small steps. It moves to the next timer whenever all tasks wait, also if a socket has just
/// become ready.
fn tick() {
    tokio::spawn(async {
        loop {
            sleep(Duration::from_millis(5)).await;
        }
    });
}

/// Reads to the end of a response, which must come within a second and not be a reset.
async fn rest(socket: &mut TcpStream, text: &mut String) {
    let read = timeout(Duration::from_secs(1), socket.read_to_string(text)).await;
    read.expect("the stream ends").expect("no reset");
}

#[tokio::test(start_paused = true)]
async fn a_live_stream_ends_cleanly_when_its_client_closes_its_sending_side() {
    for stream in STREAMS {
        for request in REQUESTS {
            let server = Server::start(stream);
            let (mut socket, mut text) = server.subscribe(request).await;
            // The server has read the request to its end, and waits.
            sleep(Duration::from_secs(10)).await;
            server.publish("last".to_owned()).await;
            socket.shutdown().await.unwrap();
            rest(&mut socket, &mut text).await;
            let context = format!("{stream:?} {request:?}: {text}");
            assert!(text.contains("data: last\n\n"), "{context}");
            assert!(text.ends_with("\r\n0\r\n\r\n"), "{context}");
            assert_eq!(server.streams_open(), "0", "{context}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_half_closed_with_its_request_has_all_events_and_an_end() {
    for stream in STREAMS {
        for request in REQUESTS {
            for events in [0, 1, 20, 60, 200] {
                let server = Server::start(stream);
                for number in 0..events {
                    server.publish(format!("{number} {}", "x".repeat(5_000))).await;
                }
                let mut socket = TcpStream::connect(server.address).await.unwrap();
                let head = "GET /topics/t?from=earliest HTTP/1.1\r\nHost: localhost\r\n";
                socket.write_all([head, request].concat().as_bytes()).await.unwrap();
                socket.shutdown().await.unwrap();
                let mut text = String::new();
                rest(&mut socket, &mut text).await;
                let context = format!("{stream:?} {request:?} {events}");
                assert_eq!(text.matches(" xxx").count(), events, "{context}");
                assert!(text.ends_with("\r\n0\r\n\r\n"), "{context}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_noticed_without_a_keep_alive() {
    for stream in STREAMS {
        for request in REQUESTS {
            let server = Server::start(stream);
            let (socket, text) = server.subscribe(request).await;
            sleep(Duration::from_secs(10)).await;
            assert_eq!(server.streams_open(), "1", "{text}");
            drop(socket);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(server.streams_open(), "0", "{stream:?} {request:?}");
        }
    }
}
