//! A reader of a stream.

use std::collections::VecDeque;

use serde_json::Value;
use stentor_sse::{Decoder, Item};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;
use super::http::{Answer, dechunk, find};

/// An event as a reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub name: String,
    pub data: String,
    pub id: String,
}

/// A stream that broke off without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// An open stream. Dropping it closes the connection.
pub struct EventStream {
    pub head: Answer,
    /// The wire bytes so far, out of their chunks.
    pub text: Vec<u8>,
    socket: TcpStream,
    /// Bytes that are not a whole chunk yet.
    partial: Vec<u8>,
    decoder: Decoder,
    events: VecDeque<Received>,
    /// How much of the text was handed out as lines.
    lines: usize,
    ended: bool,
}

impl EventStream {
    pub async fn begin(socket: TcpStream) -> EventStream {
        EventStream::begin_with(socket, Vec::new()).await
    }

    /// The same where these bytes have come already.
    pub async fn begin_with(mut socket: TcpStream, mut bytes: Vec<u8>) -> EventStream {
        let end = loop {
            if let Some(end) = find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            let read =
                timeout(PATIENCE, socket.read_buf(&mut bytes)).await.expect("a head").unwrap();
            assert!(read > 0, "closed before the head: {bytes:?}");
        };
        let partial = bytes.split_off(end);
        let mut head = Answer::parse(&bytes);
        if head.status != 200 {
            head.body = partial;
            panic!("no stream: {} {}", head.status, head.text());
        }
        let decoder = Decoder::new();
        let (text, events) = (Vec::new(), VecDeque::new());
        let (lines, ended) = (0, false);
        let mut stream = EventStream { head, text, socket, partial, decoder, events, lines, ended };
        stream.take_chunks();
        stream
    }

    /// The position with which it begins.
    pub async fn position(&mut self) -> String {
        let first = self.next_any().await.expect("a first block");
        assert_eq!((first.name.as_str(), first.data.as_str()), ("stentor.cursor", ""), "{first:?}");
        first.id
    }

    /// The gap with which it begins: its id and its data.
    pub async fn gap(&mut self) -> (String, Value) {
        let first = self.next_any().await.expect("a first block");
        assert_eq!(first.name, "stentor.gap", "{first:?}");
        (first.id, serde_json::from_str(&first.data).unwrap())
    }

    /// The next event, control events included; `None` at a clean end.
    pub async fn next_any(&mut self) -> Option<Received> {
        self.next_or_cut().await.expect("no end but a clean one")
    }

    /// The same of a stream that may break off.
    pub async fn next_or_cut(&mut self) -> Result<Option<Received>, Cut> {
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

    /// The next line of NDJSON that is not empty; `None` at a clean end.
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
            self.read().await.expect("no end but a clean one");
        }
    }

    /// The next event that is not the server's own position.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            let event = self.next_any().await?;
            if event.name != "stentor.cursor" {
                return Some(event);
            }
        }
    }

    /// The data of the next so many events.
    pub async fn data(&mut self, count: usize) -> Vec<String> {
        let mut data = Vec::new();
        while data.len() < count {
            data.push(self.next().await.expect("more events").data);
        }
        data
    }

    /// Reads to the clean end.
    pub async fn rest(&mut self) -> Vec<Received> {
        let mut rest = Vec::new();
        while let Some(event) = self.next().await {
            rest.push(event);
        }
        rest
    }

    /// After the end of the stream: waits until the server has closed the connection, which must be no
    /// reset, and insists that nothing came behind the end.
    pub async fn closed(mut self) {
        assert!(self.ended, "the stream goes on");
        let read = timeout(PATIENCE, self.socket.read_to_end(&mut self.partial)).await;
        read.expect("a close").expect("no reset");
        let rest = String::from_utf8_lossy(&self.partial);
        assert!(rest.is_empty(), "{rest:?} behind the end");
    }

    /// Sends something to the server, which expects nothing more.
    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// Says that nothing more will be sent.
    pub async fn shut(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        self.socket.set_zero_linger().unwrap();
    }

    /// Reads until the bytes hold this text, and gives all of them.
    pub async fn until(&mut self, text: &str) -> String {
        while find(&self.text, text.as_bytes()).is_none() {
            self.more().await;
        }
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// Waits for more bytes.
    pub async fn more(&mut self) {
        assert!(!self.ended, "the stream ended after {:?}", String::from_utf8_lossy(&self.text));
        self.read().await.expect("no end but a clean one");
    }

    /// The id with which a browser would come back.
    pub fn last_event_id(&self) -> String {
        self.decoder.last_event_id().to_owned()
    }

    async fn read(&mut self) -> Result<(), Cut> {
        let read = timeout(PATIENCE, self.socket.read_buf(&mut self.partial)).await;
        match read.expect("more of the stream") {
            // Without chunks the close is the end.
            Ok(0) if !self.is_chunked() => self.ended = true,
            Ok(0) | Err(_) => return Err(Cut),
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
