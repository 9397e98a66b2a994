//! The readers: connecting, dropping and coming back.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::book::Book;
use super::clock::{Nanos, SECOND};
use super::plan::Plan;
use super::response::{Head, Part, Response};
use super::socket;
use super::stream::Scanner;

/// How long the head of an answer may take.
const HEAD_PATIENCE: Nanos = 10 * SECOND;
/// How often in a row a reader that gets nothing comes back.
const TRIES_MAX: u8 = 3;
/// What a slow reader reads at a time, in bytes, and how often.
const SLOW_BYTES: usize = 1024;
const SLOW_EVERY: Nanos = SECOND;
/// How much of a refusal is told, in bytes.
const REFUSAL_BYTES: usize = 200;

#[derive(Debug)]
pub(super) struct Readers {
    all: Vec<Reader>,
    /// Who is to connect.
    queue: VecDeque<usize>,
    /// How many wait for their head.
    waiting: usize,
    connected: usize,
    /// Connects that began since the time.
    begun: u64,
    since: Nanos,
    /// Whether connects are held back, as at the start, or all begin at once.
    is_first: bool,
    next_look: Nanos,
    /// Who drops its connection first when there is a storm.
    next_in_storm: usize,
    request: Vec<u8>,
}

#[derive(Debug)]
struct Reader {
    stream: Option<TcpStream>,
    link: Link,
    is_slow: bool,
    /// It was connected once: events are to reach it.
    has_joined: bool,
    /// It dropped its connection, and is on its way back.
    is_in_storm: bool,
    tries: u8,
    /// When its connect began.
    began: Nanos,
    last_arrival: Nanos,
    response: Response,
    scanner: Scanner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    /// So many bytes of the request are written.
    Asking {
        written: usize,
    },
    Waiting,
    Up,
}

impl Readers {
    pub(super) fn new(plan: &Plan, now: Nanos) -> Readers {
        let all = (0..plan.readers).map(|number| Reader {
            stream: None,
            link: Link::Down,
            is_slow: plan.is_slow(number),
            has_joined: false,
            is_in_storm: false,
            tries: 0,
            began: 0,
            last_arrival: 0,
            response: Response::default(),
            scanner: Scanner::default(),
        });
        Readers {
            all: all.collect(),
            queue: (0..plan.readers).collect(),
            waiting: 0,
            connected: 0,
            begun: 0,
            since: now,
            is_first: true,
            next_look: 0,
            next_in_storm: 0,
            request: Vec::new(),
        }
    }

    /// Whether somebody is still on the way.
    pub(super) fn is_connecting(&self) -> bool {
        self.waiting > 0 || !self.queue.is_empty()
    }

    pub(super) fn connected(&self) -> usize {
        self.connected
    }

    /// From here whoever connects does so at once.
    pub(super) fn have_begun(&mut self) {
        self.is_first = false;
        self.queue.clear();
    }

    /// Connects who is due, and looks after those who wait or are slow.
    pub(super) fn tend(&mut self, plan: &Plan, book: &mut Book, registry: &Registry, now: Nanos) {
        while self.is_due(plan, now) {
            let Some(number) = self.queue.pop_front() else { break };
            self.begun += 1;
            self.waiting += 1;
            if let Err(error) = self.open(number, plan, registry, now) {
                self.fail(number, plan, book, &error.to_string());
            }
        }
        if now < self.next_look {
            return;
        }
        self.next_look = now + SLOW_EVERY;
        for number in 0..self.all.len() {
            let Some(reader) = self.all.get_mut(number) else { continue };
            match reader.link {
                Link::Asking { .. } | Link::Waiting if now > reader.began + HEAD_PATIENCE => {
                    self.fail(number, plan, book, "no answer within 10 s");
                }
                Link::Up if reader.is_slow => self.read_slowly(number, plan, book),
                _ => {}
            }
        }
    }

    fn is_due(&self, plan: &Plan, now: Nanos) -> bool {
        let by_ramp = plan.ramp.is_none_or(|rate| {
            let seconds = (now - self.since) as f64 / SECOND as f64;
            (self.begun as f64) < seconds * rate + 1.0
        });
        !self.is_first || (by_ramp && self.waiting < plan.connecting)
    }

