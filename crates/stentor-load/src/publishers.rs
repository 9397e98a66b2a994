//! The connections that publish, each with at most one request at a time.

use std::io::{self, Read};

use mio::{Registry, Token};

use crate::clock::Nanos;
use crate::http::response::{Part, Response};
use crate::http::socket::Socket;
use crate::mark::Mark;
use crate::plan::Plan;
use crate::stats::Stats;

/// First poll token of publishers. Smaller ones are subscribers.
pub(crate) const FIRST_TOKEN: usize = 1 << 31;
/// Maximum number of bytes of an error response that are reported.
const REFUSAL_BYTES: usize = 200;

#[derive(Debug)]
pub(crate) struct Publishers {
    all: Vec<Publisher>,
    busy: usize,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Publisher {
    socket: Option<Socket>,
    /// The event that was sent and has no response yet.
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
    pub(crate) fn new(plan: &Plan) -> Publishers {
        let all = (0..plan.publishers).map(|_| Publisher::default()).collect();
        Publishers { all, busy: 0, body: Vec::new() }
    }

    /// Number of publishers that wait for a response.
    pub(crate) fn busy(&self) -> usize {
        self.busy
    }

    /// Returns `true` if no publisher is free.
    pub(crate) fn are_all_busy(&self) -> bool {
        self.busy == self.all.len()
    }

    /// Publishes an event that is due, on the first free connection. Opens the connection if needed.
    pub(crate) fn publish(
        &mut self,
        topic: usize,
        due: Nanos,
        plan: &Plan,
        stats: &mut Stats,
        registry: &Registry,
    ) {
        let free = self.all.iter_mut().enumerate().find(|(_, publisher)| publisher.mark.is_none());
        let (Some((number, publisher)), Some(endpoint)) = (free, &plan.publish) else { return };
        let mark = stats.tracker.publish(number, topic, due);
        publisher.mark = Some(mark);
        self.busy += 1;
        publisher.request.clear();
        publisher.written = 0;
        publisher.response = Response::default();
        publisher.closes = false;
        publisher.refusal.clear();
        endpoint.publish((topic, mark), plan.bytes, &mut self.body, &mut publisher.request);
        publisher.sent = stats.clock.now();
        stats.send_delay.add(publisher.sent.saturating_sub(due));
        if publisher.socket.is_none() {
            match open(plan, number, registry) {
                Ok(socket) => publisher.socket = Some(socket),
                Err(error) => return self.failed(number, &error.to_string(), stats),
            }
        }
        self.writable(number, stats);
    }

    /// Writes the rest of a request, as far as the socket accepts it.
    pub(crate) fn writable(&mut self, number: usize, stats: &mut Stats) {
        let Some(publisher) = self.all.get_mut(number) else { return };
        let Some(socket) = publisher.socket.as_mut() else { return };
        if let Err(error) = socket.write_rest(&publisher.request, &mut publisher.written) {
            self.failed(number, &error.to_string(), stats);
        }
    }

    /// Reads a response, as far as it has arrived.
    pub(crate) fn readable(&mut self, number: usize, stats: &mut Stats, buffer: &mut [u8]) {
        loop {
            let Some(publisher) = self.all.get_mut(number) else { return };
            let Some(socket) = publisher.socket.as_mut() else { return };
            match socket.read(buffer) {
                Ok(0) => return self.ended(number, stats),
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    if let Err(error) = publisher.take(bytes) {
                        return self.failed(number, error, stats);
                    }
                    if publisher.response.is_done() {
                        self.complete(number, stats);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.failed(number, &error.to_string(), stats),
            }
        }
    }

    /// Handles a complete response.
    fn complete(&mut self, number: usize, stats: &mut Stats) {
        let now = stats.clock.now();
        let Some(publisher) = self.all.get_mut(number) else { return };
        let Some(mark) = publisher.mark.take() else { return };
        self.busy -= 1;
        stats.unreachable = None;
        if publisher.closes {
            publisher.socket = None;
        }
        if (200..300).contains(&publisher.status) {
            stats.acknowledged.add(now - publisher.sent);
        } else {
            stats.refused += 1;
            stats.tracker.refused(mark);
            stats.problems.add(&format!("publishing: {}", publisher.refusal.trim()));
        }
    }

    /// Handles a connection closed by the server. That is the regular end of a response without a length.
    fn ended(&mut self, number: usize, stats: &mut Stats) {
        let Some(publisher) = self.all.get_mut(number) else { return };
        if publisher.mark.is_some() && publisher.response.may_end() {
            publisher.closes = true;
            self.complete(number, stats);
        } else {
            self.failed(number, "the connection was closed without a response", stats);
        }
    }

    fn failed(&mut self, number: usize, what: &str, stats: &mut Stats) {
        let Some(publisher) = self.all.get_mut(number) else { return };
        publisher.socket = None;
        // The server may close an idle connection; it is opened again when it is needed.
        if let Some(mark) = publisher.mark.take() {
            self.busy -= 1;
            stats.refused += 1;
            stats.tracker.refused(mark);
            let what = format!("publishing: {what}");
            stats.problems.add(&what);
            stats.unreachable = Some(what);
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
