//! The body of an answer that goes on, piece by piece, until it ends or breaks.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::kills::connection::{Broken, head_end};

/// A stream says something every 18 s at the latest.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// What is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// An open stream. Dropping it closes the connection.
pub struct Stream {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the chunk under way that are still to come, its line break included.
    rest: usize,
    /// Whether the last chunk was there.
    is_over: bool,
}

pub enum Opened {
    Stream(Stream),
    /// 204: there is nothing more, ever.
    Finished,
}

impl Stream {
    /// Asks for a stream, behind a cursor unless that is empty.
    pub async fn open(
        address: &str,
        path: &str,
        accept: &str,
        cursor: &str,
    ) -> Result<Opened, Broken> {
        let mut socket = TcpStream::connect(address).await?;
        let cursor =
            if cursor.is_empty() { String::new() } else { format!("Last-Event-ID: {cursor}\r\n") };
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\n{cursor}\r\n");
        socket.write_all(head.as_bytes()).await?;
        let mut stream = Stream { socket, buffer: Vec::new(), rest: 0, is_over: false };
        let end = loop {
            match head_end(&stream.buffer) {
                Some(end) => break end,
                None => stream.more().await?,
            }
        };
        let head: Vec<u8> = stream.buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head);
        match head.split(' ').nth(1) {
            Some("200") => Ok(Opened::Stream(stream)),
            Some("204") => Ok(Opened::Finished),
            _ => panic!("{path} is answered {head}"),
        }
    }

    /// The next bytes of the body; `None` at its clean end.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        loop {
            let mut piece = Vec::new();
            self.unchunk(&mut piece);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if self.is_over {
                return Ok(None);
            }
            self.more().await?;
        }
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        let _ = self.socket.set_zero_linger();
    }

    async fn more(&mut self) -> Result<(), Broken> {
        self.buffer.reserve(PIECE_BYTES);
        let read = timeout(SILENCE_MAX, self.socket.read_buf(&mut self.buffer)).await;
        match read.unwrap_or_else(|_| panic!("a stream is silent for {SILENCE_MAX:?}"))? {
            0 => Err(Broken),
            _ => Ok(()),
        }
    }

    /// Takes the payload out of the chunks that are there.
    fn unchunk(&mut self, piece: &mut Vec<u8>) {
        let mut at = 0;
        while !self.is_over {
            let there = &self.buffer[at..];
            let take = self.rest.min(there.len());
            let payload = take.min(self.rest.saturating_sub(2));
            piece.extend_from_slice(&there[..payload]);
            self.rest -= take;
            at += take;
            let Some(line) = self.buffer[at..].windows(2).position(|pair| pair == b"\r\n") else {
                break;
            };
            let size = std::str::from_utf8(&self.buffer[at..at + line]).unwrap();
            let size =
                usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("a chunk of {size:?}"));
            at += line + 2;
            if size == 0 {
                self.is_over = true;
            } else {
                self.rest = size + 2;
            }
        }
        self.buffer.drain(..at);
    }
}
