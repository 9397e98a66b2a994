//! One connection and its streams.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Error, RecvStream};
use http::Request;
use mio::{Registry, Token};

use crate::http::response::Head;
use crate::http::socket::{Socket, Target};
use crate::http2::failure;
use crate::http2::socket_io::{Readiness, SocketIo};
use crate::http2::wakers::Wakers;

/// Flow-control windows in bytes, about those of browsers: large, so that few `WINDOW_UPDATE` frames are sent.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

/// A connection. Streams are numbered by their slot.
pub(crate) struct Connection {
    state: State,
    readiness: Readiness,
    wakers: Wakers,
    streams: Vec<Stream>,
    /// Slots whose request is not sent yet.
    queued: VecDeque<usize>,
    /// Slots that may have an event.
    awake: Vec<usize>,
    in_use: usize,
}

enum State {
    Handshake(Pin<Box<dyn Future<Output = Result<Handles, Error>>>>),
    Open(Box<Handles>),
    /// Closed, with the error text.
    Closed(String),
}

type Handles = (SendRequest<Bytes>, client::Connection<SocketIo, Bytes>);

enum Stream {
    Unused,
    /// The request is not sent yet.
    Queued(Box<(Request<()>, Bytes)>),
    /// Waiting for the response head.
    Requested(ResponseFuture),
    Open(RecvStream),
    Failed(String),
}

/// An event of one stream.
#[derive(Debug)]
pub(crate) enum Event {
    Head(Head),
    Data(Bytes),
    /// The stream is over, with the reason as a text for the user.
    Over(String),
}

impl Connection {
    /// Starts to connect, and registers the socket. `number` selects the source address.
    pub(crate) fn start(
        to: &Target,
        number: usize,
        slots: usize,
        registry: &Registry,
    ) -> io::Result<Connection> {
        let mut socket = Socket::connect(to, number, false)?;
        socket.register(registry, Token(number))?;
        let readiness = Readiness::default();
        let mut builder = client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let io = SocketIo::new(socket, readiness.clone());
        let handshake = async move { builder.handshake(io).await };
        Ok(Connection {
            state: State::Handshake(Box::pin(handshake)),
            readiness,
            wakers: Wakers::new(slots),
            streams: (0..slots).map(|_| Stream::Unused).collect(),
            queued: VecDeque::new(),
            awake: Vec::new(),
            in_use: 0,
        })
    }

    /// Opens a stream in a slot that is not in use. `body` is empty for a request without a body.
    pub(crate) fn request(&mut self, slot: usize, request: Request<()>, body: Bytes) {
        if let Some(stream @ Stream::Unused) = self.streams.get_mut(slot) {
            *stream = Stream::Queued(Box::new((request, body)));
            self.in_use += 1;
            self.queued.push_back(slot);
            self.wakers.wake_connection();
        }
    }

    /// Closes a stream. The server learns of it with the next call of [`next`](Connection::next).
    pub(crate) fn close(&mut self, slot: usize) {
        if let Some(stream) = self.streams.get_mut(slot)
            && !matches!(stream, Stream::Unused)
        {
            *stream = Stream::Unused;
            self.in_use -= 1;
            self.queued.retain(|queued| *queued != slot);
        }
    }

    /// Returns `true` if no stream is in use.
    pub(crate) fn is_unused(&self) -> bool {
        self.in_use == 0
    }

    /// Notes that the socket is ready, or closed by the server.
    pub(crate) fn on_ready(&mut self, is_closed: bool) {
        self.readiness.set_ready(is_closed);
        self.wakers.wake_connection();
    }

    /// Number of reads since the last call that returned bytes, and these bytes.
    pub(crate) fn take_traffic(&mut self) -> (u64, u64) {
        self.readiness.take_traffic()
    }

    /// The error text of a response head that did not arrive in time.
    pub(crate) fn timeout_text(&self) -> String {
        match &self.state {
            State::Handshake(_) => "no HTTP/2 connection within 10 s".to_owned(),
            State::Open(handles) if handles.0.current_max_send_streams() < self.in_use => format!(
                "no response within 10 s: the server allows only {} concurrent streams; lower \
                 --streams-per-connection",
                handles.0.current_max_send_streams()
            ),
            _ => "no response within 10 s".to_owned(),
        }
    }

    /// Reads and writes, and returns the next event and its slot. `None` if nothing more can happen until the socket
    /// is ready.
    pub(crate) fn next(&mut self) -> Option<(usize, Event)> {
        loop {
            while let Some(&slot) = self.awake.last() {
                if let Some(event) = self.poll_stream(slot) {
                    return Some((slot, event));
                }
                self.awake.pop();
            }
            self.wakers.take_streams(&mut self.awake);
            if self.awake.is_empty() && !self.drive() {
                return None;
            }
        }
    }

