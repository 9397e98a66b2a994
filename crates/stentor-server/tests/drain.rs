//! The time that a stop takes while request bodies are still arriving.
//!
//! The clock is paused: it moves on only when server and client both wait. So times are exact to a few steps.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot continue panics")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use stentor_hub::Hub;
use stentor_server::{Stentor, bind, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// A body has a second to end, then the rest is discarded for a second.
const STOP_TIME_MAX: Duration = Duration::from_millis(2_200);

/// The program around the routes.
#[derive(Clone, Copy, Debug)]
enum Program {
    Serve,
    /// `serve`, with the routes in an axum router.
    Router,
    AxumServe,
}

const PROGRAMS: [Program; 3] = [Program::Serve, Program::Router, Program::AxumServe];

/// A body of which a part has arrived.
const HALF: &str = "POST /topics/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc";
const UPLOAD: &str = "POST /topics/t HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
                      Transfer-Encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n";
const REFUSED: &str = "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc";

struct Server {
    stentor: Stentor,
    address: SocketAddr,
    served: JoinHandle<std::io::Result<()>>,
}

impl Server {
    fn start(program: Program) -> Server {
        tick();
        let stentor = Stentor::new(Hub::memory());
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback_service(stentor.clone());
        let served = match program {
            Program::Serve => tokio::spawn(serve(listener, stentor.clone(), stentor.clone())),
            Program::Router => tokio::spawn(serve(listener, router, stentor.clone())),
            Program::AxumServe => {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let drain = stentor.drain().clone().cancelled_owned();
                let serving = axum::serve(listener, router).with_graceful_shutdown(drain);
                tokio::spawn(serving.into_future())
            }
        };
        Server { stentor, address, served }
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        // The kernel's clock is not paused.
        socket.set_nodelay(true).unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        // The server handles the request, then the clock moves on.
        sleep(Duration::from_millis(10)).await;
        socket
    }

    /// Drains the server, and returns the time until it has stopped.
    async fn stop(self) -> Duration {
        let begun = Instant::now();
        self.stentor.drain().cancel();
        self.served.await.unwrap().unwrap();
        begun.elapsed()
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

/// Reads until the server closes the connection, which must not be by a reset.
async fn rest(mut socket: TcpStream) -> String {
    let mut text = String::new();
    socket.read_to_string(&mut text).await.expect("no reset");
    text
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_arriving_delays_a_stop_by_two_seconds_at_most() {
    for program in PROGRAMS {
        for request in [HALF, UPLOAD] {
            let server = Server::start(program);
            let socket = server.send(request).await;
            let (took, text) = tokio::join!(server.stop(), rest(socket));
            assert!(text.starts_with("HTTP/1.1 503 "), "{program:?}: {text}");
            assert!(text.contains("\"code\":\"draining\""), "{program:?}: {text}");
            assert!(took <= STOP_TIME_MAX, "{program:?}: {took:?} for {request}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_sending_during_a_drain_delays_it_by_two_seconds_at_most() {
    let server = Server::start(Program::Serve);
    let (reading, mut writing) = server.send(UPLOAD).await.into_split();
    let sending = tokio::spawn(async move {
        while writing.write_all(b"2\r\n1\n\r\n").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    let response = async {
        let mut text = [0; 12];
        let mut reading = reading;
        reading.read_exact(&mut text).await.expect("no reset");
        (text, reading)
    };
    let (took, (text, _reading)) = tokio::join!(server.stop(), response);
    assert_eq!(&text, b"HTTP/1.1 503");
    assert!(took <= STOP_TIME_MAX, "{took:?}");
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_refused_body_delays_a_stop_by_a_second_at_most() {
    let server = Server::start(Program::Serve);
    let socket = server.send(REFUSED).await;
    let (took, text) = tokio::join!(server.stop(), rest(socket));
    assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
    assert!(took <= Duration::from_millis(1_200), "{took:?}");
}

/// Sends a request over HTTP/2 whose body stays open after this part.
async fn send_http2(
    server: &Server,
    path: &str,
    content_type: &str,
    part: &'static str,
) -> JoinHandle<Response<Incoming>> {
    let socket = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let (mut sender, connection) =
        http2::Builder::new(TokioExecutor::new()).handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(part)))]);
    let body = StreamBody::new(stream::StreamExt::chain(first, stream::pending()));
    let request = Request::post(format!("http://{}{path}", server.address))
        .header("Content-Type", content_type)
        .body(body)
        .unwrap();
    let response = tokio::spawn(async move { sender.send_request(request).await.unwrap() });
    sleep(Duration::from_millis(10)).await;
    response
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_arriving_over_http2_delays_a_stop_by_two_seconds_at_most() {
    for (path, content_type, part, status) in [
        ("/topics/t", "text/plain", "half", 503),
        ("/topics/t", "application/x-ndjson", "1\n2\n", 503),
        ("/nowhere", "text/plain", "half", 404),
    ] {
        let server = Server::start(Program::Serve);
        let response = send_http2(&server, path, content_type, part).await;
        let response = async {
            let response = response.await.unwrap();
            let status = response.status();
            response.into_body().collect().await.expect("no reset");
            status
        };
        let (took, responded) = tokio::join!(server.stop(), response);
        assert_eq!(responded, status);
        assert!(took <= STOP_TIME_MAX, "{content_type}: {took:?}");
    }
}
