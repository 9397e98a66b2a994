//! A reader with its own cursor: it is new, it lags behind the tail, or its transport has no
//! room.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use stentor_hub::{Batch, Offset, Record, StartPosition, Subscription, TryRead};
use tokio::time::Instant;

use super::arrival::Arrival;
use super::backoff::Backoff;
use super::closing::CloseReason;
use super::framing::Framing;
use super::storage_query::{PAGE, QueryKind};
use super::transport::{Transport, Written};
use crate::context::Stentor;
use crate::metrics::OpenCount;
use crate::stream::encoder::{StreamEncoder, reader_retry};

/// Number of bytes after which a reader yields to the others.
const TURN_BYTES: usize = 256 << 10;

/// A reader that is not at the tail, or whose transport has no room. While it waits it holds offsets and
/// no records.
pub(super) struct CatchUpReader<T> {
    pub(super) transport: T,
    pub(super) stentor: Stentor,
    pub(super) framing: Framing,
    /// `None` while a storage query runs with it.
    pub(super) subscription: Option<Box<Subscription>>,
    pub(super) waits: StorageWait,
    pub(super) backoff: Backoff,
    /// Time of the last write. `None` if nothing was written.
    written_at: Option<Instant>,
    /// Time at which a keep-alive is due. `None` if it was not needed since the last write.
    keep_alive_at: Option<Instant>,
    phase: Phase,
    /// The head of the response, and control messages, that are still to be written.
    text: Bytes,
    /// `true` until the greeting was added to `text`.
    needs_greeting: bool,
    /// A record that is written in part, and the number of bytes that are written.
    partial: Option<(Offset, usize)>,
    /// Records that were read and not completely written.
    records: VecDeque<Arc<Record>>,
    /// The highest offset that the reader knows.
    sent_through: Offset,
    pub(super) watching: Watching,
    /// Time since which the transport has had no room. `None` if it has room.
    pub(super) stalled_since: Option<Instant>,
    /// `true` if it is in the queue of readers that can continue.
    pub(super) queued: bool,
    /// Number of bytes that the client sent after its request.
    pub(super) input_bytes: u32,
    /// `true` if the client has closed its sending side. The stream ends at the tail.
    pub(super) is_half_closed: bool,
    pub(super) open: OpenCount,
}

/// The events that the shard is notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watching {
    Nothing,
    /// Input, and the end of the connection.
    Input,
    /// Room for output, input, and the end of the connection.
    Room,
}

/// The reason why a reader waits for the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StorageWait {
    /// It does not wait.
    None,
    /// A query of it is queued or runs.
    Query,
    /// A query of it has failed and is tried again after a pause.
    Retry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The start position, or a gap, is not written yet.
    Opening,
    Reading,
    /// The stream is to be closed: a partly written record is completed, and nothing more is read.
    Closing(CloseReason),
    Over,
}

/// The reason why a reader stopped writing.
pub(super) enum Step {
    /// It has everything.
    AtTail,
    /// Its transport has no room.
    Blocked,
    /// It wrote as much as one turn allows, and has more.
    Yield,
    /// It needs the storage.
    Query(QueryKind),
    /// Its stream is complete.
    Finished,
    /// Its connection is broken.
    Gone,
}

impl<T: Transport> CatchUpReader<T> {
    /// Creates a reader that has just arrived.
    pub(super) fn new(arrival: Arrival<T>) -> CatchUpReader<T> {
        let Arrival { transport, head, framing, stentor, mut subscription, open, .. } = arrival;
        // Its socket drives it. At the tail it joins a live group, which records wake.
        subscription.detach();
        let sent_through = subscription.cursor().offset;
        CatchUpReader {
            phase: Phase::Opening,
            text: head,
            needs_greeting: true,
            ..Self::demoted(transport, stentor, framing, subscription, sent_through, open)
        }
    }

    /// Creates a reader that was live until its transport had no room.
    pub(super) fn demoted(
        transport: T,
        stentor: Stentor,
        framing: Framing,
        subscription: Box<Subscription>,
        sent_through: Offset,
        open: OpenCount,
    ) -> CatchUpReader<T> {
        CatchUpReader {
            transport,
            stentor,
            framing,
            subscription: Some(subscription),
            waits: StorageWait::None,
            backoff: Backoff::default(),
            written_at: None,
            keep_alive_at: None,
            phase: Phase::Reading,
            text: Bytes::new(),
            needs_greeting: false,
            partial: None,
            records: VecDeque::new(),
            sent_through,
            watching: Watching::Nothing,
            stalled_since: None,
            queued: false,
            input_bytes: 0,
            is_half_closed: false,
            open,
        }
    }

