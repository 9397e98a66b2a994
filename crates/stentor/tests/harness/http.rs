//! Requests, byte by byte as they are written here.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{EventStream, PATIENCE, Upload};

/// A request to be sent on a connection of its own.
#[derive(Clone)]
pub struct Request {
    address: String,
    head: String,
    body: Option<Vec<u8>>,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(address: &str, method: &str, path: &str) -> Request {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
        Request { address: address.to_owned(), head, body: None }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        for part in [name, ": ", value, "\r\n"] {
            self.head.push_str(part);
        }
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Answer {
        let request = self.header("Connection", "close");
        let mut stream = request.connect().await;
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes))
            .await
            .expect("an answer")
            .expect("no reset");
        Answer::parse(&bytes)
    }

    /// Sends it and reads the head of the answer, which must be 200; the rest is a stream.
    pub async fn open(self) -> EventStream {
        let stream = self.connect().await;
        EventStream::begin(stream).await
    }

    /// Sends the head, and leaves the body to the test.
    pub async fn upload(self) -> Upload {
        let request = self.header("Transfer-Encoding", "chunked");
        Upload::new(request.connect().await)
    }

    /// Sends it and gives the socket.
    pub async fn connect(self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let mut head = self.head;
        if let Some(body) = &self.body {
            head = format!("{head}Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // An early answer may close the connection before all of a large body is out.
        let _ = stream.write_all(&self.body.unwrap_or_default()).await;
        stream
    }
}

/// Sends these bytes and reads whatever comes until the server closes.
pub async fn raw(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer");
    answer
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Answer {
        let end = find(bytes, b"\r\n\r\n").unwrap_or_else(|| panic!("no head in {bytes:?}"));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        if status == 100 {
            return Answer::parse(&bytes[end + 4..]);
        }
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap_or((line, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = dechunk(&answer.body).0;
        }
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Asserts that it is a problem of this status and code, and gives its detail.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// The payload of the whole chunks, how many bytes these took, and whether the last one is among them.
pub fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let whole = bytes.len();
    let mut payload = Vec::new();
    while let Some(line) = find(bytes, b"\r\n") {
        let size = std::str::from_utf8(&bytes[..line]).unwrap();
        let size =
            usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("a chunk size: {size:?}"));
        let end = line + 2 + size + 2;
        if bytes.len() < end {
            break;
        }
        payload.extend_from_slice(&bytes[line + 2..line + 2 + size]);
        bytes = &bytes[end..];
        if size == 0 {
            return (payload, whole - bytes.len(), true);
        }
    }
    (payload, whole - bytes.len(), false)
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
