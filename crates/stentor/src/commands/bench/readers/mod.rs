//! The readers: connecting, dropping and coming back.

mod connects;
mod reader;

use std::io::{self, Read};

use mio::Registry;

use self::connects::Connects;
use self::reader::{Kind, Link, Reader, is_stream, refusal};
use super::book::Book;
use super::clock::{Nanos, SECOND};
use super::plan::Plan;
use super::response::Part;

/// How long the head of an answer may take.
const HEAD_PATIENCE: Nanos = 10 * SECOND;
/// How often in a row a reader that gets nothing comes back.
const TRIES_MAX: u8 = 3;
/// What a slow reader reads at a time, in bytes, and how often.
const SLOW_BYTES: usize = 1024;
const SLOW_EVERY: Nanos = SECOND;

#[derive(Debug)]
pub(super) struct Readers {
    all: Vec<Reader>,
    connects: Connects,
    connected: usize,
    next_look: Nanos,
    /// Who drops its connection first when there is a storm.
    next_in_storm: usize,
    /// Which of those who only come to go may come.
    at_home: Vec<usize>,
    request: Vec<u8>,
}

impl Readers {
    pub(super) fn new(plan: &Plan, now: Nanos) -> Readers {
        let kind = |slow| if slow { Kind::Slow } else { Kind::Steady };
        let all = (0..plan.readers)
            .map(|number| Reader { kind: kind(plan.is_slow(number)), ..Reader::default() });
        Readers {
            all: all.collect(),
            connects: Connects::new(plan.readers, now),
            connected: 0,
            next_look: 0,
            next_in_storm: 0,
            at_home: Vec::new(),
            request: Vec::new(),
        }
    }

    /// Whether somebody is still on the way.
    pub(super) fn is_connecting(&self) -> bool {
        self.connects.are_under_way()
    }

    pub(super) fn connected(&self) -> usize {
        self.connected
    }

    /// From here whoever connects does so at once.
    pub(super) fn have_begun(&mut self) {
        self.connects.have_begun();
    }

    /// Connects who is due, and looks after those who wait or are slow.
    pub(super) fn tend(&mut self, plan: &Plan, book: &mut Book, registry: &Registry, now: Nanos) {
        while let Some(number) = self.connects.next(plan, now) {
            let Some(reader) = self.all.get_mut(number) else { break };
            if let Err(error) = reader.connect(number, plan, registry, now) {
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
                    let what = reader.missing();
                    self.fail(number, plan, book, what);
                }
                Link::Up if reader.kind == Kind::Slow => self.read_slowly(number, plan, book),
                _ => {}
            }
        }
    }

    /// Has a share of the readers drop their connections; tells how many.
    pub(super) fn storm(&mut self, share: f64) -> usize {
        let ready = |reader: &Reader| reader.link == Link::Up && reader.kind != Kind::Slow;
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
                self.connects.add(number);
                dropped += 1;
            }
        }
        dropped
    }

    /// Makes room for so many at once who only come to go.
    pub(super) fn expect_passing(&mut self, at_once: usize) {
        let first = self.all.len();
        self.at_home = (first..first + at_once).collect();
        let passing = || Reader { kind: Kind::Passing, ..Reader::default() };
        self.all.resize_with(first + at_once, passing);
    }

    /// Has as many of them come as there is room for, `most` at most; tells how many.
    pub(super) fn pass(&mut self, most: u64) -> u64 {
        let mut count = 0;
        while count < most
            && let Some(number) = self.at_home.pop()
        {
            self.connects.add(number);
            count += 1;
        }
        count
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
        if let Err(error) = reader.ask(number, plan, registry, &mut self.request) {
            self.fail(number, plan, book, &error.to_string());
        }
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
            let Some(socket) = reader.socket.as_mut() else { return };
            if reader.kind == Kind::Slow && reader.link == Link::Up {
                return;
            }
            let drains = socket.is_drained_by_a_short_read() && !is_closed;
            let count = match socket.read(buffer) {
                Ok(0) => return self.ended(number, plan, book),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.fail(number, plan, book, &error.to_string()),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            if !self.take(number, bytes, plan, book) || (drains && count < buffer.len()) {
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
                    if !self.is_up(number, plan, book, now) {
                        return false;
                    }
                }
                Err(broken) => {
                    self.fail(number, plan, book, broken.0);
                    return false;
                }
            }
        }
    }

    /// The head came, and it is that of a stream; whether the reader stays.
    fn is_up(&mut self, number: usize, plan: &Plan, book: &mut Book, now: Nanos) -> bool {
        let Some(reader) = self.all.get_mut(number) else { return false };
        self.connects.one_less();
        self.connected += 1;
        reader.link = Link::Up;
        let took = now - reader.began;
        if reader.kind == Kind::Passing {
            book.churn.add(took);
            self.close(number);
            self.at_home.push(number);
            return false;
        }
        if std::mem::take(&mut reader.is_in_storm) {
            book.is_back(took);
        } else if !reader.has_joined {
            book.head.add(took);
        }
        if !std::mem::replace(&mut reader.has_joined, true) && reader.kind != Kind::Slow {
            book.ledger.join(plan.topic(number));
        }
        true
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
        if reader.kind == Kind::Slow && reader.has_joined {
            book.slow_cuts += u64::from(was_up);
            return;
        }
        book.problems.add(what);
        if reader.kind == Kind::Passing {
            book.churn_failed += 1;
            self.at_home.push(number);
            return;
        }
        book.cuts += u64::from(was_up);
        if !reader.has_joined {
            return;
        }
        if reader.tries < TRIES_MAX {
            reader.tries += 1;
            self.connects.add(number);
        } else {
            book.gave_up(plan.topic(number), std::mem::take(&mut reader.is_in_storm));
        }
    }

    /// Closes a connection; whether it was up.
    fn close(&mut self, number: usize) -> bool {
        let Some(reader) = self.all.get_mut(number) else { return false };
        reader.socket = None;
        let link = std::mem::replace(&mut reader.link, Link::Down);
        match link {
            Link::Down => {}
            Link::Asking { .. } | Link::Waiting => self.connects.one_less(),
            Link::Up => self.connected -= 1,
        }
        link == Link::Up
    }

    fn read_slowly(&mut self, number: usize, plan: &Plan, book: &mut Book) {
        let mut bytes = [0; SLOW_BYTES];
        let socket = self.all.get_mut(number).and_then(|reader| reader.socket.as_mut());
        match socket.map(|socket| socket.read(&mut bytes)) {
            Some(Ok(0)) => self.ended(number, plan, book),
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                self.fail(number, plan, book, &error.to_string());
            }
            _ => {}
        }
    }
}
