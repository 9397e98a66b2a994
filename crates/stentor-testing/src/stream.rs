//! A subscriber of an event stream.

use std::collections::VecDeque;

use serde_json::Value;
use stentor_sse::{Decoder, Item};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::TIMEOUT;
use crate::http::{Response, dechunk, find};

/// An event as a subscriber receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The event type; `message` if the event has none.
    pub name: String,
    /// The data.
    pub data: String,
    /// The last event id after this event.
    pub id: String,
}

/// The connection closed before the stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;

/// An open event stream. Dropping it closes the connection.
pub struct EventStream {
    /// The head of the response.
    pub head: Response,
    /// The bytes of the stream so far, without their chunked encoding.
    pub text: Vec<u8>,
    socket: TcpStream,
    /// Received bytes that are not a complete chunk yet.
    partial: Vec<u8>,
    decoder: Decoder,
    events: VecDeque<Received>,
    /// Length of the part of `text` that `line` has returned.
    lines: usize,
    ended: bool,
}

impl EventStream {
    /// Reads the head of the response from a socket on which the request was sent; the status must be 200.
    pub async fn begin(socket: TcpStream) -> EventStream {
        EventStream::begin_with(socket, Vec::new()).await
    }

    /// Reads the head of the response, of which `bytes` were received already; the status must be 200.
    pub async fn begin_with(mut socket: TcpStream, mut bytes: Vec<u8>) -> EventStream {
        let end = loop {
            if let Some(end) = find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            let read = timeout(TIMEOUT, socket.read_buf(&mut bytes)).await;
            let read = read.expect("a response in time").unwrap();
            assert!(read > 0, "closed before the end of the head: {bytes:?}");
        };
        let partial = bytes.split_off(end);
        let mut head = Response::parse(&bytes);
        if head.status != 200 {
            head.body = partial;
            panic!("not a stream: {} {}", head.status, head.text());
        }
        let decoder = Decoder::new();
        let (text, events) = (Vec::new(), VecDeque::new());
        let (lines, ended) = (0, false);
        let mut stream = EventStream { head, text, socket, partial, decoder, events, lines, ended };
        stream.take_chunks();
        stream
    }

    /// Returns the position with which the stream begins.
    pub async fn position(&mut self) -> String {
        let first = self.next_any().await.expect("a first block");
        assert_eq!((first.name.as_str(), first.data.as_str()), ("stentor.cursor", ""), "{first:?}");
        first.id
    }

    /// Returns the id and the data of the gap with which the stream begins.
    pub async fn gap(&mut self) -> (String, Value) {
        let first = self.next_any().await.expect("a first block");
        assert_eq!(first.name, "stentor.gap", "{first:?}");
        (first.id, serde_json::from_str(&first.data).unwrap())
    }

    /// Returns the next event, control events included; `None` at a clean end.
    pub async fn next_any(&mut self) -> Option<Received> {
        self.try_next().await.expect("the connection is not cut")
    }

    /// Returns the next event, control events included; `None` at a clean end.
    ///
    /// # Errors
    ///
    /// Returns [`Disconnected`] if the connection closes before the stream ends.
    pub async fn try_next(&mut self) -> Result<Option<Received>, Disconnected> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// Returns the next line of NDJSON that is not empty; `None` at a clean end.
    pub async fn line(&mut self) -> Option<Value> {
        loop {
            let rest = &self.text[self.lines..];
            if let Some(end) = find(rest, b"\n") {
                let line = rest[..end].to_vec();
                self.lines += end + 1;
                if !line.is_empty() {
                    return Some(serde_json::from_slice(&line).unwrap());
                }
                continue;
            }
            if self.ended {
                assert!(rest.is_empty(), "an unfinished line: {rest:?}");
                return None;
            }
            self.read().await.expect("the connection is not cut");
        }
    }

    /// Returns the next event that is not a position (`stentor.cursor`); `None` at a clean end.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            let event = self.next_any().await?;
            if event.name != "stentor.cursor" {
                return Some(event);
            }
        }
    }

    /// Returns the data of the next `count` events.
    pub async fn data(&mut self, count: usize) -> Vec<String> {
        let mut data = Vec::new();
        while data.len() < count {
            data.push(self.next().await.expect("more events").data);
        }
        data
    }

    /// Reads to the clean end and returns the events that are not positions.
    pub async fn rest(&mut self) -> Vec<Received> {
        let mut rest = Vec::new();
        while let Some(event) = self.next().await {
            rest.push(event);
        }
        rest
    }

    /// Asserts that the server closes an ended stream without a reset, and sends nothing after the end.
    pub async fn closed(mut self) {
        assert!(self.ended, "the stream has not ended");
        let read = timeout(TIMEOUT, self.socket.read_to_end(&mut self.partial)).await;
        read.expect("a close in time").expect("no reset");
        let rest = String::from_utf8_lossy(&self.partial);
        assert!(rest.is_empty(), "{rest:?} after the end");
    }

    /// Sends bytes after the request, which the server does not expect.
    ///
    /// # Errors
    ///
    /// Returns an error if the server has closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// Closes the sending side. Reading continues.
    pub async fn close_write(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        self.socket.set_zero_linger().unwrap();
    }

    /// Reads until the bytes of the stream contain `text`, and returns all of them.
    pub async fn until(&mut self, text: &str) -> String {
        while find(&self.text, text.as_bytes()).is_none() {
            self.more().await;
        }
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// Waits for more bytes.
    pub async fn more(&mut self) {
        assert!(!self.ended, "the stream ended after {:?}", String::from_utf8_lossy(&self.text));
        self.read().await.expect("the connection is not cut");
    }

    /// Returns the id that a browser would send as `Last-Event-ID` when it reconnects.
    pub fn last_event_id(&self) -> String {
        self.decoder.last_event_id().to_owned()
    }

    async fn read(&mut self) -> Result<(), Disconnected> {
        let read = timeout(TIMEOUT, self.socket.read_buf(&mut self.partial)).await;
        match read.expect("more of the stream in time") {
            // Without chunked encoding the close is the end.
            Ok(0) if !self.is_chunked() => self.ended = true,
            Ok(0) | Err(_) => return Err(Disconnected),
            Ok(_) => self.take_chunks(),
        }
        Ok(())
    }

    fn is_chunked(&self) -> bool {
        self.head.header("transfer-encoding") == Some("chunked")
    }

    fn take_chunks(&mut self) {
        let (payload, used, ended) = if self.is_chunked() {
            dechunk(&self.partial)
        } else {
            (self.partial.clone(), self.partial.len(), false)
        };
        self.partial.drain(..used);
        self.ended |= ended;
        let mut input = payload.as_slice();
        while let Some(item) = self.decoder.decode(&mut input) {
            if let Item::Event(event) = item.unwrap() {
                self.events.push_back(Received {
                    name: event.event_type().map_or("message", |name| name.as_str()).to_owned(),
                    data: event.data().to_owned(),
                    id: self.decoder.last_event_id().to_owned(),
                });
            }
        }
        self.text.extend(payload);
    }
}
