//! Turns of feeds.

use bytes::Bytes;
use tokio::time::Instant;

use super::errand::{Answer, Asker, Errand, Findings, Question};
use super::feed::{Live, Parting, Read};
use super::frames::Frames;
use super::socket::{Socket, Written};
use super::{Place, Shard, Timer, number};
use crate::control::retry_of_readers;

/// Writes of one turn. What was published meanwhile goes out with the next ones, so small turns are
/// full ones.
const WRITES_MAX: usize = 128;
/// Bytes of one turn.
const BYTES_MAX: usize = 2 << 20;

/// What is left of a turn.
struct Turn {
    writes: usize,
    bytes: usize,
}

/// What live readers were given.
#[derive(Default)]
struct Tally {
    records: u64,
    bytes: u64,
}

/// How a live reader stands after its turn.
enum Served {
    /// It has all there is.
    Whole,
    /// There was room for so many bytes only.
    Stopped(usize),
    Gone,
}

impl<S: Socket> Shard<S> {
    pub(super) fn queue_feed(&mut self, index: usize) {
        if let Some(feed) = self.feeds.get_mut(index)
            && !std::mem::replace(&mut feed.queued, true)
        {
            self.dirty.push_back(index);
        }
    }

    /// Queues the feeds that have news.
    pub(super) fn take_marks(&mut self) {
        let mut marks = std::mem::take(&mut self.marks);
        self.consumer.take_ready(&mut marks);
        for index in marks.drain(..) {
            // One without readers stays marked, so that its topics wake nobody until one comes.
            if self.feeds.get(index).is_some_and(|feed| !feed.live.is_empty()) {
                self.queue_feed(index);
            }
        }
        self.marks = marks;
    }

    /// Writes to live readers, as much as one turn is long.
    pub(super) fn sweep(&mut self, now: Instant) {
        let mut turn = Turn { writes: WRITES_MAX, bytes: BYTES_MAX };
        while turn.writes > 0
            && turn.bytes > 0
            && let Some(index) = self.dirty.pop_front()
        {
            let Some(feed) = self.feeds.get_mut(index) else { continue };
            feed.queued = false;
            if feed.read(now) == Read::Behind {
                self.ask_for(index);
            }
            self.sweep_feed(index, &mut turn, now);
            self.account(index);
        }
    }

    /// Goes on with the sweep of one feed.
    fn sweep_feed(&mut self, index: usize, turn: &mut Turn, now: Instant) {
        let mut tally = Tally::default();
        loop {
            let Some(feed) = self.feeds.get_mut(index) else { return };
            if feed.frames.is_empty() {
                feed.swept = feed.live.len();
            }
            let Some(live) = feed.live.get_mut(feed.swept) else { break };
            if turn.writes == 0 || turn.bytes == 0 {
                break;
            }
            match write(live, &mut feed.frames, turn, &mut tally) {
                Served::Whole => feed.swept += 1,
                Served::Stopped(written) => {
                    let (slot, at) = (number(index), number(feed.swept));
                    if let Some(live) = self.take_out(slot, at) {
                        self.fall(live.slot, index, live, written, now);
                    }
                }
                Served::Gone => {
                    let slot = live.slot;
                    self.remove(slot);
                }
            }
        }
        let Some(feed) = self.feeds.get_mut(index) else { return };
        let metrics = feed.stentor.metrics();
        metrics.delivered.inc_by(tally.records);
        metrics.delivered_bytes.inc_by(tally.bytes);
        if feed.swept < feed.live.len() {
            return self.queue_feed(index);
        }
        feed.sweep_done();
        if feed.is_behind() {
            self.queue_feed(index);
        } else if feed.parting.is_some() {
            self.part_all(index, turn, now);
        }
    }

    /// Takes leave of the readers of a feed, who have all there is.
    fn part_all(&mut self, index: usize, turn: &mut Turn, now: Instant) {
        while turn.writes > 0 {
            let Some(feed) = self.feeds.get_mut(index) else { return };
            let Some(live) = feed.live.pop() else { return self.close(index) };
            turn.writes -= 1;
            feed.subscription.set_readers(feed.live.len());
            feed.stentor.metrics().streams_open.dec();
            let words = match feed.parting {
                Some(Parting::Draining) => {
                    let retry =
                        feed.framing.text(|control, out| control.retry(out, retry_of_readers()));
                    Bytes::from([&retry[..], feed.framing.last()].concat())
                }
                Some(Parting::Finished) | None => Bytes::from_static(feed.framing.last()),
            };
            self.leave(live.slot, live.socket, words, true, now);
        }
        self.queue_feed(index);
    }

