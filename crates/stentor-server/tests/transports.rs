//! The words that a reader gets at the end of its stream, and the same bytes on every transport: a
//! socket that was taken over, a body over HTTP/2, and a body under `axum::serve`.
//!
//! The table in `docs/http.md` has a line for each of these tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use stentor_hub::{Filters, Hub, Publish, Start, TopicFilter, TopicName};
use stentor_server::{Body, ServeOptions, Session, Stentor, StreamOptions, bind, serve_with};
use tokio::net::TcpSocket;
use tokio::time::timeout;

/// Maximum time a test waits. Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Http2,
    Axum,
}

const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Http2, Transport::Axum];

/// One service, behind a server for each transport.
struct Program {
    stentor: Stentor,
    by_serve: SocketAddr,
    by_axum: SocketAddr,
}

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

async fn expiring(State(stentor): State<Stentor>, version: Version) -> Response<Body> {
    let session = Session::new().expiring_in(Duration::from_millis(300));
    with_session(&stentor, version, session).await
}

async fn keyed(State(stentor): State<Stentor>, version: Version) -> Response<Body> {
    with_session(&stentor, version, Session::new().with_key("ann")).await
}

async fn with_session(stentor: &Stentor, version: Version, session: Session) -> Response<Body> {
    let filters = Filters::new(["job".parse::<TopicFilter>().unwrap()]).unwrap();
    let options = StreamOptions::new(version);
    stentor.stream_with(filters, Start::Now, options, session).await.unwrap()
}

impl Program {
    fn start() -> Program {
        let stentor = Stentor::new(Hub::memory());
        let app = Router::new()
            .route("/expiring", get(expiring))
            .route("/keyed", get(keyed))
            .with_state(stentor.clone())
            .fallback_service(stentor.clone());
        let any = || bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (by_serve, by_axum) = (any(), any());
        let program = Program {
            by_serve: by_serve.local_addr().unwrap(),
            by_axum: by_axum.local_addr().unwrap(),
            stentor: stentor.clone(),
        };
        let options = ServeOptions { streams_pass_unchanged: true, ..ServeOptions::default() };
        tokio::spawn(serve_with(options, by_serve, app.clone(), stentor));
        let by_axum = tokio::net::TcpListener::from_std(by_axum).unwrap();
        tokio::spawn(async move { axum::serve(by_axum, app).await });
        program
    }

    async fn publish(&self, data: impl Into<String>) {
        self.stentor.hub().send(&topic("job"), data.into()).await.unwrap();
    }

    /// Waits until the shards have written all that the readers take.
    async fn until_all_wait(&self) {
        let (mut last, mut same) = (String::new(), 0);
        while same < 1_000 {
            tokio::task::yield_now().await;
            let now = self.stentor.metrics().to_text(self.stentor.hub());
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
    }

    /// Opens a stream on each transport.
    async fn subscribe(&self, path: &str, cursor: &str) -> Vec<Reader> {
        let mut readers = Vec::new();
        for transport in TRANSPORTS {
            readers.push(self.subscribe_by(transport, path, cursor).await);
        }
        readers
    }

    async fn subscribe_by(&self, transport: Transport, path: &str, cursor: &str) -> Reader {
        let address = if transport == Transport::Axum { self.by_axum } else { self.by_serve };
        let socket = TcpSocket::new_v4().unwrap();
        // A reader that does not read is soon felt by the server.
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let io = TokioIo::new(socket.connect(address).await.unwrap());
        let request = Request::get(format!("http://localhost{path}"))
            .header("Host", "localhost")
            .header("Last-Event-ID", cursor)
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = if transport == Transport::Http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(16 << 10);
            let (mut sender, connection) = builder.handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        } else {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        };
        assert_eq!(response.status(), 200);
        Reader { transport, body: response.into_body(), text: String::new() }
    }
}

struct Reader {
    transport: Transport,
    body: Incoming,
    text: String,
}

impl Reader {
    /// Reads more. `None` at a clean end.
    async fn more(&mut self) -> Option<Result<(), hyper::Error>> {
        let frame = timeout(PATIENCE, self.body.frame()).await.expect("more in time")?;
        Some(frame.map(|frame| {
            self.text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
        }))
    }

