//! The frames that a live group has read and that not all of its readers have.

use std::collections::VecDeque;

use bytes::Bytes;
use stentor_hub::{LossesReported, Offset, TopicName};

use super::transport::SharedBytes;

/// Frames in the order in which they are written. Each has a number, which is never used again.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Number of the first frame in `queue`.
    first: u64,
    queue: VecDeque<QueuedFrame>,
    bytes: usize,
    /// The frames from `gathered_from` to before `gathered_to`, copied together for one write. Most
    /// readers of a group need the same ones.
    gathered: Vec<u8>,
    gathered_from: u64,
    gathered_to: u64,
    gathered_records: u64,
    /// A copy of `gathered`, once a transport has asked for one that it can keep.
    gathered_copy: Option<Bytes>,
}

/// A frame in the queue.
#[derive(Debug)]
pub(super) struct QueuedFrame {
    /// Offset of the record, or position of a reader that has this control message.
    pub(super) offset: Offset,
    pub(super) bytes: Bytes,
    pub(super) kind: FrameKind,
}

#[derive(Debug)]
pub(super) enum FrameKind {
    /// An event.
    Event,
    /// The end of a topic.
    End(TopicName),
    /// A gap, with the losses that were reported to the readers before it.
    Gap { losses_before: LossesReported },
    /// A position or a keep-alive.
    Text,
}

/// The point within the frames at which a write stopped.
pub(super) struct StopPoint<'a> {
    pub(super) frame: &'a QueuedFrame,
    /// Number of bytes of this frame that are written.
    pub(super) written: usize,
    /// Number of records that are written before this frame.
    pub(super) records: u64,
    /// Number of this frame.
    pub(super) number: u64,
}

impl Frames {
    /// Maximum number of bytes gathered for one write. A single frame may be larger.
    const GATHERED_MAX: usize = 256 << 10;
    /// Capacity that `gathered` keeps while no frames are queued.
    const GATHERED_KEPT: usize = 64 << 10;

    pub(super) fn push(&mut self, frame: QueuedFrame) {
        self.bytes += frame.bytes.len();
        self.queue.push_back(frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns the number of bytes of all frames.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of bytes held, including those gathered.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes + self.gathered_bytes() + self.queue.capacity() * size_of::<QueuedFrame>()
    }

    fn gathered_bytes(&self) -> usize {
        self.gathered.capacity() + self.gathered_copy.as_ref().map_or(0, Bytes::len)
    }

    /// Returns the number of the first frame after `offset`.
    pub(super) fn number_after(&self, offset: Offset) -> u64 {
        self.first + self.queue.partition_point(|frame| frame.offset <= offset) as u64
    }

    /// Returns the bytes of the next write to a reader whose next frame is `next`, with the number of
    /// the frame after them and the number of records in them. `None` if there are no more frames.
    pub(super) fn next_write(&mut self, next: u64) -> Option<(SharedBytes<'_>, u64, u64)> {
        let index = self.index(next);
        let first = self.queue.get(index)?.bytes.len();
        if self.queue.len() == index + 1 || first >= Self::GATHERED_MAX {
            let frame = self.queue.get(index)?;
            let bytes = SharedBytes::frame(&frame.bytes);
            return Some((bytes, next + 1, frame.kind.records()));
        }
        if self.gathered_from != next || self.gathered_to <= next {
            self.gathered.clear();
            self.gathered_copy = None;
            (self.gathered_from, self.gathered_to, self.gathered_records) = (next, next, 0);
        }
        self.gather();
        let bytes = SharedBytes::gathered(&self.gathered, &mut self.gathered_copy);
        Some((bytes, self.gathered_to, self.gathered_records))
    }

    /// Appends the frames that are not gathered yet, as many as there is room for.
    fn gather(&mut self) {
        for frame in self.queue.range(self.index(self.gathered_to)..) {
            let room = Self::GATHERED_MAX.saturating_sub(self.gathered.len());
            if !self.gathered.is_empty() && frame.bytes.len() > room {
                break;
            }
            self.gathered.extend_from_slice(&frame.bytes);
            self.gathered_copy = None;
            self.gathered_to += 1;
            self.gathered_records += frame.kind.records();
        }
    }

    /// Returns the point that is `written` bytes after the start of the frame `next`, or `None` if that
    /// is the end of all frames.
    pub(super) fn locate(&self, next: u64, mut written: usize) -> Option<StopPoint<'_>> {
        let mut records = 0;
        for (number, frame) in (next..).zip(self.queue.range(self.index(next)..)) {
            if written < frame.bytes.len() {
                return Some(StopPoint { frame, written, records, number });
            }
            written -= frame.bytes.len();
            records += frame.kind.records();
        }
        None
    }

    /// Returns the topics whose ends are in the frames from `number` on.
    pub(super) fn ends_from(&self, number: u64) -> impl Iterator<Item = &TopicName> {
        self.queue.range(self.index(number)..).filter_map(|frame| match &frame.kind {
            FrameKind::End(topic) => Some(topic),
            FrameKind::Event | FrameKind::Gap { .. } | FrameKind::Text => None,
        })
    }

    /// Returns the losses already reported to a reader whose next frame is `number`, or `None` if no
    /// gap follows.
    pub(super) fn losses_before(&self, number: u64) -> Option<LossesReported> {
        self.queue.range(self.index(number)..).find_map(|frame| match frame.kind {
            FrameKind::Gap { losses_before } => Some(losses_before),
            FrameKind::Event | FrameKind::End(_) | FrameKind::Text => None,
        })
    }

    /// Drops the frames before `number`. All readers have them.
    pub(super) fn discard_before(&mut self, number: u64) {
        while self.first < number
            && let Some(frame) = self.queue.pop_front()
        {
            self.bytes -= frame.bytes.len();
            self.first += 1;
        }
        if self.queue.is_empty() {
            // Numbers are never reused, so gathered bytes are never taken for other frames.
            self.gathered.clear();
            self.gathered_copy = None;
            self.gathered.shrink_to(Self::GATHERED_KEPT);
            (self.gathered_from, self.gathered_to) = (self.first, self.first);
        }
    }

    fn index(&self, number: u64) -> usize {
        let index = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        index.min(self.queue.len())
    }
}

impl FrameKind {
    fn records(&self) -> u64 {
        match self {
            FrameKind::Event | FrameKind::End(_) => 1,
            FrameKind::Gap { .. } | FrameKind::Text => 0,
        }
    }
}
