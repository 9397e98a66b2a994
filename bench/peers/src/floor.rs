//! No server, but the least that one costs: what the kernel asks for.
//!
//!     floor [--batch] 127.0.0.1:9280
//!
//! One thread and one poll. `GET …/TOPIC` gets the head of a stream and stays; the body of `POST …/TOPIC`
//! becomes a frame, which is built once and written to each reader of the topic by one call. With
//! `--batch` all that came for a topic in one round of the poll leaves in one write. There is no
//! history, no keep-alive, no check of anything; a reader whose socket is full is cut off.

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
/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How many events of a poll are served in a round.
const ROUND: usize = 256;
/// What is read at a time, in bytes.
const BUFFER_BYTES: usize = 64 << 10;
/// The longest request, in bytes.
const REQUEST_MAX: usize = 1 << 20;

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    /// A request that is not whole.
    input: Vec<u8>,
    /// Topic and place among its readers.
    seat: Option<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Topic {
    /// The connections that read it.
    readers: Vec<usize>,
    /// What is to be written to them.
    frames: Vec<u8>,
}

#[derive(Debug, Default)]
struct Floor {
    batches: bool,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    names: HashMap<String, usize>,
    topics: Vec<Topic>,
    /// Those with something to write.
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
                *place = Some(Connection { socket, input: Vec::new(), seat: None });
            }
        }
    }

    fn close(&mut self, number: usize) {
        let connection = self.connections.get_mut(number).and_then(Option::take);
        let Some(connection) = connection else { return };
        self.free.push(number);
        let Some((topic, place)) = connection.seat else { return };
        let Some(topic_of) = self.topics.get_mut(topic) else { return };
        topic_of.readers.swap_remove(place);
        if let Some(&moved) = topic_of.readers.get(place)
            && let Some(Some(moved)) = self.connections.get_mut(moved)
        {
            moved.seat = Some((topic, place));
        }
    }

    /// Reads what came and serves the requests in it.
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
            while let Some(length) = self.serve(number, input.get(used..).unwrap_or_default()) {
                used += length;
            }
            input.drain(..used);
            let Some(Some(connection)) = self.connections.get_mut(number) else { return };
            // A reader's buffer is given back, a publisher's used again.
            if !input.is_empty() || connection.seat.is_none() {
                connection.input = input;
            }
            // A read that does not fill the buffer took all there was.
            if count < buffer.len() && !is_closed {
                return;
            }
        }
    }

    /// Serves the request that the input begins with, if it is whole; tells its length.
    fn serve(&mut self, number: usize, input: &[u8]) -> Option<usize> {
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
            connection.seat = Some((topic, topic_of.readers.len()));
            topic_of.readers.push(number);
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

    /// The topic of a name, which may be new.
    fn topic(&mut self, name: &str) -> usize {
        if let Some(&topic) = self.names.get(name) {
            return topic;
        }
        self.topics.push(Topic::default());
        self.names.insert(name.to_owned(), self.topics.len() - 1);
        self.topics.len() - 1
    }

    /// Writes what waits to all who read it.
    fn fan_out(&mut self) {
        while let Some(topic) = self.dirty.pop() {
            let Some(topic) = self.topics.get_mut(topic) else { return };
            let frames = std::mem::take(&mut topic.frames);
            let cut: Vec<usize> = topic
                .readers
                .iter()
                .copied()
                .filter(|number| !write(&mut self.connections, *number, &frames))
                .collect();
            // The room is used again.
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

/// Whether a connection took all of it at once.
fn write(connections: &mut [Option<Connection>], number: usize, bytes: &[u8]) -> bool {
    let Some(Some(connection)) = connections.get_mut(number) else { return false };
    connection.socket.write(bytes).is_ok_and(|count| count == bytes.len())
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let address = words.last().and_then(|word| word.parse().ok());
    let address: SocketAddr = address.context("usage: floor [--batch] ADDRESS:PORT")?;
    ensure!(address.ip().is_loopback(), "it checks nothing, so it serves this machine alone");
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
