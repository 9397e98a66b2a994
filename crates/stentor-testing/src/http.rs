//! Requests that are sent byte by byte as written, and responses.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{EventStream, TIMEOUT, Upload};

/// An HTTP/1.1 request that is sent on its own connection.
#[derive(Clone, Debug)]
pub struct Request {
    address: String,
    head: String,
    body: Option<Vec<u8>>,
}

impl Request {
    /// Builds a request with a `Host` header and without a body.
    pub fn new(address: &str, method: &str, path: &str) -> Request {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
        Request { address: address.to_owned(), head, body: None }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        for part in [name, ": ", value, "\r\n"] {
            self.head.push_str(part);
        }
        self
    }

    /// Sets the body. A `Content-Length` header is added when the request is sent.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// Sends the request with `Connection: close` and reads the whole response.
    pub async fn send(self) -> Response {
        let request = self.header("Connection", "close");
        let mut stream = request.connect().await;
        let mut bytes = Vec::new();
        timeout(TIMEOUT, stream.read_to_end(&mut bytes))
            .await
            .expect("a response in time")
            .expect("no reset");
        Response::parse(&bytes)
    }

    /// Sends the request and returns the stream of the response, whose status must be 200.
    pub async fn open(self) -> EventStream {
        let stream = self.connect().await;
        EventStream::begin(stream).await
    }

    /// Sends the head of the request with a chunked body that the test sends.
    pub async fn upload(self) -> Upload {
        let request = self.header("Transfer-Encoding", "chunked");
        Upload::new(request.connect().await)
    }

    /// Sends the request and returns the socket, from which nothing was read.
    pub async fn connect(self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let mut head = self.head;
        if let Some(body) = &self.body {
            head = format!("{head}Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server may respond and close the connection before it has read all of a large body.
        let _ = stream.write_all(&self.body.unwrap_or_default()).await;
        stream
    }
}

/// Sends these bytes and returns what the server sends until it closes the connection.
pub async fn send_raw(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut response = Vec::new();
    let _ = timeout(TIMEOUT, stream.read_to_end(&mut response)).await.expect("a response in time");
    response
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body without its chunked encoding.
    pub body: Vec<u8>,
}

impl Response {
    /// Parses a response. A `100 Continue` before it is skipped.
    pub fn parse(bytes: &[u8]) -> Response {
        let end = find(bytes, b"\r\n\r\n")
            .unwrap_or_else(|| panic!("the response has no head: {bytes:?}"));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        if status == 100 {
            return Response::parse(&bytes[end + 4..]);
        }
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap_or((line, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut response = Response { status, headers, body: bytes[end + 4..].to_vec() };
        if response.header("transfer-encoding") == Some("chunked") {
            response.body = dechunk(&response.body).0;
        }
        response
    }

    /// Returns the first header with this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Asserts that the response is a problem with this status and code, and returns its detail.
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

/// Decodes the complete chunks at the start of `bytes`.
///
/// Returns their payload, the number of bytes they take, and `true` if the last chunk is among them.
pub fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let whole = bytes.len();
    let mut payload = Vec::new();
    while let Some(line) = find(bytes, b"\r\n") {
        let size = std::str::from_utf8(&bytes[..line]).unwrap();
        let size = usize::from_str_radix(size, 16)
            .unwrap_or_else(|_| panic!("invalid chunk size {size:?}"));
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

/// Returns the index of the first occurrence of `wanted`.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