    async fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            self.more().await.expect("more of the stream").expect("no cut");
        }
    }

    /// Reads to the clean end, and returns the text with `N` in place of reconnection times.
    async fn rest(mut self) -> String {
        while let Some(more) = self.more().await {
            more.unwrap_or_else(|error| panic!("{:?} was cut: {error}", self.transport));
        }
        let lines = self.text.split('\n').map(|line| match line.strip_prefix("retry: ") {
            Some(delay) => {
                assert!(delay.parse::<u32>().is_ok(), "{line}");
                "retry: N"
            }
            None => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

async fn until(readers: &mut [Reader], text: &str) {
    for reader in readers {
        reader.until(text).await;
    }
}

/// Reads all streams to their clean ends. Returns their text, which must be the same.
async fn same_rest(readers: Vec<Reader>) -> String {
    let mut texts = Vec::new();
    for reader in readers {
        texts.push(reader.rest().await);
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[0], texts[2]);
    texts.swap_remove(0)
}

/// The last line that is not empty.
fn last_line(text: &str) -> &str {
    text.trim_end().rsplit('\n').next().unwrap()
}

#[tokio::test]
async fn at_the_drain_of_the_server_a_reader_is_told_when_to_reconnect() {
    let program = Program::start();
    let mut readers = program.subscribe("/topics/job", "").await;
    until(&mut readers, "stentor.cursor").await;
    program.publish("one").await;
    until(&mut readers, "data: one\n").await;
    program.stentor.drain().cancel();
    let text = same_rest(readers).await;
    assert_eq!(last_line(&text), "retry: N", "{text}");
}

#[tokio::test]
async fn at_a_gap_a_reader_is_told_the_reason_and_gets_the_events_that_are_left() {
    let program = Program::start();
    program.publish("one").await;
    let mut readers = program.subscribe("/topics/job", "no-cursor-of-ours").await;
    until(&mut readers, "data: one\n").await;
    program.publish("two").await;
    program.stentor.hub().publish(Publish::end(topic("job"), "")).await.unwrap();
    let text = same_rest(readers).await;
    let gap = text.find("event: stentor.gap\ndata: {").expect("a gap");
    assert!(gap < text.find("data: one\n").unwrap(), "{text}");
    assert!(text.contains("data: two\n"), "{text}");
}

#[tokio::test]
async fn at_the_end_of_its_topics_a_reader_is_told_the_reason_and_its_stream_ends() {
    let program = Program::start();
    let mut readers = program.subscribe("/topics/job", "").await;
    until(&mut readers, "stentor.cursor").await;
    for number in 0..200 {
        program.publish(format!("{number} {}", "x".repeat(number * 10))).await;
    }
    program.stentor.hub().publish(Publish::end(topic("job"), "done")).await.unwrap();
    let text = same_rest(readers).await;
    assert_eq!(last_line(&text), "data: {\"topic\":\"job\",\"reason\":\"done\"}");
    assert_eq!(text.matches("\ndata: ").count(), 202, "a position, 200 events, an end");
}

#[tokio::test]
async fn at_the_expiry_of_its_session_a_reader_is_told_when_to_reconnect() {
    let program = Program::start();
    let mut readers = program.subscribe("/expiring", "").await;
    until(&mut readers, "stentor.cursor").await;
    let text = same_rest(readers).await;
    assert_eq!(last_line(&text), "retry: N", "{text}");
    assert_eq!(text.matches("retry: ").count(), 2, "with the greeting, and at the end: {text}");
}

#[tokio::test]
async fn when_its_key_is_closed_a_reader_is_told_when_to_reconnect() {
    let program = Program::start();
    let mut readers = program.subscribe("/keyed", "").await;
    program.publish("one").await;
    until(&mut readers, "data: one\n").await;
    program.stentor.close_streams("ann");
    let text = same_rest(readers).await;
    assert_eq!(last_line(&text), "retry: N", "{text}");
}

#[tokio::test]
async fn at_an_error_a_stream_is_cut_without_an_end() {
    let program = Program::start();
    let mut readers = program.subscribe("/topics/job", "").await;
    until(&mut readers, "stentor.cursor").await;
    // More than the sockets hold, so that each reader has some event in part when it is deleted.
    for _ in 0..16 {
        program.publish("x".repeat(1 << 20)).await;
    }
    program.until_all_wait().await;
    program.stentor.hub().delete(&topic("job")).await.unwrap();
    for mut reader in readers {
        let cut = loop {
            match reader.more().await {
                Some(Ok(())) => {}
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        let (transport, text) = (reader.transport, reader.text);
        assert!(cut, "{transport:?} ended cleanly");
        assert!(!text.contains("stentor.end"), "{transport:?}");
        assert_eq!(text.matches("retry: ").count(), 1, "{transport:?}: only the greeting");
    }
}
