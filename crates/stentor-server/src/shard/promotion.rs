//! Moves between catching up and live: a reader at the tail joins a live group, and a live reader whose
//! transport has no room leaves it.

use stentor_hub::Offset;
use tokio::time::Instant;

use super::catch_up::{CatchUpReader, Watching};
use super::closing::CloseReason;
use super::ids::{ReaderId, to_u32};
use super::live_group::{GroupKey, GroupRead, LiveGroup, LiveReader};
use super::state::{ReaderState, Shard, Timer};
use super::transport::Transport;

impl<T: Transport> Shard<T> {
    /// Moves a reader at the tail into the live group with its filters and encoding.
    pub(super) fn promote(&mut self, id: ReaderId, now: Instant) {
        self.watch(id, Watching::Input);
        let Some(ReaderState::CatchingUp(reader)) = self.readers.get_mut(id) else {
            return;
        };
        let Some(subscription) = reader.subscription.as_deref() else { return };
        let (stentor, framing) = (&reader.stentor, reader.framing);
        let key = GroupKey::new(&self.hasher, stentor, framing, subscription);
        let position = subscription.cursor().offset;
        let candidates = self.groups_by_key.get(&key).into_iter().flatten().copied();
        let accepting = candidates.filter(|index| {
            let group = self.groups.get(*index);
            group.is_some_and(|group| group.accepts(stentor, framing, subscription))
        });
        let Some(index) = accepting.min() else { return self.create_group(id, key, now) };
        let Some(group) = self.groups.get_mut(index) else { return };
        if group.readers.is_empty() {
            let sent_through = reader.sent_through();
            if let Some(subscription) = reader.subscription.take() {
                group.restart(*subscription, sent_through, now);
            }
            // The wake-ups for records that arrived meanwhile were ignored, because the group had no
            // readers.
            self.queue_group(index);
        } else if group.position() < position {
            // The reader has everything up to `position`, so the group must have read that far.
            let read = group.read(now);
            let accepts =
                group.accepts(stentor, framing, subscription) && group.position() >= position;
            if read == GroupRead::NeedsStorage {
                self.query_for_group(index);
            }
            self.queue_group(index);
            if !accepts {
                return self.queue_reader(id);
            }
        }
        self.make_live(id, index, position);
    }

    /// Creates a live group for the first reader with its filters and encoding.
    fn create_group(&mut self, id: ReaderId, key: GroupKey, now: Instant) {
        let index = self.groups.vacant_key();
        let consumer = self.consumer.clone();
        let Some(reader) = self.catch_up_mut(id) else { return };
        let Some(mut subscription) = reader.subscription.take() else { return };
        subscription.notify(&consumer, index);
        let position = subscription.cursor().offset;
        let (stentor, sent_through) = (reader.stentor.clone(), reader.sent_through());
        let framing = reader.framing;
        self.last_generation = self.last_generation.wrapping_add(1);
        let generation = self.last_generation;
        let group =
            LiveGroup::new(stentor, framing, *subscription, sent_through, key, generation, now);
        self.timers.add(group.silence_check, Timer::Silence(group.id(index)));
        self.groups.insert(group);
        self.groups_by_key.entry(key).or_default().push(index);
        // Records may have arrived before `notify`.
        self.queue_group(index);
        self.make_live(id, index, position);
    }

    fn make_live(&mut self, id: ReaderId, index: usize, position: Offset) {
        let Some(group) = self.groups.get_mut(index) else { return };
        let Some(state) = self.readers.get_mut(id) else { return };
        let next_frame = group.frames.number_after(position);
        let own_index = to_u32(group.readers.len());
        let input_bytes = match state {
            ReaderState::CatchingUp(reader) => reader.input_bytes,
            ReaderState::Live { .. } | ReaderState::Closing(_) => 0,
        };
        let live = ReaderState::Live { group: to_u32(index), index: own_index, input_bytes };
        match std::mem::replace(state, live) {
            ReaderState::CatchingUp(reader) => {
                let CatchUpReader { transport, open, subscription, .. } = *reader;
                group.readers.push(LiveReader { transport, slot: id.slot(), next_frame });
                group.open.merge(open);
                group.subscription.set_readers(group.readers.len());
                drop(subscription);
                self.held_bytes -= CatchUpReader::<T>::HELD_BYTES;
            }
            other => *state = other,
        }
        self.count_held(index);
    }

    /// Gives a reader that left its group its own cursor. `written` is the number of bytes that are
    /// written from its next frame on.
    pub(super) fn demote(
        &mut self,
        index: usize,
        reader: LiveReader<T>,
        written: usize,
        now: Instant,
    ) {
        let Some(group) = self.groups.get_mut(index) else { return };
        let LiveReader { transport, slot, next_frame } = reader;
        let Some(id) = self.readers.in_slot(slot) else { return };
        let demoted = group.demote(next_frame, written);
        let mut reader = Box::new(CatchUpReader::demoted(
            transport,
            group.stentor.clone(),
            group.framing,
            Box::new(demoted.subscription),
            group.sent_through(),
            group.open.split_one(),
        ));
        reader.resume_at(demoted.text, demoted.partial);
        reader.watching = Watching::Input;
        reader.stalled_since = Some(now);
        // If all topics have ended, it finds out by itself, after the events that it lacks.
        if let Some(reason) = group.closing.filter(|reason| *reason != CloseReason::Finished) {
            reader.close(reason);
        }
        self.held_bytes += reader.held_bytes();
        if let Some(state) = self.readers.get_mut(id) {
            if let ReaderState::Live { input_bytes, .. } = state {
                reader.input_bytes = *input_bytes;
            }
            *state = ReaderState::CatchingUp(reader);
        }
        self.watch(id, Watching::Room);
        self.start_stall_timer(id, now);
    }
}
