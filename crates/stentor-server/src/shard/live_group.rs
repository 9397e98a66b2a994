//! The live readers with the same filters and the same encoding.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use stentor_hub::storage::Budget;
use stentor_hub::{Batch, Cursor, Offset, Record, Subscription, TryRead};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::chunks::Chunks;
use super::closing::CloseReason;
use super::frames::{FrameKind, Frames, QueuedFrame};
use super::framing::Framing;
use super::ids::{GroupId, to_u32};
use crate::context::Stentor;
use crate::metrics::OpenCount;

/// Maximum amount that one read of a group returns.
pub(super) const READ: Budget = Budget { records: 256, bytes: 128 << 10, rows: 10_000 };

/// A group stops reading while it holds this many bytes of frames, so what it reads ahead of its slowest
/// reader is at most this and one batch.
const FRAMES_BYTES_MAX: usize = 512 << 10;

/// Maximum time between two checks of a group. A group without readers is removed by the next one, so
/// this holds for a long time between keep-alives, too.
const CHECK_INTERVAL_MAX: Duration = Duration::from_mins(1);

/// Live readers with the same filters and encoding. They share one subscription, which is read once for
/// all of them.
///
/// A live reader is a transport and the number of its next frame. The group holds only frames that some
/// reader does not have yet. A reader whose transport has no room leaves the group with a fork of the
/// subscription, and returns when it is at the tail again.
pub(super) struct LiveGroup<T> {
    pub(super) stentor: Stentor,
    pub(super) framing: Framing,
    pub(super) subscription: Subscription,
    pub(super) frames: Frames,
    pub(super) readers: Chunks<LiveReader<T>>,
    /// Counts the streams of `readers`.
    pub(super) open: OpenCount,
    /// Index of the first reader that the current sweep has not reached.
    pub(super) swept: usize,
    /// The highest offset that the readers know once they have all frames.
    sent_through: Offset,
    /// Time of the newest frame.
    last_frame: Instant,
    /// Time of silence until the next keep-alive.
    keep_alive: Duration,
    /// Time of the next check for silence.
    pub(super) silence_check: Instant,
    pub(super) key: GroupKey,
    generation: u32,
    /// Bytes of this group that the shard has counted.
    pub(super) held_counted: usize,
    /// `true` if it is in the queue of groups to sweep.
    pub(super) queued: bool,
    /// `true` while a storage query is queued or running for it, and in the pause after one has failed.
    pub(super) querying: bool,
    pub(super) backoff: Backoff,
    /// Set if its readers are closed once they have all frames.
    pub(super) closing: Option<CloseReason>,
}

/// A hash of all that the readers of a group have in common: service, encoding and filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct GroupKey(u64);

impl GroupKey {
    pub(super) fn new(
        hasher: &RandomState,
        stentor: &Stentor,
        framing: Framing,
        subscription: &Subscription,
    ) -> GroupKey {
        GroupKey(hasher.hash_one((stentor.identity(), framing, subscription.filters())))
    }
}

/// A reader at the tail.
pub(super) struct LiveReader<T> {
    pub(super) transport: T,
    /// Its slot in the shard.
    pub(super) slot: u32,
    /// Number of the next frame to write to it.
    pub(super) next_frame: u64,
}

/// The outcome of [`LiveGroup::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupRead {
    /// The group has read to the tail, or as much as it may hold.
    Done,
    /// The next records are no longer in the live window.
    NeedsStorage,
}

impl<T> LiveGroup<T> {
    /// Creates the group of a reader at the tail that knows everything up to `sent_through`.
    pub(super) fn new(
        stentor: Stentor,
        framing: Framing,
        subscription: Subscription,
        sent_through: Offset,
        key: GroupKey,
        generation: u32,
        now: Instant,
    ) -> LiveGroup<T> {
        let keep_alive = stentor.keep_alive_interval();
        LiveGroup {
            open: OpenCount::none(&stentor.metrics().streams_open),
            stentor,
            framing,
            subscription,
            frames: Frames::default(),
            readers: Chunks::default(),
            swept: 0,
            sent_through,
            last_frame: now,
            keep_alive,
            silence_check: now + keep_alive.min(CHECK_INTERVAL_MAX),
            key,
            generation,
            held_counted: 0,
            queued: false,
            querying: false,
            backoff: Backoff::default(),
            closing: None,
        }
    }

