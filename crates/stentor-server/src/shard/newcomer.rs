//! A reader on its way into a shard.

use super::behind::Behind;
use super::framing::Framing;
use super::socket::Socket;
use crate::control::Control;
use crate::stream::Reader;

/// A reader and its socket, over which nothing of the answer was written yet.
pub struct Newcomer<S> {
    socket: S,
    head: Vec<u8>,
    chunked: bool,
    reader: Reader,
}

impl<S: Socket> Newcomer<S> {
    /// The reader is answered with this head, and events follow: `chunked`, unless it speaks HTTP/1.0.
    pub(crate) fn new(socket: S, head: Vec<u8>, chunked: bool, reader: Reader) -> Newcomer<S> {
        Newcomer { socket, head, chunked, reader }
    }

    /// The reader of an answer of Stentor's that is a stream, without a head: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn of(answer: &http::Response<crate::body::Body>, socket: S) -> Option<Newcomer<S>> {
        let reader = answer.extensions().get::<crate::stream::Ticket>()?.claim()?;
        Some(Newcomer::new(socket, Vec::new(), true, reader))
    }

    pub(super) fn into_behind(self, id: u64) -> Behind<S> {
        let Newcomer { socket, head, chunked, reader } = self;
        let framing = Framing { control: Control::new(reader.options), chunked };
        let Reader { stentor, subscription, open, .. } = reader;
        Behind::new(id, socket, stentor, framing, subscription, head, open)
    }

    pub(crate) fn stentor(&self) -> &crate::service::Stentor {
        &self.reader.stentor
    }
}