    /// Has a share of the readers drop their connections; tells how many.
    pub(super) fn storm(&mut self, share: f64) -> usize {
        let ready = |reader: &Reader| reader.link == Link::Up && !reader.is_slow;
        let count = self.all.iter().filter(|reader| ready(reader)).count();
        let count = (count as f64 * share).ceil() as usize;
        let mut dropped = 0;
        for _ in 0..self.all.len() {
            let number = self.next_in_storm % self.all.len().max(1);
            if dropped == count {
                break;
            }
            self.next_in_storm = number + 1;
            if self.all.get(number).is_some_and(ready) {
                self.close(number);
                if let Some(reader) = self.all.get_mut(number) {
                    reader.is_in_storm = true;
                }
                self.queue.push_back(number);
                dropped += 1;
            }
        }
        dropped
    }

    fn open(
        &mut self,
        number: usize,
        plan: &Plan,
        registry: &Registry,
        now: Nanos,
    ) -> io::Result<()> {
        let Some(reader) = self.all.get_mut(number) else { return Ok(()) };
        reader.began = now;
        reader.link = Link::Asking { written: 0 };
        reader.response = Response::default();
        reader.scanner.restart();
        reader.last_arrival = 0;
        let mut stream = socket::connect(plan.subscribe_address, number, reader.is_slow)?;
        registry.register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        reader.stream = Some(stream);
        Ok(())
    }

