//! Closing streams before their topics have ended: one reader, a group, a key, or a whole service.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::closing::CloseReason;
use super::ids::ReaderId;
use super::state::{ReaderState, Shard, Timer};
use super::transport::Transport;
use crate::context::Stentor;
use crate::stream::session::{HeldKey, Key, OpenSession};

/// Maximum number of expired readers that are closed in one turn.
const EXPIRED_PER_TURN: usize = 128;

impl<T: Transport> Shard<T> {
    /// Ends the streams of all readers of a service. Each gets a reconnection time of its own.
    pub fn drain(&mut self, stentor: &Stentor) {
        let groups = self.groups.iter().filter(|(_, group)| group.stentor.is_clone_of(stentor));
        let groups: Vec<usize> = groups.map(|(index, _)| index).collect();
        for index in groups {
            self.close_group(index, CloseReason::Draining);
        }
        for (id, state) in self.readers.iter_mut() {
            if let ReaderState::CatchingUp(reader) = state
                && reader.stentor.is_clone_of(stentor)
            {
                reader.close(CloseReason::Draining);
                if !std::mem::replace(&mut reader.queued, true) {
                    self.reader_queue.push_back(id);
                }
            }
        }
    }

    /// Ends the streams of this shard whose sessions have this key, for a program that drives the shard
    /// itself. See [`Stentor::close_streams`].
    pub fn close_streams(&mut self, stentor: &Stentor, key: &str, now: Instant) {
        if let Some(key) = stentor.keys().close(key) {
            self.close_key(&key, now);
        }
    }

    /// Ends the streams of the readers whose sessions hold this key. All of them at once: no later event may
    /// reach one.
    pub(crate) fn close_key(&mut self, key: &Arc<Key>, now: Instant) {
        for id in self.sessions.with_key(key.id()) {
            self.close_reader(id, CloseReason::KeyClosed, now);
        }
    }

    /// Ends the streams of the readers whose sessions have expired.
    pub(super) fn close_expired(&mut self, now: Instant) {
        if !self.sessions.timer_fired(now) {
            return;
        }
        for _ in 0..EXPIRED_PER_TURN {
            let Some(id) = self.sessions.take_expired(now) else { break };
            self.close_reader(id, CloseReason::Expired, now);
        }
        self.set_expiry_timer();
    }

    fn set_expiry_timer(&mut self) {
        if let Some(at) = self.sessions.timer_needed() {
            self.timers.add(at, Timer::Expiry);
        }
    }

    /// Adds the session of a reader that has just arrived.
    pub(super) fn open_session(&mut self, id: ReaderId, session: OpenSession) {
        let is_closed = session.key.as_ref().is_some_and(HeldKey::is_closed);
        self.sessions.insert(id, session);
        self.set_expiry_timer();
        if is_closed && let Some(reader) = self.catch_up_mut(id) {
            reader.close(CloseReason::KeyClosed);
        }
    }

    /// Ends the streams of a group, once its readers have all frames.
    fn close_group(&mut self, index: usize, reason: CloseReason) {
        if let Some(group) = self.groups.get_mut(index)
            && group.closing.is_none()
        {
            group.read_before_close();
            group.closing.get_or_insert(reason);
            self.queue_group(index);
        }
    }

    /// Ends the stream of a reader, after the record that it has in part. Records that it lacks are not
    /// sent: it resumes after the last one it got.
    fn close_reader(&mut self, id: ReaderId, reason: CloseReason, now: Instant) {
        match self.readers.get_mut(id) {
            Some(ReaderState::CatchingUp(reader)) => {
                reader.close(reason);
                self.queue_reader(id);
            }
            // A live reader has no record in part.
            Some(ReaderState::Live { group, index, .. }) => {
                let (group, index) = (*group, *index);
                let Some(reader) = self.remove_from_group(group, index) else { return };
                let Some(group) = self.groups.get_mut(group as usize) else { return };
                group.open.close_one();
                let ending = reason.ending(group.framing);
                self.start_closing(id, reader.transport, ending, true, now);
            }
            Some(ReaderState::Closing(_)) | None => {}
        }
    }

    /// Ends the stream of a reader whose client has closed its sending side, once it has all records. If
    /// the client has left altogether, the next write or the timeout for stalled output shows it.
    pub(super) fn half_close(&mut self, id: ReaderId, now: Instant) {
        if let Some(ReaderState::Live { group, index, .. }) = self.readers.get_mut(id) {
            let (index_of_group, index) = (*group, *index);
            let Some(reader) = self.remove_from_group(index_of_group, index) else { return };
            let Some(group) = self.groups.get_mut(index_of_group as usize) else { return };
            if group.has_sent_all_to(&reader) {
                group.open.close_one();
                let end = Bytes::from_static(group.framing.body_end());
                return self.start_closing(id, reader.transport, end, true, now);
            }
            // Records that its group has not read yet are read with its own cursor.
            self.demote(index_of_group as usize, reader, 0, now);
        }
        if let Some(reader) = self.catch_up_mut(id) {
            reader.is_half_closed = true;
            // There may be room again, too.
            self.queue_reader(id);
        }
    }
}
