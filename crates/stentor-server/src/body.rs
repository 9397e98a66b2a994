//! The bodies of responses and requests.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use crate::limits::PIECE_BYTES_MAX;

/// The error type of a body from outside this crate.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request, boxed.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// The body of a response: complete, or a stream of events or of the pieces of a page.
pub struct Body(Kind);

enum Kind {
    Full(Option<Bytes>),
    Stream(Pin<Box<dyn BodyStream>>),
}

/// The bytes of a body that are produced while the client takes them.
pub(crate) trait BodyStream: Send + Unpin {
    /// Returns the next bytes. `None` at the end.
    fn poll_piece(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, StreamInterrupted>>>;

    /// Returns `true` if no more bytes follow.
    fn is_over(&self) -> bool;

    /// Returns the place of the stream of events that was accepted. `None` once the stream has begun.
    fn slot(&mut self) -> Option<&mut dyn Any>;
}

/// A stream stopped before its end. The subscriber reconnects and resumes by its last event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was interrupted; reconnect with the last event id")]
pub struct StreamInterrupted;

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Full(_) => "Body::Full",
            Kind::Stream(_) => "Body::Stream",
        })
    }
}

impl Body {
    /// Creates a body without bytes.
    pub fn empty() -> Body {
        Body(Kind::Full(None))
    }

    /// Creates a body of these bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Body {
        Body(Kind::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }

    /// Creates the body of a stream.
    pub(crate) fn stream(stream: impl BodyStream + 'static) -> Body {
        Body(Kind::Stream(Box::pin(stream)))
    }

    /// Returns the place of the stream, if this is the body of a stream that has not begun.
    pub(crate) fn new_stream<T: Any>(&mut self) -> Option<&mut T> {
        match &mut self.0 {
            Kind::Full(_) => None,
            Kind::Stream(stream) => stream.slot()?.downcast_mut(),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = StreamInterrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamInterrupted>>> {
        match &mut self.0 {
            Kind::Full(rest) => Poll::Ready(next_piece(rest).map(|piece| Ok(Frame::data(piece)))),
            Kind::Stream(stream) => {
                let piece = stream.as_mut().poll_piece(cx);
                piece.map(|piece| piece.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Stream(stream) => stream.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

/// Takes a piece from the front. A server may copy a piece into a buffer of its connection, so it has at most
/// [`PIECE_BYTES_MAX`].
fn next_piece(rest: &mut Option<Bytes>) -> Option<Bytes> {
    let bytes = rest.as_mut()?;
    if bytes.len() <= PIECE_BYTES_MAX {
        return rest.take();
    }
    Some(bytes.split_to(PIECE_BYTES_MAX))
}
