//! A connection on which a test writes and reads arbitrary bytes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::http::{Response, dechunk, find};
use crate::{EventStream, TIMEOUT, TestClient};

/// A TCP connection to a server. Dropping it closes the connection.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    /// Bytes that were received and not parsed yet.
    received: Vec<u8>,
}

impl TestClient {
    /// Opens a connection without sending anything.
    pub async fn connect(&self) -> Connection {
        let socket = TcpStream::connect(&self.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Connection { socket, received: Vec::new() }
    }

    /// Opens a connection with a receive buffer of 16 KiB, so that unread responses soon block the server.
    pub async fn connect_narrow(&self) -> Connection {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let socket = socket.connect(self.address.parse().unwrap()).await.unwrap();
        Connection { socket, received: Vec::new() }
    }
}

/// Returns the text of a GET request.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Returns the text of a POST request.
pub fn post(path: &str, data: &str) -> String {
    let length = data.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{data}")
}

impl Connection {
    /// Sends bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.expect("the connection is open");
    }

    /// Sends bytes unless the server has closed the connection already.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref()).await;
    }

    /// Sends each byte with its own write.
    pub async fn send_bytewise(&mut self, text: &str) {
        for byte in text.bytes() {
            self.send([byte]).await;
            // Gives the server a chance to read this byte by itself.
            tokio::task::yield_now().await;
        }
    }

    /// Reads the next response. An interim response (`100 Continue`) counts as one.
    pub async fn response(&mut self) -> Response {
        let head = loop {
            match find(&self.received, b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read().await,
            }
        };
        let rest = self.received.split_off(head);
        let head = std::mem::replace(&mut self.received, rest);
        if head.starts_with(b"HTTP/1.1 100") {
            return Response { status: 100, headers: Vec::new(), body: Vec::new() };
        }
        let mut response = Response::parse(&head);
        // Pages and lists come in chunks. The body of a stream is not part of its response: it has no end.
        let is_json = response.header("content-type") == Some("application/json");
        if is_json && response.header("transfer-encoding") == Some("chunked") {
            response.body = self.chunks().await;
            return response;
        }
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.received.len() < length {
            self.read().await;
        }
        let rest = self.received.split_off(length);
        response.body = std::mem::replace(&mut self.received, rest);
        response
    }

    /// Reads the chunks of a body to the last one.
    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let (mut part, bytes, ended) = dechunk(&self.received);
            body.append(&mut part);
            self.received.drain(..bytes);
            if ended {
                return body;
            }
            self.read().await;
        }
    }

    /// Reads up to 7 bytes a hundred times. They are kept for later reads.
    pub async fn read_slowly(&mut self) {
        for _ in 0..100 {
            let mut bytes = [0; 7];
            let read = timeout(TIMEOUT, self.socket.read(&mut bytes)).await;
            let read = read.expect("a response in time").expect("no reset");
            self.received.extend_from_slice(&bytes[..read]);
            tokio::task::yield_now().await;
        }
    }

    /// Reads the rest as an event stream; the status of the response must be 200.
    pub async fn stream(self) -> EventStream {
        EventStream::begin_with(self.socket, self.received).await
    }

    /// Closes the sending side. Reading continues.
    pub async fn close_write(&mut self) {
        // The server may have closed the connection already.
        let _ = self.socket.shutdown().await;
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        self.socket.set_zero_linger().unwrap();
    }

    /// Reads until the server closes the connection, and returns what was received.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection was reset.
    pub async fn until_closed(mut self) -> std::io::Result<Vec<u8>> {
        let read = self.socket.read_to_end(&mut self.received);
        timeout(TIMEOUT, read).await.expect("a close in time")?;
        Ok(self.received)
    }

    /// Returns the socket, for a test that sends and reads at the same time.
    pub fn into_socket(self) -> TcpStream {
        assert!(self.received.is_empty());
        self.socket
    }

    async fn read(&mut self) {
        let read = timeout(TIMEOUT, self.socket.read_buf(&mut self.received)).await;
        let read = read.expect("a response in time").expect("no reset");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&self.received));
    }
}
