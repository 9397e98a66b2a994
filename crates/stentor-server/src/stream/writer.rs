//! Streams that are written as response bodies: over HTTP/2, and under servers such as `axum::serve`
//! that do not hand over their sockets. All other streams are written by a [`shard`](crate::shard).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use stentor_hub::storage::Budget;
use stentor_hub::{Batch, Gap, Offset, Record, StartPosition, StorageError, Subscription, TryRead};
use tokio::time::{Instant, Sleep};

use super::encoder::{StreamEncoder, reader_retry};
use super::slot::{NewStream, StreamSlot};
use crate::body::{Body, StreamInterrupted};
use crate::context::Stentor;
use crate::metrics::OpenCount;

/// Maximum size of a piece. A larger frame is copied piece by piece, so that hyper never holds all of
/// it.
const PIECE_BYTES: usize = 64 << 10;

/// After a piece of at least this size the task yields, so that other tasks of the core run.
const YIELD_BYTES: usize = 16 << 10;

/// Maximum amount that one read returns. It is less than a piece: frames are longer than their data,
/// and records that do not fit have to be read again.
const READ: Budget = Budget { records: 256, bytes: PIECE_BYTES / 4 * 3, rows: 10_000 };

/// Returns the body that writes the stream in `slot`. The body is empty if the stream was taken by
/// the time it is polled first.
pub(super) fn body(slot: StreamSlot) -> Body {
    Body::stream(stream::unfold(Source::Slot(slot), |source| async move {
        let mut writer = match source {
            Source::Slot(slot) => Box::new(Writer::new(slot.take()?)),
            Source::Writer(writer) => writer,
        };
        let piece = writer.piece().await?;
        Some((piece, Source::Writer(writer)))
    }))
}

enum Source {
    Slot(StreamSlot),
    Writer(Box<Writer>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was sent.
    Greeting,
    /// The greeting was sent. The position or a gap is next.
    Opening,
    Live,
    Over,
}

/// Writes a stream piece by piece. While it waits for its reader it holds offsets, not records.
struct Writer {
    stentor: Stentor,
    subscription: Box<Subscription>,
    encoder: StreamEncoder,
    phase: Phase,
    /// Records that were read and not completely written.
    pending: VecDeque<Offset>,
    /// Number of bytes of the first pending record that are written.
    written: usize,
    /// The first pending record, as long as something else keeps it in memory.
    first: Weak<Record>,
    /// The highest offset that the reader knows.
    sent_through: Offset,
    /// `true` if the last piece was long enough to yield after it.
    yields: bool,
    /// Time of silence until the next keep-alive.
    keep_alive: Duration,
    timer: Pin<Box<Sleep>>,
    buffer: BytesMut,
    _open: OpenCount,
}

impl Writer {
    fn new(stream: NewStream) -> Writer {
        let NewStream { stentor, subscription, options, open } = stream;
        let keep_alive = stentor.keep_alive_interval();
        Writer {
            sent_through: subscription.cursor().offset,
            subscription,
            encoder: StreamEncoder::new(options),
            phase: Phase::Greeting,
            pending: VecDeque::new(),
            written: 0,
            first: Weak::new(),
            yields: false,
            keep_alive,
            timer: Box::pin(tokio::time::sleep(keep_alive)),
            buffer: BytesMut::new(),
            _open: open,
            stentor,
        }
    }

    /// Returns the next piece of the stream, or `None` at its end.
    async fn piece(&mut self) -> Option<Result<Bytes, StreamInterrupted>> {
        // A reader that catches up must not delay the other readers of its core, even if it reads fast.
        if std::mem::take(&mut self.yields) {
            tokio::task::yield_now().await;
        }
        while self.buffer.is_empty() {
            let step = match self.phase {
                Phase::Greeting => self.greet().await,
                Phase::Opening => self.open().await,
                Phase::Live if self.pending.is_empty() => self.read().await,
                Phase::Live => self.write_pending().await,
                Phase::Over => return None,
            };
            if let Err(error) = step {
                // The reader reconnects with its last id. By then the log may be readable again.
                tracing::warn!(%error, "interrupted a stream: the log cannot be read");
                self.phase = Phase::Over;
                return Some(Err(StreamInterrupted));
            }
        }
        self.timer.as_mut().reset(Instant::now() + self.keep_alive);
        let piece = self.buffer.split().freeze();
        self.yields = piece.len() >= YIELD_BYTES;
        self.stentor.metrics().delivered_bytes.inc_by(piece.len() as u64);
        Some(Ok(piece))
    }

