//! The state of a shard: readers, live groups, queues, timers and the memory they hold.

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use mio::{Events, Poll, Token};
use slab::Slab;
use stentor_hub::Consumer;
use tokio::time::Instant;

use super::catch_up::CatchUpReader;
use super::closing::Closing;
use super::ids::{GroupId, ReaderId};
use super::live_group::{GroupKey, LiveGroup, LiveReader};
use super::readers::Readers;
use super::readiness::ReadyList;
use super::sessions::Sessions;
use super::storage_query::{QueryGuard, QueryKind, Requester};
use super::timers::Timers;
use super::transport::Transport;
use crate::metrics::Metrics;

/// Maximum number of socket events that are taken from the kernel at once.
pub(super) const EVENTS_MAX: usize = 1024;

/// The readers of one core. See the [module](super).
pub struct Shard<T> {
    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) metrics: Metrics,
    pub(super) consumer: Consumer,
    /// Transports without a descriptor that have become ready.
    pub(super) ready: ReadyList,
    /// Buffer for the groups that the hub woke.
    pub(super) woken: Vec<usize>,
    /// Buffer for the tokens of transports with events.
    pub(super) readable: Vec<Token>,
    pub(super) readers: Readers<ReaderState<T>>,
    /// Number of readers whose transport is a connection of its own.
    pub(super) connections: i64,
    pub(super) sessions: Sessions,
    pub(super) groups: Slab<LiveGroup<T>>,
    pub(super) groups_by_key: HashMap<GroupKey, Vec<usize>>,
    pub(super) hasher: RandomState,
    /// Groups to sweep, each once.
    pub(super) group_queue: VecDeque<GroupId>,
    /// Catching-up readers that can continue, each once.
    pub(super) reader_queue: VecDeque<ReaderId>,
    /// Queries that wait. A reader or group has at most one.
    pub(super) queries: VecDeque<(Requester, QueryKind)>,
    /// The running queries, with their guards: at most 32.
    pub(super) running: Vec<(Requester, QueryGuard)>,
    /// Time of the last log line about a query that failed.
    pub(super) failure_logged: Option<Instant>,
    pub(super) timers: Timers<Timer>,
    /// `true` if the last turn left timers that are due.
    pub(super) more_timers: bool,
    /// `true` if the last poll may have left events in the kernel.
    pub(super) more_events: bool,
    /// Buffer for the timers that fire.
    pub(super) due: Vec<Timer>,
    /// Generation of the newest group.
    pub(super) last_generation: u32,
    /// Bytes held for readers, without the slab of readers.
    pub(super) held_bytes: usize,
    /// Bytes that the gauge includes.
    held_reported: usize,
}

/// The state of a reader.
pub(super) enum ReaderState<T> {
    /// At the tail: the reader with this index in a live group. `input_bytes` is the number of bytes
    /// that the client sent after its request.
    Live {
        group: u32,
        index: u32,
        input_bytes: u32,
    },
    CatchingUp(Box<CatchUpReader<T>>),
    Closing(Box<Closing<T>>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    /// Check a group for silence.
    Silence(GroupId),
    /// Check a catching-up reader for stalled output and for silence.
    Check(ReaderId),
    /// Run a query again that has failed.
    Retry(Requester),
    /// Check a closing connection.
    Close(ReaderId),
    /// Close the readers whose sessions have expired.
    Expiry,
}

impl<T: Transport> Shard<T> {
    /// Creates a shard without readers. `metrics` are those of the server that accepts the connections.
    ///
    /// # Errors
    ///
    /// Returns an error if the system does not provide an event queue.
    pub fn new(metrics: Metrics, now: Instant) -> io::Result<Shard<T>> {
        let consumer = Consumer::new();
        Ok(Shard {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            metrics,
            ready: ReadyList::new(consumer.clone()),
            consumer,
            woken: Vec::new(),
            readable: Vec::new(),
            readers: Readers::new(),
            connections: 0,
            sessions: Sessions::default(),
            groups: Slab::new(),
            groups_by_key: HashMap::new(),
            hasher: RandomState::new(),
            group_queue: VecDeque::new(),
            reader_queue: VecDeque::new(),
            queries: VecDeque::new(),
            running: Vec::new(),
            failure_logged: None,
            timers: Timers::new(now),
            more_timers: false,
            more_events: false,
            due: Vec::new(),
            last_generation: 0,
            held_bytes: 0,
            held_reported: 0,
        })
    }

