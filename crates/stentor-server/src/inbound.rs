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
use http::{HeaderValue, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::limits::{DISCARD_BYTES_MAX, DISCARD_TIME_MAX};

/// The body of a request to a service that [`serve`](crate::serve) runs.
///
/// A service may drop it at any point. The connection then reads and discards the rest, up to 16 MiB and
/// for 5 s, so that the client gets the response and can use the connection again.
#[derive(Debug)]
pub struct InboundBody {
    /// `None` only while it is being dropped.
    body: Option<Incoming>,
    /// `true` if the client sends no body before `100 Continue`, and hyper has not sent that yet.
    awaits_continue: bool,
    /// `None` if the request has no body.
    unread: Option<Unread>,
}

impl InboundBody {
    /// Wraps the body of a request.
    pub(crate) fn wrap(request: Request<Incoming>, unread: Option<Unread>) -> Request<InboundBody> {
        let awaits_continue = unread.is_some()
            && request.version() < Version::HTTP_2
            && request.headers().contains_key(EXPECT);
        request.map(|body| InboundBody { body: Some(body), awaits_continue, unread })
    }
}

impl Body for InboundBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.awaits_continue = false;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for InboundBody {
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
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// `true` if a rest is to be discarded.
    pending: AtomicBool,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
enum Rest {
    /// No request is being handled, or its response has been returned.
    #[default]
    None,
    /// A request with a body is being handled.
    Open,
    /// The service dropped the body before its end.
    Body(Incoming),
    /// The service dropped the body before the client sent it. The client may send it or not, so the
    /// connection cannot be used again.
    Withheld,
}

impl Unread {
    /// Returns the state for the next request of a connection, and `None` if it has no body.
    pub(crate) fn of_request(&self, request: &Request<Incoming>) -> Option<Unread> {
        (!request.body().is_end_stream()).then(|| {
            *self.rest() = Rest::Open;
            self.clone()
        })
    }

    /// Returns a state for a request over HTTP/2, and `None` if it has no body.
    pub(crate) fn of_stream(request: &Request<Incoming>) -> Option<Unread> {
        if request.body().is_end_stream() { None } else { Unread::default().of_request(request) }
    }

    /// Keeps what a service did not read. Does nothing if the response has been returned already.
    fn leave(&self, left: Rest) {
        let mut rest = self.rest();
        if matches!(*rest, Rest::Open) {
            *rest = left;
            self.0.pending.store(true, Ordering::Release);
        }
    }

    /// Discards the rest in a task of its own, once the service has returned its response. For HTTP/2,
    /// where a reset of the stream could reach the client before it has read the response.
    pub(crate) fn discard_in_background(&self) {
        if let Some(discard) = self.take() {
            // It ends within `DISCARD_TIME_MAX`, or when the connection is closed.
            tokio::spawn(discard);
        }
    }

    /// Decides about the rest, once the service has returned its response: either it is discarded, or
    /// the response says that the connection will be closed. For HTTP/1.1.
    pub(crate) fn settle<B>(&self, response: &mut Response<B>) {
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
    pub(crate) fn take(&self) -> Option<Discard> {
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

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.0.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads and discards a body.
#[derive(Debug)]
pub(crate) struct Discard {
    body: Incoming,
    bytes_left: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Discard {
    fn new(body: Incoming) -> Discard {
        let deadline = Box::pin(sleep(DISCARD_TIME_MAX));
        Discard { body, bytes_left: DISCARD_BYTES_MAX, deadline }
    }
}

/// Completes at the end of the body or at a limit. If the body has not ended, dropping it makes hyper
/// close the connection, or reset the stream.
impl Future for Discard {
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
