//! The memory of pages and lists that clients request and do not read.
//!
//! The clock is paused: it moves on only when server and client both wait.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::SendRequest;
use h2::{RecvStream, client};
use http::{Request, StatusCode};
use stentor_hub::{Hub, TopicName};
use stentor_server::{Config, Stentor, bind, serve};
use stentor_testing::{Connection, TestClient};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// The budget.
const BYTES_MAX: i64 = 32 << 20;
/// Time after which a response without progress is cut off.
const STALL_TIME_MAX: Duration = Duration::from_secs(30);
/// Maximum time that a response waits for memory.
const WAIT_TIME_MAX: Duration = Duration::from_secs(2);
/// Maximum number of bytes that another server buffers for a connection.
const BUFFER_BYTES_MAX: i64 = 40 << 10;
/// Number of events of the topic `large`, and their size in bytes. More than a page has.
const EVENTS: usize = 12;
const EVENT_BYTES: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Served {
    ByStentor,
    ByAxum,
}

struct Server {
    stentor: Stentor,
    address: SocketAddr,
}

impl Server {
    async fn start(served: Served) -> Server {
        // The clock moves in small steps, because a socket may be ready although all tasks wait.
        tokio::spawn(async {
            loop {
                sleep(Duration::from_millis(5)).await;
            }
        });
        let config =
            Config { response_bytes_max: usize::try_from(BYTES_MAX).unwrap(), ..Config::default() };
        let stentor = Stentor::with_config(Hub::memory(), config);
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        match served {
            Served::ByStentor => {
                tokio::spawn(serve(listener, stentor.clone(), stentor.clone()));
            }
            Served::ByAxum => {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let app = Router::new().fallback_service(stentor.clone());
                tokio::spawn(async move { axum::serve(listener, app).await });
            }
        }
        let started = Server { stentor, address };
        for number in 0..EVENTS {
            started.publish("large", &format!("{number}{}", "x".repeat(EVENT_BYTES))).await;
        }
        started.publish("small", "x").await;
        started
    }

    async fn publish(&self, topic: &str, data: &str) {
        self.stentor.hub().send(&TopicName::new(topic).unwrap(), data).await.unwrap();
    }

    fn metric(&self, name: &str) -> i64 {
        let text = self.stentor.metrics().to_text(self.stentor.hub());
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    }

    fn response_bytes(&self) -> i64 {
        self.metric("stentor_response_bytes")
    }

    fn client(&self) -> TestClient {
        TestClient { address: self.address.to_string() }
    }

    /// Connects a client over HTTP/2 whose streams have a window of this size.
    async fn connect_http2(&self, window: u32) -> SendRequest<Bytes> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut builder = client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(1 << 20);
        let (client, connection) = builder.handshake(socket).await.unwrap();
        tokio::spawn(connection);
        client.ready().await.unwrap()
    }

    /// A page of a small topic is served while the budget is used up.
    async fn small_pages_are_served(&self) {
        let page = self.client().get("/topics/small").header("Accept", "application/json");
        let page = timeout(WAIT_TIME_MAX, page.send()).await.expect("a page in time");
        assert_eq!(page.json()["events"][0]["data"], "x");
    }

    /// Waits until no response holds memory. Returns the time of that.
    async fn until_released(&self) -> Duration {
        let begun = Instant::now();
        while self.response_bytes() > 0 {
            assert!(begun.elapsed() < Duration::from_mins(10), "{} bytes", self.response_bytes());
            sleep(Duration::from_millis(50)).await;
        }
        begun.elapsed()
    }
}

fn page_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n")
}

async fn unread_page(server: &Server, path: &str) -> Connection {
    let mut connection = server.client().connect_narrow().await;
    connection.send(page_request(path)).await;
    connection
}

async fn http2_page(client: &SendRequest<Bytes>, path: &str) -> (StatusCode, RecvStream) {
    let request = Request::get(format!("http://localhost{path}"));
    let request = request.header("Accept", "application/json").body(()).unwrap();
    let mut client = client.clone().ready().await.unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let (head, body) = response.await.unwrap().into_parts();
    (head.status, body)
}

