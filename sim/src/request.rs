//! Requests of simulated clients, whose bodies arrive piece by piece.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use fastrand::Rng;
use http::{Method, Request, Version};
use http_body::{Frame, SizeHint};

use crate::lock::lock;

/// The body of a request. Clones share it: the client releases pieces, and the server reads them.
#[derive(Clone)]
pub(crate) struct SimBody(Arc<Mutex<State>>);

struct State {
    waiting: VecDeque<Bytes>,
    arrived: VecDeque<Bytes>,
    is_cut: bool,
    waker: Option<Waker>,
}

impl SimBody {
    /// Creates an empty body.
    pub(crate) fn empty() -> SimBody {
        SimBody::new(Bytes::new(), 1, &mut Rng::with_seed(0))
    }

    /// Creates a body in at most `pieces` pieces. If there is only one, it has arrived.
    pub(crate) fn new(mut bytes: Bytes, pieces: usize, rng: &mut Rng) -> SimBody {
        let mut waiting = VecDeque::new();
        while waiting.len() + 1 < pieces && bytes.len() > 1 {
            let at = rng.usize(1..bytes.len());
            waiting.push_back(bytes.split_to(at));
        }
        if !bytes.is_empty() {
            waiting.push_back(bytes);
        }
        let arrived = if pieces <= 1 { std::mem::take(&mut waiting) } else { VecDeque::new() };
        SimBody(Arc::new(Mutex::new(State { waiting, arrived, is_cut: false, waker: None })))
    }

    /// Returns `true` if pieces have not arrived.
    pub(crate) fn is_waiting(&self) -> bool {
        let state = lock(&self.0);
        !state.waiting.is_empty() && !state.is_cut
    }

    /// Lets the next piece arrive.
    pub(crate) fn arrive(&self) {
        let mut state = lock(&self.0);
        let next = state.waiting.pop_front();
        state.arrived.extend(next);
        state.wake();
    }

    /// Cuts the connection: the rest never arrives.
    pub(crate) fn cut(&self) {
        let mut state = lock(&self.0);
        state.is_cut = true;
        state.wake();
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn bytes(&self) -> usize {
        self.waiting.iter().chain(&self.arrived).map(Bytes::len).sum()
    }
}

impl http_body::Body for SimBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut state = lock(&self.0);
        if let Some(bytes) = state.arrived.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if state.waiting.is_empty() {
            return Poll::Ready(None);
        }
        if state.is_cut {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).bytes() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(lock(&self.0).bytes() as u64)
    }
}

/// A request that can be sent several times.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// Names and values.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body.
    pub(crate) body: Bytes,
    /// The version of HTTP.
    pub(crate) version: Version,
}

impl Draft {
    /// Creates a request without headers and body.
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Draft {
        Draft {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            version: Version::HTTP_11,
        }
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Draft {
        self.headers.push((name, value.into()));
        self
    }

    /// Builds the request. `None` if a header is not valid.
    pub(crate) fn request(&self, body: SimBody) -> Option<Request<SimBody>> {
        let mut request = Request::builder().method(&self.method).uri(&self.target);
        request = request.version(self.version).header("host", "localhost");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(body).ok()
    }
}
