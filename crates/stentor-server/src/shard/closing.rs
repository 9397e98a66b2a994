//! A reader whose stream has ended and whose connection is being closed.

use bytes::{Buf, Bytes};
use tokio::time::Instant;

use super::socket::{Socket, Written, discard};
use crate::limits::{LINGER_BYTES_MAX, LINGER_TIME_MAX};

/// A connection that is being closed: the last bytes are written, then input is discarded until the
/// client closes its side or the deadline passes.
pub(super) struct Closing<S> {
    pub(super) socket: S,
    /// The last bytes of the stream.
    text: Bytes,
    /// Time at which the connection is closed in any case.
    pub(super) deadline: Instant,
    /// `true` once the sending side is shut down.
    finished: bool,
    input_bytes: usize,
}

impl<S: Socket> Closing<S> {
    /// Starts to close a connection. The last bytes must be written by `deadline`.
    pub(super) fn new(socket: S, text: Bytes, deadline: Instant) -> Closing<S> {
        Closing { socket, text, deadline, finished: false, input_bytes: 0 }
    }

    /// Continues to close the connection. Returns `true` if it can be dropped.
    pub(super) fn is_done(&mut self, now: Instant) -> bool {
        while !self.text.is_empty() {
            let (socket, text) = (&mut self.socket, &self.text);
            match Written::of(|| socket.write(text)) {
                Written::Bytes(bytes) => self.text.advance(bytes),
                Written::Blocked => return now >= self.deadline,
                Written::Gone => return true,
            }
        }
        if !self.finished {
            self.finished = true;
            self.deadline = now + LINGER_TIME_MAX;
            if self.socket.finish().is_err() {
                return true;
            }
        }
        let limit = LINGER_BYTES_MAX.saturating_sub(self.input_bytes);
        match discard(&mut self.socket, limit) {
            Some(bytes) => self.input_bytes += bytes,
            None => return true,
        }
        now >= self.deadline
    }

    /// Returns the number of bytes held for the reader.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Closing<S>>() + self.text.len()
    }
}
