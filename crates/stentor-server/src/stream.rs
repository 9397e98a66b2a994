//! A stream of events: a subscription, written as the body of an answer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode, Version};
use stentor_hub::storage::Budget;
use stentor_hub::{
    Batch, Filters, Form, Gap, Offset, Record, Start, StartPosition, StorageError, SubscribeError,
    Subscribed, Subscription, TryRead,
};
use tokio::time::{Instant, Sleep};

use crate::body::{Body, StreamCut};
use crate::context::Stentor;
use crate::control::{Control, come_back_after, retry_of_readers};
use crate::metrics::Open;
use crate::problem::Problem;

/// How a stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// The form of its events.
    pub form: Form,
    /// Whether cursor blocks, gaps and ends are spelled out. Without, they are id-only blocks, for
    /// parsers that cannot ignore events by name.
    pub control: bool,
    /// Whether the answer says `Connection: close`, as it must on HTTP/1: when the stream ends, its
    /// socket is not to be used for anything else.
    pub close: bool,
}

impl StreamOptions {
    /// Plain events, for the answer to a request of this version.
    pub fn new(version: Version) -> StreamOptions {
        StreamOptions { form: Form::Plain, control: true, close: version < Version::HTTP_2 }
    }
}

/// The most bytes of one piece: a large frame is copied piece by piece, so that hyper never holds it.
const PIECE_BYTES: usize = 64 << 10;

/// A piece of so many bytes is followed by a pause, so that others get their turn.
const HURRIED_BYTES: usize = 16 << 10;

/// What a stream reads at once: less than a piece, for frames are longer than what is in them, and what
/// does not fit has to be asked for again.
const READ: Budget = Budget { records: 256, bytes: PIECE_BYTES / 4 * 3, rows: 10_000 };

