//! Takeover: the socket of a subscriber moves from hyper to a shard.
//!
//! An idle stream under hyper costs a task and more than 16 KiB, and its body is written piece by
//! piece. So when a response turns out to be a stream, the future of that response stays pending, and
//! the connection is taken apart (`Connection::into_parts`) in the same poll. Nothing of the response
//! is written by then, and all earlier responses are flushed. This requires that `pipeline_flush` is
//! off: hyper then parses a request only after it has flushed the responses before it.
//!
//! Other streams stay with hyper, and the shard writes them into a response body: HTTP/2, requests with
//! a body, and responses whose body a layer replaced, wrapped or boxed.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::shard::{Arrival, Trust};
use crate::stream::log::StreamLog;
use crate::stream::slot::SlotLink;

/// The takeover of one connection. All clones share one state.
#[derive(Clone, Default)]
pub(super) struct Takeover(Arc<Inner>);

#[derive(Default)]
struct Inner {
    pending: AtomicBool,
    /// `true` while output of an earlier response waits for room in the socket.
    unflushed: AtomicBool,
    arrival: Mutex<Option<Arrival<()>>>,
    /// `true` while hyper writes a stream whose client has not closed its sending side.
    streaming: AtomicBool,
    /// The stream that hyper writes.
    stream: Mutex<Option<SlotLink>>,
    /// `true` if there are `pieces`.
    has_pieces: AtomicBool,
    /// Pieces of the response that hyper has copied and not written yet. They hold their charge.
    pieces: Mutex<Vec<Bytes>>,
}

impl Takeover {
    /// Returns `true` if the response to this request may be taken over: it has no body to read.
    pub(super) fn allows(request: &Request<Incoming>) -> bool {
        *request.method() == Method::GET
            && request.version() <= Version::HTTP_11
            && request.body().is_end_stream()
    }

    /// Takes the reader out of a response. Returns `false`, and leaves `log`, if the response is not a
    /// stream or stays with hyper. `trust` is `None` if it must stay.
    pub(super) fn offer<B: Any>(
        &self,
        response: &mut Response<B>,
        version: Version,
        trust: Option<Trust>,
        log: &mut Option<Box<StreamLog>>,
    ) -> bool {
        let link = response.extensions().get::<SlotLink>().filter(|link| link.has_body()).cloned();
        let arrival = trust.and_then(|trust| Arrival::take(response, version, trust));
        let Some(mut arrival) = arrival else {
            self.0.streaming.store(link.is_some(), Ordering::Relaxed);
            if link.is_some() {
                *lock(&self.0.stream) = link;
            }
            return false;
        };
        if let Some(log) = log.take() {
            arrival.log_end(*log);
        }
        *lock(&self.0.arrival) = Some(arrival);
        self.0.pending.store(true, Ordering::Release);
        true
    }

    /// Returns `true` if the current response is a stream that stayed with hyper. hyper does not read
    /// during a response, so the end of the input has to be looked for.
    pub(super) fn is_streaming(&self) -> bool {
        self.0.streaming.load(Ordering::Relaxed)
    }

    /// Reports that the client has closed its sending side. The stream that hyper writes then ends after
    /// the last event.
    pub(super) fn half_close(&self) {
        self.0.streaming.store(false, Ordering::Relaxed);
        if let Some(stream) = lock(&self.0.stream).take() {
            stream.half_close();
        }
    }

    /// Returns `true` if a reader waits for its socket. hyper must not read from the socket then: it
    /// would act on input after the request, or on the end of the input.
    pub(super) fn is_pending(&self) -> bool {
        self.0.pending.load(Ordering::Acquire)
    }

    /// Keeps a piece of a response until all output is written, with its charge.
    pub(super) fn keep_piece(&self, piece: &Bytes) {
        lock(&self.0.pieces).push(piece.clone());
        self.0.has_pieces.store(true, Ordering::Relaxed);
    }

    /// Drops the pieces whose bytes are written.
    pub(super) fn release_pieces(&self) {
        if self.0.has_pieces.swap(false, Ordering::Relaxed) {
            lock(&self.0.pieces).clear();
        }
    }

    /// Records whether output waits for room in the socket.
    pub(super) fn set_unflushed(&self, unflushed: bool) {
        self.0.unflushed.store(unflushed, Ordering::Relaxed);
    }

    /// Returns `true` if the socket can be taken. hyper promises that no output waits at this point; if
    /// some does, hyper writes it first.
    pub(super) fn is_due(&self) -> bool {
        self.is_pending() && !self.0.unflushed.load(Ordering::Relaxed)
    }

    /// Takes the reader, if the socket can be taken.
    pub(super) fn take(&self) -> Option<Arrival<()>> {
        if !self.is_due() {
            return None;
        }
        self.0.pending.store(false, Ordering::Release);
        lock(&self.0.arrival).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
