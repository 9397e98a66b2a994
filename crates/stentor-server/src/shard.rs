//! The fan-out: the readers of one core, from the moment hyper let go of their sockets.
//!
//! A [`Shard`] is free of async and asks no disk. Whoever drives it hands in newcomers, the time, and
//! the findings of the errands it wants run: [`serve`](crate::serve) does that as a task of its
//! runtime (`driver.rs`), and a program with hyper connections of its own may do it in a thread.
//!
//! A reader is in one of three places. **Behind** (`behind.rs`): it has a cursor of its own, for it is
//! new, catches up, or its socket has no room. **Live** (`feed.rs`): at the tail, a socket and a number
//! within the feed of all who asked for the same. **Leaving** (`leaving.rs`): its stream has ended.
//! Each [`Shard::turn`] does a bounded piece of work, so that publishing goes on in between.

mod behind;
mod errand;
mod feed;
mod frames;
mod framing;
mod leaving;
mod newcomer;
mod serve;
mod socket;
mod sweep;
mod wheel;

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::{Events, Poll, Token};
use slab::Slab;
use stentor_hub::Consumer;
use tokio::time::Instant;

use self::behind::{Behind, Watched};
use self::errand::Asker;
pub use self::errand::{Errand, Findings};
use self::feed::{Feed, Parting};
use self::leaving::Leaving;
pub use self::newcomer::Newcomer;
pub use self::socket::Socket;
use self::socket::discard;
use self::wheel::Wheel;
use crate::context::Stentor;
use crate::metrics::Metrics;

/// Errands of one shard that are run at the same time; others wait.
const ERRANDS_MAX: usize = 32;
/// Readers with a cursor of their own that are served in one turn.
const SERVED_MAX: usize = 16;
/// How long output may wait without a byte of progress before the connection is given up. The reader
/// resumes by its last id.
const STALL_MAX: Duration = Duration::from_secs(30);
/// What a client may send behind its request, before it is taken for something other than a reader.
const HEARD_MAX: usize = 1 << 20;
/// What the kernel tells at once.
const EVENTS_MAX: usize = 1024;

/// The readers of one core. See the [module](self).
pub struct Shard<S> {
    poll: Poll,
    events: Events,
    metrics: Metrics,
    consumer: Consumer,
    marks: Vec<usize>,
    /// Places that the kernel told about.
    stirred: Vec<u32>,
    readers: Slab<Place<S>>,
    feeds: Slab<Feed<S>>,
    /// Feeds by what their readers asked for.
    by_wish: HashMap<u64, Vec<usize>>,
    hasher: RandomState,
    /// Feeds with news, each once.
    dirty: VecDeque<usize>,
    /// Readers with a cursor of their own who can go on, each once.
    ready: VecDeque<u32>,
    errands: VecDeque<Errand>,
    errands_out: usize,
    wheel: Wheel<Timer>,
    due: Vec<Timer>,
    last_id: u64,
    /// Bytes held for readers, and how many of them the metric knows of.
    held: usize,
    held_told: usize,
}

/// Where a reader is.
enum Place<S> {
    Live { feed: u32, index: u32, heard: u32 },
    Behind(Box<Behind<S>>),
    Leaving(Box<Leaving<S>>),
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    /// A feed may have been silent for too long.
    Silence(usize),
    /// A reader behind may have had no room for too long.
    Stall(u32),
    /// A connection that lingers is to be closed.
    Leave(u32),
}

impl<S: Socket> Shard<S> {
    /// A shard without readers.
    pub fn new(metrics: Metrics, now: Instant) -> io::Result<Shard<S>> {
        Ok(Shard {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            metrics,
            consumer: Consumer::new(),
            marks: Vec::new(),
            stirred: Vec::new(),
            readers: Slab::new(),
            feeds: Slab::new(),
            by_wish: HashMap::new(),
            hasher: RandomState::new(),
            dirty: VecDeque::new(),
            ready: VecDeque::new(),
            errands: VecDeque::new(),
            errands_out: 0,
            wheel: Wheel::new(now),
            due: Vec::new(),
            last_id: 0,
            held: 0,
            held_told: 0,
        })
    }