    /// Returns the id of this group. `index` is its index in the shard.
    pub(super) fn id(&self, index: usize) -> GroupId {
        GroupId::new(to_u32(index), self.generation)
    }

    /// Returns `true` if a reader at the tail with this subscription can join.
    pub(super) fn accepts(
        &self,
        stentor: &Stentor,
        framing: Framing,
        other: &Subscription,
    ) -> bool {
        !self.querying
            && self.closing.is_none()
            && self.framing == framing
            && self.stentor.is_clone_of(stentor)
            && self.subscription.is_equivalent(other)
    }

    /// Restarts a group without readers at the position of a reader that joins.
    pub(super) fn restart(
        &mut self,
        subscription: Subscription,
        sent_through: Offset,
        now: Instant,
    ) {
        // The reader has just been greeted.
        self.last_frame = now;
        self.subscription.advance_to(subscription);
        self.frames.discard_before(u64::MAX);
        self.sent_through = sent_through;
        self.swept = 0;
    }

    /// Reads from the live window, until the tail or until the group holds enough frames.
    pub(super) fn read(&mut self, now: Instant) -> GroupRead {
        if self.querying || self.closing.is_some() {
            return GroupRead::Done;
        }
        // Before reading, so that records which arrive after the read wake the group again.
        self.subscription.rearm();
        while self.frames.bytes() < FRAMES_BYTES_MAX {
            match self.subscription.try_read(READ) {
                TryRead::Batch(batch) => {
                    self.push_batch(batch, now);
                    // Later records wake the group again.
                    if self.subscription.is_at_tail() {
                        break;
                    }
                }
                TryRead::AtTail => break,
                TryRead::NeedsStorage => return GroupRead::NeedsStorage,
                TryRead::Finished => {
                    self.closing = Some(CloseReason::Finished);
                    break;
                }
            }
        }
        if self.subscription.is_finished() {
            self.closing = Some(CloseReason::Finished);
        }
        GroupRead::Done
    }

    /// Reads what is in the live window, so that the readers get the events committed before the close.
    /// Those that the group cannot hold, or that are in the storage only, come after the reconnect.
    pub(super) fn read_before_close(&mut self) {
        let _ = self.read(self.last_frame);
    }

    /// Takes a page that a fork of the subscription read from the storage.
    pub(super) fn take_page(&mut self, fork: Subscription, batch: Batch, now: Instant) {
        if let Some(gap) = &batch.gap {
            self.stentor.metrics().gaps.inc_by(self.readers.len() as u64);
            let text = self.framing.control(|encoder, out| encoder.gap(out, gap));
            let losses_before = self.subscription.losses_reported();
            self.push_text(text, gap.position.offset, FrameKind::Gap { losses_before });
        }
        self.subscription.advance_to(fork);
        self.push_batch(batch, now);
    }

    fn push_batch(&mut self, batch: Batch, now: Instant) {
        for record in batch.records {
            self.sent_through = record.offset();
            let bytes = self.framing.record(&record);
            let kind = frame_kind(&record);
            self.frames.push(QueuedFrame { offset: record.offset(), bytes, kind });
        }
        self.last_frame = now;
    }

    /// Adds a keep-alive. If records that the readers did not subscribe to have passed, it is the new
    /// position.
    pub(super) fn keep_alive(&mut self, now: Instant) {
        let cursor: Cursor = self.subscription.cursor();
        let mut text = BytesMut::new();
        if cursor.offset > self.sent_through {
            self.framing.encoder.cursor(&mut text, cursor);
            self.sent_through = cursor.offset;
        }
        if text.is_empty() {
            self.framing.encoder.keep_alive(&mut text);
        }
        let text = self.framing.wrap(&text);
        self.push_text(text, cursor.offset, FrameKind::Text);
        self.last_frame = now;
        self.keep_alive = self.stentor.keep_alive_interval();
    }

