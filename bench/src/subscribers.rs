//! Many subscribers on one thread, as cheap as possible, so that the server is the bottleneck.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use memchr::memchr;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use stentor_load::{is_not_ready, start_connect};
use tokio::time::Instant;

/// Number of connects that are started before the poll is checked.
const CONNECTS_IN_A_ROW: usize = 64;
/// Maximum time until all subscribers have reached a state.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Subscribers of one topic. The data of its events starts with a number of ten digits, or with other text.
pub(crate) struct Subscribers {
    poll: Poll,
    all: Vec<Subscriber>,
    /// Subscribers that wait to connect; the next one is the last.
    due: Vec<usize>,
    address: SocketAddr,
    target: String,
    /// Maximum number of subscribers that wait for their response head at a time.
    at_once: usize,
    /// Number of events that were missed. It is also the number of the first event that is received live.
    missed: u64,
    pub(crate) progress: Progress,
}

/// Numbers of subscribers that have reached a state, and of errors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Subscribers that have received a response head.
    pub(crate) connected: usize,
    /// Subscribers that have received an event without a number.
    pub(crate) greeted: usize,
    /// Subscribers that have received the last missed event, or a later one.
    pub(crate) caught_up: usize,
    /// Subscribers that have received the event after the missed ones.
    pub(crate) live: usize,
    /// Events that did not arrive.
    pub(crate) lost: u64,
    /// Events that arrived twice.
    pub(crate) duplicated: u64,
    /// Connections that broke.
    pub(crate) broken: usize,
}

#[derive(Default)]
struct Subscriber {
    socket: Option<TcpStream>,
    has_requested: bool,
    is_connected: bool,
    is_greeted: bool,
    /// Number of the next event.
    next: u64,
    last_id: String,
    /// The start of an incomplete line.
    line: Vec<u8>,
}

impl Subscribers {
    pub(crate) fn new(count: usize, missed: u64) -> anyhow::Result<Subscribers> {
        Ok(Subscribers {
            poll: Poll::new()?,
            all: (0..count).map(|_| Subscriber::default()).collect(),
            due: Vec::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            target: String::new(),
            at_once: 0,
            missed,
            progress: Progress::default(),
        })
    }

    /// Closes all connections, and starts new ones to `target`, each after the last event of the subscriber.
    pub(crate) fn reconnect(&mut self, address: SocketAddr, target: &str, at_once: usize) {
        (self.address, self.at_once) = (address, at_once);
        target.clone_into(&mut self.target);
        self.all.iter_mut().for_each(Subscriber::disconnect);
        self.due = (0..self.all.len()).rev().collect();
        self.progress = Progress { greeted: self.progress.greeted, ..Progress::default() };
    }

    /// Reads until all subscribers are counted by `count`.
    pub(crate) fn wait_for_all(&mut self, count: fn(&Progress) -> usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 << 10];
        while count(&self.progress) < self.all.len() {
            if begun.elapsed() > TIMEOUT {
                let (all, progress) = (self.all.len(), self.progress);
                bail!("not all of {all} subscribers are ready after {TIMEOUT:?}: {progress:?}");
            }
            let timeout =
                if self.connect_some()? { Duration::ZERO } else { Duration::from_millis(10) };
            self.poll.poll(&mut events, Some(timeout))?;
            for event in &events {
                self.handle(event.token().0, &mut buffer)?;
            }
        }
        Ok(())
    }

    /// Starts to connect some subscribers that are due. Returns `true` if more could be started.
    fn connect_some(&mut self) -> anyhow::Result<bool> {
        for _ in 0..CONNECTS_IN_A_ROW {
            let started = self.all.len() - self.due.len();
            if started.saturating_sub(self.progress.connected) >= self.at_once {
                return Ok(false);
            }
            let Some(number) = self.due.pop() else { return Ok(false) };
            let mut socket = start_connect(self.address, number, None)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(number), interest)?;
            if let Some(subscriber) = self.all.get_mut(number) {
                subscriber.socket = Some(socket);
            }
        }
        Ok(true)
    }

    /// Writes the request of a subscriber, and reads until its socket is empty.
    fn handle(&mut self, number: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        let Some(subscriber) = self.all.get_mut(number) else { return Ok(()) };
        let was_connected = subscriber.is_connected;
        match subscriber.advance(&self.target, buffer, self.missed, &mut self.progress) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error.into()),
            Err(_) => {}
        }
        self.progress.connected -= usize::from(was_connected);
        self.progress.broken += 1;
        subscriber.disconnect();
        self.due.push(number);
        Ok(())
    }
}

impl Subscriber {
    fn disconnect(&mut self) {
        self.socket = None;
        (self.has_requested, self.is_connected) = (false, false);
        self.line.clear();
    }

    fn advance(
        &mut self,
        target: &str,
        buffer: &mut [u8],
        missed: u64,
        progress: &mut Progress,
    ) -> io::Result<()> {
        let Some(mut socket) = self.socket.take() else { return Ok(()) };
        if !self.has_requested {
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            // A request is so short that one write is enough.
            match socket.write(request(target, &self.last_id).as_bytes()) {
                Ok(_) => self.has_requested = true,
                Err(error) if must_wait(&error) => {}
                Err(error) => return Err(error),
            }
        }
        while self.has_requested {
            match socket.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.take(buffer.get(..count).unwrap_or_default(), missed, progress)?;
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(error) if must_wait(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.socket = Some(socket);
        Ok(())
    }

    /// Handles lines. The servers under test end chunks where blocks end, so no line is split by a chunk size.
    fn take(&mut self, mut bytes: &[u8], missed: u64, progress: &mut Progress) -> io::Result<()> {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.take_line(line, missed, progress)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole, missed, progress)?;
            }
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], missed: u64, progress: &mut Progress) -> io::Result<()> {
        let text = str::from_utf8(line).map_err(io::Error::other)?.trim_end_matches('\r');
        if let Some(status) = text.strip_prefix("HTTP/1.1 ") {
            if !status.starts_with("200") {
                return Err(io::Error::new(io::ErrorKind::InvalidData, text.to_owned()));
            }
            self.is_connected = true;
            progress.connected += 1;
        } else if let Some(id) = text.strip_prefix("id: ") {
            self.last_id.clear();
            self.last_id.push_str(id);
        } else if text.starts_with("event: stentor.gap") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a subscriber got a gap"));
        } else if let Some(data) = text.strip_prefix("data: ").filter(|data| !data.is_empty()) {
            match data.get(..10).and_then(|digits| digits.parse().ok()) {
                Some(number) => self.take_event(number, missed, progress),
                None if self.is_greeted => {}
                None => {
                    self.is_greeted = true;
                    progress.greeted += 1;
                }
            }
        }
        Ok(())
    }

    fn take_event(&mut self, number: u64, missed: u64, progress: &mut Progress) {
        if number < self.next {
            progress.duplicated += 1;
            return;
        }
        progress.lost += number - self.next;
        let reaches = |goal: u64| usize::from(self.next < goal && number + 1 >= goal);
        progress.caught_up += reaches(missed);
        progress.live += reaches(missed + 1);
        self.next = number + 1;
    }
}

fn request(target: &str, last_id: &str) -> String {
    let cursor =
        if last_id.is_empty() { String::new() } else { format!("Last-Event-ID: {last_id}\r\n") };
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{cursor}\r\n")
}

/// Returns `true` if the operation must be repeated when the socket is ready.
fn must_wait(error: &io::Error) -> bool {
    is_not_ready(error) || error.kind() == io::ErrorKind::Interrupted
}
