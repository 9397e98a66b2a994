//! A server whose responses are written by the test, byte by byte.
#![allow(dead_code, reason = "each test crate uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Maximum time of an operation before a test fails. Far more than any operation takes.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The head of a response that opens a stream. The stream ends with its connection.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// The response that ends a stream permanently.
pub(crate) const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

/// A response with a stream that starts with `body`.
pub(crate) fn stream(body: &str) -> String {
    format!("{STREAM}{body}")
}

/// A response with this status, these headers and this body.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// A server on a loopback address.
pub(crate) struct Server(TcpListener);

/// A connection of a client, and its last request.
pub(crate) struct Connection {
    pub(crate) request: Request,
    socket: TcpStream,
}

/// A request as received.
pub(crate) struct Request {
    head: String,
    pub(crate) body: String,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Returns the URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.local_addr().unwrap())
    }

    /// Accepts the next connection and reads its request. Panics after a timeout.
    pub(crate) async fn accept(&self) -> Connection {
        let connection = async {
            let (mut socket, _) = self.0.accept().await.unwrap();
            let request = Request::read(&mut socket).await;
            Connection { request, socket }
        };
        timeout(TIMEOUT, connection).await.expect("timeout: no request arrived")
    }

    /// Sends one response to each request in turn, and closes each connection.
    pub(crate) async fn respond<T: AsRef<str>>(
        &self,
        responses: impl IntoIterator<Item = T>,
    ) -> Vec<Request> {
        let mut requests = Vec::new();
        for response in responses {
            let mut connection = self.accept().await;
            connection.write(response.as_ref()).await;
            requests.push(connection.close().await);
        }
        requests
    }
}

impl Connection {
    pub(crate) async fn write(&mut self, bytes: &str) {
        self.socket.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Writes `bytes` repeatedly, until `bytes_max` bytes or more are written or the client closes the connection.
    /// Returns the number of bytes written.
    pub(crate) async fn write_repeatedly(&mut self, bytes: &[u8], bytes_max: usize) -> usize {
        let mut written = 0;
        while written < bytes_max && self.socket.write_all(bytes).await.is_ok() {
            written += bytes.len();
        }
        written
    }

    /// Closes the connection. The client may have closed it already.
    pub(crate) async fn close_any(mut self) {
        let _ = self.socket.shutdown().await;
    }

    /// Waits until the client has closed the connection.
    pub(crate) async fn closed_by_client(&mut self) {
        let mut rest = [0; 256];
        while matches!(self.socket.read(&mut rest).await, Ok(count) if count > 0) {}
    }

    /// Reads the body of the request until it contains `text`.
    pub(crate) async fn read_until(&mut self, text: &str) {
        let read = async {
            while !self.request.body.contains(text) {
                let byte = self.socket.read_u8().await.expect("the connection is open");
                self.request.body.push(char::from(byte));
            }
        };
        timeout(TIMEOUT, read).await.expect("timeout: the text did not arrive");
    }

    /// Reads until the connection ends or breaks.
    pub(crate) async fn read_to_end(&mut self) {
        while let Ok(byte) = self.socket.read_u8().await {
            self.request.body.push(char::from(byte));
        }
    }

    /// Reads the next request of the connection.
    pub(crate) async fn next_request(&mut self) {
        self.request = Request::read(&mut self.socket).await;
    }

    pub(crate) async fn close(mut self) -> Request {
        self.socket.shutdown().await.unwrap();
        self.request
    }
}

impl Request {
    async fn read(socket: &mut TcpStream) -> Request {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let mut request = Request { head: String::from_utf8(head).unwrap(), body: String::new() };
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.unwrap();
        request.body = String::from_utf8(body).unwrap();
        request
    }

    /// Returns the whole head.
    pub(crate) fn head(&self) -> &str {
        &self.head
    }

    /// Returns method and target.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap().trim_end_matches(" HTTP/1.1")
    }

    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Returns the header `Last-Event-ID`.
    pub(crate) fn last_event_id(&self) -> Option<&str> {
        self.header("last-event-id")
    }
}
