//! An SSE server whose responses a test controls.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::{TIMEOUT, dechunk, read_head};

/// The response that ends a stream for good.
pub const NOTHING_MORE: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// Returns the response with this stream, which ends with its connection.
pub fn stream_of(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{text}")
}

/// The server.
pub struct Foreign {
    listener: TcpListener,
    /// URL of its stream.
    pub url: String,
}

/// A connected client.
pub struct Visit {
    socket: TcpStream,
    /// Head of its request.
    pub head: String,
    /// Body of its request, if it was read.
    pub body: String,
}

impl Foreign {
    pub async fn start() -> Foreign {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/stream", listener.local_addr().unwrap());
        Foreign { listener, url }
    }

    /// Accepts the next client without a response.
    pub async fn visit(&self) -> Visit {
        let accepted = timeout(TIMEOUT, self.listener.accept()).await.expect("a reader");
        let (mut socket, _) = accepted.unwrap();
        let head = String::from_utf8(read_head(&mut socket).await).unwrap();
        Visit { socket, head, body: String::new() }
    }

    /// Responds to one client after the other and closes each connection. Returns the requests.
    pub async fn answer(&self, answers: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Visit> {
        let mut visits = Vec::new();
        for answer in answers {
            let mut visit = self.visit().await;
            visit.read_body().await;
            visit.send(answer.as_ref()).await;
            visit.socket.shutdown().await.unwrap();
            visits.push(visit);
        }
        visits
    }

    /// Accepts the next client, and sends a stream that starts with this text. The stream ends when the visit
    /// is dropped.
    pub async fn stream(&self, text: &str) -> Visit {
        let mut visit = self.visit().await;
        visit.send(&stream_of(text)).await;
        visit
    }

    /// Accepts the next client, and responds with this status.
    pub async fn refuse(&self, status: &str) -> Visit {
        let mut visit = self.visit().await;
        visit.send(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
        visit
    }
}

impl Visit {
    pub async fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// Returns method and target of its request.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap().trim_end_matches(" HTTP/1.1")
    }

    async fn read_body(&mut self) {
        let length = self.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).await.unwrap();
        self.body = String::from_utf8(body).unwrap();
    }

    /// Responds with this JSON.
    pub async fn answer(&mut self, status: &str, body: &str) {
        let length = body.len();
        let head = "Content-Type: application/json\r\nConnection: close";
        self.send(&format!(
            "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    /// Reads the body of its request, which is chunked.
    pub async fn chunked_body(&mut self) -> String {
        let (mut bytes, mut body) = (Vec::new(), Vec::new());
        let whole = timeout(TIMEOUT, async {
            loop {
                let (part, used, is_whole) = dechunk(&bytes);
                body.extend(part);
                bytes.drain(..used);
                if is_whole {
                    return;
                }
                assert!(self.socket.read_buf(&mut bytes).await.unwrap() > 0, "a whole body");
            }
        });
        whole.await.expect("a whole body");
        String::from_utf8(body).unwrap()
    }

    /// Returns a header of its request.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (own, value) = line.split_once(": ")?;
            own.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}
