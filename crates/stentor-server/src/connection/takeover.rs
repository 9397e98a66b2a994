//! The takeover: the socket of a reader leaves hyper and goes to a shard.
//!
//! hyper costs a task and more than 16 KiB for each idle stream, and a body cannot be written more
//! cheaply than piece by piece. So, once the answer to a request turns out to be a stream, the future
//! of that answer stays pending for ever, and whoever drives the connection takes it apart
//! (`Connection::into_parts`) in the same poll. Nothing of the answer has been written by then, and all
//! earlier answers have been flushed: without `pipeline_flush` (which would break this) hyper parses
//! the next request only after that.
//!
//! What does not fit exactly stays with hyper, whose bodies tell a reader the same: HTTP/2, requests
//! with a body, and answers that somebody encodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::shard::{Newcomer, Socket};
use crate::stream::{Reader, Ticket};

/// Where the reader of a connection is put until its socket is taken. There is one for each connection;
/// all clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Takeover(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pending: AtomicBool,
    /// Whether output of an earlier answer waits for room.
    unflushed: AtomicBool,
    place: Mutex<Option<Departure>>,
}

/// A reader who leaves hyper.
pub(crate) struct Departure {
    head: Vec<u8>,
    chunked: bool,
    reader: Reader,
}

impl std::fmt::Debug for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Departure")
    }
}

impl Takeover {
    /// Whether the answer to this request may be taken over: nothing of it is still to be read.
    pub(crate) fn fits(request: &Request<Incoming>) -> bool {
        *request.method() == Method::GET
            && request.version() <= Version::HTTP_11
            && request.body().is_end_stream()
    }

    /// Takes the reader out of an answer that is a stream; whether it was one.
    pub(crate) fn claim<B>(&self, response: &mut Response<B>, version: Version) -> bool {
        let Some(departure) = Departure::claim(response, version) else { return false };
        *self.0.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(departure);
        self.0.pending.store(true, Ordering::Release);
        true
    }

    /// Whether a reader waits for its socket to be taken. hyper must not read any more then: it would
    /// find the bytes behind the request, or the client's end, and act on them.
    pub(crate) fn is_pending(&self) -> bool {
        self.0.pending.load(Ordering::Acquire)
    }

    /// Notes whether output waits.
    pub(crate) fn set_unflushed(&self, unflushed: bool) {
        self.0.unflushed.store(unflushed, Ordering::Relaxed);
    }

    /// Whether the socket can be taken. While output waits, which hyper promises not to let happen,
    /// hyper goes on until it is written.
    pub(crate) fn is_due(&self) -> bool {
        self.is_pending() && !self.0.unflushed.load(Ordering::Relaxed)
    }

    /// Takes the reader, if one waits.
    pub(crate) fn take(&self) -> Option<Departure> {
        if !self.is_due() {
            return None;
        }
        self.0.pending.store(false, Ordering::Release);
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Departure {
    /// Takes the reader out of an answer, if it is a stream as Stentor made it.
    pub(crate) fn claim<B>(response: &mut Response<B>, version: Version) -> Option<Departure> {
        let ticket = response.extensions_mut().remove::<Ticket>()?;
        let headers = response.headers();
        let encoded = [CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING];
        let is_plain = response.status() == StatusCode::OK
            && !encoded.iter().any(|name| headers.contains_key(name));
        let reader = if is_plain { ticket.claim() } else { None }?;
        let chunked = version == Version::HTTP_11;
        Some(Departure { head: head(response, chunked), chunked, reader })
    }

    /// The reader with its socket.
    pub(crate) fn with<S: Socket>(self, socket: S) -> Newcomer<S> {
        Newcomer::new(socket, self.head, self.chunked, self.reader)
    }
}

/// The head of an answer as hyper would write it.
fn head<B>(response: &Response<B>, chunked: bool) -> Vec<u8> {
    const TYPICAL_BYTES: usize = 512;
    let mut head = Vec::with_capacity(TYPICAL_BYTES);
    head.extend_from_slice(if chunked { b"HTTP/1.1 200 OK\r\n" } else { b"HTTP/1.0 200 OK\r\n" });
    let mut line = |name: &[u8], value: &[u8]| {
        head.extend_from_slice(name);
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    for (name, value) in response.headers() {
        line(name.as_str().as_bytes(), value.as_bytes());
    }
    if chunked {
        line(b"transfer-encoding", b"chunked");
    }
    if !response.headers().contains_key(DATE) {
        line(b"date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}
