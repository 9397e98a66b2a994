//! A reader with a cursor of its own: new, behind, or stuck.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use stentor_hub::{Batch, Offset, Record, StartPosition, Subscription, TryRead};
use tokio::time::Instant;

use super::errand::{PAGE, Question};
use super::framing::Framing;
use super::socket::{Socket, Written};
use crate::context::Stentor;
use crate::control::{Control, retry_of_readers};
use crate::metrics::Open;

/// What a reader gets before others have their turn.
const TURN_BYTES: usize = 256 << 10;

/// A reader that is not at the tail, or whose socket has no room. While it waits it holds offsets and
/// no records.
pub(super) struct Behind<S> {
    /// What tells it from another reader in the same place later.
    pub(super) id: u64,
    pub(super) socket: S,
    pub(super) stentor: Stentor,
    pub(super) framing: Framing,
    /// `None` while it is out on an errand.
    pub(super) subscription: Option<Box<Subscription>>,
    phase: Phase,
    /// What the server says, on its way.
    text: Bytes,
    /// Whether it is still to be greeted.
    greets: bool,
    /// The record whose first bytes are written, and how many.
    partial: Option<(Offset, usize)>,
    /// Records that an errand brought.
    hand: VecDeque<Arc<Record>>,
    /// The highest offset that the reader knows of.
    told: Offset,
    /// How its socket is watched.
    pub(super) watched: Watched,
    /// Since when it has had no room, if so.
    pub(super) stalled: Option<Instant>,
    /// Whether somebody looks after that.
    pub(super) watchdog: bool,
    /// Whether it waits for its turn.
    pub(super) queued: bool,
    /// Bytes that the client sent after its request.
    pub(super) heard: usize,
    pub(super) open: Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    No,
    ForItsEnd,
    ForRoom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The position or gap is still to be told.
    Opening,
    Reading,
    /// The server stops: what was begun is finished, and nothing more.
    Draining,
    Over,
}

/// How far a reader came.
pub(super) enum Standing {
    /// It has all there is.
    AtTail,
    /// Its socket has no room.
    Blocked,
    /// It has had its turn and wants more.
    Hungry,
    /// The log has to be asked.
    Asks(Question),
    /// It has had all that it will get.
    Over,
    /// Its connection is no more, or nothing more can be said over it.
    Gone,
}

impl<S: Socket> Behind<S> {
    /// A reader who just came; `head` is what its answer begins with.
    pub(super) fn new(
        id: u64,
        socket: S,
        stentor: Stentor,
        framing: Framing,
        subscription: Box<Subscription>,
        head: Vec<u8>,
        open: Open,
    ) -> Behind<S> {
        let told = subscription.cursor().offset;
        Behind {
            phase: Phase::Opening,
            text: Bytes::from(head),
            greets: true,
            ..Behind::fallen(id, socket, stentor, framing, subscription, told, open)
        }
    }

    /// A reader who was live until its socket had no room.
    pub(super) fn fallen(
        id: u64,
        socket: S,
        stentor: Stentor,
        framing: Framing,
        subscription: Box<Subscription>,
        told: Offset,
        open: Open,
    ) -> Behind<S> {
        Behind {
            id,
            socket,
            stentor,
            framing,
            subscription: Some(subscription),
            phase: Phase::Reading,
            text: Bytes::new(),
            greets: false,
            partial: None,
            hand: VecDeque::new(),
            told,
            watched: Watched::No,
            stalled: None,
            watchdog: false,
            queued: false,
            heard: 0,
            open,
        }
    }

    /// Where it stopped: within a text, or within a record.
    pub(super) fn stopped_in(&mut self, text: Bytes, partial: Option<(Offset, usize)>) {
        self.text = text;
        self.partial = partial;
    }

    /// Takes leave of it when what was begun is written.
    pub(super) fn drain(&mut self) {
        if self.phase != Phase::Over {
            self.phase = Phase::Draining;
        }
    }

    pub(super) fn told(&self) -> Offset {
        self.told
    }

    /// Bytes held for a reader to whom nothing is under way.
    pub(super) const HELD: usize = size_of::<Behind<S>>() + size_of::<Subscription>();

    /// Bytes held for it.
    pub(super) fn held(&self) -> usize {
        Self::HELD + self.text.len()
    }

    /// Takes what an errand found out.
    pub(super) fn take_opening(&mut self, opening: &StartPosition) {
        // In one piece, where it is known at once.
        let greets = std::mem::take(&mut self.greets);
        let greeting = |control: Control, out: &mut BytesMut| {
            if greets {
                control.greeting(out, retry_of_readers());
            }
        };
        let position = match opening {
            StartPosition::At(cursor) => {
                self.say(|control, out| {
                    greeting(control, out);
                    control.cursor(out, *cursor);
                });
                *cursor
            }
            StartPosition::Gap(gap) => {
                self.stentor.metrics().gaps.inc();
                self.say(|control, out| {
                    greeting(control, out);
                    control.gap(out, gap);
                });
                gap.position
            }
        };
        self.told = position.offset;
        if self.phase == Phase::Opening {
            self.phase = Phase::Reading;
        }
    }

    /// Takes what an errand read.
    pub(super) fn take_batch(&mut self, batch: Batch) {
        if let Some(gap) = batch.gap {
            self.stentor.metrics().gaps.inc();
            self.say(|control, out| control.gap(out, &gap));
            self.told = self.told.max(gap.position.offset);
        }
        self.hand.extend(batch.records);
    }

