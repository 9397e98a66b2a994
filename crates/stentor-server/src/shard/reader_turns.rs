//! Turns of readers with their own cursor, and the closing of connections.

use bytes::Bytes;
use tokio::time::Instant;

use super::catch_up::{Step, Watching};
use super::closing::Closing;
use super::ids::ReaderId;
use super::readiness::{Readiness, Registrar};
use super::state::{ReaderState, Shard, Timer};
use super::storage_query::{QueryKind, QueryOutput, QueryResult, Requester, StorageQuery};
use super::transport::Transport;
use crate::limits::STALL_TIME_MAX;

impl<T: Transport> Shard<T> {
    /// Runs a catching-up reader for one turn.
    pub(super) fn run_reader(&mut self, id: ReaderId, now: Instant) {
        let Some(reader) = self.catch_up_mut(id) else { return };
        reader.queued = false;
        if reader.subscription.is_none() {
            // The result of its query will queue it again.
            return;
        }
        let before = reader.held_bytes();
        let step = reader.run(now);
        let after = reader.held_bytes();
        let is_half_closed = reader.is_half_closed;
        self.held_bytes = self.held_bytes + after - before;
        match step {
            // A live reader that closes its side has left, so this one gets the end now.
            Step::AtTail if is_half_closed => self.finish_reader(id, now),
            Step::AtTail => self.promote(id, now),
            Step::Yield => self.queue_reader(id),
            Step::Blocked => {
                self.watch(id, Watching::Room);
                self.start_stall_timer(id, now);
            }
            Step::Query(kind) => self.query_for_reader(id, kind),
            Step::Finished => self.finish_reader(id, now),
            Step::Gone => self.remove(id),
        }
    }

    /// Takes the result of a reader's query.
    pub(super) fn complete_reader(&mut self, id: ReaderId, result: QueryResult) {
        // The reader may have left while the query ran.
        let Some(reader) = self.catch_up_mut(id) else { return };
        let before = reader.held_bytes();
        reader.subscription = Some(result.subscription);
        match result.output {
            Ok(QueryOutput::StartPosition(start)) => reader.take_start(&start),
            Ok(QueryOutput::Page(batch)) => reader.take_batch(batch),
            Ok(QueryOutput::Record(Some(record))) => reader.take_partial_record(record),
            Ok(QueryOutput::Record(None)) => {
                // The reader reconnects with its last id and gets the gap.
                tracing::debug!("interrupted a stream: an event was removed while it was sent");
                return self.remove(id);
            }
            Err(error) => {
                tracing::warn!(%error, "interrupted a stream: the log cannot be read");
                return self.remove(id);
            }
        }
        let after = reader.held_bytes();
        self.held_bytes = self.held_bytes + after - before;
        self.queue_reader(id);
    }

    /// Removes a reader whose output has stalled for too long.
    pub(super) fn check_stall(&mut self, id: ReaderId, now: Instant) {
        self.readers.set_stall_timer(id, false);
        let stalled = self.catch_up_mut(id).and_then(|reader| reader.stalled_since);
        match stalled.map(|since| since + STALL_TIME_MAX) {
            None => {}
            Some(deadline) if deadline > now => self.set_stall_timer(id, deadline),
            Some(_) => self.remove(id),
        }
    }

    /// Continues to close a connection whose deadline may have passed.
    pub(super) fn check_closing(&mut self, id: ReaderId, now: Instant) {
        let Some(ReaderState::Closing(closing)) = self.readers.get_mut(id) else {
            return;
        };
        if closing.is_done(now) {
            self.remove(id);
        } else {
            let deadline = closing.deadline;
            self.timers.add(deadline, Timer::Close(id));
        }
    }

    /// Ends the stream of a catching-up reader that has received all of it.
    fn finish_reader(&mut self, id: ReaderId, now: Instant) {
        let Some(state) = self.readers.get_mut(id) else { return };
        let removed = ReaderState::Live { group: u32::MAX, index: u32::MAX, input_bytes: 0 };
        match std::mem::replace(state, removed) {
            ReaderState::CatchingUp(reader) => {
                self.held_bytes -= reader.held_bytes();
                let text = Bytes::from_static(reader.framing.body_end());
                let is_watched = reader.watching != Watching::Nothing;
                self.start_closing(id, reader.transport, text, is_watched, now);
            }
            other => *state = other,
        }
    }

    /// Closes the connection of a reader whose stream has ended, with `text` as its last bytes.
    pub(super) fn start_closing(
        &mut self,
        id: ReaderId,
        transport: T,
        text: Bytes,
        is_watched: bool,
        now: Instant,
    ) {
        let mut closing = Box::new(Closing::new(transport, text, now + STALL_TIME_MAX));
        let is_done = closing.is_done(now);
        let registrar = Registrar::new(self.poll.registry(), &self.ready);
        let is_over = is_done || {
            let readiness = Readiness::InputAndRoom;
            closing.transport.watch(&registrar, id.token(), readiness, is_watched).is_err()
        };
        if !is_over {
            self.timers.add(closing.deadline, Timer::Close(id));
        }
        self.held_bytes += closing.held_bytes();
        if let Some(state) = self.readers.get_mut(id) {
            *state = ReaderState::Closing(closing);
        }
        if is_over {
            self.remove(id);
        }
    }

    /// Queues a query for a reader, which lends its subscription to it.
    fn query_for_reader(&mut self, id: ReaderId, kind: QueryKind) {
        self.watch(id, Watching::Input);
        let Some(reader) = self.catch_up_mut(id) else { return };
        let Some(subscription) = reader.subscription.take() else { return };
        let requester = Requester::Reader(id);
        let hub = reader.stentor.hub().clone();
        self.queries.push_back(StorageQuery { requester, kind, hub, subscription });
    }

    /// Changes the events that the shard is notified of. Removes the reader if its transport cannot be
    /// watched.
    pub(super) fn watch(&mut self, id: ReaderId, wanted: Watching) {
        let registrar = Registrar::new(self.poll.registry(), &self.ready);
        let Some(ReaderState::CatchingUp(reader)) = self.readers.get_mut(id) else {
            return;
        };
        if reader.watching == wanted {
            return;
        }
        let readiness = match wanted {
            Watching::Room => Readiness::InputAndRoom,
            Watching::Nothing | Watching::Input => Readiness::Input,
        };
        let is_watched = reader.watching != Watching::Nothing;
        match reader.transport.watch(&registrar, id.token(), readiness, is_watched) {
            Ok(()) => reader.watching = wanted,
            Err(error) => {
                tracing::debug!(%error, "cannot watch a transport");
                self.remove(id);
            }
        }
    }

    /// Starts to watch a reader for stalled output.
    pub(super) fn start_stall_timer(&mut self, id: ReaderId, now: Instant) {
        self.set_stall_timer(id, now + STALL_TIME_MAX);
    }

    /// Sets the timer for stalled output, unless one is set.
    fn set_stall_timer(&mut self, id: ReaderId, at: Instant) {
        if self.readers.get_mut(id).is_some() && !self.readers.set_stall_timer(id, true) {
            self.timers.add(at, Timer::Stall(id));
        }
    }
}
