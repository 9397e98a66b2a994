//! The reasons for which streams are closed, and the closing of their connections.

use bytes::{Buf, Bytes};
use tokio::time::Instant;

use super::framing::Framing;
use super::transport::{Finish, Transport, Written};
use crate::limits::{LINGER_BYTES_MAX, LINGER_TIME_MAX};
use crate::stream::encoder::reader_retry;

/// The reason why a stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// All topics have ended.
    Finished,
    /// The server stops.
    Draining,
    /// The session of the reader has expired.
    Expired,
    /// The program closed the key of the reader's session.
    KeyClosed,
}

impl CloseReason {
    /// Returns the last control message of the stream. Unless the topics have ended, the reader is
    /// asked to reconnect, at a time of its own.
    pub(super) fn words(self, framing: Framing) -> Bytes {
        match self {
            CloseReason::Finished => Bytes::new(),
            CloseReason::Draining | CloseReason::Expired | CloseReason::KeyClosed => {
                framing.control(|encoder, out| encoder.retry(out, reader_retry()))
            }
        }
    }

    /// Returns the last bytes of a stream at a frame boundary.
    pub(super) fn ending(self, framing: Framing) -> Bytes {
        match self {
            CloseReason::Finished => Bytes::from_static(framing.body_end()),
            _ => Bytes::from([&self.words(framing)[..], framing.body_end()].concat()),
        }
    }
}

/// A connection that is being closed: the last bytes are written, then input is discarded until the
/// client closes its side or the deadline passes.
pub(super) struct Closing<T> {
    pub(super) transport: T,
    /// The last bytes of the stream.
    text: Bytes,
    /// Time at which the connection is closed in any case.
    pub(super) deadline: Instant,
    /// `true` once the sending side is shut down.
    finished: bool,
    input_bytes: usize,
    /// Size of the last bytes when closing began.
    text_bytes: usize,
}

impl<T: Transport> Closing<T> {
    /// Starts to close a connection. The last bytes must be written by `deadline`.
    pub(super) fn new(transport: T, text: Bytes, deadline: Instant) -> Closing<T> {
        let text_bytes = text.len();
        Closing { transport, text, deadline, finished: false, input_bytes: 0, text_bytes }
    }

    /// Continues to close the connection. Returns `true` if it can be dropped.
    pub(super) fn is_done(&mut self, now: Instant) -> bool {
        while !self.text.is_empty() {
            let (transport, text) = (&mut self.transport, &self.text);
            match transport.write(text) {
                Written::Bytes(bytes) => self.text.advance(bytes),
                Written::Blocked => return now >= self.deadline,
                Written::Gone => return true,
            }
        }
        if !self.finished {
            self.finished = true;
            self.deadline = now + LINGER_TIME_MAX;
            match self.transport.finish() {
                Finish::Lingers => {}
                Finish::Done | Finish::Gone => return true,
            }
        }
        let limit = LINGER_BYTES_MAX.saturating_sub(self.input_bytes);
        match self.transport.discard_input(limit) {
            Some(bytes) => self.input_bytes += bytes,
            None => return true,
        }
        now >= self.deadline
    }

    /// Returns the number of bytes held for the reader. It does not change.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Closing<T>>() + self.text_bytes
    }
}
