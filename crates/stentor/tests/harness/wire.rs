//! A connection that is written and read just as a test likes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::http::{Answer, find};
use super::{EventStream, PATIENCE, Server};

/// A connection without any request yet. Dropping it closes it.
pub struct Wire {
    socket: TcpStream,
    /// What has come and was not looked at yet.
    ahead: Vec<u8>,
}

impl Server {
    /// Connects, and says nothing.
    pub async fn wire(&self) -> Wire {
        let socket = TcpStream::connect(&self.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Wire { socket, ahead: Vec::new() }
    }

    /// The same with a socket that takes little, so that what is not read soon waits at the server.
    pub async fn narrow_wire(&self) -> Wire {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let socket = socket.connect(self.address.parse().unwrap()).await.unwrap();
        Wire { socket, ahead: Vec::new() }
    }
}

/// The text of a request without a body. More header lines go between.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The text of a request that publishes.
pub fn post(path: &str, data: &str) -> String {
    let length = data.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{data}")
}

impl Wire {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.expect("the server takes it");
    }

    /// Sends this if the server has not closed the connection yet.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref()).await;
    }

    /// Sends each of these bytes by itself.
    pub async fn send_bytewise(&mut self, text: &str) {
        for byte in text.bytes() {
            self.send([byte]).await;
            // The server may have read it by then; in most cases it has.
            tokio::task::yield_now().await;
        }
    }

    /// The next answer. An interim one (`100 Continue`) is one, too.
    pub async fn answer(&mut self) -> Answer {
        let head = loop {
            match find(&self.ahead, b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read().await,
            }
        };
        let rest = self.ahead.split_off(head);
        let head = std::mem::replace(&mut self.ahead, rest);
        if head.starts_with(b"HTTP/1.1 100") {
            return Answer { status: 100, headers: Vec::new(), body: Vec::new() };
        }
        let mut answer = Answer::parse(&head);
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.ahead.len() < length {
            self.read().await;
        }
        let rest = self.ahead.split_off(length);
        answer.body = std::mem::replace(&mut self.ahead, rest);
        answer
    }

    /// Reads a hundred times a few bytes, which are kept for what is read later.
    pub async fn read_slowly(&mut self) {
        for _ in 0..100 {
            let mut few = [0; 7];
            let read = timeout(PATIENCE, self.socket.read(&mut few)).await;
            let read = read.expect("an answer").expect("no reset");
            self.ahead.extend_from_slice(&few[..read]);
            tokio::task::yield_now().await;
        }
    }

    /// What comes now is a stream.
    pub async fn stream(self) -> EventStream {
        EventStream::begin_with(self.socket, self.ahead).await
    }

    /// Says that it sends nothing more, and goes on reading.
    pub async fn shut(&mut self) {
        // The server may have closed it already.
        let _ = self.socket.shutdown().await;
    }

    /// Closes it with a reset.
    pub fn reset(self) {
        self.socket.set_zero_linger().unwrap();
    }

    /// Reads until the server closes, and gives what came. A reset is an error.
    pub async fn until_closed(mut self) -> std::io::Result<Vec<u8>> {
        let read = self.socket.read_to_end(&mut self.ahead);
        timeout(PATIENCE, read).await.expect("the server closes it")?;
        Ok(self.ahead)
    }

    /// Its two sides, for a test that sends and reads at the same time.
    pub fn into_socket(self) -> TcpStream {
        assert!(self.ahead.is_empty());
        self.socket
    }

    async fn read(&mut self) {
        let read = timeout(PATIENCE, self.socket.read_buf(&mut self.ahead)).await;
        let read = read.expect("an answer").expect("no reset");
        assert!(read > 0, "closed in the middle of {:?}", String::from_utf8_lossy(&self.ahead));
    }
}
