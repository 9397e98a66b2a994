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
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::shard::{Arrival, Trust};
use crate::stream::log::StreamLog;
use crate::stream::slot::SlotLink;

/// The takeover of one connection. All clones share one state.
#[derive(Clone, Debug, Default)]
pub(super) struct Takeover(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pending: AtomicBool,
    /// `true` while output of an earlier response waits for room in the socket.
    unflushed: AtomicBool,
    arrival: Mutex<Option<Arrival<()>>>,
    /// `true` while hyper writes a stream.
    streaming: AtomicBool,
}

impl Takeover {
    /// Returns `true` if the response to this request may be taken over: it has no body to read.
    pub(super) fn allows(request: &Request<Incoming>) -> bool {
        *request.method() == Method::GET
            && request.version() <= Version::HTTP_11
            && request.body().is_end_stream()
    }

    /// Takes the reader out of a response. Returns `false`, and leaves `log`, if the response is not a
    /// stream.
    pub(super) fn offer<B: Any>(
        &self,
        response: &mut Response<B>,
        version: Version,
        trust: Trust,
        log: &mut Option<StreamLog>,
    ) -> bool {
        let is_stream = response.extensions().get().is_some_and(SlotLink::has_body);
        let Some(mut arrival) = Arrival::take(response, version, trust) else {
            self.0.streaming.store(is_stream, Ordering::Relaxed);
            return false;
        };
        if let Some(log) = log.take() {
            arrival.log_end(log);
        }
        *self.0.arrival.lock().unwrap_or_else(PoisonError::into_inner) = Some(arrival);
        self.0.pending.store(true, Ordering::Release);
        true
    }

    /// Returns `true` if the current response is a stream that stayed with hyper. Its reader has left
    /// when it closes its side: it has nothing more to receive, and would not be missed otherwise.
    pub(super) fn is_streaming(&self) -> bool {
        self.0.streaming.load(Ordering::Relaxed)
    }

    /// Returns `true` if a reader waits for its socket. hyper must not read from the socket then: it
    /// would act on input after the request, or on the end of the input.
    pub(super) fn is_pending(&self) -> bool {
        self.0.pending.load(Ordering::Acquire)
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
        self.0.arrival.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
