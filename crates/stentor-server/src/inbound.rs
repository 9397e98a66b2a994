//! The body of a request, and the reading of the part that the service did not read.
//!
//! A service may respond before it has read the body: a refusal by host, 404, 413. hyper then closes the
//! connection, and a client that still sends gets a reset and can lose the response. So the connection
//! reads the rest of the body after the response, within limits, and stays open for the next request.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::connection_waker::WakeHold;
use crate::discard::{Discard, Discards};
use crate::limits::DISCARD_BYTES_MAX;

/// The body of a request to a service that [`serve`](crate::serve) runs.
///
/// A service may drop it at any point. The connection then reads and discards the rest, up to 16 MiB and
/// for 5 s, so that the client gets the response and can use the connection again.
#[derive(Debug)]
pub struct InboundBody(KeptBody<Incoming>);

impl InboundBody {
    /// Wraps the body of a request.
    pub(crate) fn wrap(request: Request<Incoming>, unread: Option<Unread>) -> Request<InboundBody> {
        let awaits_continue =
            unread.is_some() && awaits_continue(request.version(), request.headers());
        request.map(|body| InboundBody(KeptBody { body: Some(body), awaits_continue, unread }))
    }
}

/// Returns `true` if a client with this request sends no body before `100 Continue`.
pub(crate) fn awaits_continue(version: Version, headers: &HeaderMap) -> bool {
    version < Version::HTTP_2 && headers.contains_key(EXPECT)
}

impl Body for InboundBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let hold = WakeHold::begin();
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) && self.0.is_end_stream() {
            // The last piece: hyper has nothing more to read for this body.
            hold.discard();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// The body of a request. If it is dropped before its end, the rest is kept in an [`Unread`].
#[derive(Debug)]
pub(crate) struct KeptBody<B: Body> {
    /// `None` only while it is being dropped.
    body: Option<B>,
    /// `true` if the client sends no body before `100 Continue`, and the server has not sent that yet.
    awaits_continue: bool,
    /// `None` if the request has no body.
    unread: Option<Unread<B>>,
}

impl<B: Body> KeptBody<B> {
    /// Wraps a body that has not ended.
    pub(crate) fn new(body: B, awaits_continue: bool, unread: &Unread<B>) -> KeptBody<B> {
        KeptBody { body: Some(body), awaits_continue, unread: Some(unread.open()) }
    }
}

impl<B: Body + Unpin> Body for KeptBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.awaits_continue = false;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

impl<B: Body> Drop for KeptBody<B> {
    fn drop(&mut self) {
        if let Some(unread) = self.unread.take()
            && let Some(body) = self.body.take()
            && !body.is_end_stream()
        {
            unread.leave(if self.awaits_continue { Rest::Withheld } else { Rest::Body(body) });
        }
    }
}

/// The unread rest of a request's body. All clones share one state: over HTTP/1.1, where one request
/// follows another, that of a connection, and over HTTP/2 that of a request.
#[derive(Debug)]
pub(crate) struct Unread<B = Incoming>(Arc<Inner<B>>);

#[derive(Debug)]
struct Inner<B> {
    /// `true` if a rest is to be discarded.
    pending: AtomicBool,
    rest: Mutex<Rest<B>>,
    /// The connection that discards it, for HTTP/2.
    discards: Option<Discards>,
}

#[derive(Debug, Default)]
enum Rest<B> {
    /// No request is being handled, or its response has been returned.
    #[default]
    None,
    /// A request with a body is being handled.
    Open,
    /// The service dropped the body before its end.
    Body(B),
    /// The service dropped the body before the client sent it. The client may send it or not, so the
    /// connection cannot be used again.
    Withheld,
}

impl<B> Clone for Unread<B> {
    fn clone(&self) -> Unread<B> {
        Unread(Arc::clone(&self.0))
    }
}

impl<B> Default for Unread<B> {
    fn default() -> Unread<B> {
        Unread::new(None)
    }
}

impl Unread {
    /// Returns the state for the next request of a connection, and `None` if it has no body.
    pub(crate) fn of_request(&self, request: &Request<Incoming>) -> Option<Unread> {
        (!request.body().is_end_stream()).then(|| self.open())
    }

    /// Returns a state for a request over HTTP/2, and `None` if it has no body.
    pub(crate) fn of_stream(request: &Request<Incoming>, discards: &Discards) -> Option<Unread> {
        let has_body = !request.body().is_end_stream();
        has_body.then(|| Unread::new(Some(discards.clone())).open())
    }

    /// Hands the rest to the connection, once the service has returned its response. For HTTP/2, where a
    /// reset of the stream could reach the client before it has read the response.
    pub(crate) fn discard_in_background(&self) {
        if let Some(discards) = &self.0.discards
            && let Some(discard) = self.take()
        {
            discards.add(discard);
        }
    }
}

impl<B> Unread<B> {
    fn new(discards: Option<Discards>) -> Unread<B> {
        Unread(Arc::new(Inner {
            pending: AtomicBool::new(false),
            rest: Mutex::default(),
            discards,
        }))
    }

    /// Begins a request with a body.
    fn open(&self) -> Unread<B> {
        *self.rest() = Rest::Open;
        self.clone()
    }

    /// Keeps what a service did not read. Does nothing if the response has been returned already.
    fn leave(&self, left: Rest<B>) {
        let mut rest = self.rest();
        if matches!(*rest, Rest::Open) {
            *rest = left;
            self.0.pending.store(true, Ordering::Release);
        }
    }

    /// Decides about the rest, once the service has returned its response: either it is discarded, or
    /// the response says that the connection will be closed. For HTTP/1.1.
    pub(crate) fn settle<R>(&self, response: &mut Response<R>)
    where
        B: Body,
    {
        let mut rest = self.rest();
        let closes = match &*rest {
            Rest::Body(body) => body.size_hint().lower() > DISCARD_BYTES_MAX as u64,
            Rest::Withheld => true,
            Rest::None | Rest::Open => false,
        };
        if closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if !matches!(*rest, Rest::Body(_)) {
            *rest = Rest::None;
            self.0.pending.store(false, Ordering::Release);
        }
    }

    /// Takes the rest that is to be discarded.
    pub(crate) fn take(&self) -> Option<Discard<B>> {
        if !self.0.pending.load(Ordering::Acquire) {
            return None;
        }
        let mut rest = self.rest();
        match mem::take(&mut *rest) {
            Rest::Body(body) => {
                self.0.pending.store(false, Ordering::Release);
                Some(Discard::new(body))
            }
            other => {
                *rest = other;
                None
            }
        }
    }

    fn rest(&self) -> MutexGuard<'_, Rest<B>> {
        self.0.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