#[tokio::test(start_paused = true)]
async fn pages_that_are_not_read_stay_within_the_budget_and_are_cut_off() {
    for served in [Served::ByStentor, Served::ByAxum] {
        let server = Server::start(served).await;
        let unread: Vec<_> =
            join_all((0..150).map(|_| unread_page(&server, "/topics/large?limit=1000"))).await;
        sleep(WAIT_TIME_MAX * 2).await;
        let held = server.response_bytes();
        assert!((1..=BYTES_MAX).contains(&held), "{served:?}: {held} bytes");
        server.small_pages_are_served().await;
        if served == Served::ByStentor {
            let after = server.until_released().await;
            assert!(after <= STALL_TIME_MAX, "{after:?}");
        } else {
            // axum does not close connections, so they hold what is in their buffers.
            sleep(STALL_TIME_MAX).await;
            assert!(server.metric("stentor_responses_cut_total") > 0);
            let (after, most) =
                (server.response_bytes(), i64::try_from(unread.len()).unwrap() * BUFFER_BYTES_MAX);
            assert!(after <= most, "{after} bytes");
        }
        drop(unread);
        server.until_released().await;
    }
}

#[tokio::test(start_paused = true)]
async fn pages_on_streams_without_a_window_stay_within_the_budget_and_are_reset() {
    let server = Server::start(Served::ByStentor).await;
    let mut client = server.connect_http2(0).await;
    let requests = (0..200).map(|_| http2_page(&client, "/topics/large?limit=1000"));
    let begun = Instant::now();
    let pages = join_all(requests).await;
    assert!(begun.elapsed() <= WAIT_TIME_MAX * 2);
    let held = server.response_bytes();
    assert!((1..=BYTES_MAX).contains(&held), "{held} bytes");
    server.small_pages_are_served().await;
    for (status, mut body) in pages {
        assert!(matches!(status.as_u16(), 200 | 503), "{status}");
        let reset = timeout(STALL_TIME_MAX * 2, body.data()).await.expect("a reset");
        assert!(reset.expect("no end").is_err());
    }
    assert!(begun.elapsed() <= STALL_TIME_MAX + WAIT_TIME_MAX * 2, "{:?}", begun.elapsed());
    assert_eq!(server.until_released().await, Duration::ZERO);
    client = client.ready().await.unwrap();
    assert!(client.send_request(Request::new(()), true).is_ok(), "the connection stays open");
}

#[tokio::test(start_paused = true)]
async fn events_larger_than_a_page_are_served_one_by_one_and_refused_beyond_the_budget() {
    let server = Server::start(Served::ByStentor).await;
    server.publish("huge", &"y".repeat(8 << 20)).await;
    let client = server.connect_http2(1_000).await;
    let requests = (0..6).map(|_| http2_page(&client, "/topics/huge"));
    let mut statuses: Vec<u16> =
        join_all(requests).await.iter().map(|(status, _)| status.as_u16()).collect();
    statuses.sort_unstable();
    // Three quarters of the budget are for large responses.
    assert_eq!(statuses, [200, 200, 503, 503, 503, 503]);
    assert_eq!(server.metric("stentor_responses_shed_total"), 4);
    server.until_released().await;
    let page = server.client().get("/topics/huge").header("Accept", "application/json");
    let page = page.send().await.json();
    assert_eq!(page["events"][0]["data"].as_str().unwrap().len(), 8 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_read_too_slowly_is_cut_off() {
    let server = Server::start(Served::ByStentor).await;
    let client = server.connect_http2(16 << 10).await;
    for (bytes_per_second, completes) in [(2_000, false), (40_000, true)] {
        let (_, mut body) = http2_page(&client, "/topics/large?limit=1000").await;
        let (begun, mut read, mut is_complete) = (Instant::now(), 0, true);
        while let Some(data) = body.data().await {
            let Ok(data) = data else {
                is_complete = false;
                break;
            };
            read += data.len();
            let due = Duration::from_millis((read * 1_000 / bytes_per_second) as u64);
            tokio::time::sleep_until(begun + due).await;
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        assert_eq!(is_complete, completes, "{read} bytes in {:?}", begun.elapsed());
        assert!(begun.elapsed() < STALL_TIME_MAX * 3);
        server.until_released().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_topics_is_complete_for_a_client_that_reads_it_late() {
    let server = Server::start(Served::ByStentor).await;
    for number in 0..1_200 {
        server.publish(&format!("list/{number:0>400}"), "x").await;
    }
    let mut late = unread_page(&server, "/topics?prefix=list/&limit=1000").await;
    sleep(STALL_TIME_MAX / 2).await;
    let list = late.response().await.json();
    assert_eq!(list["topics"].as_array().unwrap().len(), 1_000);
    assert_eq!(list["next"], format!("list/{:0>400}", 999));
    server.until_released().await;
}