impl Stentor {
    /// Answers a reader with a stream of events, for routes of one's own.
    ///
    /// That is 204 for a reader with the receipt of the end, and for a log that cannot be read now a
    /// stream that closes at once and asks to come back, for browsers take any error to be final.
    pub async fn stream(
        &self,
        filters: Filters,
        start: Start,
        options: StreamOptions,
    ) -> Result<Response<Body>, Problem> {
        if self.is_draining() {
            return Ok(come_back(options));
        }
        match self.hub().subscribe(filters, start).await {
            Ok(Subscribed::Open(subscription)) => Ok(respond(self, subscription, options)),
            Ok(Subscribed::Finished) => Ok(finished()),
            Err(SubscribeError::Storage(error)) => {
                tracing::warn!(%error, "a stream was turned away");
                Ok(come_back(options))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What [`Stentor::stream`] would answer, without a stream: for `HEAD`.
    pub(crate) async fn stream_head(
        &self,
        filters: Filters,
        start: Start,
        options: StreamOptions,
    ) -> Result<Response<Body>, Problem> {
        match self.hub().subscribe(filters, start).await {
            Ok(Subscribed::Finished) => Ok(finished()),
            Ok(Subscribed::Open(_)) | Err(SubscribeError::Storage(_)) => Ok(head(options)),
            Err(error) => Err(error.into()),
        }
    }
}

/// A reader that was let in and has not been told anything yet.
pub(crate) struct Reader {
    pub(crate) stentor: Stentor,
    pub(crate) subscription: Box<Subscription>,
    pub(crate) options: StreamOptions,
    pub(crate) open: Open,
}

/// Stands for a reader in the answer to it: whoever claims it first writes the stream, be it the body
/// of the answer or a shard that takes the socket over.
#[derive(Clone)]
pub(crate) struct Ticket(Arc<Mutex<Option<Reader>>>);

impl Ticket {
    /// Takes the reader; `None` if somebody has.
    pub(crate) fn claim(&self) -> Option<Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The answer whose body is the stream of this subscription.
pub(crate) fn respond(
    stentor: &Stentor,
    subscription: Box<Subscription>,
    options: StreamOptions,
) -> Response<Body> {
    let metrics = stentor.metrics();
    metrics.streams.inc();
    let open = Open::count(&metrics.streams_open);
    let reader = Reader { stentor: stentor.clone(), subscription, options, open };
    let ticket = Ticket(Arc::new(Mutex::new(Some(reader))));
    let mut response = head(options);
    *response.body_mut() = Body::stream(ticket.clone());
    response.extensions_mut().insert(ticket);
    response
}

/// The stream of a reader, piece by piece.
pub(crate) fn pieces(reader: Reader) -> impl Stream<Item = Result<Bytes, StreamCut>> {
    stream::unfold(Writer::new(reader), |mut writer| async move {
        let piece = writer.piece().await?;
        Some((piece, writer))
    })
}

/// An answer that closes at once and asks to come back later: what overload and draining say, for an
/// error status would be final to browsers.
pub(crate) fn come_back(options: StreamOptions) -> Response<Body> {
    let mut out = BytesMut::new();
    Control::new(options).retry(&mut out, come_back_after());
    let mut response = head(options);
    *response.body_mut() = Body::full(out.freeze());
    response
}

/// 204: there is nothing more, ever. It keeps `EventSource` from coming back.
pub(crate) fn finished() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    stream_headers(&mut response);
    response
}

/// The head of a stream.
pub(crate) fn head(options: StreamOptions) -> Response<Body> {
    let content_type = match options.form {
        Form::Plain | Form::Envelope => "text/event-stream",
        Form::Ndjson => "application/x-ndjson",
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if options.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    stream_headers(&mut response);
    response
}

fn stream_headers(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was sent.
    Greeting,
    /// The first bytes are out; the position or gap is still to be told.
    Opening,
    Live,
    Over,
}

/// What writes a stream. It holds offsets and no records while it waits for its reader.
struct Writer {
    stentor: Stentor,
    subscription: Box<Subscription>,
    control: Control,
    phase: Phase,
    /// Read and not yet written, and how much of the first one is.
    waiting: VecDeque<Offset>,
    written: usize,
    /// The first of these, for as long as somebody else keeps it in memory.
    held: Weak<Record>,
    /// The highest offset that the reader was told.
    sent: Offset,
    /// Whether the last piece was a long one, so that more may wait.
    hurried: bool,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
    buffer: BytesMut,
    _open: Open,
}

impl Writer {
    fn new(reader: Reader) -> Writer {
        let Reader { stentor, subscription, options, open } = reader;
        let silence = stentor.silence();
        Writer {
            sent: subscription.cursor().offset,
            subscription,
            control: Control::new(options),
            phase: Phase::Greeting,
            waiting: VecDeque::new(),
            written: 0,
            held: Weak::new(),
            hurried: false,
            silence,
            timer: Box::pin(tokio::time::sleep(silence)),
            buffer: BytesMut::new(),
            _open: open,
            stentor,
        }
    }

    /// The next piece of the stream; `None` at its end.
    async fn piece(&mut self) -> Option<Result<Bytes, StreamCut>> {
        // A reader that catches up must not hold up the others of its core, however quick it is.
        if std::mem::take(&mut self.hurried) {
            tokio::task::yield_now().await;
        }
        while self.buffer.is_empty() {
            let step = match self.phase {
                Phase::Greeting => self.greet().await,
                Phase::Opening => self.open().await,
                Phase::Live if self.waiting.is_empty() => self.read().await,
                Phase::Live => self.write_waiting().await,
                Phase::Over => return None,
            };
            if let Err(error) = step {
                // The reader comes back by its last id, and by then it may go.
                tracing::warn!(%error, "a stream was cut");
                self.phase = Phase::Over;
                return Some(Err(StreamCut));
            }
        }
        self.timer.as_mut().reset(Instant::now() + self.silence);
        let piece = self.buffer.split().freeze();
        self.hurried = piece.len() >= HURRIED_BYTES;
        self.stentor.metrics().delivered_bytes.inc_by(piece.len() as u64);
        Some(Ok(piece))
    }

    /// The first bytes come at once, and the position with them, unless the disk is to be asked.
    async fn greet(&mut self) -> Result<(), StorageError> {
        self.control.greeting(&mut self.buffer, retry_of_readers());
        self.phase = Phase::Opening;
        if self.subscription.needs_storage() { Ok(()) } else { self.open().await }
    }

    async fn open(&mut self) -> Result<(), StorageError> {
        let position = match self.subscription.start_position().await? {
            StartPosition::At(cursor) => {
                self.control.cursor(&mut self.buffer, cursor);
                cursor
            }
            StartPosition::Gap(gap) => {
                self.tell(&gap);
                gap.position
            }
        };
        self.sent = position.offset;
        self.phase = Phase::Live;
        Ok(())
    }

    /// Waits for records, for silence, or for the end of the server.
    async fn read(&mut self) -> Result<(), StorageError> {
        if self.stentor.is_draining() {
            self.leave();
            return Ok(());
        }
        match self.subscription.try_read(READ) {
            TryRead::Batch(batch) => self.write(batch),
            TryRead::NeedsStorage => {
                let batch = self.subscription.read_from_storage(READ).await?;
                self.write(batch);
            }
            TryRead::Finished => self.phase = Phase::Over,
            TryRead::AtTail => tokio::select! {
                biased;
                () = self.stentor.drain().cancelled() => self.leave(),
                () = self.subscription.consumer().woken() => {}
                () = self.timer.as_mut() => self.keep_alive(),
            },
        }
        Ok(())
    }

    fn write(&mut self, batch: Batch) {
        if let Some(gap) = batch.gap {
            self.tell(&gap);
            self.sent = gap.position.offset;
        }
        for record in batch.records {
            self.waiting.push_back(record.offset());
            if self.waiting.len() == 1 {
                self.copy(&record);
            }
        }
    }

    /// Writes what did not fit into the last piece. If retention took it meanwhile, the stream is
    /// cut, and the reader is told the gap when it comes back.
    async fn write_waiting(&mut self) -> Result<(), StorageError> {
        while let Some(offset) = self.waiting.front().copied()
            && self.buffer.len() < PIECE_BYTES
        {
            let held = self.held.upgrade().filter(|record| record.offset() == offset);
            let record = match held {
                Some(record) => record,
                None => self.stentor.hub().record(offset).await?.ok_or_else(gone)?,
            };
            self.copy(&record);
        }
        Ok(())
    }

    /// Copies the next part of the first waiting record, as much as there is room for in the piece.
    fn copy(&mut self, record: &Arc<Record>) {
        let bytes = self.control.record(record);
        let rest = bytes.get(self.written..).unwrap_or_default();
        let room = PIECE_BYTES.saturating_sub(self.buffer.len());
        let part = rest.get(..room).unwrap_or(rest);
        self.buffer.extend_from_slice(part);
        if part.len() < rest.len() {
            self.written += part.len();
            self.held = Arc::downgrade(record);
            return;
        }
        self.written = 0;
        self.waiting.pop_front();
        self.sent = record.offset();
        self.stentor.metrics().delivered.inc();
    }

    /// A sign of life. A reader that has passed records which it did not ask for is told its new
    /// position, so that it resumes there.
    fn keep_alive(&mut self) {
        if let TryRead::Batch(batch) = self.subscription.try_read(READ) {
            return self.write(batch);
        }
        let cursor = self.subscription.cursor();
        if cursor.offset > self.sent {
            self.control.cursor(&mut self.buffer, cursor);
            self.sent = cursor.offset;
        }
        if self.buffer.is_empty() {
            self.control.comment(&mut self.buffer);
        }
        // Also where nothing can be said (positions with `control=off` in NDJSON) time goes on.
        self.timer.as_mut().reset(Instant::now() + self.silence);
    }

    fn tell(&mut self, gap: &Gap) {
        self.stentor.metrics().gaps.inc();
        self.control.gap(&mut self.buffer, gap);
    }

    /// The server stops: readers come back, each at a moment of its own.
    fn leave(&mut self) {
        self.phase = Phase::Over;
        self.control.retry(&mut self.buffer, retry_of_readers());
    }
}

fn gone() -> StorageError {
    StorageError::Unavailable { reason: "an event was removed while it was sent".to_owned() }
}
