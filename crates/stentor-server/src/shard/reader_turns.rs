//! Turns of readers with their own cursor, and the closing of connections.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::catch_up::{Step, StorageWait, Watching};
use super::closing::Closing;
use super::ids::ReaderId;
use super::readiness::{Readiness, Registrar};
use super::state::{ReaderState, Shard, Timer};
use super::transport::Transport;
use crate::limits::STALL_TIME_MAX;

/// Maximum time until a reader that waits is checked again. It has one timer, and may wait for something
/// else by then: for room, with a deadline, instead of for the storage, with keep-alives. The timers of
/// readers that have left are kept for as long.
const CHECK_INTERVAL_MAX: Duration = Duration::from_secs(10);

impl<T: Transport> Shard<T> {
    /// Runs a catching-up reader for one turn.
    pub(super) fn run_reader(&mut self, id: ReaderId, now: Instant) {
        let Some(reader) = self.catch_up_mut(id) else { return };
        reader.queued = false;
        if reader.waits != StorageWait::None && !reader.can_close() {
            // The result of its query will queue it again.
            return;
        }
        let before = reader.held_bytes();
        let step = reader.run(now);
        let after = reader.held_bytes();
        let is_half_closed = reader.is_half_closed;
        self.held_bytes = self.held_bytes + after - before;
        match step {
            Step::AtTail if is_half_closed => self.finish_reader(id, now),
            Step::AtTail => self.promote(id, now),
            Step::Yield => self.queue_reader(id),
            Step::Blocked => {
                self.watch(id, Watching::Room);
                self.start_stall_timer(id, now);
            }
            Step::Query(kind) => self.query_for_reader(id, kind, now),
            Step::Finished => self.finish_reader(id, now),
            Step::Gone => self.remove(id),
        }
    }

    /// Checks a catching-up reader: removes it if its output has stalled for too long, and writes a
    /// keep-alive if it waits for the storage in silence.
    pub(super) fn check_reader(&mut self, id: ReaderId, now: Instant) {
        self.readers.set_check_timer(id, false);
        let Some(reader) = self.catch_up_mut(id) else { return };
        if reader.waits != StorageWait::None && !self.write_while_waiting(id, now) {
            return self.remove(id);
        }
        let Some(reader) = self.catch_up_mut(id) else { return };
        match reader.stalled_since.map(|since| since + STALL_TIME_MAX) {
            Some(deadline) if deadline <= now => self.remove(id),
            Some(deadline) => self.set_check_timer(id, deadline, now),
            None if reader.waits == StorageWait::None => {}
            None => {
                if let Some(keep_alive) = reader.keep_alive_due(now) {
                    self.set_check_timer(id, keep_alive, now);
                }
            }
        }
    }

    /// Continues to close a connection.
    pub(super) fn continue_closing(&mut self, id: ReaderId, now: Instant) {
        let Some(ReaderState::Closing(closing)) = self.readers.get_mut(id) else { return };
        let before = closing.deadline;
        if closing.is_done(now) {
            self.remove(id);
        } else if closing.deadline != before {
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
        self.set_check_timer(id, now + CHECK_INTERVAL_MAX, now);
    }

    /// Sets the timer that checks a reader, for `at` or earlier. Does nothing if one is set.
    pub(super) fn set_check_timer(&mut self, id: ReaderId, at: Instant, now: Instant) {
        if self.readers.get_mut(id).is_some() && !self.readers.set_check_timer(id, true) {
            self.timers.add(at.min(now + CHECK_INTERVAL_MAX), Timer::Check(id));
        }
    }
}
