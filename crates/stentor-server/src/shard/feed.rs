//! Live readers who are told the same.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use stentor_hub::storage::Budget;
use stentor_hub::{Batch, Cursor, Offset, Record, Subscription, TryRead};
use tokio::time::Instant;

use super::frames::{Entry, Frames, Kind};
use super::framing::Framing;
use crate::context::Stentor;

/// What a feed reads at once.
pub(super) const READ: Budget = Budget { records: 256, bytes: 128 << 10, rows: 10_000 };

/// What is read ahead of the slowest live reader, but for one batch: it does not grow while a sweep lasts.
const FRAMES_BYTES_MAX: usize = 512 << 10;

/// All live readers with the same filters and the same form: one subscription, read once for all.
///
/// A live reader is a socket and a number: how many frames of the feed it has. Only what is read and
/// not yet written to all is held. A reader whose socket has no room leaves the feed with a fork of
/// the subscription, and comes back when it is at the tail again.
pub(super) struct Feed<S> {
    pub(super) stentor: Stentor,
    pub(super) framing: Framing,
    pub(super) subscription: Subscription,
    pub(super) frames: Frames,
    pub(super) live: Vec<Live<S>>,
    /// Readers before this one have had their turn in the sweep that is under way.
    pub(super) swept: usize,
    /// The highest offset that the readers know of.
    told: Offset,
    /// When something was last said, and how long it may be silent this time.
    spoken: Instant,
    silence: Duration,
    /// When to look whether that is over.
    pub(super) speaks_at: Instant,
    /// What stands for the wishes of its readers.
    pub(super) wish: u64,
    /// Bytes that the shard knows to be held.
    pub(super) held_told: usize,
    /// Whether it waits for its turn.
    pub(super) queued: bool,
    /// Whether somebody looks behind the live window for it.
    pub(super) away: bool,
    /// Whether its readers part when they have all that was read.
    pub(super) parting: Option<Parting>,
}

/// A reader at the tail.
pub(super) struct Live<S> {
    pub(super) socket: S,
    /// Its place in the shard.
    pub(super) slot: u32,
    /// The number of the next frame that it gets.
    pub(super) at: u64,
}

/// Why readers part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// All topics have ended.
    Finished,
    /// The server stops; they are asked to come back.
    Draining,
}

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// There is nothing more now, or enough for now.
    Enough,
    /// What comes next is behind the live window.
    Behind,
}

impl<S> Feed<S> {
    /// The feed of a reader at the tail, who is told up to an offset.
    pub(super) fn new(
        stentor: Stentor,
        framing: Framing,
        subscription: Subscription,
        told: Offset,
        wish: u64,
        now: Instant,
    ) -> Feed<S> {
        let silence = stentor.silence();
        Feed {
            stentor,
            framing,
            subscription,
            frames: Frames::default(),
            live: Vec::new(),
            swept: 0,
            told,
            spoken: now,
            silence,
            speaks_at: now + silence,
            wish,
            held_told: 0,
            queued: false,
            away: false,
            parting: None,
        }
    }

    /// Whether a reader at the tail with this subscription can join it.
    pub(super) fn suits(&self, stentor: &Stentor, framing: Framing, other: &Subscription) -> bool {
        !self.away
            && self.parting.is_none()
            && self.framing == framing
            && self.stentor.is(stentor)
            && self.subscription.is_equivalent(other)
    }

    /// Nobody is left, so it begins anew with the reader who comes.
    pub(super) fn revive(&mut self, subscription: Subscription, told: Offset, now: Instant) {
        // The reader was just greeted.
        self.spoken = now;
        self.subscription.advance_to(subscription);
        self.frames.forget(u64::MAX);
        self.told = told;
        self.swept = 0;
    }

    /// Reads on, as far as the window reaches and the readers keep up.
    pub(super) fn read(&mut self, now: Instant) -> Read {
        if self.away || self.parting.is_some() {
            return Read::Enough;
        }
        // Before reading: what comes after this is marked anew.
        self.subscription.rearm();
        while self.frames.bytes() < FRAMES_BYTES_MAX {
            match self.subscription.try_read(READ) {
                TryRead::Batch(batch) => {
                    let is_last = batch.records.len() < READ.records / 4;
                    self.take(batch, now);
                    // A short batch ends at the tail; what came since is marked.
                    if is_last && self.frames.bytes() < READ.bytes / 2 {
                        break;
                    }
                }
                TryRead::AtTail => break,
                TryRead::NeedsStorage => return Read::Behind,
                TryRead::Finished => {
                    self.parting = Some(Parting::Finished);
                    break;
                }
            }
        }
        if self.subscription.is_finished() {
            self.parting = Some(Parting::Finished);
        }
        Read::Enough
    }