    /// Writes the greeting. If the position needs no storage, it is in the same piece.
    async fn greet(&mut self) -> Result<(), StorageError> {
        self.encoder.greeting(&mut self.buffer, reader_retry());
        self.phase = Phase::Opening;
        if self.subscription.needs_storage() { Ok(()) } else { self.open().await }
    }

    async fn open(&mut self) -> Result<(), StorageError> {
        let position = match self.subscription.start_position().await? {
            StartPosition::At(cursor) => {
                self.encoder.cursor(&mut self.buffer, cursor);
                cursor
            }
            StartPosition::Gap(gap) => {
                self.report_gap(&gap);
                gap.position
            }
        };
        self.sent_through = position.offset;
        self.phase = Phase::Live;
        Ok(())
    }

    /// Waits for records, for the time of a keep-alive, or for the server to drain.
    async fn read(&mut self) -> Result<(), StorageError> {
        if self.stentor.is_draining() {
            self.drain();
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
                () = self.stentor.drain().cancelled() => self.drain(),
                () = self.subscription.consumer().woken() => {}
                () = self.timer.as_mut() => self.keep_alive(),
            },
        }
        Ok(())
    }

    fn write(&mut self, batch: Batch) {
        if let Some(gap) = batch.gap {
            self.report_gap(&gap);
            self.sent_through = gap.position.offset;
        }
        for record in batch.records {
            self.pending.push_back(record.offset());
            if self.pending.len() == 1 {
                self.copy(&record);
            }
        }
    }

    /// Writes records that did not fit into the last piece. If one was removed in the meantime, the
    /// stream is interrupted, and the reader gets the gap when it reconnects.
    async fn write_pending(&mut self) -> Result<(), StorageError> {
        while let Some(offset) = self.pending.front().copied()
            && self.buffer.len() < PIECE_BYTES
        {
            let in_memory = self.first.upgrade().filter(|record| record.offset() == offset);
            let record = match in_memory {
                Some(record) => record,
                None => self.stentor.hub().record(offset).await?.ok_or_else(removed)?,
            };
            self.copy(&record);
        }
        Ok(())
    }

    /// Copies the next part of the first pending record, as much as the piece has room for.
    fn copy(&mut self, record: &Arc<Record>) {
        let bytes = self.encoder.record(record);
        let rest = bytes.get(self.written..).unwrap_or_default();
        let room = PIECE_BYTES.saturating_sub(self.buffer.len());
        let part = rest.get(..room).unwrap_or(rest);
        self.buffer.extend_from_slice(part);
        if part.len() < rest.len() {
            self.written += part.len();
            self.first = Arc::downgrade(record);
            return;
        }
        self.written = 0;
        self.pending.pop_front();
        self.sent_through = record.offset();
        self.stentor.metrics().delivered.inc();
    }

    /// Writes a keep-alive. If records that the reader did not subscribe to have passed, it is the new
    /// position, so that the reader resumes there.
    fn keep_alive(&mut self) {
        if let TryRead::Batch(batch) = self.subscription.try_read(READ) {
            return self.write(batch);
        }
        let cursor = self.subscription.cursor();
        if cursor.offset > self.sent_through {
            self.encoder.cursor(&mut self.buffer, cursor);
            self.sent_through = cursor.offset;
        }
        if self.buffer.is_empty() {
            self.encoder.keep_alive(&mut self.buffer);
        }
        // Reset here too: `piece` resets the timer only after a write, and in NDJSON with `control=off`
        // a position writes nothing.
        self.timer.as_mut().reset(Instant::now() + self.keep_alive);
    }

    fn report_gap(&mut self, gap: &Gap) {
        self.stentor.metrics().gaps.inc();
        self.encoder.gap(&mut self.buffer, gap);
    }

    /// Ends the stream of a server that drains, with a reconnection time for this reader.
    fn drain(&mut self) {
        self.phase = Phase::Over;
        self.encoder.retry(&mut self.buffer, reader_retry());
    }
}

fn removed() -> StorageError {
    StorageError::Unavailable { reason: "an event was removed while it was sent".to_owned() }
}
