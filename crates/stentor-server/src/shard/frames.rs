//! What a feed has read and not all of its readers have.

use std::collections::VecDeque;

use bytes::Bytes;
use stentor_hub::{LossesReported, Offset, TopicName};

/// Bytes on their way to the live readers of a feed, in order. Each has a number, by which a reader
/// knows how far it is.
#[derive(Debug, Default)]
pub(super) struct Frames {
    first: u64,
    queue: VecDeque<Entry>,
    bytes: usize,
    /// Several in one piece, of the numbers from and to: most readers wait for the same ones.
    gathered: Vec<u8>,
    gathered_from: u64,
    gathered_to: u64,
    gathered_records: u64,
}

/// One frame.
#[derive(Debug)]
pub(super) struct Entry {
    /// The record's, or where a reader is who has this.
    pub(super) offset: Offset,
    pub(super) bytes: Bytes,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A record that says no end.
    Event,
    /// The end of a topic.
    End(TopicName),
    /// A gap, and what the readers had been told of before.
    Gap(LossesReported),
    /// A position or a sign of life.
    Text,
}

/// Where a reader stopped within the frames.
pub(super) struct Stop<'a> {
    pub(super) entry: &'a Entry,
    /// Bytes of it that were written.
    pub(super) written: usize,
    /// Records before it that were written.
    pub(super) records: u64,
    /// Its number.
    pub(super) number: u64,
}

impl Frames {
    /// The most that is gathered for one write, but for a single frame that is larger.
    const GATHERED_MAX: usize = 256 << 10;
    /// What `gathered` may keep of its room when there is nothing to gather.
    const GATHERED_KEPT: usize = 64 << 10;

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes.len();
        self.queue.push_back(entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of all frames.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes held, with those gathered.
    pub(super) fn held(&self) -> usize {
        self.bytes + self.gathered.capacity() + self.queue.capacity() * size_of::<Entry>()
    }

    /// The number of the first frame beyond an offset.
    pub(super) fn after(&self, offset: Offset) -> u64 {
        self.first + self.queue.partition_point(|entry| entry.offset <= offset) as u64
    }

    /// The bytes that a reader at this number gets with one write, the number it is at then, and how
    /// many records that is.
    pub(super) fn next(&mut self, at: u64) -> Option<(&[u8], u64, u64)> {
        let index = self.index(at);
        let first = self.queue.get(index)?.bytes.len();
        if self.queue.len() == index + 1 || first >= Self::GATHERED_MAX {
            let entry = self.queue.get(index)?;
            return Some((&entry.bytes, at + 1, entry.kind.records()));
        }
        if self.gathered_from != at || self.gathered_to <= at {
            self.gathered.clear();
            (self.gathered_from, self.gathered_to, self.gathered_records) = (at, at, 0);
        }
        self.gather();
        Some((&self.gathered, self.gathered_to, self.gathered_records))
    }

    /// Adds to what is gathered what has come since, as much as there is room for.
    fn gather(&mut self) {
        for entry in self.queue.range(self.index(self.gathered_to)..) {
            let room = Self::GATHERED_MAX.saturating_sub(self.gathered.len());
            if !self.gathered.is_empty() && entry.bytes.len() > room {
                break;
            }
            self.gathered.extend_from_slice(&entry.bytes);
            self.gathered_to += 1;
            self.gathered_records += entry.kind.records();
        }
    }

    /// Where a reader at this number stops after so many more bytes; `None` where they end.
    pub(super) fn stop(&self, at: u64, mut written: usize) -> Option<Stop<'_>> {
        let mut records = 0;
        for (number, entry) in (at..).zip(self.queue.range(self.index(at)..)) {
            if written < entry.bytes.len() {
                return Some(Stop { entry, written, records, number });
            }
            written -= entry.bytes.len();
            records += entry.kind.records();
        }
        None
    }

    /// The topics whose ends are told by the frames from this number on.
    pub(super) fn ends_from(&self, number: u64) -> impl Iterator<Item = &TopicName> {
        self.queue.range(self.index(number)..).filter_map(|entry| match &entry.kind {
            Kind::End(topic) => Some(topic),
            Kind::Event | Kind::Gap(_) | Kind::Text => None,
        })
    }

    /// What a reader was told of who gets the frames from this number on; `None` if no gap is among them.
    pub(super) fn told_before(&self, number: u64) -> Option<LossesReported> {
        self.queue.range(self.index(number)..).find_map(|entry| match entry.kind {
            Kind::Gap(before) => Some(before),
            Kind::Event | Kind::End(_) | Kind::Text => None,
        })
    }

    /// Lets go of the frames before this number, which all readers have.
    pub(super) fn forget(&mut self, before: u64) {
        while self.first < before
            && let Some(entry) = self.queue.pop_front()
        {
            self.bytes -= entry.bytes.len();
            self.first += 1;
        }
        if self.queue.is_empty() {
            // Numbers go on, so what was gathered is never taken for something else.
            self.gathered.clear();
            self.gathered.shrink_to(Self::GATHERED_KEPT);
            (self.gathered_from, self.gathered_to) = (self.first, self.first);
        }
    }

    fn index(&self, number: u64) -> usize {
        let index = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        index.min(self.queue.len())
    }
}

impl Kind {
    fn records(&self) -> u64 {
        match self {
            Kind::Event | Kind::End(_) => 1,
            Kind::Gap(_) | Kind::Text => 0,
        }
    }
}
