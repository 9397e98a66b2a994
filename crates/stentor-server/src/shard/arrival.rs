//! The hand-over of a reader to a shard.

use std::any::Any;
use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode, Version};
use stentor_hub::Subscription;

use super::framing::Framing;
use super::transport::{Transport, Written};
use crate::body::Body;
use crate::context::Stentor;
use crate::guard::GuardedBody;
use crate::metrics::OpenCount;
use crate::stream::encoder::{StreamEncoder, unavailable_retry};
use crate::stream::head;
use crate::stream::log::StreamLog;
use crate::stream::session::OpenSession;
use crate::stream::slot::{NewStream, SlotLink, StreamSlot};

/// A reader on its way into a shard, with all that the shard needs. Nothing of the response is written
/// yet.
pub struct Arrival<T> {
    pub(super) transport: T,
    /// The head of the response, encoded. Empty if something else writes the head.
    pub(super) head: Bytes,
    pub(super) framing: Framing,
    pub(super) stentor: Stentor,
    pub(super) subscription: Box<Subscription>,
    pub(super) session: Option<OpenSession>,
    pub(super) open: OpenCount,
}

/// The layers whose responses may be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Only a body whose type shows that no layer replaced or wrapped it.
    Types,
    /// Any body. The program vouches that its layers leave the bodies of streams alone.
    Layers,
}

impl<T> Arrival<T> {
    /// Takes the stream out of a response of [`Stentor::stream`], to write it to `transport`, which is
    /// a connection of HTTP/1.
    ///
    /// All earlier responses must have been written to the transport. Returns `None` if the body is not
    /// the untouched [`Body`] of a stream: a layer replaced or wrapped it, it was polled before, or a
    /// header says that it is encoded.
    pub fn new<B: Any>(
        response: &mut Response<B>,
        version: Version,
        transport: T,
    ) -> Option<Arrival<T>> {
        Arrival::take(response, version, Trust::Types).map(|taken| taken.with_transport(transport))
    }

    /// Returns the service that the reader subscribed to.
    pub(crate) fn stentor(&self) -> &Stentor {
        &self.stentor
    }

    /// Returns a stream whose head and framing something else writes.
    pub(crate) fn piped(stream: NewStream, transport: T) -> Arrival<T> {
        Arrival::of(stream, false, Bytes::new(), transport)
    }

    fn of(stream: NewStream, chunked: bool, head: Bytes, transport: T) -> Arrival<T> {
        let NewStream { stentor, subscription, options, session, open } = stream;
        let framing = Framing { encoder: StreamEncoder::new(options), chunked };
        Arrival { transport, head, framing, stentor, subscription, session, open }
    }
}

impl<T: Transport> Arrival<T> {
    /// Answers with a stream that has only a reconnection time, if no shard takes the reader. What the
    /// transport has no room for is lost.
    pub(crate) fn refuse(mut self) {
        let retry = self.framing.control(|encoder, out| encoder.retry(out, unavailable_retry()));
        let stream = [&self.head[..], &retry[..], self.framing.body_end()].concat();
        if let Written::Bytes(_) = self.transport.write(&stream) {
            self.transport.finish();
        }
    }
}

impl Arrival<()> {
    /// Takes the stream out of a response. [`Arrival::with_transport`] adds the transport. See
    /// [`Arrival::new`].
    pub(crate) fn take<B: Any>(
        response: &mut Response<B>,
        version: Version,
        trust: Trust,
    ) -> Option<Arrival<()>> {
        let link = response.extensions_mut().remove::<SlotLink>();
        let headers = response.headers();
        let encoded = [CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING];
        let is_plain = response.status() == StatusCode::OK
            && !encoded.iter().any(|name| headers.contains_key(name));
        if !is_plain {
            return None;
        }
        let stream = match (untouched(response.body_mut()), trust) {
            (Some(body), _) => body.new_stream::<StreamSlot>()?.take(),
            (None, Trust::Layers) => link?.take(),
            (None, Trust::Types) => None,
        }?;
        let chunked = version == Version::HTTP_11;
        let head = head::encode(response, chunked).into();
        Some(Arrival::of(stream, chunked, head, ()))
    }

    /// Makes the end of the stream be logged.
    pub(crate) fn log_end(&mut self, log: StreamLog) {
        let none = OpenSession { expires_at: None, key: None, log: None };
        self.session.get_or_insert(none).log = Some(log);
    }

    pub(crate) fn with_transport<T>(self, transport: T) -> Arrival<T> {
        let Arrival { head, framing, stentor, subscription, session, open, .. } = self;
        Arrival { transport, head, framing, stentor, subscription, session, open }
    }
}

/// Returns a response body that is of this crate's type, also behind up to two guards.
///
/// The type is the proof that no layer touched the body. A wrapped body has another type, and so does
/// a boxed one, which could be anything.
fn untouched(body: &mut dyn Any) -> Option<&mut Body> {
    if body.is::<Body>() {
        return body.downcast_mut();
    }
    if body.is::<GuardedBody<Body>>() {
        return body.downcast_mut::<GuardedBody<Body>>().map(either);
    }
    let twice = body.downcast_mut::<GuardedBody<GuardedBody<Body>>>()?;
    Some(match twice {
        GuardedBody::Left(inner) => either(inner),
        GuardedBody::Right(own) => own,
    })
}

fn either(body: &mut GuardedBody<Body>) -> &mut Body {
    match body {
        GuardedBody::Left(body) | GuardedBody::Right(body) => body,
    }
}

impl<T> fmt::Debug for Arrival<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arrival")
    }
}
