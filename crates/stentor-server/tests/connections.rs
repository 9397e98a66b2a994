//! Connections: how long they may be idle, and how many a server takes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot continue panics")]

use std::net::SocketAddr;
use std::num::NonZero;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use stentor_hub::Hub;
use stentor_server::{Guard, ServeOptions, Stentor, bind, serve_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Maximum time a test waits. Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    stentor: Stentor,
    address: SocketAddr,
}

impl Server {
    fn start(options: ServeOptions) -> Server {
        let stentor = Stentor::new(Hub::memory());
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let service = Guard::new().wrap(stentor.clone());
        tokio::spawn(serve_with(options, listener, service, stentor.clone()));
        Server { stentor, address }
    }

    /// A server of at most `connections` connections.
    fn with_connections(connections: usize) -> Server {
        let connections = NonZero::new(connections);
        Server::start(ServeOptions { connections, ..ServeOptions::default() })
    }

    async fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).await.unwrap();
        // The kernel's clock is not paused.
        socket.set_nodelay(true).unwrap();
        socket
    }

    /// Sends a request on a connection of its own, and returns everything up to the close.
    async fn answer(&self, request: &str) -> String {
        let mut socket = self.connect().await;
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let read = timeout(PATIENCE, socket.read_to_string(&mut text)).await;
        read.expect("the server closes the connection").unwrap();
        text
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.stentor.metrics().to_text(self.stentor.hub());
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap().parse().unwrap()
    }

    async fn until_open(&self, connections: u64) {
        let reached = timeout(PATIENCE, async {
            while self.metric("stentor_connections_open") != connections {
                tokio::task::yield_now().await;
            }
        });
        reached.await.expect("the number of connections in time");
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

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn post() -> String {
    "POST /topics/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx".to_owned()
}

/// Reads up to the end of a JSON body.
async fn response(socket: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("}\n") {
        text.push(char::from(socket.read_u8().await.unwrap()));
    }
    text
}

/// Returns the seconds until the server closes the connection.
async fn seconds_until_close(socket: &mut TcpStream) -> f64 {
    let begun = Instant::now();
    while socket.read_u8().await.is_ok() {}
    begun.elapsed().as_secs_f64()
}

fn is_about(seconds: f64, expected: f64) -> bool {
    (expected..expected + 2.0).contains(&seconds)
}

#[tokio::test(start_paused = true)]
async fn a_connection_takes_a_second_request_after_36_s_and_is_closed_after_75_s() {
    tick();
    let server = Server::start(ServeOptions::default());
    let mut socket = server.connect().await;
    for _ in 0..3 {
        socket.write_all(post().as_bytes()).await.unwrap();
        assert!(response(&mut socket).await.starts_with("HTTP/1.1 201"));
        sleep(Duration::from_secs(36)).await;
    }
    let seconds = seconds_until_close(&mut socket).await + 36.0;
    assert!(is_about(seconds, 75.0), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_be_idle_for_the_chosen_time_before_and_after_a_request() {
    tick();
    let idle_timeout = Duration::from_secs(10);
    let server = Server::start(ServeOptions { idle_timeout, ..ServeOptions::default() });
    let mut fresh = server.connect().await;
    let seconds = seconds_until_close(&mut fresh).await;
    assert!(is_about(seconds, 10.0), "{seconds}");
    let mut used = server.connect().await;
    used.write_all(post().as_bytes()).await.unwrap();
    response(&mut used).await;
    let seconds = seconds_until_close(&mut used).await;
    assert!(is_about(seconds, 10.0), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_request_head_has_30_s_from_its_first_byte() {
    tick();
    let server = Server::start(ServeOptions::default());
    for has_earlier_request in [false, true] {
        let mut socket = server.connect().await;
        if has_earlier_request {
            socket.write_all(post().as_bytes()).await.unwrap();
            response(&mut socket).await;
        }
        sleep(Duration::from_secs(40)).await;
        socket.write_all(b"GE").await.unwrap();
        let begun = Instant::now();
        sleep(Duration::from_secs(20)).await;
        socket.write_all(b"T /topics").await.unwrap();
        seconds_until_close(&mut socket).await;
        let seconds = begun.elapsed().as_secs_f64();
        assert!(is_about(seconds, 30.0), "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_connection_without_streams_is_closed_after_75_s() {
    tick();
    let server = Server::start(ServeOptions::default());
    let (client, connection) = h2::client::handshake(server.connect().await).await.unwrap();
    let closed = tokio::spawn(async move {
        let _ = connection.await;
        Instant::now()
    });
    let mut client = client.ready().await.unwrap();
    let stream = Request::get("http://localhost/topics/t").body(()).unwrap();
    let (stream, _) = client.send_request(stream, true).unwrap();
    let stream = stream.await.unwrap();
    sleep(Duration::from_mins(5)).await;
    assert!(!closed.is_finished(), "a stream is open");
    drop(stream);
    sleep(Duration::from_secs(36)).await;
    let mut client = client.ready().await.unwrap();
    let publish = Request::post("http://localhost/topics/t").body(()).unwrap();
    let (published, mut body) = client.send_request(publish, false).unwrap();
    body.send_data(Bytes::from_static(b"x"), true).unwrap();
    assert_eq!(published.await.unwrap().status(), 201);
    let begun = Instant::now();
    let seconds = (closed.await.unwrap() - begun).as_secs_f64();
    assert!(is_about(seconds, 75.0), "{seconds}");
}

#[tokio::test]
async fn a_client_beyond_the_maximum_is_told_when_to_come_back() {
    let server = Server::with_connections(2);
    let mut reader = server.connect().await;
    reader.write_all(get("/topics/t").as_bytes()).await.unwrap();
    reader.read_u8().await.unwrap();
    let mut publisher = server.connect().await;
    publisher.write_all(post().as_bytes()).await.unwrap();
    assert!(response(&mut publisher).await.starts_with("HTTP/1.1 201"));
    server.until_open(2).await;

    for request in
        [post(), get("/topics/t").replace("\r\n\r\n", "\r\nAccept: application/json\r\n\r\n")]
    {
        let refused = server.answer(&request).await;
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        assert!(refused.contains("retry-after: 2") && refused.contains("too-many-connections"));
        assert!(refused.contains("connection: close"), "{refused}");
    }
    // An EventSource never reconnects after a 503.
    let stream = server.answer(&get("/events?topic=**")).await;
    assert!(stream.starts_with("HTTP/1.1 200") && stream.contains("retry: "), "{stream}");
    assert!(server.answer(&get("/health/live")).await.starts_with("HTTP/1.1 200"));
    assert!(server.answer(&get("/metrics")).await.contains("stentor_connections_max 2"));
    assert_eq!(server.metric("stentor_connections_refused_total"), 5);

    publisher.write_all(post().as_bytes()).await.unwrap();
    assert!(response(&mut publisher).await.starts_with("HTTP/1.1 201"), "it is still served");
    drop(reader);
    server.until_open(1).await;
    let mut next = server.connect().await;
    next.write_all(post().as_bytes()).await.unwrap();
    assert!(response(&mut next).await.starts_with("HTTP/1.1 201"));
}

#[tokio::test(start_paused = true)]
async fn clients_that_say_nothing_do_not_keep_others_from_being_told() {
    tick();
    let server = Server::with_connections(1);
    let _used = server.connect().await;
    server.until_open(1).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(server.connect().await);
    }
    let refused = server.answer(&post()).await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 503"), "{refused}");
    for socket in &mut silent {
        seconds_until_close(socket).await;
    }
    assert!(server.answer(&post()).await.starts_with("HTTP/1.1 503"));
}
