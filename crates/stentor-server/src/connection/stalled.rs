//! Streams over HTTP/2 whose client accepts no data.
//!
//! While the window of a stream is exhausted, hyper does not poll the body of the response, so an error of
//! the body has no effect. h2 resets a stream, and discards what is queued for it, when its last handle is
//! dropped (`schedule_implicit_reset` in `h2::proto::streams::send`, `pop_frame` in `prioritize`). hyper's
//! future of the stream has the handles. So a task of this crate runs that future, and drops it.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::limits::{PIECE_BYTES_MAX, STALL_TIME_MAX};

thread_local! {
    /// The outcome of the last poll of a [`PacedBody`] by the task that is being polled: `true` if it
    /// returned a piece, or was created and not polled yet. `None` if it was not polled.
    static POLLED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Spawns the futures of a connection's streams. It resets a stream whose client stalls.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamExecutor;

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(StreamTask { stream, is_blocked: false, stall: None });
    }
}

pin_project! {
    /// Runs the future of a stream until it completes, or until its client has accepted nothing for
    /// [`STALL_TIME_MAX`].
    struct StreamTask<F> {
        #[pin]
        stream: F,
        // `true` if hyper has a piece of the body and waits until the client accepts it.
        is_blocked: bool,
        // Runs while it is blocked.
        stall: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for StreamTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        POLLED.set(None);
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(is_piece) = POLLED.take() {
            *this.is_blocked = is_piece;
            *this.stall = None;
        }
        if !*this.is_blocked {
            return Poll::Pending;
        }
        let stall = this.stall.get_or_insert_with(|| Box::pin(sleep(STALL_TIME_MAX)));
        ready!(stall.as_mut().poll(cx));
        tracing::debug!("a client stopped reading a stream over HTTP/2");
        Poll::Ready(())
    }
}

pin_project! {
    /// The body of a response over HTTP/2, in pieces whose acceptance a [`StreamTask`] watches.
    pub(super) struct PacedBody<B> {
        #[pin]
        body: B,
        // The rest of a larger piece.
        rest: Bytes,
    }
}

impl<B> PacedBody<B> {
    /// Creates the body of a response whose head is sent next, in the poll of its stream. Until hyper polls the
    /// body, it waits for the client: a window that is exhausted from the start stops it, too.
    pub(super) fn new(body: B) -> PacedBody<B> {
        POLLED.set(Some(true));
        PacedBody { body, rest: Bytes::new() }
    }
}

impl<B: Body<Data = Bytes>> Body for PacedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        POLLED.set(Some(false));
        if this.rest.is_empty() {
            match ready!(this.body.poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(piece))) => *this.rest = piece,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        POLLED.set(Some(true));
        let bytes = this.rest.len().min(PIECE_BYTES_MAX);
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