    /// The data of a stream that has already arrived; empty if there is none.
    pub(crate) fn data_now(&mut self, slot: usize) -> Bytes {
        match self.poll_stream(slot) {
            Some(Event::Data(data)) => data,
            _ => Bytes::new(),
        }
    }

    /// Reads and writes. Returns `false` if nothing has happened since the last call.
    fn drive(&mut self) -> bool {
        if !self.wakers.take_connection() {
            return false;
        }
        let mut context = Context::from_waker(self.wakers.connection());
        match &mut self.state {
            State::Handshake(handshake) => match handshake.as_mut().poll(&mut context) {
                Poll::Pending => {}
                Poll::Ready(Ok(handles)) => {
                    self.state = State::Open(Box::new(handles));
                    self.wakers.wake_connection();
                }
                Poll::Ready(Err(error)) => self.closed(failure::text(&error, false)),
            },
            State::Open(handles) => match Pin::new(&mut handles.1).poll(&mut context) {
                Poll::Pending => self.send_queued(),
                Poll::Ready(Ok(())) => self.closed(failure::CLOSED_EARLY.to_owned()),
                Poll::Ready(Err(error)) => self.closed(failure::text(&error, false)),
            },
            State::Closed(_) => {}
        }
        true
    }

    fn closed(&mut self, text: String) {
        self.state = State::Closed(text);
        self.awake = (0..self.streams.len()).collect();
    }

    /// Sends the queued requests, as far as the server allows concurrent streams.
    fn send_queued(&mut self) {
        let State::Open(handles) = &mut self.state else { return };
        let requests = &mut handles.0;
        let mut context = Context::from_waker(self.wakers.connection());
        while let Some(&slot) = self.queued.front() {
            // An error means that the connection is closing; the request fails when it is closed.
            if !matches!(requests.poll_ready(&mut context), Poll::Ready(Ok(()))) {
                return;
            }
            self.queued.pop_front();
            let Some(stream) = self.streams.get_mut(slot) else { continue };
            let Stream::Queued(request) = std::mem::replace(stream, Stream::Unused) else {
                continue;
            };
            let (request, body) = *request;
            let sent =
                requests.send_request(request, body.is_empty()).and_then(|(head, mut send)| {
                    if !body.is_empty() {
                        send.send_data(body, true)?;
                    }
                    Ok(head)
                });
            *stream = match sent {
                Ok(head) => Stream::Requested(head),
                Err(error) => Stream::Failed(failure::text(&error, false)),
            };
            self.awake.push(slot);
            self.wakers.wake_connection();
        }
    }

    fn poll_stream(&mut self, slot: usize) -> Option<Event> {
        let (Some(stream), Some(waker)) = (self.streams.get_mut(slot), self.wakers.stream(slot))
        else {
            return None;
        };
        let mut context = Context::from_waker(waker);
        let polled = match stream {
            Stream::Unused => return None,
            Stream::Queued(_) => Poll::Pending,
            Stream::Failed(text) => Poll::Ready(Event::Over(std::mem::take(text))),
            Stream::Requested(response) => match Pin::new(response).poll(&mut context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Event::Over(failure::text(&error, false))),
                Poll::Ready(Ok(response)) => {
                    let head = head_of(&response);
                    *stream = Stream::Open(response.into_body());
                    Poll::Ready(Event::Head(head))
                }
            },
            Stream::Open(body) => match body.poll_data(&mut context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(Event::Over("the server ended the stream".into())),
                Poll::Ready(Some(Err(error))) => {
                    Poll::Ready(Event::Over(failure::text(&error, true)))
                }
                Poll::Ready(Some(Ok(data))) => {
                    // Fails only if more is released than was received.
                    let _ = body.flow_control().release_capacity(data.len());
                    Poll::Ready(Event::Data(data))
                }
            },
        };
        match (polled, &self.state) {
            (Poll::Ready(event), _) => Some(event),
            (Poll::Pending, State::Closed(text)) => Some(Event::Over(text.clone())),
            (Poll::Pending, _) => None,
        }
    }
}

fn head_of<B>(response: &http::Response<B>) -> Head {
    let status = response.status();
    let content_type = response.headers().get(http::header::CONTENT_TYPE);
    let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()));
    Head {
        status: status.as_u16(),
        reason: status.canonical_reason().unwrap_or_default().to_owned(),
        content_type: content_type.unwrap_or_default().into_owned(),
        closes: false,
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("in_use", &self.in_use).finish_non_exhaustive()
    }
}
