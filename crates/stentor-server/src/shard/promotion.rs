//! Moves between catching up and live: a reader at the tail joins a live group, and a live reader whose
//! socket has no room leaves it.

use stentor_hub::Offset;
use tokio::time::Instant;

use super::catch_up::{CatchUpReader, Watching};
use super::live_group::{GroupKey, GroupRead, LiveGroup, LiveReader};
use super::socket::Socket;
use super::state::{ReaderState, Shard, Timer, to_u32};

impl<S: Socket> Shard<S> {
    /// Moves a reader at the tail into the live group with its filters and encoding.
    pub(super) fn promote(&mut self, slot: u32, now: Instant) {
        self.watch(slot, Watching::Input);
        let Some(ReaderState::CatchingUp(reader)) = self.readers.get_mut(slot as usize) else {
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
        let Some(index) = accepting.min() else { return self.create_group(slot, key, now) };
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
                return self.queue_reader(slot);
            }
        }
        self.make_live(slot, index, position);
    }

    /// Creates a live group for the first reader with its filters and encoding.
    fn create_group(&mut self, slot: u32, key: GroupKey, now: Instant) {
        let index = self.groups.vacant_key();
        let consumer = self.consumer.clone();
        let Some(reader) = self.catch_up_mut(slot) else { return };
        let Some(mut subscription) = reader.subscription.take() else { return };
        subscription.notify(&consumer, index);
        let position = subscription.cursor().offset;
        let (stentor, sent_through) = (reader.stentor.clone(), reader.sent_through());
        let group = LiveGroup::new(stentor, reader.framing, *subscription, sent_through, key, now);
        self.timers.add(group.silence_check, Timer::Silence(index));
        self.groups.insert(group);
        self.groups_by_key.entry(key).or_default().push(index);
        // Records may have arrived before `notify`.
        self.queue_group(index);
        self.make_live(slot, index, position);
    }

    fn make_live(&mut self, slot: u32, index: usize, position: Offset) {
        let Some(group) = self.groups.get_mut(index) else { return };
        let Some(state) = self.readers.get_mut(slot as usize) else { return };
        let next_frame = group.frames.number_after(position);
        let own_index = to_u32(group.readers.len());
        let live = ReaderState::Live { group: to_u32(index), index: own_index, input_bytes: 0 };
        match std::mem::replace(state, live) {
            ReaderState::CatchingUp(reader) => {
                let CatchUpReader { socket, open, subscription, .. } = *reader;
                group.readers.push(LiveReader { socket, slot, next_frame });
                group.open.merge(open);
                group.subscription.set_readers(group.readers.len());
                drop(subscription);
                self.held_bytes -= CatchUpReader::<S>::HELD_BYTES;
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
        reader: LiveReader<S>,
        written: usize,
        now: Instant,
    ) {
        let Some(group) = self.groups.get_mut(index) else { return };
        let LiveReader { socket, slot, next_frame } = reader;
        let demoted = group.demote(next_frame, written);
        self.last_id += 1;
        let mut reader = Box::new(CatchUpReader::demoted(
            self.last_id,
            socket,
            group.stentor.clone(),
            group.framing,
            Box::new(demoted.subscription),
            group.sent_through(),
            group.open.split_one(),
        ));
        reader.resume_at(demoted.text, demoted.partial);
        reader.watching = Watching::Input;
        reader.stalled_since = Some(now);
        self.held_bytes += reader.held_bytes();
        if let Some(state) = self.readers.get_mut(slot as usize) {
            *state = ReaderState::CatchingUp(reader);
        }
        self.watch(slot, Watching::Room);
        self.start_stall_timer(slot, now);
    }
}
