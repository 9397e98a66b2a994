//! The connections that publish, each with one request under way.

use std::io::{self, Read};

use mio::{Registry, Token};

use super::book::Book;
use super::clock::Nanos;
use super::mark::Mark;
use super::plan::Plan;
use super::response::{Part, Response};
use super::socket::Socket;

/// Tokens from here on are publishers.
pub(super) const FIRST_TOKEN: usize = 1 << 31;
/// How much of a refusal is told, in bytes.
const REFUSAL_BYTES: usize = 200;

#[derive(Debug)]
pub(super) struct Publishers {
    all: Vec<Publisher>,
    busy: usize,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Publisher {
    socket: Option<Socket>,
    /// The event under way.
    mark: Option<Mark>,
    sent: Nanos,
    request: Vec<u8>,
    written: usize,
    response: Response,
    status: u16,
    closes: bool,
    refusal: String,
}

impl Publishers {
    pub(super) fn new(plan: &Plan) -> Publishers {
        let all = (0..plan.publishers).map(|_| Publisher::default()).collect();
        Publishers { all, busy: 0, body: Vec::new() }
    }

    /// How many have an event under way.
    pub(super) fn busy(&self) -> usize {
        self.busy
    }

    /// Whether nobody is free.
    pub(super) fn are_all_busy(&self) -> bool {
        self.busy == self.all.len()
    }

    /// Sends an event that is due, on the first connection that is free.
    pub(super) fn issue(
        &mut self,
        topic: usize,
        due: Nanos,
        plan: &Plan,
        book: &mut Book,
        registry: &Registry,
    ) {
        let free = self.all.iter_mut().enumerate().find(|(_, publisher)| publisher.mark.is_none());
        let (Some((number, publisher)), Some(endpoint)) = (free, &plan.publish) else { return };
        let mark = book.ledger.issue(number, topic, due);
        publisher.mark = Some(mark);
        self.busy += 1;
        publisher.request.clear();
        publisher.written = 0;
        publisher.response = Response::default();
        publisher.closes = false;
        publisher.refusal.clear();
        endpoint.publish((topic, mark), plan.bytes, &mut self.body, &mut publisher.request);
        publisher.sent = book.clock.now();
        book.lag.add(publisher.sent.saturating_sub(due));
        if publisher.socket.is_none() {
            match open(plan, number, registry) {
                Ok(socket) => publisher.socket = Some(socket),
                Err(error) => return self.failed(number, &error.to_string(), book),
            }
        }
        self.writable(number, book);
    }

    /// Writes what is left of a request, as far as it can be.
    pub(super) fn writable(&mut self, number: usize, book: &mut Book) {
        let Some(publisher) = self.all.get_mut(number) else { return };
        let Some(socket) = publisher.socket.as_mut() else { return };
        if let Err(error) = socket.write_rest(&publisher.request, &mut publisher.written) {
            self.failed(number, &error.to_string(), book);
        }
    }

    /// Reads all that there is of an answer.
    pub(super) fn readable(&mut self, number: usize, book: &mut Book, buffer: &mut [u8]) {
        loop {
            let Some(publisher) = self.all.get_mut(number) else { return };
            let Some(socket) = publisher.socket.as_mut() else { return };
            match socket.read(buffer) {
                Ok(0) => return self.ended(number, book),
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    if let Err(error) = publisher.take(bytes) {
                        return self.failed(number, error, book);
                    }
                    if publisher.response.is_done() {
                        self.answered(number, book);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.failed(number, &error.to_string(), book),
            }
        }
    }

    /// The answer is whole.
    fn answered(&mut self, number: usize, book: &mut Book) {
        let now = book.clock.now();
        let Some(publisher) = self.all.get_mut(number) else { return };
        let Some(mark) = publisher.mark.take() else { return };
        self.busy -= 1;
        if publisher.closes {
            publisher.socket = None;
        }
        if (200..300).contains(&publisher.status) {
            book.acknowledged.add(now - publisher.sent);
        } else {
            book.refused += 1;
            book.ledger.refused(mark);
            book.problems.add(&format!("publishing: {}", publisher.refusal.trim()));
        }
    }

    /// The server closed the connection, which ends an answer without a length.
    fn ended(&mut self, number: usize, book: &mut Book) {
        let Some(publisher) = self.all.get_mut(number) else { return };
        if publisher.mark.is_some() && publisher.response.may_end() {
            publisher.closes = true;
            self.answered(number, book);
        } else {
            self.failed(number, "the connection was closed without an answer", book);
        }
    }

    fn failed(&mut self, number: usize, what: &str, book: &mut Book) {
        let Some(publisher) = self.all.get_mut(number) else { return };
        publisher.socket = None;
        // An idle connection may be closed; it is opened again when it is needed.
        if let Some(mark) = publisher.mark.take() {
            self.busy -= 1;
            book.refused += 1;
            book.ledger.refused(mark);
            book.problems.add(&format!("publishing: {what}"));
        }
    }
}

impl Publisher {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let Some(part) = self.response.next(&mut bytes).map_err(|broken| broken.0)? {
            match part {
                Part::Head(head) => {
                    (self.status, self.closes) = (head.status, head.closes);
                    self.refusal = format!("{} {}: ", head.status, head.reason);
                }
                Part::Body(body) => {
                    let room = REFUSAL_BYTES.saturating_sub(self.refusal.len()).min(body.len());
                    let body = body.get(..room).unwrap_or_default();
                    self.refusal.push_str(&String::from_utf8_lossy(body));
                }
            }
        }
        Ok(())
    }
}

fn open(plan: &Plan, number: usize, registry: &Registry) -> io::Result<Socket> {
    let mut socket = Socket::connect(&plan.publish_at, number, false)?;
    socket.register(registry, Token(FIRST_TOKEN + number))?;
    Ok(socket)
}
