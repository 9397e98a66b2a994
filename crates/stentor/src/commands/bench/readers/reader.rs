//! One reader, and its way to a stream.

use std::io;

use mio::{Registry, Token};

use crate::commands::bench::clock::Nanos;
use crate::commands::bench::plan::Plan;
use crate::commands::bench::response::{Head, Part, Response};
use crate::commands::bench::socket::Socket;
use crate::commands::bench::stream::Scanner;

/// How much of a refusal is told, in bytes.
const REFUSAL_BYTES: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) socket: Option<Socket>,
    pub(super) link: Link,
    pub(super) kind: Kind,
    /// It was connected once: events are to reach it.
    pub(super) has_joined: bool,
    /// It dropped its connection, and is on its way back.
    pub(super) is_in_storm: bool,
    pub(super) tries: u8,
    /// When its connect began.
    pub(super) began: Nanos,
    pub(super) last_arrival: Nanos,
    pub(super) response: Response,
    pub(super) scanner: Scanner,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Steady,
    /// It hardly reads.
    Slow,
    /// It only comes to go, when its head is there.
    Passing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Link {
    #[default]
    Down,
    /// So many bytes of the request are written.
    Asking {
        written: usize,
    },
    Waiting,
    Up,
}

impl Reader {
    /// Begins to connect.
    pub(super) fn connect(
        &mut self,
        number: usize,
        plan: &Plan,
        registry: &Registry,
        now: Nanos,
    ) -> io::Result<()> {
        self.began = now;
        self.link = Link::Asking { written: 0 };
        self.response = Response::default();
        self.scanner.restart();
        self.last_arrival = 0;
        let mut socket = Socket::connect(&plan.subscribe_at, number, self.kind == Kind::Slow)?;
        socket.register(registry, Token(number))?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Writes its request, which is built in a buffer of the caller, as far as it can be.
    pub(super) fn ask(
        &mut self,
        number: usize,
        plan: &Plan,
        registry: &Registry,
        request: &mut Vec<u8>,
    ) -> io::Result<()> {
        let (Link::Asking { written }, Some(socket)) = (&mut self.link, &mut self.socket) else {
            return Ok(());
        };
        request.clear();
        plan.subscribe.subscribe(plan.topic(number), self.scanner.last_id(), request);
        if socket.write_rest(request, written)? {
            self.link = Link::Waiting;
            socket.only_listen(registry, Token(number))?;
        }
        Ok(())
    }

    /// What has not come in time.
    pub(super) fn missing(&self) -> &'static str {
        if self.socket.as_ref().is_some_and(Socket::is_handshaking) {
            "no TLS handshake within 10 s; does the server speak TLS?"
        } else {
            "no answer within 10 s"
        }
    }
}

/// Whether an answer opens a stream.
pub(super) fn is_stream(head: &Head) -> bool {
    let kind = head.content_type.split(';').next().unwrap_or_default().trim();
    head.status == 200 && kind.eq_ignore_ascii_case("text/event-stream")
}

/// An answer that opens no stream, in words.
pub(super) fn refusal(head: &Head, body: Option<&Part<'_>>) -> String {
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
