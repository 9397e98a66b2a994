//! A minimal client of one event stream.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Maximum number of bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// A stream over HTTP/1.1.
pub(crate) struct Reader {
    stream: TcpStream,
    /// Bytes of the socket, with HTTP head and chunk sizes.
    raw: Vec<u8>,
    /// Number of bytes of the current chunk that have not arrived.
    chunk: usize,
    /// Bytes of the stream that are not part of a complete event yet.
    text: Vec<u8>,
    /// `true` until the response head has arrived.
    head: bool,
    /// The last event id.
    pub(crate) last_id: String,
}

impl Reader {
    /// Opens a stream, after the event with the id `last_id` if given.
    pub(crate) async fn open(
        address: SocketAddr,
        target: &str,
        last_id: Option<&str>,
    ) -> anyhow::Result<Reader> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let cursor = last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{cursor}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let last_id = last_id.unwrap_or_default().to_owned();
        let (raw, text) = (Vec::with_capacity(READ_BYTES), Vec::new());
        Ok(Reader { stream, raw, chunk: 0, text, head: true, last_id })
    }

    /// Reads once and calls `visit` with the data of each event. Returns `false` at the end of the stream.
    pub(crate) async fn read(&mut self, mut visit: impl FnMut(&[u8])) -> anyhow::Result<bool> {
        if self.stream.read_buf(&mut self.raw).await? == 0 {
            return Ok(false);
        }
        if self.head && !self.skip_head()? {
            return Ok(true);
        }
        let continues = self.unchunk()?;
        let mut taken = 0;
        while let Some(rest) = self.text.get(taken..)
            && let Some(length) = memmem::find(rest, b"\n\n")
        {
            let block = rest.get(..length).unwrap_or_default();
            if let Some(id) = field(block, b"id: ") {
                self.last_id.clear();
                self.last_id.push_str(str::from_utf8(id)?);
            }
            match (field(block, b"event: stentor."), field(block, b"data: ")) {
                (Some(b"gap"), _) => bail!("events were lost: {}", String::from_utf8_lossy(block)),
                (None, Some(data)) => visit(data),
                _ => {}
            }
            taken += length + 2;
        }
        self.text.drain(..taken);
        Ok(continues)
    }

    /// Returns `true` once the response head has arrived. Fails if it does not open a stream.
    fn skip_head(&mut self) -> anyhow::Result<bool> {
        let Some(head) = memmem::find(&self.raw, b"\r\n\r\n") else { return Ok(false) };
        if !self.raw.starts_with(b"HTTP/1.1 200") {
            bail!("the response is not a stream: {}", String::from_utf8_lossy(&self.raw));
        }
        self.raw.drain(..head + 4);
        self.head = false;
        Ok(true)
    }

    /// Moves the content of chunks to `text`. Returns `false` after the last chunk.
    fn unchunk(&mut self) -> anyhow::Result<bool> {
        let mut taken = 0;
        let continues = loop {
            let rest = self.raw.get(taken..).unwrap_or_default();
            if self.chunk > 0 {
                let part = rest.get(..self.chunk.min(rest.len())).unwrap_or_default();
                self.text.extend_from_slice(part);
                self.chunk -= part.len();
                taken += part.len();
                if self.chunk > 0 {
                    break true;
                }
                continue;
            }
            // The line break after a chunk is read together with the size of the next one.
            let skipped = usize::from(rest.starts_with(b"\r\n")) * 2;
            let size = rest.get(skipped..).unwrap_or_default();
            let Some(length) = memmem::find(size, b"\r\n") else { break true };
            let digits = str::from_utf8(size.get(..length).unwrap_or_default())?;
            self.chunk = usize::from_str_radix(digits, 16).context("a chunk has no valid size")?;
            taken += skipped + length + 2;
            if self.chunk == 0 {
                break false;
            }
        };
        self.raw.drain(..taken);
        Ok(continues)
    }
}

/// The rest of the first line that starts with `name`.
fn field<'b>(block: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    block.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))
}
