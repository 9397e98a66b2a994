//! The hand-over of a reader to a shard.

use std::fmt;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode, Version};

use crate::context::Stentor;
use crate::stream::head;
use crate::stream::slot::{NewStream, StreamSlot};

/// A reader on its way into a shard: its socket, the head of its response, and its stream. Nothing of
/// the response is written yet.
pub struct Arrival<S> {
    pub(super) socket: S,
    /// The head of the response, encoded.
    pub(super) head: Vec<u8>,
    /// `true` if the body is chunked (HTTP/1.1). The body of HTTP/1.0 ends with the connection.
    pub(super) chunked: bool,
    pub(super) stream: NewStream,
}

impl<S> Arrival<S> {
    /// Takes the stream out of a response of [`Stentor::stream`], to write it to `socket`.
    ///
    /// All earlier responses must have been written to the socket. Returns `None` if the response is not
    /// a stream, if its body was polled before, or if a middleware encodes the body.
    pub fn new<B>(response: &mut Response<B>, version: Version, socket: S) -> Option<Arrival<S>> {
        Arrival::take(response, version).map(|arrival| arrival.with_socket(socket))
    }

    /// Returns the service that the reader subscribed to.
    pub(crate) fn stentor(&self) -> &Stentor {
        &self.stream.stentor
    }
}

impl Arrival<()> {
    /// Takes the stream out of a response. [`Arrival::with_socket`] adds the socket. See
    /// [`Arrival::new`].
    pub(crate) fn take<B>(response: &mut Response<B>, version: Version) -> Option<Arrival<()>> {
        let slot = response.extensions_mut().remove::<StreamSlot>()?;
        let headers = response.headers();
        let encoded = [CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING];
        let is_plain = response.status() == StatusCode::OK
            && !encoded.iter().any(|name| headers.contains_key(name));
        let stream = if is_plain { slot.take() } else { None }?;
        let chunked = version == Version::HTTP_11;
        Some(Arrival { socket: (), head: head::encode(response, chunked), chunked, stream })
    }

    pub(crate) fn with_socket<S>(self, socket: S) -> Arrival<S> {
        let Arrival { head, chunked, stream, .. } = self;
        Arrival { socket, head, chunked, stream }
    }
}

impl<S> fmt::Debug for Arrival<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arrival")
    }
}
