//! A crowd of readers on one thread: an epoll loop that is lean, so that it is the server that is measured.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::bail;
use memchr::memchr;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::time::Instant;

/// Connects that are begun before the crowd looks at what came.
const CONNECTS_IN_A_ROW: usize = 64;
/// A pair of addresses has some 28,000 ports, and one that was closed rests for a minute. So connections
/// come from so many addresses, beginning with 127.0.1.1.
const SOURCES: u32 = 16;
const FIRST_SOURCE: u32 = 0x7f00_0101;
/// How long all may take to get what they wait for.
const PATIENCE: Duration = Duration::from_mins(2);

/// Readers of one topic, whose events begin with a number of ten digits, or with something else.
pub(crate) struct Crowd {
    poll: Poll,
    readers: Vec<Reader>,
    /// Who is to connect, the next one last.
    due: Vec<usize>,
    address: SocketAddr,
    target: String,
    /// How many may wait for their answers at a time.
    at_once: usize,
    /// How many events were missed: that of this number is the first which a reader gets live.
    missed: u64,
    pub(crate) tally: Tally,
}

/// How far the readers have come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Who has the head of an answer.
    pub(crate) connected: usize,
    /// Who has had an event without a number.
    pub(crate) greeted: usize,
    /// Who has had the last of the missed events, or a later one.
    pub(crate) caught_up: usize,
    /// Who has had the event after them.
    pub(crate) live: usize,
    /// Events that did not come, and that came twice.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Connections that broke.
    pub(crate) broken: usize,
}

#[derive(Default)]
struct Reader {
    socket: Option<TcpStream>,
    is_asked: bool,
    is_connected: bool,
    is_greeted: bool,
    /// The number of the next event.
    next: u64,
    last_id: String,
    /// A line whose rest is still to come.
    line: Vec<u8>,
}

impl Crowd {
    pub(crate) fn new(readers: usize, missed: u64) -> anyhow::Result<Crowd> {
        Ok(Crowd {
            poll: Poll::new()?,
            readers: (0..readers).map(|_| Reader::default()).collect(),
            due: Vec::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            target: String::new(),
            at_once: 0,
            missed,
            tally: Tally::default(),
        })
    }

    /// Has all readers leave, and then ask for a target, each after the last event it has had.
    pub(crate) fn come(&mut self, address: SocketAddr, target: &str, at_once: usize) {
        (self.address, self.at_once) = (address, at_once);
        target.clone_into(&mut self.target);
        self.readers.iter_mut().for_each(Reader::leave);
        self.due = (0..self.readers.len()).rev().collect();
        self.tally = Tally { greeted: self.tally.greeted, ..Tally::default() };
    }

    /// Reads until all have come so far.
    pub(crate) fn until_all(&mut self, have: fn(&Tally) -> usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 << 10];
        while have(&self.tally) < self.readers.len() {
            if begun.elapsed() > PATIENCE {
                bail!("of {} readers, after {PATIENCE:?}: {:?}", self.readers.len(), self.tally);
            }
            let pause =
                if self.connect_some()? { Duration::ZERO } else { Duration::from_millis(10) };
            self.poll.poll(&mut events, Some(pause))?;
            for event in &events {
                self.serve(event.token().0, &mut buffer)?;
            }
        }
        Ok(())
    }

    /// Begins to connect some of those who are due; whether more could be begun.
    fn connect_some(&mut self) -> anyhow::Result<bool> {
        for _ in 0..CONNECTS_IN_A_ROW {
            let begun = self.readers.len() - self.due.len();
            if begun.saturating_sub(self.tally.connected) >= self.at_once {
                return Ok(false);
            }
            let Some(number) = self.due.pop() else { return Ok(false) };
            let mut socket = connect(self.address, number)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(number), interest)?;
            if let Some(reader) = self.readers.get_mut(number) {
                reader.socket = Some(socket);
            }
        }
        Ok(true)
    }

    /// Asks, and reads what there is.
    fn serve(&mut self, number: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        let Some(reader) = self.readers.get_mut(number) else { return Ok(()) };
        let was_connected = reader.is_connected;
        match reader.go_on(&self.target, buffer, self.missed, &mut self.tally) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error.into()),
            Err(_) => {}
        }
        self.tally.connected -= usize::from(was_connected);
        self.tally.broken += 1;
        reader.leave();
        self.due.push(number);
        Ok(())
    }
}

impl Reader {
    fn leave(&mut self) {
        self.socket = None;
        (self.is_asked, self.is_connected) = (false, false);
        self.line.clear();
    }

    fn go_on(
        &mut self,
        target: &str,
        buffer: &mut [u8],
        missed: u64,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let Some(mut socket) = self.socket.take() else { return Ok(()) };
        if !self.is_asked {
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            // A request is so short that it is written whole.
            match socket.write(request(target, &self.last_id).as_bytes()) {
                Ok(_) => self.is_asked = true,
                Err(error) if is_early(&error) => {}
                Err(error) => return Err(error),
            }
        }
        while self.is_asked {
            match socket.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.take(buffer.get(..count).unwrap_or_default(), missed, tally)?;
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(error) if is_early(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.socket = Some(socket);
        Ok(())
    }

    /// Takes lines. The chunks of these servers end where blocks end, so the lines between them are whole.
    fn take(&mut self, mut bytes: &[u8], missed: u64, tally: &mut Tally) -> io::Result<()> {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.take_line(line, missed, tally)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole, missed, tally)?;
            }
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], missed: u64, tally: &mut Tally) -> io::Result<()> {
        let text = str::from_utf8(line).map_err(io::Error::other)?.trim_end_matches('\r');
        if let Some(status) = text.strip_prefix("HTTP/1.1 ") {
            if !status.starts_with("200") {
                return Err(io::Error::new(io::ErrorKind::InvalidData, text.to_owned()));
            }
            self.is_connected = true;
            tally.connected += 1;
        } else if let Some(id) = text.strip_prefix("id: ") {
            self.last_id.clear();
            self.last_id.push_str(id);
        } else if text.starts_with("event: stentor.gap") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a reader was told a gap"));
        } else if let Some(data) = text.strip_prefix("data: ").filter(|data| !data.is_empty()) {
            match data.get(..10).and_then(|digits| digits.parse().ok()) {
                Some(number) => self.take_event(number, missed, tally),
                None if self.is_greeted => {}
                None => {
                    self.is_greeted = true;
                    tally.greeted += 1;
                }
            }
        }
        Ok(())
    }

    fn take_event(&mut self, number: u64, missed: u64, tally: &mut Tally) {
        if number < self.next {
            tally.doubled += 1;
            return;
        }
        tally.lost += number - self.next;
        let reaches = |goal: u64| usize::from(self.next < goal && number + 1 >= goal);
        tally.caught_up += reaches(missed);
        tally.live += reaches(missed + 1);
        self.next = number + 1;
    }
}

fn request(target: &str, last_id: &str) -> String {
    let cursor =
        if last_id.is_empty() { String::new() } else { format!("Last-Event-ID: {last_id}\r\n") };
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{cursor}\r\n")
}

fn connect(to: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    let source = Ipv4Addr::from(FIRST_SOURCE + number as u32 % SOURCES);
    socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
    match socket.connect(&SockAddr::from(to)) {
        Err(error) if !is_early(&error) => Err(error),
        Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Whether something only needs time.
fn is_early(error: &io::Error) -> bool {
    /// `EINPROGRESS` on Linux.
    const IN_PROGRESS: i32 = 115;
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted
    ) || error.raw_os_error() == Some(IN_PROGRESS)
}
