//! The bodies of answers and requests.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use crate::stream::{self, Ticket};

/// What went wrong underneath a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request, wherever it comes from.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// The body of an answer: whole, or a stream of events.
pub struct Body(Kind);

enum Kind {
    Full(Option<Bytes>),
    /// A stream that nobody has asked for a piece yet.
    Ticket(Ticket),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, StreamCut>> + Send>>),
}

/// A stream that ends without its end, so that the reader comes back and resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was cut; reconnect with the last event id")]
pub struct StreamCut;

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Full(_) => "Body::Full",
            Kind::Ticket(_) | Kind::Stream(_) => "Body::Stream",
        })
    }
}

impl Body {
    /// Nothing.
    pub fn empty() -> Body {
        Body(Kind::Full(None))
    }

    /// All of it at once.
    pub fn full(bytes: impl Into<Bytes>) -> Body {
        Body(Kind::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }

    pub(crate) fn stream(ticket: Ticket) -> Body {
        Body(Kind::Ticket(ticket))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = StreamCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamCut>>> {
        if let Kind::Ticket(ticket) = &self.0 {
            self.0 = match ticket.claim() {
                Some(reader) => Kind::Stream(Box::pin(stream::pieces(reader))),
                None => Kind::Full(None),
            };
        }
        match &mut self.0 {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Ticket(_) => Poll::Ready(None),
            Kind::Stream(pieces) => {
                pieces.as_mut().poll_next(cx).map(|piece| piece.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Ticket(_) | Kind::Stream(_) => SizeHint::default(),
        }
    }
}