    /// Has the log asked for a feed that the live window has left behind.
    pub(super) fn ask_for(&mut self, index: usize) {
        let Some(feed) = self.feeds.get_mut(index) else { return };
        if std::mem::replace(&mut feed.away, true) {
            return;
        }
        let told = feed.subscription.losses_reported();
        let subscription = Box::new(feed.subscription.fork(feed.position(), told, []));
        let hub = feed.stentor.hub().clone();
        let question = Question::Next;
        self.errands.push_back(Errand {
            asker: Asker::Feed { index },
            question,
            hub,
            subscription,
        });
    }

    /// Takes what the log said to a feed.
    pub(super) fn settle_feed(&mut self, index: usize, findings: Findings, now: Instant) {
        let Some(feed) = self.feeds.get_mut(index) else { return };
        feed.away = false;
        match findings.answer {
            Ok(Answer::Batch(batch)) if feed.parting.is_none() => {
                feed.take_findings(*findings.subscription, batch, now);
            }
            Ok(_) => {}
            Err(error) => {
                let readers = feed.live.len();
                tracing::warn!(%error, readers, "streams were cut");
                return self.cut(index);
            }
        }
        self.account(index);
        self.queue_feed(index);
    }

    /// Ends the connections of a feed whose log cannot be read.
    fn cut(&mut self, index: usize) {
        while let Some(feed) = self.feeds.get(index)
            && let Some(slot) = feed.live.last().map(|live| live.slot)
        {
            self.remove(slot);
        }
        self.close(index);
    }

    /// Lets an empty feed go.
    fn close(&mut self, index: usize) {
        if self.feeds.get(index).is_none_or(|feed| feed.away || !feed.live.is_empty()) {
            return;
        }
        let Some(feed) = self.feeds.try_remove(index) else { return };
        self.held -= feed.held_told;
        if let Some(known) = self.by_wish.get_mut(&feed.wish) {
            known.retain(|known| *known != index);
            if known.is_empty() {
                self.by_wish.remove(&feed.wish);
            }
        }
    }

    /// Takes a live reader out of its feed; another one takes its place in the row.
    pub(super) fn take_out(&mut self, feed: u32, index: u32) -> Option<Live<S>> {
        let feed = self.feeds.get_mut(feed as usize)?;
        if index as usize >= feed.live.len() {
            return None;
        }
        let taken = feed.live.swap_remove(index as usize);
        feed.subscription.set_readers(feed.live.len());
        // If that one has not had its turn, the sweep finds out at its end.
        if let Some(moved) = feed.live.get(index as usize)
            && let Some(Place::Live { index: place, .. }) =
                self.readers.get_mut(moved.slot as usize)
        {
            *place = index;
        }
        Some(taken)
    }

    /// Breaks the silence of a feed, if it has been too long.
    pub(super) fn look_at_silence(&mut self, index: usize, now: Instant) {
        let Some(feed) = self.feeds.get_mut(index).filter(|feed| feed.speaks_at <= now) else {
            return;
        };
        let mut read = Read::Enough;
        if feed.is_silent(now) {
            // What is read on the way is not told by a position.
            read = feed.read(now);
            if read == Read::Enough && feed.is_silent(now) && !feed.live.is_empty() {
                feed.keep_alive(now);
            }
        }
        let later = feed.look_later(now);
        self.wheel.add(later, Timer::Silence(index));
        self.account(index);
        if read == Read::Behind {
            self.ask_for(index);
        }
        self.queue_feed(index);
        // Nobody came back to it in all that time.
        self.close(index);
    }

    /// Counts what a feed holds now.
    pub(super) fn account(&mut self, index: usize) {
        if let Some(feed) = self.feeds.get_mut(index) {
            let held = feed.held();
            self.held = self.held + held - feed.held_told;
            feed.held_told = held;
        }
    }
}

/// Writes to one live reader what it lacks.
fn write<S: Socket>(
    live: &mut Live<S>,
    frames: &mut Frames,
    turn: &mut Turn,
    tally: &mut Tally,
) -> Served {
    while let Some((bytes, to, records)) = frames.next(live.at) {
        let socket = &mut live.socket;
        turn.writes = turn.writes.saturating_sub(1);
        match Written::of(|| socket.write(bytes)) {
            Written::Bytes(written) => {
                turn.bytes = turn.bytes.saturating_sub(written);
                tally.bytes += written as u64;
                if written < bytes.len() {
                    tally.records += frames.stop(live.at, written).map_or(0, |stop| stop.records);
                    return Served::Stopped(written);
                }
                live.at = to;
                tally.records += records;
            }
            Written::Blocked => return Served::Stopped(0),
            Written::Gone => return Served::Gone,
        }
    }
    Served::Whole
}
