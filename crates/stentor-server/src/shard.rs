//! The fan-out: a shard holds the readers of one core and writes their streams.
//!
//! A [`Shard`] has no async code, no clock and no disk access. Its driver hands it readers
//! ([`Shard::adopt`]), the time, and the results of the [`StorageQuery`]s that it needs.
//! [`serve`](crate::serve) drives it as a task. A program that runs hyper connections of its own can
//! drive it in a thread.
//!
//! A reader is in one of three states:
//!
//! - **Catching up** (`catch_up.rs`): it has its own cursor, because it is new, it lags, or its
//!   transport has no room.
//! - **Live** (`live_group.rs`): it is at the tail, and is a transport and a frame number in the group of
//!   all readers with the same filters and encoding.
//! - **Closing** (`closing.rs`): its stream has ended.
//!
//! Each [`Shard::turn`] does a bounded amount of work, so that publishers run in between.

mod arrival;
mod backoff;
mod catch_up;
mod chunks;
mod close_streams;
mod closing;
mod connection;
mod frames;
mod framing;
mod ids;
mod live_group;
pub(crate) mod pipe;
mod promotion;
mod queries;
mod reader_turns;
mod readers;
mod readiness;
mod sessions;
mod state;
mod storage_query;
mod sweep;
mod timers;
mod transport;

use std::io;
use std::time::Duration;

use mio::Token;
use stentor_hub::Consumer;
use tokio::time::Instant;

pub use self::arrival::Arrival;
pub(crate) use self::arrival::Trust;
use self::catch_up::{CatchUpReader, Watching};
pub(crate) use self::connection::Connection;
use self::ids::{ReaderId, to_u32};
pub use self::readiness::{Readiness, ReadyList, Registrar};
pub use self::state::Shard;
use self::state::{EVENTS_MAX, ReaderState, Timer};
pub use self::storage_query::{QueryResult, StorageQuery};
pub use self::transport::{Finish, SharedBytes, Transport, Written};

/// Maximum number of timers that fire in one turn.
const TIMERS_PER_TURN: usize = 1024;
/// Maximum number of times that a turn takes events from the kernel. Each time it takes at most 1024.
const POLLS_PER_TURN: usize = 4;
/// Maximum number of catching-up readers that run in one turn.
const READERS_PER_TURN: usize = 16;
/// Maximum number of bytes that a client may send after its request. A client that sends more is
/// disconnected: it is not a subscriber.
const INPUT_BYTES_MAX: usize = 1 << 20;

impl<T: Transport> Shard<T> {
    /// Returns the consumer that is woken when records arrive for a reader.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Returns `true` if the shard has no readers.
    pub fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// Returns `true` if a turn has something to do now.
    pub fn has_work(&self) -> bool {
        let is_queued = !self.group_queue.is_empty() || !self.reader_queue.is_empty();
        is_queued || self.more_timers || self.more_events
    }

    /// Returns the time of the next timer. The shard needs a turn by then.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Adds a reader.
    pub fn adopt(&mut self, arrival: Arrival<T>) {
        let mut arrival = arrival;
        if arrival.transport.is_connection() {
            self.connections += 1;
            self.metrics.connections_open.inc();
        }
        let session = arrival.session.take();
        let reader = Box::new(CatchUpReader::new(arrival));
        self.held_bytes += reader.held_bytes();
        let id = self.readers.insert(ReaderState::CatchingUp(reader));
        self.queue_reader(id);
        if let Some(session) = session {
            self.open_session(id, session);
        }
    }

    /// Does a bounded amount of work. Call it again while [`Shard::has_work`] returns `true`.
    pub fn turn(&mut self, now: Instant) {
        self.take_ready(now);
        self.take_woken();
        self.fire_timers(now);
        for _ in 0..READERS_PER_TURN {
            let Some(id) = self.reader_queue.pop_front() else { break };
            self.run_reader(id, now);
        }
        self.sweep(now);
        self.report_held();
    }

    /// Takes the events of sockets from the kernel, at most 4096. Does not wait for events.
    ///
    /// # Errors
    ///
    /// Returns an error if polling fails. The shard cannot continue then.
    pub fn poll_sockets(&mut self, now: Instant) -> io::Result<()> {
        self.more_events = false;
        for _ in 0..POLLS_PER_TURN {
            match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
                // The events are still there in the next turn.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
                polled => polled?,
            }
            let mut readable = std::mem::take(&mut self.readable);
            readable.extend(self.events.iter().map(mio::event::Event::token));
            for token in &readable {
                self.notify_ready(*token, now);
            }
            let is_last = readable.len() < EVENTS_MAX;
            readable.clear();
            self.readable = readable;
            if is_last {
                return Ok(());
            }
        }
        self.more_events = true;
        Ok(())
    }

    /// Reports that a transport has input or room.
    pub fn notify_ready(&mut self, token: Token, now: Instant) {
        if let Some(id) = self.readers.by_token(token) {
            self.on_readable(id, now);
        }
    }

    /// Runs the timers that are due.
    fn fire_timers(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        self.more_timers = self.timers.take_due(now, TIMERS_PER_TURN, &mut due);
        for timer in due.drain(..) {
            match timer {
                Timer::Silence(id) => self.check_silence(id, now),
                Timer::Check(id) => self.check_reader(id, now),
                Timer::Close(id) => self.continue_closing(id, now),
                Timer::Retry(requester) => self.retry(requester),
                Timer::Expiry => self.close_expired(now),
            }
        }
        self.due = due;
    }

    /// Handles the transports that added their tokens to the ready list.
    fn take_ready(&mut self, now: Instant) {
        let mut ready = std::mem::take(&mut self.readable);
        self.ready.take(&mut ready);
        for token in ready.drain(..) {
            self.notify_ready(token, now);
        }
        self.readable = ready;
    }

    /// Handles an event of a transport: its end, input (which is discarded), or room for output.
    fn on_readable(&mut self, id: ReaderId, now: Instant) {
        let Some(state) = self.readers.get_mut(id) else { return };
        let (transport, input_bytes) = match state {
            ReaderState::Live { group, index, input_bytes } => {
                let group = self.groups.get_mut(*group as usize);
                let reader = group.and_then(|group| group.readers.get_mut(*index as usize));
                let Some(reader) = reader else { return self.remove(id) };
                (&mut reader.transport, input_bytes)
            }
            ReaderState::CatchingUp(reader) => (&mut reader.transport, &mut reader.input_bytes),
            ReaderState::Closing(_) => return self.continue_closing(id, now),
        };
        let limit = INPUT_BYTES_MAX.saturating_sub(*input_bytes as usize);
        match transport.discard_input(limit) {
            Some(bytes) => *input_bytes += to_u32(bytes),
            None if transport.is_half_closed() => return self.half_close(id, now),
            None => return self.remove(id),
        }
        if let Some(reader) = self.catch_up_mut(id)
            && reader.watching == Watching::Room
        {
            self.queue_reader(id);
        }
    }
}
