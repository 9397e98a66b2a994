//! The memory of request bodies is accounted for until their events are committed, also if their requests are reset.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

#[path = "../../stentor-hub/tests/gated/mod.rs"]
mod gated;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use http::Request;
use http_body_util::{BodyExt, Full};
use reqwest::{Client, RequestBuilder};
use stentor_hub::Hub;
use stentor_server::{Config, Stentor, bind, serve};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tower_service::Service;

use self::gated::{Gate, GatedStorage};

/// Maximum time a test waits. Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_mins(1);
/// The limit of the body budget.
const BYTES_MAX: usize = 256 << 10;
/// The largest body of these tests.
const BODY_MAX: usize = 64 << 10;
/// The length of the longest key.
const KEY_BYTES: usize = 256;
const NDJSON: &str = "application/x-ndjson";

struct Server {
    stentor: Stentor,
    gate: Gate,
    address: SocketAddr,
}

fn client() -> Client {
    Client::builder().http2_prior_knowledge().no_proxy().build().unwrap()
}

fn start() -> Server {
    let (storage, gate) = GatedStorage::new();
    let config = Config { body_bytes_max: BYTES_MAX, ..Config::default() };
    let stentor = Stentor::with_config(Hub::new(storage), config);
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, stentor.clone(), stentor.clone()));
    Server { stentor, gate, address }
}

impl Server {
    /// The gauge of the body budget.
    fn body_bytes(&self) -> usize {
        let text = self.stentor.metrics().to_text(self.stentor.hub());
        let line = text.lines().find_map(|line| line.strip_prefix("stentor_body_bytes "));
        line.unwrap().parse().unwrap()
    }

    /// One of the kinds of publishes.
    fn request(&self, client: &Client, number: usize) -> RequestBuilder {
        let url = |path: &str| format!("http://{}{path}", self.address);
        let data = "x".repeat(1 + number * 7919 % BODY_MAX);
        match number % 5 {
            0 => client.post(url("/topics/fast")).body(data),
            1 => client.post(url("/topics/t?type=general")).body(data),
            2 => {
                let binary = data.into_bytes().into_iter().take(BODY_MAX / 2).collect::<Vec<_>>();
                let request = client.post(url("/topics/t")).body(binary);
                request.header("Content-Type", "image/png")
            }
            3 => {
                let item = format!("[{{\"topic\":\"batch\",\"data\":\"{data}\"}}]");
                client.post(url("/topics")).body(item)
            }
            _ => {
                let lines = format!("{data}\n");
                let request = client.post(url("/topics/t")).header("Content-Type", NDJSON);
                let pieces = stream::iter(0..3).then(move |_| {
                    let lines = lines.clone();
                    async move {
                        tokio::task::yield_now().await;
                        Ok::<_, std::io::Error>(lines)
                    }
                });
                request.body(reqwest::Body::wrap_stream(pieces))
            }
        }
    }

