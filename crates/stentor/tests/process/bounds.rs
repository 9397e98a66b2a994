//! Clients that use up what they can: others are served all the same, and the memory of the server stays bounded.
//!
//! `STENTOR_BOUNDS_UPLOADS` sets the number of slow uploads (default: 100; the long form uses 1,000).

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{Server, TIMEOUT, TestClient, numbers};

/// Maximum memory of a server under these loads, in bytes: 256 MiB of bodies, 64 KiB that hyper reads ahead for each of
/// 1,000 connections or 64 KiB for each of 400 streams over HTTP/2, 64 MiB of the newest events, and the rest.
const MEMORY_MAX: usize = 512 << 20;
/// Maximum time for the response to a small publish: far more than one takes, and less than the time after which the
/// server gives up a silent body.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Size of a large body, in bytes: the largest event.
const LARGE: usize = 8 << 20;
/// Pause between two bytes of a slow upload.
const PAUSE: Duration = Duration::from_secs(10);
/// Number of bodies of [`LARGE`] bytes that use up the budget of 256 MiB.
const BODIES_MAX: usize = 32;

/// A server under loads that run until this is dropped.
struct LoadedServer {
    server: Server,
    loads: JoinSet<()>,
}

impl LoadedServer {
    async fn start(args: &[&str]) -> LoadedServer {
        let args: Vec<_> = ["serve"].iter().chain(args).copied().collect();
        LoadedServer { server: Server::with(&args).await, loads: JoinSet::new() }
    }

    /// Starts a load for each number below `count`. Returns once each has reported that it is established.
    async fn add<L: Future<Output = ()> + Send + 'static>(
        &mut self,
        count: usize,
        load: impl Fn(String, usize, Established) -> L,
    ) {
        let (established, mut all_established) = tokio::sync::mpsc::channel(1);
        for number in 0..count {
            let established = Established(established.clone());
            self.loads.spawn(load(self.server.address.clone(), number, established));
        }
        drop(established);
        let done = timeout(TIMEOUT, all_established.recv()).await;
        assert_eq!(done.expect("the load is established in time"), None);
    }

    /// Publishes `events` small events with each of `publishers`, and reads all of them. Returns the times of the
    /// publishes in order.
    async fn publish_and_read(&self, publishers: usize, events: usize) -> Vec<Duration> {
        let mut clients = JoinSet::new();
        for number in 0..publishers {
            let topic = format!("/topics/good/{number}");
            let mut reader = self.server.subscribe(&topic).await;
            reader.position().await;
            let client = TestClient::clone(&self.server);
            clients.spawn(async move {
                let mut times = Vec::with_capacity(events);
                for data in numbers(events) {
                    let start = Instant::now();
                    let published = timeout(ANSWER_WITHIN, client.publish(&topic, data)).await;
                    published.expect("a small publish is answered in time");
                    times.push(start.elapsed());
                }
                assert_eq!(reader.data(events).await, numbers(events));
                times
            });
        }
        let mut times = clients.join_all().await.concat();
        times.sort_unstable();
        times
    }

    fn assert_memory_is_bounded(&self) {
        let most = self.server.peak_memory();
        eprintln!("peak memory: {} MiB", most >> 20);
        assert!(most < MEMORY_MAX, "{} MiB", most >> 20);
    }
}

/// Dropped by a load once it is established.
struct Established(#[expect(dead_code, reason = "held")] tokio::sync::mpsc::Sender<()>);

/// The time below which 99 of 100 are.
fn p99(times: &[Duration]) -> Duration {
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}

/// Number of slow uploads.
fn uploads() -> usize {
    let given = std::env::var("STENTOR_BOUNDS_UPLOADS").ok();
    given.map_or(100, |text| text.parse().expect("a number"))
}

/// Sends a publish of [`LARGE`] bytes: `at_once` bytes of it, as far as the server takes them within a second, and
/// then a byte each [`PAUSE`].
async fn upload_slowly(address: String, number: usize, at_once: usize, established: Established) {
    let mut socket = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /topics/slow/{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LARGE}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let body = vec![b'x'; at_once];
    let _ = timeout(Duration::from_secs(1), socket.write_all(&body)).await;
    drop(established);
    while socket.write_all(b"x").await.is_ok() {
        sleep(PAUSE).await;
    }
}

/// A client of one connection over HTTP/2.
struct Http2Client {
    client: SendRequest<Bytes>,
    ping: PingPong,
    _connection: AbortOnDropHandle<()>,
}

impl Http2Client {
    async fn connect(address: &str) -> Http2Client {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (client, mut connection) = h2::client::handshake(socket).await.unwrap();
        let ping = connection.ping_pong().unwrap();
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = connection.await;
        }));
        Http2Client { client: client.ready().await.unwrap(), ping, _connection: connection }
    }

    /// Sends the head of a publish of [`LARGE`] bytes.
    fn publish(&mut self, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::post(format!("http://localhost{path}"));
        let request = request.header("Content-Length", LARGE).body(()).unwrap();
        self.client.send_request(request, false).unwrap()
    }

    /// Waits until the server has received everything that was sent.
    async fn round_trip(&mut self) {
        let _ = timeout(TIMEOUT, self.ping.ping(Ping::opaque())).await.unwrap();
    }
}

