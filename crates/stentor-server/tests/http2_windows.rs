//! The bytes of request bodies that a connection over HTTP/2 accepts before a service reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot continue panics")]

use std::future::{pending, poll_fn};
use std::time::Duration;

use axum::Router;
use axum::extract::Request as AxumRequest;
use axum::routing::post;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong, Reason, SendStream};
use http::Request;
use stentor_hub::Hub;
use stentor_server::{Stentor, bind, serve};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Maximum time a test waits. Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Maximum number of bytes that a connection accepts before a service reads them.
const UNREAD_BYTES_MAX: usize = 256 << 10;
/// Maximum number of these bytes of one body.
const UNREAD_BODY_BYTES_MAX: usize = 64 << 10;

struct Connection {
    client: SendRequest<Bytes>,
    ping: PingPong,
}

impl Connection {
    /// Connects to a server whose service holds each request and reads nothing of it.
    async fn open() -> Connection {
        let app = Router::new().route(
            "/hold",
            post(|request: AxumRequest| async move {
                pending::<()>().await;
                drop(request);
            }),
        );
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, app, Stentor::new(Hub::memory())));
        let socket = TcpStream::connect(address).await.unwrap();
        let (client, mut connection) = h2::client::handshake(socket).await.unwrap();
        let ping = connection.ping_pong().unwrap();
        tokio::spawn(connection);
        let mut opened = Connection { client: client.ready().await.unwrap(), ping };
        // The windows precede the reply.
        opened.round_trip().await;
        opened
    }

    /// Waits until the server has handled everything that was sent.
    async fn round_trip(&mut self) {
        timeout(PATIENCE, self.ping.ping(Ping::opaque())).await.unwrap().unwrap();
    }

    /// Begins a request and sends as much of its body as the server accepts.
    async fn fill(&mut self) -> (SendStream<Bytes>, usize) {
        let request = Request::post("http://localhost/hold").body(()).unwrap();
        let (_, mut body) = self.client.send_request(request, false).unwrap();
        let mut sent = 0;
        loop {
            body.reserve_capacity(16 << 10);
            // The connection's task assigns the capacity that it has.
            self.round_trip().await;
            if body.capacity() == 0 {
                return (body, sent);
            }
            let bytes = body.capacity();
            body.send_data(vec![0; bytes].into(), false).unwrap();
            sent += bytes;
            self.round_trip().await;
        }
    }
}

#[tokio::test]
async fn a_connection_accepts_a_bounded_number_of_bytes_that_no_service_reads() {
    let mut connection = Connection::open().await;
    let mut bodies = Vec::new();
    let mut sent = 0;
    for _ in 0..33 {
        let (body, bytes) = connection.fill().await;
        assert!(bytes <= UNREAD_BODY_BYTES_MAX, "{bytes} bytes of one body");
        sent += bytes;
        bodies.push(body);
    }
    assert!(sent > 0);
    assert!(sent <= UNREAD_BYTES_MAX, "{sent} bytes of {} bodies", bodies.len());
}

#[tokio::test]
async fn bytes_of_a_reset_body_are_given_back_to_the_connection() {
    let mut connection = Connection::open().await;
    for _ in 0..20 {
        let (mut body, sent) = connection.fill().await;
        assert!(sent > UNREAD_BODY_BYTES_MAX / 2, "{sent} bytes accepted after a reset");
        body.send_reset(Reason::CANCEL);
        let reset = timeout(PATIENCE, poll_fn(|cx| body.poll_reset(cx))).await.unwrap();
        assert_eq!(reset.unwrap(), Reason::CANCEL);
        // The server drops the request, and returns its window with the next frames.
        for _ in 0..4 {
            connection.round_trip().await;
        }
    }
}