    /// Writes the request as far as it can be.
    pub(super) fn writable(
        &mut self,
        number: usize,
        plan: &Plan,
        book: &mut Book,
        registry: &Registry,
    ) {
        let Some(reader) = self.all.get_mut(number) else { return };
        let (Link::Asking { written }, Some(stream)) = (&mut reader.link, &mut reader.stream)
        else {
            return;
        };
        self.request.clear();
        plan.subscribe.subscribe(plan.topic(number), reader.scanner.last_id(), &mut self.request);
        let error = loop {
            let rest = self.request.get(*written..).unwrap_or_default();
            if rest.is_empty() {
                reader.link = Link::Waiting;
                // Only what it receives is of interest from here.
                match registry.reregister(stream, Token(number), Interest::READABLE) {
                    Ok(()) => return,
                    Err(error) => break error,
                }
            }
            match stream.write(rest) {
                Ok(count) => *written += count,
                Err(error) if socket::is_early(&error) => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        self.fail(number, plan, book, &error.to_string());
    }

    /// Reads all that there is.
    pub(super) fn readable(
        &mut self,
        number: usize,
        is_closed: bool,
        plan: &Plan,
        book: &mut Book,
        buffer: &mut [u8],
    ) {
        loop {
            let Some(reader) = self.all.get_mut(number) else { return };
            let Some(stream) = reader.stream.as_mut() else { return };
            if reader.is_slow && reader.link == Link::Up {
                return;
            }
            let count = match stream.read(buffer) {
                Ok(0) => return self.ended(number, plan, book),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.fail(number, plan, book, &error.to_string()),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            if !self.take(number, bytes, plan, book) || (count < buffer.len() && !is_closed) {
                return;
            }
        }
    }

    /// Takes in what came for a reader; whether it goes on.
    fn take(&mut self, number: usize, mut bytes: &[u8], plan: &Plan, book: &mut Book) -> bool {
        let now = book.clock.now();
        book.reads += 1;
        book.bytes += bytes.len() as u64;
        let topic = plan.topic(number);
        loop {
            let Some(reader) = self.all.get_mut(number) else { return false };
            match reader.response.next(&mut bytes) {
                Ok(None) if reader.response.is_done() => {
                    self.ended(number, plan, book);
                    return false;
                }
                Ok(None) => return true,
                Ok(Some(Part::Body(body))) => {
                    let (scanner, last) = (&mut reader.scanner, &mut reader.last_arrival);
                    let mut has_any = false;
                    scanner.feed(body, |arrival| {
                        has_any = true;
                        book.arrived(number, topic, arrival, now, last);
                    });
                    if has_any {
                        reader.tries = 0;
                    }
                }
                Ok(Some(Part::Head(head))) => {
                    if !is_stream(&head) {
                        let body = reader.response.next(&mut bytes);
                        let refusal = refusal(&head, body.ok().flatten().as_ref());
                        self.fail(number, plan, book, &refusal);
                        return false;
                    }
                    self.is_up(number, plan, book, now);
                }
                Err(broken) => {
                    self.fail(number, plan, book, broken.0);
                    return false;
                }
            }
        }
    }

    /// The head came, and it is that of a stream.
    fn is_up(&mut self, number: usize, plan: &Plan, book: &mut Book, now: Nanos) {
        let Some(reader) = self.all.get_mut(number) else { return };
        self.waiting -= 1;
        self.connected += 1;
        reader.link = Link::Up;
        let took = now - reader.began;
        if std::mem::take(&mut reader.is_in_storm) {
            book.is_back(took);
        } else if !reader.has_joined {
            book.head.add(took);
        }
        if !std::mem::replace(&mut reader.has_joined, true) && !reader.is_slow {
            book.ledger.join(plan.topic(number));
        }
    }

    /// The server has closed the connection, or ended the response.
    fn ended(&mut self, number: usize, plan: &Plan, book: &mut Book) {
        let Some(reader) = self.all.get(number) else { return };
        let what = match reader.link {
            Link::Up if reader.response.may_end() => "the server ended the stream",
            Link::Up => "the connection was closed amid the stream",
            _ => "the connection was closed without an answer",
        };
        self.fail(number, plan, book, what);
    }

    /// A connection is no good any more. Who had joined tries again.
    fn fail(&mut self, number: usize, plan: &Plan, book: &mut Book, what: &str) {
        let was_up = self.close(number);
        let Some(reader) = self.all.get_mut(number) else { return };
        if reader.is_slow && reader.has_joined {
            book.slow_cuts += u64::from(was_up);
            return;
        }
        book.problems.add(what);
        book.cuts += u64::from(was_up);
        if !reader.has_joined {
            return;
        }
        if reader.tries < TRIES_MAX {
            reader.tries += 1;
            self.queue.push_back(number);
        } else {
            book.gave_up(plan.topic(number), std::mem::take(&mut reader.is_in_storm));
        }
    }

    /// Closes a connection; whether it was up.
    fn close(&mut self, number: usize) -> bool {
        let Some(reader) = self.all.get_mut(number) else { return false };
        reader.stream = None;
        let link = std::mem::replace(&mut reader.link, Link::Down);
        match link {
            Link::Down => {}
            Link::Asking { .. } | Link::Waiting => self.waiting -= 1,
            Link::Up => self.connected -= 1,
        }
        link == Link::Up
    }

    fn read_slowly(&mut self, number: usize, plan: &Plan, book: &mut Book) {
        let mut bytes = [0; SLOW_BYTES];
        let stream = self.all.get_mut(number).and_then(|reader| reader.stream.as_mut());
        match stream.map(|stream| stream.read(&mut bytes)) {
            Some(Ok(0)) => self.ended(number, plan, book),
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                self.fail(number, plan, book, &error.to_string());
            }
            _ => {}
        }
    }
}

/// Whether an answer opens a stream.
fn is_stream(head: &Head) -> bool {
    let kind = head.content_type.split(';').next().unwrap_or_default().trim();
    head.status == 200 && kind.eq_ignore_ascii_case("text/event-stream")
}

/// An answer that opens no stream, in words.
fn refusal(head: &Head, body: Option<&Part<'_>>) -> String {
    let Head { status, reason, content_type, .. } = head;
    let words = match status {
        200 => format!("200, but of type {content_type:?} instead of text/event-stream"),
        204 => "204: the server has nothing to stream".to_owned(),
        _ => format!("{status} {reason}"),
    };
    match body {
        Some(Part::Body(body)) if *status >= 400 => {
            let body = body.get(..REFUSAL_BYTES).unwrap_or(body);
            format!("{words}: {}", String::from_utf8_lossy(body).trim())
        }
        _ => words,
    }
}
