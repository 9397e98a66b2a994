//! One subscriber: the state of its connection and of its stream.

use std::io;

use mio::{Registry, Token};

use crate::clock::Nanos;
use crate::http::response::{Head, Part, Response};
use crate::http::socket::Socket;
use crate::plan::Plan;
use crate::sse::Scanner;
use crate::stats::Stats;

/// Maximum number of bytes of an error response that are reported.
const REFUSAL_BYTES: usize = 200;

#[derive(Debug, Default)]
pub(crate) struct Subscriber {
    pub(crate) socket: Option<Socket>,
    pub(crate) link: Link,
    pub(crate) kind: Kind,
    /// `true` once it was connected. From then on it is expected to receive events.
    pub(crate) has_joined: bool,
    /// `true` while it reconnects after a storm.
    pub(crate) is_in_storm: bool,
    /// Number of connects in a row that led to no event.
    pub(crate) tries: u8,
    /// Start of its connect.
    pub(crate) connect_started: Nanos,
    pub(crate) last_arrival: Nanos,
    pub(crate) response: Response,
    pub(crate) scanner: Scanner,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Steady,
    /// Reads 1 KiB a second.
    Slow,
    /// Closes its connection when the response head has arrived (`--churn`).
    Passing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    #[default]
    Closed,
    /// Connecting, or writing the request, of which `written` bytes are written.
    Requesting {
        written: usize,
    },
    /// Waiting for the response head.
    Waiting,
    Open,
}

impl Subscriber {
    /// Starts to connect.
    pub(crate) fn connect(
        &mut self,
        number: usize,
        plan: &Plan,
        registry: &Registry,
        now: Nanos,
    ) -> io::Result<()> {
        self.restart(now);
        self.link = Link::Requesting { written: 0 };
        let mut socket = Socket::connect(&plan.subscribe_at, number, self.kind == Kind::Slow)?;
        socket.register(registry, Token(number))?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Prepares for a new stream.
    pub(crate) fn restart(&mut self, now: Nanos) {
        self.connect_started = now;
        self.response = Response::default();
        self.scanner.restart();
        self.last_arrival = 0;
    }

    /// Writes its request, as far as the socket accepts it. `request` is a buffer to build it in.
    pub(crate) fn write_request(
        &mut self,
        number: usize,
        plan: &Plan,
        registry: &Registry,
        request: &mut Vec<u8>,
    ) -> io::Result<()> {
        let (Link::Requesting { written }, Some(socket)) = (&mut self.link, &mut self.socket)
        else {
            return Ok(());
        };
        request.clear();
        plan.subscribe.subscribe(plan.topic(number), self.scanner.last_id(), request);
        if socket.write_rest(request, written)? {
            self.link = Link::Waiting;
            socket.register_for_reads(registry, Token(number))?;
        }
        Ok(())
    }

    /// Counts the events in a piece of its stream.
    pub(crate) fn receive(
        &mut self,
        number: usize,
        topic: usize,
        piece: &[u8],
        now: Nanos,
        stats: &mut Stats,
    ) {
        let (scanner, last) = (&mut self.scanner, &mut self.last_arrival);
        let mut has_any = false;
        scanner.feed(piece, |arrival| {
            has_any = true;
            stats.arrived(number, topic, arrival, now, last);
        });
        if has_any {
            self.tries = 0;
        }
    }

    /// The error text of a response head that did not arrive in time.
    pub(crate) fn timeout_text(&self) -> &'static str {
        if self.socket.as_ref().is_some_and(Socket::is_handshaking) {
            "no TLS handshake within 10 s; does the server use TLS on this port?"
        } else {
            "no response within 10 s"
        }
    }
}

/// Returns `true` if a response opens an event stream.
pub(crate) fn is_stream(head: &Head) -> bool {
    let kind = head.content_type.split(';').next().unwrap_or_default().trim();
    head.status == 200 && kind.eq_ignore_ascii_case("text/event-stream")
}

/// The error text of a response that opens no event stream.
pub(crate) fn refusal(head: &Head, body: Option<&Part<'_>>) -> String {
    let Head { status, reason, content_type, .. } = head;
    let words = match status {
        200 => format!("200, but of type {content_type:?} instead of text/event-stream"),
        204 => "204 No Content: the server has nothing to stream".to_owned(),
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
