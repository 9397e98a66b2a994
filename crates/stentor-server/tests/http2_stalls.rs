//! Clients that stop to read one stream of an HTTP/2 connection.
//!
//! The clock is paused: it moves on only when server and client both wait. So times are exact to a few steps.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot continue panics")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::Request;
use stentor_hub::{Hub, TopicName};
use stentor_server::{Stentor, bind, serve};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Time after which a stream without progress is reset.
const STALL_TIME_MAX: Duration = Duration::from_secs(30);
/// The time until the last keep-alive fills the window, and a margin.
const RESET_WITHIN: Duration = Duration::from_secs(31);

struct Server {
    stentor: Stentor,
    address: SocketAddr,
}

impl Server {
    fn start() -> Server {
        tick();
        let stentor = Stentor::new(Hub::memory());
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, stentor.clone(), stentor.clone()));
        Server { stentor, address }
    }

    async fn publish(&self, bytes: usize) {
        let topic = TopicName::new("t").unwrap();
        self.stentor.hub().send(&topic, "x".repeat(bytes)).await.unwrap();
    }

    /// Connects a client whose streams have a window of this size.
    async fn connect(&self, window: u32) -> SendRequest<Bytes> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        // The kernel's clock is not paused.
        socket.set_nodelay(true).unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(1 << 20);
        let (client, connection) = builder.handshake(socket).await.unwrap();
        tokio::spawn(connection);
        client.ready().await.unwrap()
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

async fn get(client: &mut SendRequest<Bytes>, path: &str, accept: &str) -> RecvStream {
    let request = Request::get(format!("http://localhost{path}")).header("Accept", accept);
    let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// Reads without giving the window back, until the stream is reset. Returns the time of that.
async fn reset(body: &mut RecvStream) -> Duration {
    let begun = Instant::now();
    loop {
        let data = timeout(Duration::from_mins(10), body.data()).await.expect("a reset");
        match data.expect("no end") {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.reason(), Some(Reason::CANCEL));
                return begun.elapsed();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_client_stops_reading_is_reset_and_others_go_on() {
    for window in [0, 1, 100, 10_000] {
        for (events, bytes) in [(3, 300_000), (20, 3_000)] {
            let server = Server::start();
            let mut client = server.connect(window).await;
            let mut stuck = get(&mut client, "/topics/t", "*/*").await;
            let mut other = get(&mut client, "/topics/other", "*/*").await;
            for _ in 0..events {
                server.publish(bytes).await;
            }
            let reset = async {
                let after = reset(&mut stuck).await;
                (after, server.streams_open())
            };
            let reading = async {
                // It reads all that comes: keep-alives.
                let mut read = 0;
                if window == 0 {
                    // It gets nothing either.
                    std::future::pending::<()>().await;
                }
                while let Some(Ok(data)) = other.data().await {
                    read += data.len();
                    other.flow_control().release_capacity(data.len()).unwrap();
                }
                read
            };
            let (after, streams) = tokio::select! {
                reset = reset => reset,
                read = reading => panic!("the other stream ended after {read} bytes"),
            };
            let context = format!("{window} {bytes}: {after:?}");
            assert!((STALL_TIME_MAX..=RESET_WITHIN).contains(&after), "{context}");
            if window > 0 {
                // A window of 0 stops the other stream, too.
                sleep(Duration::from_secs(1)).await;
                assert_eq!(server.streams_open(), "1", "{context}, {streams} at the reset");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_not_read_is_reset() {
    let server = Server::start();
    for _ in 0..10 {
        server.publish(90_000).await;
    }
    let mut client = server.connect(1_000).await;
    let mut page = get(&mut client, "/topics/t", "application/json").await;
    let after = reset(&mut page).await;
    assert!((STALL_TIME_MAX..=RESET_WITHIN).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_keeps_its_stream() {
    let server = Server::start();
    let mut client = server.connect(16 << 10).await;
    let mut body = get(&mut client, "/topics/t", "*/*").await;
    let mut read = 0;
    for _ in 0..10 {
        server.publish(100_000).await;
    }
    while read < 1_000_000 {
        let data = body.data().await.expect("no end").expect("no reset");
        read += data.len();
        // Less than 1 KiB/s.
        sleep(Duration::from_secs(20) * u32::try_from(data.len()).unwrap() / (16 << 10)).await;
        body.flow_control().release_capacity(data.len()).unwrap();
    }
}
