//! A bare epoll loop. It shows the minimum cost of a server: the system calls. Usage:
//!
//!     floor [--batch] 127.0.0.1:9280
//!
//! It uses one thread and one poll. `GET …/TOPIC` opens a stream. The body of `POST …/TOPIC` becomes a frame, which is
//! built once and written to each subscriber of the topic by one call. With `--batch`, all events of a topic in one
//! round of the poll are written together. It has no history and no keep-alive, and checks nothing. A subscriber whose
//! socket is full is disconnected.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::str;

use anyhow::{Context, ensure};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use socket2::{Domain, Socket, Type};

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n";
const ACKNOWLEDGED: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const LISTENER: Token = Token(usize::MAX);
/// Maximum number of connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Maximum number of poll events in a round.
const ROUND: usize = 256;
/// Maximum number of bytes read at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// Maximum number of bytes of a request.
const REQUEST_MAX: usize = 1 << 20;

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    /// An incomplete request.
    input: Vec<u8>,
    /// The topic, and the index among its subscribers.
    subscription: Option<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Topic {
    /// Connections that subscribe to it.
    subscribers: Vec<usize>,
    /// Bytes to write to them.
    frames: Vec<u8>,
}

#[derive(Debug, Default)]
struct Floor {
    batches: bool,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    names: HashMap<String, usize>,
    topics: Vec<Topic>,
    /// Topics with bytes to write.
    dirty: Vec<usize>,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> anyhow::Result<()> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accepting"),
            };
            socket.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            registry.register(&mut socket, Token(number), Interest::READABLE)?;
            if let Some(place) = self.connections.get_mut(number) {
                *place = Some(Connection { socket, input: Vec::new(), subscription: None });
            }
        }
    }

    fn close(&mut self, number: usize) {
        let connection = self.connections.get_mut(number).and_then(Option::take);
        let Some(connection) = connection else { return };
        self.free.push(number);
        let Some((topic, place)) = connection.subscription else { return };
        let Some(topic_of) = self.topics.get_mut(topic) else { return };
        topic_of.subscribers.swap_remove(place);
        if let Some(&moved) = topic_of.subscribers.get(place)
            && let Some(Some(moved)) = self.connections.get_mut(moved)
        {
            moved.subscription = Some((topic, place));
        }
    }

    /// Reads from a connection, and handles the complete requests.
    fn read(&mut self, number: usize, is_closed: bool, buffer: &mut [u8]) {
        loop {
            let Some(Some(connection)) = self.connections.get_mut(number) else { return };
            let count = match connection.socket.read(buffer) {
                Ok(count) if count > 0 && connection.input.len() < REQUEST_MAX => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                _ => return self.close(number),
            };
            let mut input = std::mem::take(&mut connection.input);
            input.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let mut used = 0;
            while let Some(length) = self.handle(number, input.get(used..).unwrap_or_default()) {
                used += length;
            }
            input.drain(..used);
            let Some(Some(connection)) = self.connections.get_mut(number) else { return };
            // Only publishers keep their buffer.
            if !input.is_empty() || connection.subscription.is_none() {
                connection.input = input;
            }
            // A read that does not fill the buffer has emptied the socket.
            if count < buffer.len() && !is_closed {
                return;
            }
        }
    }

    /// Handles the request at the start of the input. Returns its length, or `None` if it is incomplete.
    fn handle(&mut self, number: usize, input: &[u8]) -> Option<usize> {
        let head = memchr::memmem::find(input, b"\r\n\r\n")? + 4;
        let text = str::from_utf8(input.get(..head)?).unwrap_or_default();
        let length = |line: &str| line.strip_prefix("Content-Length: ")?.parse().ok();
        let length: usize = text.lines().find_map(length).unwrap_or(0);
        let body = input.get(head..head + length)?;
        let mut words = text.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let topic = self.topic(path.rsplit('/').next().unwrap_or_default());
        let topic_of = self.topics.get_mut(topic)?;
        if method == "GET" {
            let connection = self.connections.get_mut(number)?.as_mut()?;
            connection.subscription = Some((topic, topic_of.subscribers.len()));
            topic_of.subscribers.push(number);
            self.write(number, HEAD);
        } else {
            if topic_of.frames.is_empty() {
                self.dirty.push(topic);
            }
            for part in [b"data: ", body, b"\n\n"] {
                topic_of.frames.extend_from_slice(part);
            }
            if !self.batches {
                self.fan_out();
            }
            self.write(number, ACKNOWLEDGED);
        }
        Some(head + length)
    }

    /// The index of a topic, which is created if needed.
    fn topic(&mut self, name: &str) -> usize {
        if let Some(&topic) = self.names.get(name) {
            return topic;
        }
        self.topics.push(Topic::default());
        self.names.insert(name.to_owned(), self.topics.len() - 1);
        self.topics.len() - 1
    }

    /// Writes the pending bytes of all topics to their subscribers.
    fn fan_out(&mut self) {
        while let Some(topic) = self.dirty.pop() {
            let Some(topic) = self.topics.get_mut(topic) else { return };
            let frames = std::mem::take(&mut topic.frames);
            let cut: Vec<usize> = topic
                .subscribers
                .iter()
                .copied()
                .filter(|number| !write(&mut self.connections, *number, &frames))
                .collect();
            // The buffer is used again.
            topic.frames = frames;
            topic.frames.clear();
            for number in cut {
                self.close(number);
            }
        }
    }

    fn write(&mut self, number: usize, bytes: &[u8]) {
        write(&mut self.connections, number, bytes);
    }
}

/// Writes to a connection. Returns `true` if it accepted all bytes at once.
fn write(connections: &mut [Option<Connection>], number: usize, bytes: &[u8]) -> bool {
    let Some(Some(connection)) = connections.get_mut(number) else { return false };
    connection.socket.write(bytes).is_ok_and(|count| count == bytes.len())
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let address = words.last().and_then(|word| word.parse().ok());
    let address: SocketAddr = address.context("usage: floor [--batch] ADDRESS:PORT")?;
    ensure!(
        address.ip().is_loopback(),
        "it checks nothing, so it only listens on a loopback address"
    );
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let mut listener = TcpListener::from_std(socket.into());
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(ROUND);
    let mut buffer = vec![0; BUFFER_BYTES];
    let batches = words.iter().any(|word| word == "--batch");
    let mut floor = Floor { batches, ..Floor::default() };
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener, poll.registry())?,
                Token(number) => floor.read(number, event.is_read_closed(), &mut buffer),
            }
        }
        floor.fan_out();
    }
}