    fn check(&self) {
        // The bytes at the gate are read first: they cannot be committed in between while the gate is closed.
        let (held, gauge) = (self.gate.held_bytes(), self.body_bytes());
        assert!(gauge >= held, "the gauge says {gauge}, but {held} bytes wait to be committed");
        // The oldest body may exceed the limit: by itself, and an upload by a group and a chunk.
        let most = BYTES_MAX + 6 * BODY_MAX;
        assert!(gauge <= most, "the gauge says {gauge}, the limit is {most}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_reset_requests_are_counted_until_they_are_committed() {
    let server = start();
    let clients: Vec<Client> = (0..8).map(|_| client()).collect();
    let mut requests = Vec::new();
    for number in 0..2_000 {
        let request = server.request(&clients[number % clients.len()], number);
        // Dropping the request resets its stream.
        let patience = Duration::from_micros(fastrand::u64(0..20_000));
        requests.push(tokio::spawn(async move {
            let _ = timeout(patience, request.send()).await;
        }));
        if number % 16 == 0 {
            server.check();
            sleep(Duration::from_millis(1)).await;
        }
    }
    for request in requests {
        request.await.unwrap();
        server.check();
    }
    assert!(server.gate.held_bytes() > 0, "the log holds an append");
    assert!(server.body_bytes() > BODY_MAX, "more waits behind it");
    server.gate.open();
    let emptied = timeout(PATIENCE, async {
        while server.body_bytes() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(emptied.await.is_ok(), "{} bytes are left", server.body_bytes());
    let client = client();
    let url = format!("http://{}/topics/t", server.address);
    assert_eq!(client.post(url).body("after all").send().await.unwrap().status(), 201);
}

/// Publishes, and returns when the event waits for the log. The client then gives up when the result is dropped.
async fn publish_over_http2(server: &Server) -> impl Sized + use<> {
    let request = server.request(&client(), 6);
    let sent = AbortOnDropHandle::new(tokio::spawn(request.send()));
    server.gate.wait_for_append().await;
    sent
}

/// Publishes by the fast path, for which the whole request arrives at once.
async fn publish_at_once(server: &Server) -> impl Sized + use<> {
    let request = Request::post("/topics/t").body(Full::from("x".repeat(1_000))).unwrap();
    let response = server.stentor.clone().call(request);
    let sent = AbortOnDropHandle::new(tokio::spawn(response));
    server.gate.wait_for_append().await;
    sent
}

/// Asserts that an event is counted after its client gave up, until it is committed.
async fn assert_counted(server: &Server, client: impl Sized) {
    assert!(server.gate.held_bytes() > 0);
    assert_eq!(server.body_bytes(), server.gate.held_bytes());
    drop(client);
    // Time in which the server notices the reset.
    sleep(Duration::from_millis(200)).await;
    assert_eq!(server.body_bytes(), server.gate.held_bytes(), "the event still waits");
    server.gate.open();
    let emptied = async {
        while server.body_bytes() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(PATIENCE, emptied).await.is_ok());
}

#[tokio::test]
async fn an_event_of_a_reset_stream_is_counted_until_it_is_committed() {
    let server = start();
    let client = publish_over_http2(&server).await;
    assert_counted(&server, client).await;
}

#[tokio::test]
async fn an_event_of_the_fast_path_is_counted_until_it_is_committed() {
    let server = start();
    let client = publish_at_once(&server).await;
    assert_counted(&server, client).await;
}

/// Uploads lines of one byte with a long key. The whole body arrives at once.
fn upload_small_lines(
    server: &Server,
    lines: usize,
) -> AbortOnDropHandle<(http::StatusCode, serde_json::Value)> {
    let request = Request::post("/topics/t").header("Content-Type", NDJSON);
    let request = request.header("Idempotency-Key", "k".repeat(KEY_BYTES));
    let mut stentor = server.stentor.clone();
    let request = request.body(Full::from("x\n".repeat(lines))).unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let response = stentor.call(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }))
}

#[tokio::test(start_paused = true)]
async fn small_lines_are_counted_with_the_memory_of_their_events() {
    /// More than one group, so that a part waits for the log and another for that part.
    const LINES: usize = 1_500;
    let server = start();
    let upload = upload_small_lines(&server, LINES);
    let counted = async {
        while server.body_bytes() < LINES * (512 + KEY_BYTES) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(PATIENCE, counted).await.is_ok(), "only {} bytes", server.body_bytes());
    let refused = timeout(PATIENCE, upload_small_lines(&server, 1)).await;
    let (status, problem) = refused.expect("it is refused in time").unwrap();
    assert_eq!((status.as_u16(), &problem["code"]), (503, &"busy".into()), "{problem}");
    assert_eq!(problem["published"], 0);
    server.gate.open();
    let (status, accepted) = upload.await.unwrap();
    assert_eq!((status.as_u16(), &accepted["count"]), (201, &LINES.into()));
    assert_eq!(server.body_bytes(), 0);
}
