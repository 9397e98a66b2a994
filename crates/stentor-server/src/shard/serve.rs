//! Turns of readers that have a cursor of their own.

use std::hash::BuildHasher;

use bytes::Bytes;
use mio::{Interest, Token};
use tokio::time::Instant;

use super::behind::{Behind, Standing, Watched};
use super::errand::{Answer, Asker, Errand, Findings, Question};
use super::feed::{Feed, Live, Read};
use super::leaving::Leaving;
use super::socket::Socket;
use super::{Place, STALL_MAX, Shard, Timer, number};
use crate::metrics::Open;

impl<S: Socket> Shard<S> {
    /// Lets a reader have its turn, unless it waits for one already.
    pub(super) fn queue_reader(&mut self, slot: u32) {
        if let Some(behind) = self.behind(slot)
            && !std::mem::replace(&mut behind.queued, true)
        {
            self.ready.push_back(slot);
        }
    }

    /// The turn of a reader.
    pub(super) fn serve(&mut self, slot: u32, now: Instant) {
        let Some(behind) = self.behind(slot) else { return };
        behind.queued = false;
        if behind.subscription.is_none() {
            // It waits for the log, whose answer will bring it here again.
            return;
        }
        let before = behind.held();
        let standing = behind.serve(now);
        let after = behind.held();
        self.held = self.held + after - before;
        match standing {
            Standing::AtTail => self.join(slot, now),
            Standing::Hungry => self.queue_reader(slot),
            Standing::Blocked => {
                self.watch(slot, Watched::ForRoom);
                self.set_watchdog(slot, now);
            }
            Standing::Asks(question) => self.ask(slot, question),
            Standing::Over => self.part(slot, now),
            Standing::Gone => self.remove(slot),
        }
    }

    /// Takes what the log said to a reader.
    pub(super) fn settle_reader(&mut self, slot: u32, id: u64, findings: Findings) {
        // Whoever asked may have left.
        let Some(behind) = self.behind(slot).filter(|behind| behind.id == id) else { return };
        let before = behind.held();
        behind.subscription = Some(findings.subscription);
        match findings.answer {
            Ok(Answer::Opening(opening)) => behind.take_opening(&opening),
            Ok(Answer::Batch(batch)) => behind.take_batch(batch),
            Ok(Answer::Record(Some(record))) => behind.take_record(record),
            Ok(Answer::Record(None)) => {
                // The reader comes back by its last id and is told the gap.
                tracing::debug!("an event was removed while it was sent; its stream was cut");
                return self.remove(slot);
            }
            Err(error) => {
                tracing::warn!(%error, "a stream was cut");
                return self.remove(slot);
            }
        }
        let after = behind.held();
        self.held = self.held + after - before;
        self.queue_reader(slot);
    }

    /// Whether a stalled reader is to be given up.
    pub(super) fn look_at_stall(&mut self, slot: u32, now: Instant) {
        let Some(behind) = self.behind(slot).filter(|behind| behind.watchdog) else { return };
        match behind.stalled.map(|since| since + STALL_MAX) {
            None => behind.watchdog = false,
            Some(until) if until > now => self.wheel.add(until, Timer::Stall(slot)),
            Some(_) => self.remove(slot),
        }
    }

    pub(super) fn look_at_leaving(&mut self, slot: u32, now: Instant) {
        let Some(Place::Leaving(leaving)) = self.readers.get_mut(slot as usize) else { return };
        if leaving.is_done(now) {
            self.remove(slot);
        } else {
            let until = leaving.until;
            self.wheel.add(until, Timer::Leave(slot));
        }
    }

    /// Ends the stream of a reader who has all of it.
    fn part(&mut self, slot: u32, now: Instant) {
        let Some(place) = self.readers.get_mut(slot as usize) else { return };
        let gone = Place::Live { feed: u32::MAX, index: u32::MAX, heard: 0 };
        match std::mem::replace(place, gone) {
            Place::Behind(behind) => {
                self.held -= behind.held();
                let last = Bytes::from_static(behind.framing.last());
                let again = behind.watched != Watched::No;
                self.leave(slot, behind.socket, last, again, now);
            }
            other => *place = other,
        }
    }

    /// Puts a reader whose stream has ended where its connection can end.
    pub(super) fn leave(&mut self, slot: u32, socket: S, words: Bytes, again: bool, now: Instant) {
        let mut leaving = Box::new(Leaving::new(socket, words, now + STALL_MAX));
        let done = leaving.is_done(now);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(slot as usize);
        let watched = leaving.socket.watch(self.poll.registry(), token, interest, again);
        self.wheel.add(leaving.until, Timer::Leave(slot));
        self.held += leaving.held();
        if let Some(place) = self.readers.get_mut(slot as usize) {
            *place = Place::Leaving(leaving);
        }
        if done || watched.is_err() {
            self.remove(slot);
        }
    }

    /// Has the log asked for a reader.
    fn ask(&mut self, slot: u32, question: Question) {
        self.watch(slot, Watched::ForItsEnd);
        let Some(behind) = self.behind(slot) else { return };
        let Some(subscription) = behind.subscription.take() else { return };
        let (asker, hub) = (Asker::Reader { slot, id: behind.id }, behind.stentor.hub().clone());
        self.errands.push_back(Errand { asker, question, hub, subscription });
    }

