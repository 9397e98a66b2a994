//! A stream that has ended and whose connection has not.

use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::Instant;

use super::socket::{Socket, Written, discard};

/// What is still read from a client after a clean end, so that it gets our last bytes and not a reset.
const LINGER_BYTES_MAX: usize = 64 << 10;
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);

/// The last words to a reader, and the patience to see them arrive.
pub(super) struct Leaving<S> {
    pub(super) socket: S,
    words: Bytes,
    /// When it is over, whatever the client does.
    pub(super) until: Instant,
    finished: bool,
    heard: usize,
}

impl<S: Socket> Leaving<S> {
    /// Begins to part; a client without room for the last words has until `until` to make some.
    pub(super) fn new(socket: S, words: Bytes, until: Instant) -> Leaving<S> {
        Leaving { socket, words, until, finished: false, heard: 0 }
    }

    /// Goes on, and says whether the connection can be closed.
    pub(super) fn is_done(&mut self, now: Instant) -> bool {
        while !self.words.is_empty() {
            let (socket, words) = (&mut self.socket, &self.words);
            match Written::of(|| socket.write(words)) {
                Written::Bytes(bytes) => self.words.advance(bytes),
                Written::Blocked => return now >= self.until,
                Written::Gone => return true,
            }
        }
        if !self.finished {
            self.finished = true;
            self.until = now + LINGER_TIME_MAX;
            if self.socket.finish().is_err() {
                return true;
            }
        }
        let room = LINGER_BYTES_MAX.saturating_sub(self.heard);
        match discard(&mut self.socket, room) {
            Some(bytes) => self.heard += bytes,
            None => return true,
        }
        now >= self.until
    }

    /// Bytes held for it.
    pub(super) fn held(&self) -> usize {
        size_of::<Leaving<S>>() + self.words.len()
    }
}
