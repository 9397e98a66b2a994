//! The reading and discarding of request bodies that a service did not read.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::{DISCARD_BYTES_MAX, DISCARD_TIME_MAX, DRAIN_DISCARD_TIME_MAX};

/// Reads and discards a body.
#[derive(Debug)]
pub(crate) struct Discard<B = Incoming> {
    body: B,
    bytes_left: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<B> Discard<B> {
    pub(crate) fn new(body: B) -> Discard<B> {
        let deadline = Box::pin(sleep(DISCARD_TIME_MAX));
        Discard { body, bytes_left: DISCARD_BYTES_MAX, deadline }
    }

    /// Shortens the time that is left, because the server drains.
    pub(crate) fn hurry(&mut self) {
        let deadline = Instant::now() + DRAIN_DISCARD_TIME_MAX;
        if self.deadline.deadline() > deadline {
            self.deadline.as_mut().reset(deadline);
        }
    }
}

/// Completes at the end of the body or at a limit. If the body has not ended, dropping it makes hyper
/// close the connection, or reset the stream.
impl<B: Body<Data = Bytes> + Unpin> Future for Discard<B> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let Some(Ok(frame)) = frame else { return Poll::Ready(()) };
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match self.bytes_left.checked_sub(bytes) {
                Some(left) => self.bytes_left = left,
                None => return Poll::Ready(()),
            }
        }
        self.deadline.as_mut().poll(cx)
    }
}

/// The way of unread bodies from the streams of a connection to the connection. All clones share it.
///
/// Each body belongs to an open stream, so the limit of streams bounds their number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discards(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    bodies: Vec<Discard>,
    /// The task of the connection.
    connection: Option<Waker>,
}

impl Discards {
    /// Hands a body to the connection.
    pub(crate) fn add(&self, body: Discard) {
        let mut waiting = self.waiting();
        waiting.bodies.push(body);
        let connection = waiting.connection.take();
        drop(waiting);
        if let Some(connection) = connection {
            connection.wake();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection's end: the bodies that are being discarded.
#[derive(Debug, Default)]
pub(crate) struct Discarding {
    discards: Discards,
    running: FuturesUnordered<Discard>,
    hurries: bool,
}

impl Discarding {
    pub(crate) fn discards(&self) -> &Discards {
        &self.discards
    }

    /// Shortens the time of all bodies, because the server drains.
    pub(crate) fn hurry(&mut self) {
        self.hurries = true;
        self.running.iter_mut().for_each(Discard::hurry);
    }

    /// Reads on, and registers the task to be woken for more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        let mut waiting = self.discards.waiting();
        let bodies = std::mem::take(&mut waiting.bodies);
        if !waiting.connection.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            waiting.connection = Some(cx.waker().clone());
        }
        drop(waiting);
        for mut body in bodies {
            if self.hurries {
                body.hurry();
            }
            self.running.push(body);
        }
        while let Poll::Ready(Some(())) = Pin::new(&mut self.running).poll_next(cx) {}
    }
}