    /// Takes what a fork of the subscription found behind the window.
    pub(super) fn take_findings(&mut self, fork: Subscription, batch: Batch, now: Instant) {
        if let Some(gap) = &batch.gap {
            self.stentor.metrics().gaps.inc_by(self.live.len() as u64);
            let text = self.framing.text(|control, out| control.gap(out, gap));
            self.say(text, gap.position.offset, Kind::Gap(self.subscription.losses_reported()));
        }
        self.subscription.advance_to(fork);
        self.take(batch, now);
    }

    /// Takes records that were read.
    fn take(&mut self, batch: Batch, now: Instant) {
        for record in batch.records {
            self.told = record.offset();
            let bytes = self.framing.record(&record);
            self.frames.push(Entry { offset: record.offset(), bytes, kind: kind(&record) });
        }
        self.spoken = now;
    }

    /// A sign of life after a silence: the position, if the readers have passed records that they did
    /// not ask for.
    pub(super) fn keep_alive(&mut self, now: Instant) {
        let cursor: Cursor = self.subscription.cursor();
        let passed = cursor.offset > self.told;
        let mut text = BytesMut::new();
        if passed {
            self.framing.control.cursor(&mut text, cursor);
            self.told = cursor.offset;
        }
        if text.is_empty() {
            self.framing.control.comment(&mut text);
        }
        let text = self.framing.wrap(&text);
        self.say(text, cursor.offset, Kind::Text);
        self.spoken = now;
        self.silence = self.stentor.silence();
    }

    /// Whether it has been silent for so long that its readers wonder.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        let is_idle = self.frames.is_empty() && self.parting.is_none() && !self.away;
        is_idle && self.spoken + self.silence <= now
    }

    /// Decides when to look again whether it is.
    pub(super) fn look_later(&mut self, now: Instant) -> Instant {
        let due = self.spoken + self.silence;
        self.speaks_at = if due > now { due } else { now + self.silence };
        self.speaks_at
    }

    fn say(&mut self, text: Bytes, offset: Offset, kind: Kind) {
        self.told = self.told.max(offset);
        if !text.is_empty() {
            self.frames.push(Entry { offset, bytes: text, kind });
        }
    }

    /// Whether some reader may lack a frame.
    pub(super) fn is_behind(&self) -> bool {
        !self.frames.is_empty()
    }

    /// At the end of a sweep: forgets what all have.
    pub(super) fn sweep_done(&mut self) {
        self.swept = 0;
        let had = self.live.iter().map(|live| live.at).min();
        self.frames.forget(had.unwrap_or(u64::MAX));
    }

    pub(super) fn told(&self) -> Offset {
        self.told
    }

    /// Everything up to here was read.
    pub(super) fn position(&self) -> Offset {
        self.subscription.cursor().offset
    }

    /// Bytes held for its readers.
    pub(super) fn held(&self) -> usize {
        size_of::<Feed<S>>() + self.frames.held() + self.live.capacity() * size_of::<Live<S>>()
    }

    /// What becomes of a reader at a number, of whose next frames so many bytes were written.
    pub(super) fn fork(&self, at: u64, written: usize) -> Fallen {
        let Some(stop) = self.frames.stop(at, written) else {
            let subscription =
                self.subscription.fork(self.position(), self.subscription.losses_reported(), []);
            return Fallen { subscription, text: Bytes::new(), partial: None };
        };
        let (offset, begun) = (stop.entry.offset, stop.written > 0);
        let is_text = matches!(stop.entry.kind, Kind::Text | Kind::Gap(_));
        let has_it = begun || is_text;
        let position = if has_it { offset } else { offset.previous() };
        let next = stop.number + u64::from(has_it);
        let told = self.frames.told_before(next).unwrap_or(self.subscription.losses_reported());
        Fallen {
            subscription: self.subscription.fork(position, told, self.frames.ends_from(next)),
            text: if is_text { stop.entry.bytes.slice(stop.written..) } else { Bytes::new() },
            partial: (begun && !is_text).then_some((offset, stop.written)),
        }
    }
}

/// A live reader's way on by itself.
pub(super) struct Fallen {
    pub(super) subscription: Subscription,
    /// The rest of a text.
    pub(super) text: Bytes,
    /// The record of which a part was written.
    pub(super) partial: Option<(Offset, usize)>,
}

fn kind(record: &Record) -> Kind {
    if record.event().is_some() { Kind::Event } else { Kind::End(record.topic().clone()) }
}