/// Opens a connection over HTTP/2 and begins requests of [`LARGE`] bytes in each of `streams`. Sends as much of each
/// body as the server accepts, and a byte each [`PAUSE`] after that.
async fn upload_over_http2(address: String, streams: usize, established: Established) {
    let mut client = Http2Client::connect(&address).await;
    let mut bodies = Vec::new();
    for number in 0..streams {
        let (response, mut body) = client.publish(&format!("/topics/slow/{number}"));
        client.round_trip().await;
        let mut refusals = 0;
        while refusals < 10 {
            body.reserve_capacity(64 << 10);
            client.round_trip().await;
            let bytes = body.capacity();
            if bytes == 0 {
                refusals += 1;
            } else if body.send_data(vec![b'x'; bytes].into(), false).is_ok() {
                refusals = 0;
            } else {
                break;
            }
        }
        bodies.push((response, body));
    }
    drop(established);
    loop {
        sleep(PAUSE).await;
        for (_, body) in &mut bodies {
            let _ = body.send_data(Bytes::from_static(b"x"), false);
        }
    }
}

/// Uploads `count` bodies of [`LARGE`] bytes over HTTP/2, one after the other, and resets each when it is sent.
async fn upload_and_reset(address: &str, count: usize) {
    let mut client = Http2Client::connect(address).await;
    for number in 0..count {
        let (response, mut body) = client.publish(&format!("/topics/reset/{number}"));
        let mut left = LARGE;
        while left > 0 {
            body.reserve_capacity(left.min(64 << 10));
            let granted = poll_fn(|cx| body.poll_capacity(cx));
            // The server may refuse it before.
            let Some(Ok(bytes)) = timeout(TIMEOUT, granted).await.unwrap() else { break };
            left -= bytes;
            if body.send_data(vec![b'x'; bytes].into(), left == 0).is_err() {
                break;
            }
        }
        client.round_trip().await;
        // Resets the stream, unless the response has arrived.
        drop((response, body));
        client.round_trip().await;
    }
}

#[tokio::test]
async fn small_publishes_are_answered_beside_slow_uploads() {
    let mut loaded = LoadedServer::start(&[]).await;
    let before = loaded.publish_and_read(20, 20).await;
    // Some that use up the budget, and the others from their first byte on.
    loaded
        .add(BODIES_MAX + 8, |address, number, established| {
            upload_slowly(address, number, LARGE - 100, established)
        })
        .await;
    loaded
        .add(uploads(), |address, number, established| {
            upload_slowly(address, BODIES_MAX + number, 1, established)
        })
        .await;
    let during = loaded.publish_and_read(20, 20).await;
    eprintln!("p99 of publishes: {:?} before, {:?} beside the uploads", p99(&before), p99(&during));
    loaded.assert_memory_is_bounded();
}

#[tokio::test]
async fn small_publishes_are_answered_beside_slow_streams_of_one_connection() {
    let mut loaded = LoadedServer::start(&["--memory"]).await;
    loaded.add(1, |address, _, established| upload_over_http2(address, 33, established)).await;
    loaded.publish_and_read(5, 20).await;
    loaded.assert_memory_is_bounded();
}

#[tokio::test]
async fn the_memory_is_bounded_while_many_http2_connections_send_what_they_can() {
    const CONNECTIONS: usize = 400;
    let mut loaded = LoadedServer::start(&["--memory"]).await;
    loaded
        .add(BODIES_MAX + 8, |address, number, established| {
            upload_slowly(address, number, LARGE - 100, established)
        })
        .await;
    loaded
        .add(CONNECTIONS, |address, _, established| upload_over_http2(address, 1, established))
        .await;
    loaded.publish_and_read(5, 20).await;
    loaded.assert_memory_is_bounded();
}

#[tokio::test]
async fn the_memory_is_bounded_while_uploads_are_reset() {
    let connections = if uploads() < 1_000 { BODIES_MAX + 8 } else { 240 };
    let loaded = LoadedServer::start(&[]).await;
    let mut resets = JoinSet::new();
    for _ in 0..connections {
        let address = loaded.server.address.clone();
        resets.spawn(async move { upload_and_reset(&address, 1).await });
    }
    resets.join_all().await;
    loaded.assert_memory_is_bounded();
    loaded.publish_and_read(1, 20).await;
    loaded.server.until_metric("stentor_body_bytes", 0).await;
}

#[tokio::test]
async fn a_large_publish_for_which_there_is_no_room_is_refused() {
    let server = Server::in_memory().await;
    let mut publishes = JoinSet::new();
    for number in 0..BODIES_MAX + 8 {
        let path = format!("/topics/slow/{number}");
        let request = server.request("POST", &path).header("Content-Length", &LARGE.to_string());
        let mut socket = request.connect().await;
        publishes.spawn(async move {
            let (mut reading, mut writing) = socket.split();
            let mut response = [0; 512];
            let read = reading.read(&mut response);
            // One byte is missing.
            let body = vec![b'x'; LARGE - 1];
            let (read, _) = tokio::join!(read, writing.write_all(&body));
            String::from_utf8_lossy(&response[..read.unwrap()]).to_lowercase()
        });
    }
    let refused = timeout(TIMEOUT, publishes.join_next()).await.unwrap().unwrap().unwrap();
    assert!(refused.starts_with("http/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: "), "{refused}");
}