    /// Sets the point at which the last write stopped: within a control message, or within a record.
    pub(super) fn resume_at(&mut self, text: Bytes, partial: Option<(Offset, usize)>) {
        self.text = text;
        self.partial = partial;
    }

    /// Ends the stream once the partly written record, if any, is complete.
    pub(super) fn close(&mut self, reason: CloseReason) {
        if matches!(self.phase, Phase::Opening | Phase::Reading) {
            self.phase = Phase::Closing(reason);
        }
    }

    /// Returns `true` if its stream is to be closed and that needs no storage.
    pub(super) fn can_close(&self) -> bool {
        matches!(self.phase, Phase::Closing(_) | Phase::Over) && self.partial.is_none()
    }

    /// Returns the time at which a keep-alive is due if nothing is written until then.
    pub(super) fn keep_alive_due(&mut self, now: Instant) -> Option<Instant> {
        if self.keep_alive_at.is_none() {
            let since = self.written_at.unwrap_or(now);
            self.keep_alive_at = since.checked_add(self.stentor.keep_alive_interval());
        }
        self.keep_alive_at
    }

    /// Writes to a reader that waits for the storage: a keep-alive if it is due, or the rest of a
    /// control message. Neither can be written within a record.
    pub(super) fn write_while_waiting(&mut self, now: Instant) -> Option<Step> {
        let is_due = self.keep_alive_at.is_some_and(|at| at <= now);
        if self.partial.is_some() {
            if is_due {
                self.keep_alive_at = now.checked_add(self.stentor.keep_alive_interval());
            }
            return None;
        }
        if self.text.is_empty() {
            if !is_due {
                return None;
            }
            self.add_control(StreamEncoder::keep_alive);
        }
        let mut turn = TURN_BYTES;
        self.write(&mut turn, now)
    }

    pub(super) fn sent_through(&self) -> Offset {
        self.sent_through
    }

    /// Number of bytes held for a reader without output in flight.
    pub(super) const HELD_BYTES: usize = size_of::<CatchUpReader<T>>() + size_of::<Subscription>();

    /// Returns the number of bytes held for the reader.
    pub(super) fn held_bytes(&self) -> usize {
        Self::HELD_BYTES + self.text.len()
    }

    /// Takes the start position of the stream.
    pub(super) fn take_start(&mut self, start: &StartPosition) {
        // If the position was known at once, it is written together with the greeting.
        let needs_greeting = std::mem::take(&mut self.needs_greeting);
        let greeting = |encoder: StreamEncoder, out: &mut BytesMut| {
            if needs_greeting {
                encoder.greeting(out, reader_retry());
            }
        };
        let position = match start {
            StartPosition::At(cursor) => {
                self.add_control(|encoder, out| {
                    greeting(encoder, out);
                    encoder.cursor(out, *cursor);
                });
                *cursor
            }
            StartPosition::Gap(gap) => {
                self.stentor.metrics().gaps.inc();
                self.add_control(|encoder, out| {
                    greeting(encoder, out);
                    encoder.gap(out, gap);
                });
                gap.position
            }
        };
        self.sent_through = position.offset;
        if self.phase == Phase::Opening {
            self.phase = Phase::Reading;
        }
    }

    /// Takes records that were read.
    pub(super) fn take_batch(&mut self, batch: Batch) {
        if let Some(gap) = batch.gap {
            self.stentor.metrics().gaps.inc();
            self.add_control(|encoder, out| encoder.gap(out, &gap));
            self.sent_through = self.sent_through.max(gap.position.offset);
        }
        self.records.extend(batch.records);
    }

    /// Takes the record that is written in part.
    pub(super) fn take_partial_record(&mut self, record: Arc<Record>) {
        self.records.push_front(record);
    }

    fn add_control(&mut self, write: impl FnOnce(StreamEncoder, &mut BytesMut)) {
        let more = self.framing.control(write);
        if self.text.is_empty() {
            self.text = more;
        } else {
            self.text = [&self.text[..], &more[..]].concat().into();
        }
    }

    /// Reads and writes, as much as one turn allows.
    pub(super) fn run(&mut self, now: Instant) -> Step {
        let mut turn = TURN_BYTES;
        let step = loop {
            match self.advance(&mut turn, now) {
                Some(step) => break step,
                None if turn == 0 => break Step::Yield,
                None => {}
            }
        };
        // A reader that waits, for any reason, holds offsets only.
        self.return_records();
        step
    }

