//! A reader on its way into a shard.

use http::{Response, Version};

use super::behind::Behind;
use super::framing::Framing;
use super::socket::Socket;
use crate::connection::takeover::Departure;
use crate::context::Stentor;
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

    /// The reader to whom a service gave this answer, if it is a stream that can be written to the
    /// bare socket: all earlier answers were, and this one is not encoded.
    pub fn of<B>(answer: &mut Response<B>, version: Version, socket: S) -> Option<Newcomer<S>> {
        Departure::claim(answer, version).map(|departure| departure.with(socket))
    }

    pub(super) fn into_behind(self, id: u64) -> Behind<S> {
        let Newcomer { socket, head, chunked, reader } = self;
        let framing = Framing { control: Control::new(reader.options), chunked };
        let Reader { stentor, subscription, open, .. } = reader;
        Behind::new(id, socket, stentor, framing, subscription, head, open)
    }

    pub(crate) fn stentor(&self) -> &Stentor {
        &self.reader.stentor
    }
}
