//! A server whose every byte is written by the test.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long anything may take before a test gives up. Far longer than it ever takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// The head of an answer that opens a stream, which ends with its connection.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// The answer that there is nothing more to come.
pub(crate) const NOTHING_MORE: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

/// A stream of an open end.
pub(crate) fn stream(body: &str) -> String {
    format!("{STREAM}{body}")
}

/// An answer with this status, these headers and this body.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// A listener on loopback.
pub(crate) struct Server(TcpListener);

/// What a client has asked, and where the answer goes.
pub(crate) struct Connection {
    pub(crate) request: Request,
    socket: TcpStream,
}

/// A request, as it came.
pub(crate) struct Request {
    head: String,
    pub(crate) body: String,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// The address of this path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.local_addr().unwrap())
    }

    /// The next connection, once its request has come. A test that waits in vain fails.
    pub(crate) async fn accept(&self) -> Connection {
        let connection = async {
            let (mut socket, _) = self.0.accept().await.unwrap();
            let request = Request::read(&mut socket).await;
            Connection { request, socket }
        };
        timeout(PATIENCE, connection).await.expect("no request came")
    }

    /// Answers one request after the other, and closes each connection.
    pub(crate) async fn answer<T: AsRef<str>>(
        &self,
        answers: impl IntoIterator<Item = T>,
    ) -> Vec<Request> {
        let mut requests = Vec::new();
        for answer in answers {
            let mut connection = self.accept().await;
            connection.write(answer.as_ref()).await;
            requests.push(connection.close().await);
        }
        requests
    }
}

impl Connection {
    pub(crate) async fn write(&mut self, bytes: &str) {
        self.socket.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Writes this over and over until the client leaves, for at most so many bytes. Tells how many
    /// it took.
    pub(crate) async fn pour(&mut self, bytes: &[u8], bytes_max: usize) -> usize {
        let mut poured = 0;
        while poured < bytes_max && self.socket.write_all(bytes).await.is_ok() {
            poured += bytes.len();
        }
        poured
    }

    /// Closes the connection, if the client has not.
    pub(crate) async fn leave(mut self) {
        let _ = self.socket.shutdown().await;
    }

    /// Returns when the client has left.
    pub(crate) async fn left(&mut self) {
        let mut rest = [0; 256];
        while matches!(self.socket.read(&mut rest).await, Ok(count) if count > 0) {}
    }

    /// Reads on, behind the head of the request, until the bytes hold this text.
    pub(crate) async fn read_until(&mut self, text: &str) {
        let read = async {
            while !self.request.body.contains(text) {
                let byte = self.socket.read_u8().await.expect("the rest of the body");
                self.request.body.push(char::from(byte));
            }
        };
        timeout(PATIENCE, read).await.expect("no more came");
    }

    /// Reads to the end, which may be a break.
    pub(crate) async fn read_to_end(&mut self) {
        while let Ok(byte) = self.socket.read_u8().await {
            self.request.body.push(char::from(byte));
        }
    }

    /// The next request on the same connection.
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

    /// The whole head.
    pub(crate) fn head(&self) -> &str {
        &self.head
    }

    /// Method and target.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap().trim_end_matches(" HTTP/1.1")
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// What the client has read so far.
    pub(crate) fn last_event_id(&self) -> Option<&str> {
        self.header("last-event-id")
    }
}