    /// Reads or writes once. Returns `None` if it can continue.
    fn advance(&mut self, turn: &mut usize, now: Instant) -> Option<Step> {
        if let Some((offset, _)) = self.partial
            && self.records.front().is_none_or(|record| record.offset() != offset)
        {
            match self.stentor.hub().record_in_memory(offset) {
                Some(record) => self.records.push_front(record),
                None => return Some(Step::Query(QueryKind::Record(offset))),
            }
        }
        if let Phase::Closing(reason) = self.phase
            && self.partial.is_none()
        {
            // Records that were read and not started are not sent.
            self.records.clear();
            if self.text.is_empty() {
                self.text = reason.words(self.framing);
                self.phase = Phase::Over;
            }
        }
        // If the position is known without the storage, it is written with the head; otherwise the head
        // is written first.
        if self.phase == Phase::Opening {
            let start = self.subscription.as_mut().and_then(|s| s.start_position_in_memory());
            if let Some(start) = start {
                self.take_start(&start);
            } else if std::mem::take(&mut self.needs_greeting) {
                self.add_control(|encoder, out| encoder.greeting(out, reader_retry()));
            }
        }
        if !self.text.is_empty() || !self.records.is_empty() {
            return self.write(turn, now);
        }
        match self.phase {
            Phase::Over => return Some(Step::Finished),
            Phase::Opening => return Some(Step::Query(QueryKind::StartPosition)),
            Phase::Reading | Phase::Closing(_) => {}
        }
        let Some(subscription) = &mut self.subscription else { return Some(Step::Gone) };
        match subscription.try_read(PAGE) {
            TryRead::Batch(batch) => self.take_batch(batch),
            TryRead::AtTail => return Some(Step::AtTail),
            TryRead::NeedsStorage => return Some(Step::Query(QueryKind::NextPage)),
            TryRead::Finished => self.phase = Phase::Over,
        }
        None
    }

    /// Writes the text and the records. A partly written record is completed before the text.
    fn write(&mut self, turn: &mut usize, now: Instant) -> Option<Step> {
        let mut records: VecDeque<Bytes> =
            self.records.iter().map(|record| self.framing.record(record)).collect();
        let partial = self.partial.and_then(|(_, written)| {
            let mut rest = records.pop_front()?;
            rest.advance(written.min(rest.len()));
            Some(rest)
        });
        let pieces: Vec<IoSlice<'_>> = partial
            .iter()
            .chain([&self.text])
            .chain(&records)
            .filter(|piece| !piece.is_empty())
            .map(|piece| IoSlice::new(piece))
            .collect();
        let written = self.transport.write_vectored(&pieces);
        drop(pieces);
        match written {
            Written::Gone => Some(Step::Gone),
            Written::Blocked => {
                self.stalled_since.get_or_insert(now);
                Some(Step::Blocked)
            }
            Written::Bytes(bytes) => {
                self.stalled_since = None;
                self.written_at = Some(now);
                self.keep_alive_at = None;
                *turn = turn.saturating_sub(bytes);
                self.stentor.metrics().delivered_bytes.inc_by(bytes as u64);
                let sizes: Vec<usize> = records.iter().map(Bytes::len).collect();
                self.mark_written(bytes, partial.map(|bytes| bytes.len()), &sizes);
                None
            }
        }
    }

    /// Marks `bytes` as written: first of the rest of the partial record, then of the text, then of the
    /// other records. `partial` and `sizes` are their sizes.
    fn mark_written(&mut self, mut bytes: usize, partial: Option<usize>, sizes: &[usize]) {
        if let Some(size) = partial
            && !self.mark_record_written(&mut bytes, size)
        {
            return;
        }
        let of_text = bytes.min(self.text.len());
        self.text.advance(of_text);
        bytes -= of_text;
        if self.text.is_empty() {
            // Stops at the first record that is not complete.
            let _ = sizes.iter().all(|size| self.mark_record_written(&mut bytes, *size));
        }
    }

    /// Marks up to `size` bytes of the first record as written, and subtracts them from `bytes`.
    /// Returns `true` if the record is complete.
    fn mark_record_written(&mut self, bytes: &mut usize, size: usize) -> bool {
        let Some(record) = self.records.front() else { return false };
        if *bytes < size {
            if *bytes > 0 {
                let before = self.partial.map_or(0, |(_, before)| before);
                self.partial = Some((record.offset(), before + *bytes));
            }
            *bytes = 0;
            return false;
        }
        *bytes -= size;
        self.sent_through = record.offset();
        self.partial = None;
        self.records.pop_front();
        self.stentor.metrics().delivered.inc();
        true
    }

    /// Gives the unwritten records back to the subscription, which reads them again later.
    fn return_records(&mut self) {
        let begun = usize::from(self.partial.is_some() && !self.records.is_empty());
        let rest: Vec<_> = self.records.drain(..).skip(begun).collect();
        if let Some(subscription) = &mut self.subscription {
            subscription.give_back(&rest);
        }
    }
}