    /// What is woken when there is news for any of its readers.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Whether it has no readers.
    pub fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// Whether a turn would do something now.
    pub fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.ready.is_empty()
    }

    /// When it wants a turn at the latest.
    pub fn next_timer(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// The next question that the log is to be asked.
    pub fn next_errand(&mut self) -> Option<Errand> {
        if self.errands_out >= ERRANDS_MAX {
            return None;
        }
        let errand = self.errands.pop_front()?;
        self.errands_out += 1;
        Some(errand)
    }

    /// Takes in a reader.
    pub fn adopt(&mut self, newcomer: Newcomer<S>) {
        self.last_id += 1;
        self.metrics.connections_open.inc();
        let behind = Box::new(newcomer.into_behind(self.last_id));
        self.held += behind.held();
        let slot = number(self.readers.insert(Place::Behind(behind)));
        self.queue_reader(slot);
    }

    /// Takes what an errand found out.
    pub fn settle(&mut self, findings: Findings, now: Instant) {
        self.errands_out = self.errands_out.saturating_sub(1);
        match findings.asker {
            Asker::Reader { slot, id } => self.settle_reader(slot, id, findings),
            Asker::Feed { index } => self.settle_feed(index, findings, now),
        }
    }

    /// Takes leave of all readers of a service that stops.
    pub fn drain(&mut self, stentor: &Stentor) {
        for (index, feed) in &mut self.feeds {
            if feed.stentor.is(stentor) && feed.parting.is_none() {
                feed.parting = Some(Parting::Draining);
                if !std::mem::replace(&mut feed.queued, true) {
                    self.dirty.push_back(index);
                }
            }
        }
        for (slot, place) in &mut self.readers {
            if let Place::Behind(behind) = place
                && behind.stentor.is(stentor)
            {
                behind.drain();
                if !std::mem::replace(&mut behind.queued, true) {
                    self.ready.push_back(number(slot));
                }
            }
        }
    }

    /// Does a bounded piece of what there is to do.
    pub fn turn(&mut self, now: Instant) {
        self.take_marks();
        self.take_due(now);
        for _ in 0..SERVED_MAX {
            let Some(slot) = self.ready.pop_front() else { break };
            self.serve(slot, now);
        }
        self.sweep(now);
        self.tell_held();
    }

    /// Takes what the kernel has to say about the sockets. Never waits.
    pub fn events(&mut self, now: Instant) -> io::Result<()> {
        loop {
            match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let slots = self.events.iter().filter_map(|event| u32::try_from(event.token().0).ok());
            let mut stirred = std::mem::take(&mut self.stirred);
            stirred.extend(slots);
            for slot in &stirred {
                self.hear(*slot, now);
            }
            let all = stirred.len() < EVENTS_MAX;
            stirred.clear();
            self.stirred = stirred;
            if all {
                return Ok(());
            }
        }
    }

    /// Takes note that a socket has something to say: for sockets of which the kernel knows nothing.
    pub fn stir(&mut self, token: Token, now: Instant) {
        if let Ok(slot) = u32::try_from(token.0) {
            self.hear(slot, now);
        }
    }

    /// Calls what the time has come for.
    fn take_due(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(now, &mut due);
        for timer in due.drain(..) {
            match timer {
                Timer::Silence(index) => self.look_at_silence(index, now),
                Timer::Stall(slot) => self.look_at_stall(slot, now),
                Timer::Leave(slot) => self.look_at_leaving(slot, now),
            }
        }
        self.due = due;
    }

    /// Hears from a client: its end, some words that nobody asked for, or that there is room.
    fn hear(&mut self, slot: u32, now: Instant) {
        let Some(place) = self.readers.get_mut(slot as usize) else { return };
        let gone = match place {
            Place::Live { feed, index, heard } => {
                let feed = self.feeds.get_mut(*feed as usize);
                let live = feed.and_then(|feed| feed.live.get_mut(*index as usize));
                let room = HEARD_MAX.saturating_sub(*heard as usize);
                match live.and_then(|live| discard(&mut live.socket, room)) {
                    Some(bytes) => {
                        *heard += number(bytes);
                        false
                    }
                    None => true,
                }
            }
            Place::Behind(behind) => {
                let room = HEARD_MAX.saturating_sub(behind.heard);
                match discard(&mut behind.socket, room) {
                    Some(bytes) => {
                        behind.heard += bytes;
                        if behind.watched == Watched::ForRoom {
                            self.queue_reader(slot);
                        }
                        false
                    }
                    None => true,
                }
            }
            Place::Leaving(leaving) => leaving.is_done(now),
        };
        if gone {
            self.remove(slot);
        }
    }

    /// Lets a reader go whose connection is over.
    fn remove(&mut self, slot: u32) {
        let Some(place) = self.readers.try_remove(slot as usize) else { return };
        self.metrics.connections_open.dec();
        match place {
            Place::Live { feed, index, .. } => {
                if let Some(feed) = self.feeds.get_mut(feed as usize) {
                    feed.stentor.metrics().streams_open.dec();
                }
                self.take_out(feed, index);
            }
            Place::Behind(behind) => self.held -= behind.held(),
            Place::Leaving(leaving) => self.held -= leaving.held(),
        }
    }

    /// Keeps the metric of the memory held for readers true.
    fn tell_held(&mut self) {
        let held = self.held + self.readers.capacity() * size_of::<Place<S>>();
        if held != self.held_told {
            let change =
                i64::try_from(held).unwrap_or(0) - i64::try_from(self.held_told).unwrap_or(0);
            self.metrics.reader_bytes.inc_by(change);
            self.held_told = held;
        }
    }
}

impl<S> AsRawFd for Shard<S> {
    /// What becomes readable when sockets have something to say.
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl<S> Drop for Shard<S> {
    fn drop(&mut self) {
        self.metrics.reader_bytes.dec_by(i64::try_from(self.held_told).unwrap_or(0));
        for (_, place) in &self.readers {
            self.metrics.connections_open.dec();
            if let Place::Live { feed, .. } = place
                && let Some(feed) = self.feeds.get(*feed as usize)
            {
                feed.stentor.metrics().streams_open.dec();
            }
        }
    }
}

/// The number of a place; there are far fewer than that.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
