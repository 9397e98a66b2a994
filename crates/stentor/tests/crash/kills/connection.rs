//! A keep-alive connection that is opened again when it breaks.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::TIMEOUT;

/// The other side has closed the connection, or does not listen.
#[derive(Clone, Copy, Debug)]
pub struct Broken;

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Broken {
        Broken
    }
}

pub struct Connection {
    address: String,
    socket: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// A response with a `Content-Length`.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

/// The end of a response head at the start of these bytes.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

impl Connection {
    pub fn new(address: &str) -> Connection {
        Connection { address: address.to_owned(), socket: None, buffer: Vec::new() }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request and waits for its response.
    pub async fn call(&mut self, request: &[u8]) -> Result<Response, Broken> {
        self.send(request).await?;
        self.response().await
    }

    /// Sends bytes of a request.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let sent = self.try_send(bytes).await;
        if sent.is_err() {
            self.socket = None;
        }
        sent
    }

    async fn try_send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                self.buffer.clear();
                let socket = TcpStream::connect(&self.address).await?;
                socket.set_nodelay(true)?;
                none.insert(socket)
            }
        };
        Ok(socket.write_all(bytes).await?)
    }

    /// Reads the response to the request that was sent.
    pub async fn response(&mut self) -> Result<Response, Broken> {
        let answer = timeout(TIMEOUT, self.read_response()).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer within {TIMEOUT:?}"));
        if answer.is_err() {
            self.socket = None;
        }
        answer
    }

    async fn read_response(&mut self) -> Result<Response, Broken> {
        loop {
            if let Some(end) = head_end(&self.buffer) {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                let length = head
                    .split_once("content-length: ")
                    .and_then(|(_, rest)| rest.split("\r\n").next());
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                if self.buffer.len() >= end + length {
                    let body = self.buffer[end..end + length].to_vec();
                    self.buffer.drain(..end + length);
                    if head.contains("connection: close") {
                        self.socket = None;
                    }
                    return Ok(Response { status: status.ok_or(Broken)?, body });
                }
            }
            let socket = self.socket.as_mut().ok_or(Broken)?;
            if socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(Broken);
            }
        }
    }

    /// Closes the connection with a reset.
    pub fn reset(&mut self) {
        if let Some(socket) = self.socket.take() {
            let _ = socket.set_zero_linger();
        }
    }
}

impl Response {
    pub fn is_success(&self) -> bool {
        matches!(self.status, 200 | 201)
    }

    /// A string field of the JSON body.
    pub fn text(&self, name: &str) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body[name].as_str()?.to_owned())
    }
}
