//! A minimal HTTP/1.1 client, so that the load generator uses less CPU than the server.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Maximum number of bytes of a response body.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// A keep-alive connection for one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a complete request and waits for its response.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<Response> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            let Some(head) = memmem::find(&self.buffer, b"\r\n\r\n") else { continue };
            let body = head + 4;
            let length = content_length(self.buffer.get(..head).unwrap_or_default())?;
            if length > RESPONSE_BYTES_MAX {
                bail!("the response has {length} bytes, which is too much");
            }
            if self.buffer.len() >= body + length {
                let status = self.buffer.get(9..12).and_then(|digits| str::from_utf8(digits).ok());
                let status = status.and_then(|digits| digits.parse().ok());
                let body = self.buffer.get(body..body + length).unwrap_or_default().to_vec();
                return Ok(Response { status: status.context("a response has no status")?, body });
            }
        }
    }
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    const NAME: &[u8] = b"content-length: ";
    let at = memmem::find(head, NAME).context("the response has no content-length")?;
    let digits = head.get(at + NAME.len()..).unwrap_or_default();
    let digits = digits.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(str::from_utf8(digits)?.parse()?)
}

/// A request that publishes `body` to a topic.
pub(crate) fn publish(topic: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /topics/{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}