    /// Returns a reader if it is catching up.
    pub(super) fn catch_up_mut(&mut self, id: ReaderId) -> Option<&mut CatchUpReader<T>> {
        match self.readers.get_mut(id) {
            Some(ReaderState::CatchingUp(reader)) => Some(reader),
            _ => None,
        }
    }

    /// Queues a catching-up reader, unless it is queued.
    pub(super) fn queue_reader(&mut self, id: ReaderId) {
        if let Some(reader) = self.catch_up_mut(id)
            && !std::mem::replace(&mut reader.queued, true)
        {
            self.reader_queue.push_back(id);
        }
    }

    /// Returns the index of a group, unless it was removed.
    pub(super) fn index_of(&self, id: GroupId) -> Option<usize> {
        let index = id.index();
        self.groups.get(index).is_some_and(|group| group.id(index) == id).then_some(index)
    }

    /// Queues a group for a sweep, unless it is queued.
    pub(super) fn queue_group(&mut self, index: usize) {
        if let Some(group) = self.groups.get_mut(index)
            && !std::mem::replace(&mut group.queued, true)
        {
            self.group_queue.push_back(group.id(index));
        }
    }

    /// Removes a reader and closes its connection.
    pub(super) fn remove(&mut self, id: ReaderId) {
        let Some(reader) = self.readers.remove(id) else { return };
        self.sessions.remove(id);
        self.cancel_query(Requester::Reader(id));
        let was_connection = match reader {
            ReaderState::Live { group, index, .. } => {
                if let Some(group) = self.groups.get_mut(group as usize) {
                    group.open.close_one();
                }
                let removed = self.remove_from_group(group, index);
                removed.is_some_and(|reader| reader.transport.is_connection())
            }
            ReaderState::CatchingUp(reader) => {
                self.held_bytes -= reader.held_bytes();
                reader.transport.is_connection()
            }
            ReaderState::Closing(closing) => {
                self.held_bytes -= closing.held_bytes();
                closing.transport.is_connection()
            }
        };
        if was_connection {
            self.connections -= 1;
            self.metrics.connections_open.dec();
        }
    }

    /// Removes the reader that is in a slot.
    pub(super) fn remove_in_slot(&mut self, slot: u32) {
        if let Some(id) = self.readers.in_slot(slot) {
            self.remove(id);
        }
    }

    /// Takes a reader out of its group. The last reader of the group moves to its index.
    pub(super) fn remove_from_group(&mut self, group: u32, index: u32) -> Option<LiveReader<T>> {
        let at = group as usize;
        let group = self.groups.get_mut(at)?;
        let removed = group.readers.swap_remove(index as usize)?;
        group.subscription.set_readers(group.readers.len());
        if group.readers.is_empty() && group.querying {
            let id = group.id(at);
            self.cancel_query(Requester::Group(id));
            return Some(removed);
        }
        // If the current sweep misses the moved reader, its frames stay queued and it is swept again.
        if let Some(moved) = group.readers.get(index as usize)
            && let Some(moved) = self.readers.in_slot(moved.slot)
            && let Some(ReaderState::Live { index: own, .. }) = self.readers.get_mut(moved)
        {
            *own = index;
        }
        Some(removed)
    }

    /// Updates the bytes held for a group.
    pub(super) fn count_held(&mut self, index: usize) {
        if let Some(group) = self.groups.get_mut(index) {
            let held = group.held_bytes();
            self.held_bytes = self.held_bytes + held - group.held_counted;
            group.held_counted = held;
        }
    }

    /// Updates the gauge of the bytes held for readers.
    pub(super) fn report_held(&mut self) {
        self.readers.release_if_empty();
        let held = self.held_bytes + self.readers.held_bytes();
        if held != self.held_reported {
            let change =
                i64::try_from(held).unwrap_or(0) - i64::try_from(self.held_reported).unwrap_or(0);
            self.metrics.reader_bytes.inc_by(change);
            self.held_reported = held;
        }
    }
}

impl<T> AsRawFd for Shard<T> {
    /// Returns a descriptor that becomes readable when a socket has events.
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl<T> Drop for Shard<T> {
    fn drop(&mut self) {
        self.metrics.reader_bytes.dec_by(i64::try_from(self.held_reported).unwrap_or(0));
        self.metrics.connections_open.dec_by(self.connections);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_of_a_reader_takes_24_bytes() {
        assert_eq!(Readers::<ReaderState<std::net::TcpStream>>::SLOT_BYTES, 24);
    }
}
