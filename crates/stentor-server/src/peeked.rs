//! A request body whose first frame was already read.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::body::BoxError;

/// The result of polling a body for a frame.
pub(crate) type FramePoll<E> = Poll<Option<Result<Frame<Bytes>, E>>>;

/// A body of known length that was polled once. It returns that result first, then the rest.
pub(crate) struct PeekedBody<B: Body> {
    /// The result of the first poll; `Pending` after it was returned.
    first: FramePoll<B::Error>,
    body: B,
}

impl<B: Body<Data = Bytes>> PeekedBody<B> {
    pub(crate) fn new(first: FramePoll<B::Error>, body: B) -> PeekedBody<B> {
        PeekedBody { first, body }
    }
}

impl<B> Body for PeekedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll<BoxError> {
        let polled = match mem::replace(&mut self.first, Poll::Pending) {
            Poll::Pending => Pin::new(&mut self.body).poll_frame(cx),
            first @ Poll::Ready(_) => first,
        };
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_pending() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = match &self.first {
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        let exact = self.body.size_hint().exact();
        exact.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(first as u64 + rest))
    }
}