    /// Returns `true` if a keep-alive is due.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        let is_idle = self.frames.is_empty() && self.closing.is_none();
        is_idle && now.saturating_duration_since(self.last_frame) >= self.keep_alive
    }

    /// Sets and returns the time of the next check for silence.
    pub(super) fn schedule_silence_check(&mut self, now: Instant) -> Instant {
        let silent = now.saturating_duration_since(self.last_frame);
        let left = self.keep_alive.checked_sub(silent).filter(|left| !left.is_zero());
        self.silence_check = now + left.unwrap_or(self.keep_alive).min(CHECK_INTERVAL_MAX);
        self.silence_check
    }

    fn push_text(&mut self, text: Bytes, offset: Offset, kind: FrameKind) {
        self.sent_through = self.sent_through.max(offset);
        if !text.is_empty() {
            self.frames.push(QueuedFrame { offset, bytes: text, kind });
        }
    }

    /// Returns `true` if some reader may lack a frame.
    pub(super) fn has_frames(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Ends a sweep: drops the frames that all readers have.
    pub(super) fn finish_sweep(&mut self) {
        self.swept = 0;
        let slowest = self.readers.iter().map(|reader| reader.next_frame).min();
        self.frames.discard_before(slowest.unwrap_or(u64::MAX));
    }

    pub(super) fn sent_through(&self) -> Offset {
        self.sent_through
    }

    /// Returns the offset up to which the group has read.
    pub(super) fn position(&self) -> Offset {
        self.subscription.cursor().offset
    }

    /// Returns the number of bytes held for the readers.
    pub(super) fn held_bytes(&self) -> usize {
        let readers = self.readers.capacity() * size_of::<LiveReader<T>>();
        size_of::<LiveGroup<T>>() + self.frames.held_bytes() + readers
    }

    /// Returns `true` if a reader has all frames, and no record of the log came after them.
    pub(super) fn has_sent_all_to(&self, reader: &LiveReader<T>) -> bool {
        self.frames.locate(reader.next_frame, 0).is_none()
            && self.closing.is_none()
            && self.position() >= self.stentor.hub().tail().offset
    }

    /// Returns the state with which a reader leaves the group. `written` is the number of bytes that
    /// are written from its next frame on.
    pub(super) fn demote(&self, next_frame: u64, written: usize) -> Demoted {
        let Some(stop) = self.frames.locate(next_frame, written) else {
            let losses = self.subscription.losses_reported();
            let subscription = self.subscription.fork(self.position(), losses, []);
            return Demoted { subscription, text: Bytes::new(), partial: None };
        };
        let (offset, is_begun) = (stop.frame.offset, stop.written > 0);
        let is_text = matches!(stop.frame.kind, FrameKind::Text | FrameKind::Gap { .. });
        // The rest of a control message or of a partly written record is written before anything is
        // read.
        let is_kept = is_begun || is_text;
        let position = if is_kept { offset } else { offset.previous() };
        let next = stop.number + u64::from(is_kept);
        let losses = self.frames.losses_before(next).unwrap_or(self.subscription.losses_reported());
        Demoted {
            subscription: self.subscription.fork(position, losses, self.frames.ends_from(next)),
            text: if is_text { stop.frame.bytes.slice(stop.written..) } else { Bytes::new() },
            partial: (is_begun && !is_text).then_some((offset, stop.written)),
        }
    }
}

/// The state with which a live reader continues on its own.
pub(super) struct Demoted {
    pub(super) subscription: Subscription,
    /// The rest of a control message.
    pub(super) text: Bytes,
    /// The record that is written in part, and the number of bytes that are written.
    pub(super) partial: Option<(Offset, usize)>,
}

fn frame_kind(record: &Record) -> FrameKind {
    if record.event().is_some() { FrameKind::Event } else { FrameKind::End(record.topic().clone()) }
}