    /// Watches the socket of a reader; one that cannot be watched is given up.
    fn watch(&mut self, slot: u32, want: Watched) {
        let registry = self.poll.registry();
        let Some(Place::Behind(behind)) = self.readers.get_mut(slot as usize) else { return };
        if behind.watched == want {
            return;
        }
        let interest = match want {
            Watched::ForRoom => Interest::READABLE | Interest::WRITABLE,
            Watched::No | Watched::ForItsEnd => Interest::READABLE,
        };
        let again = behind.watched != Watched::No;
        match behind.socket.watch(registry, Token(slot as usize), interest, again) {
            Ok(()) => behind.watched = want,
            Err(error) => {
                tracing::debug!(%error, "a socket cannot be watched");
                self.remove(slot);
            }
        }
    }

    fn set_watchdog(&mut self, slot: u32, now: Instant) {
        if let Some(behind) = self.behind(slot)
            && !std::mem::replace(&mut behind.watchdog, true)
        {
            self.wheel.add(now + STALL_MAX, Timer::Stall(slot));
        }
    }

    /// A reader at the tail becomes one of many.
    fn join(&mut self, slot: u32, now: Instant) {
        self.watch(slot, Watched::ForItsEnd);
        let Some(Place::Behind(behind)) = self.readers.get_mut(slot as usize) else { return };
        let Some(subscription) = behind.subscription.as_deref() else { return };
        let (stentor, framing) = (&behind.stentor, behind.framing);
        let wish = self.hasher.hash_one((stentor.address(), framing, subscription.filters()));
        let position = subscription.cursor().offset;
        let known = self.by_wish.get(&wish).into_iter().flatten().copied();
        let found = known.filter(|index| {
            let feed = self.feeds.get(*index);
            feed.is_some_and(|feed| feed.suits(stentor, framing, subscription))
        });
        let found = found.min();
        let Some(index) = found else { return self.found(slot, wish, now) };
        let Some(feed) = self.feeds.get_mut(index) else { return };
        if feed.live.is_empty() {
            let told = behind.told();
            if let Some(subscription) = behind.subscription.take() {
                feed.revive(*subscription, told, now);
            }
            // What came while the reader was on its way here was marked for nobody.
            self.queue_feed(index);
        } else if feed.position() < position {
            // Until it is where the reader is, who has all before that.
            let read = feed.read(now);
            let suits = feed.suits(stentor, framing, subscription) && feed.position() >= position;
            if read == Read::Behind {
                self.ask_for(index);
            }
            self.queue_feed(index);
            if !suits {
                return self.queue_reader(slot);
            }
        }
        self.make_live(slot, index, position);
    }

    /// Makes a feed of a reader who is the first to ask for this.
    fn found(&mut self, slot: u32, wish: u64, now: Instant) {
        let index = self.feeds.vacant_key();
        let consumer = self.consumer.clone();
        let Some(behind) = self.behind(slot) else { return };
        let Some(mut subscription) = behind.subscription.take() else { return };
        subscription.notify(&consumer, index);
        let position = subscription.cursor().offset;
        let (stentor, told) = (behind.stentor.clone(), behind.told());
        let feed = Feed::new(stentor, behind.framing, *subscription, told, wish, now);
        self.wheel.add(feed.speaks_at, Timer::Silence(index));
        self.feeds.insert(feed);
        self.by_wish.entry(wish).or_default().push(index);
        // What came before it was marked.
        self.queue_feed(index);
        self.make_live(slot, index, position);
    }

    fn make_live(&mut self, slot: u32, index: usize, position: stentor_hub::Offset) {
        let Some(feed) = self.feeds.get_mut(index) else { return };
        let Some(place) = self.readers.get_mut(slot as usize) else { return };
        let at = feed.frames.after(position);
        let live = Place::Live { feed: number(index), index: number(feed.live.len()), heard: 0 };
        match std::mem::replace(place, live) {
            Place::Behind(behind) => {
                let Behind { socket, open, subscription, .. } = *behind;
                feed.live.push(Live { socket, slot, at });
                feed.subscription.set_readers(feed.live.len());
                drop(subscription);
                self.held -= Behind::<S>::HELD;
                open.keep();
            }
            other => *place = other,
        }
        self.account(index);
    }

    fn behind(&mut self, slot: u32) -> Option<&mut Behind<S>> {
        match self.readers.get_mut(slot as usize) {
            Some(Place::Behind(behind)) => Some(behind),
            _ => None,
        }
    }

    /// A live reader without room gets a cursor of its own.
    pub(super) fn fall(
        &mut self,
        slot: u32,
        index: usize,
        live: Live<S>,
        written: usize,
        now: Instant,
    ) {
        let Some(feed) = self.feeds.get_mut(index) else { return };
        let fallen = feed.fork(live.at, written);
        self.last_id += 1;
        let open = Open::kept(&feed.stentor.metrics().streams_open);
        let mut behind = Box::new(Behind::fallen(
            self.last_id,
            live.socket,
            feed.stentor.clone(),
            feed.framing,
            Box::new(fallen.subscription),
            feed.told(),
            open,
        ));
        behind.stopped_in(fallen.text, fallen.partial);
        behind.watched = Watched::ForItsEnd;
        behind.stalled = Some(now);
        self.held += behind.held();
        if let Some(place) = self.readers.get_mut(slot as usize) {
            *place = Place::Behind(behind);
        }
        self.watch(slot, Watched::ForRoom);
        self.set_watchdog(slot, now);
    }
}