    /// Takes the record that it has the first bytes of.
    pub(super) fn take_record(&mut self, record: Arc<Record>) {
        self.hand.push_front(record);
    }

    fn say(&mut self, say: impl FnOnce(Control, &mut BytesMut)) {
        let more = self.framing.text(say);
        if self.text.is_empty() {
            self.text = more;
        } else {
            self.text = [&self.text[..], &more[..]].concat().into();
        }
    }

    /// Writes on, as far as it goes in one turn.
    pub(super) fn serve(&mut self, now: Instant) -> Standing {
        let mut turn = TURN_BYTES;
        let standing = loop {
            match self.step(&mut turn, now) {
                Some(standing) => break standing,
                None if turn == 0 => break Standing::Hungry,
                None => {}
            }
        };
        // Whoever waits, for whatever it is, holds offsets.
        self.give_back();
        standing
    }

    fn step(&mut self, turn: &mut usize, now: Instant) -> Option<Standing> {
        if let Some((offset, _)) = self.partial
            && self.hand.front().is_none_or(|record| record.offset() != offset)
        {
            match self.stentor.hub().record_in_memory(offset) {
                Some(record) => self.hand.push_front(record),
                None => return Some(Standing::Asks(Question::Record(offset))),
            }
        }
        if self.phase == Phase::Draining && self.partial.is_none() {
            // What was read and not begun is not sent any more.
            self.hand.clear();
            if self.text.is_empty() {
                self.say(|control, out| control.retry(out, retry_of_readers()));
                self.phase = Phase::Over;
            }
        }
        // Known at once, the position goes with the head; else the head goes ahead.
        if self.phase == Phase::Opening {
            let opening = self.subscription.as_mut().and_then(|s| s.start_position_in_memory());
            if let Some(opening) = opening {
                self.take_opening(&opening);
            } else if std::mem::take(&mut self.greets) {
                self.say(|control, out| control.greeting(out, retry_of_readers()));
            }
        }
        if !self.text.is_empty() || !self.hand.is_empty() {
            return self.write(turn, now);
        }
        match self.phase {
            Phase::Over => return Some(Standing::Over),
            Phase::Opening => return Some(Standing::Asks(Question::Opening)),
            Phase::Reading | Phase::Draining => {}
        }
        let Some(subscription) = &mut self.subscription else { return Some(Standing::Gone) };
        match subscription.try_read(PAGE) {
            TryRead::Batch(batch) => self.take_batch(batch),
            TryRead::AtTail => return Some(Standing::AtTail),
            TryRead::NeedsStorage => return Some(Standing::Asks(Question::Next)),
            TryRead::Finished => self.phase = Phase::Over,
        }
        None
    }

    /// Writes text and records in hand. A record that was begun comes before the text.
    fn write(&mut self, turn: &mut usize, now: Instant) -> Option<Standing> {
        let mut records: VecDeque<Bytes> =
            self.hand.iter().map(|record| self.framing.record(record)).collect();
        let begun = self.partial.and_then(|(_, written)| {
            let mut rest = records.pop_front()?;
            rest.advance(written.min(rest.len()));
            Some(rest)
        });
        let pieces: Vec<IoSlice<'_>> = begun
            .iter()
            .chain([&self.text])
            .chain(&records)
            .filter(|piece| !piece.is_empty())
            .map(|piece| IoSlice::new(piece))
            .collect();
        let socket = &mut self.socket;
        let written = Written::of(|| socket.write_vectored(&pieces));
        drop(pieces);
        match written {
            Written::Gone => Some(Standing::Gone),
            Written::Blocked => {
                self.stalled.get_or_insert(now);
                Some(Standing::Blocked)
            }
            Written::Bytes(bytes) => {
                self.stalled = None;
                *turn = turn.saturating_sub(bytes);
                self.stentor.metrics().delivered_bytes.inc_by(bytes as u64);
                let sizes: Vec<usize> = records.iter().map(Bytes::len).collect();
                self.advance(bytes, begun.map(|bytes| bytes.len()), &sizes);
                None
            }
        }
    }

    /// Notes what was written: of the record that was begun, of the text, and of records in hand, given
    /// how much there was of each.
    fn advance(&mut self, mut bytes: usize, begun: Option<usize>, records: &[usize]) {
        if let Some(size) = begun
            && !self.advance_record(&mut bytes, size)
        {
            return;
        }
        let of_text = bytes.min(self.text.len());
        self.text.advance(of_text);
        bytes -= of_text;
        if self.text.is_empty() {
            // All are done up to the first that is not.
            let _ = records.iter().all(|size| self.advance_record(&mut bytes, *size));
        }
    }

    /// The same for the first record in hand; whether it is done.
    fn advance_record(&mut self, bytes: &mut usize, size: usize) -> bool {
        let Some(record) = self.hand.front() else { return false };
        if *bytes < size {
            if *bytes > 0 {
                let before = self.partial.map_or(0, |(_, before)| before);
                self.partial = Some((record.offset(), before + *bytes));
            }
            *bytes = 0;
            return false;
        }
        *bytes -= size;
        self.told = record.offset();
        self.partial = None;
        self.hand.pop_front();
        self.stentor.metrics().delivered.inc();
        true
    }

    /// Hands the records back that could not be written; they are read again when there is room.
    fn give_back(&mut self) {
        let begun = usize::from(self.partial.is_some() && !self.hand.is_empty());
        let rest: Vec<_> = self.hand.drain(..).skip(begun).collect();
        if let Some(subscription) = &mut self.subscription {
            subscription.give_back(&rest);
        }
    }
}
