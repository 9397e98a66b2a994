//! A request body that a test sends in pieces.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::TIMEOUT;
use crate::http::{Response, find};

/// A request with a chunked body that the test keeps open. Dropping it aborts the body.
#[derive(Debug)]
pub struct Upload(TcpStream);

impl Upload {
    /// Continues on a socket on which the request head was sent, `Transfer-Encoding: chunked` included.
    pub fn new(socket: TcpStream) -> Upload {
        Upload(socket)
    }

    /// Sends a piece of the body as one chunk.
    pub async fn send(&mut self, piece: impl AsRef<[u8]>) {
        let piece = piece.as_ref();
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        self.0.write_all(&chunk).await.unwrap();
    }

    /// Ends the body and reads the response.
    pub async fn finish(mut self) -> Response {
        self.0.write_all(b"0\r\n\r\n").await.unwrap();
        self.response().await
    }

    /// Reads the response. The body need not have ended.
    pub async fn response(&mut self) -> Response {
        read_response(&mut self.0).await
    }
}

/// Reads one response with a `Content-Length`, and no byte after it. Interim responses (`100 Continue`) are skipped.
pub async fn read_response(socket: &mut TcpStream) -> Response {
    let response = timeout(TIMEOUT, async {
        loop {
            let head = read_head(socket).await;
            if head.starts_with(b"HTTP/1.1 100") {
                continue;
            }
            let mut response = Response::parse(&head);
            let length =
                response.header("content-length").map_or(0, |length| length.parse().unwrap());
            response.body = vec![0; length];
            socket.read_exact(&mut response.body).await.expect("the whole body");
            return response;
        }
    });
    response.await.expect("a response in time")
}

/// Reads the head of a response with any status.
pub async fn read_head(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while find(&head, b"\r\n\r\n").is_none() {
        let byte = timeout(TIMEOUT, socket.read_u8()).await.expect("a response in time");
        head.push(byte.expect("no close and no reset"));
    }
    head
}
