//! Sweeps: passes over the readers of a live group that write to their transports.

use tokio::time::Instant;

use super::closing::CloseReason;
use super::frames::Frames;
use super::ids::{GroupId, to_u32};
use super::live_group::{GroupRead, LiveReader};
use super::state::{Shard, Timer};
use super::transport::{Transport, Written};

/// Maximum number of writes in one turn. Events that are published in the meantime are part of the next
/// writes, so short turns lead to fuller writes.
const WRITES_MAX: usize = 128;
/// Maximum number of bytes in one turn.
const BYTES_MAX: usize = 2 << 20;

/// Remaining writes and bytes of a turn.
struct TurnBudget {
    writes: usize,
    bytes: usize,
}

/// The records and bytes that a sweep delivered.
#[derive(Default)]
struct Delivered {
    records: u64,
    bytes: u64,
}

/// The outcome of the writes to a live reader.
enum ReaderWrite {
    /// It has all frames.
    Complete,
    /// Its transport took this number of bytes of the last write.
    Stopped(usize),
    Gone,
}

impl<T: Transport> Shard<T> {
    /// Queues the groups that the hub woke.
    pub(super) fn take_woken(&mut self) {
        let mut woken = std::mem::take(&mut self.woken);
        self.consumer.take_ready(&mut woken);
        for index in woken.drain(..) {
            // A group without readers is not rearmed, so its topics do not wake the shard again.
            if self.groups.get(index).is_some_and(|group| !group.readers.is_empty()) {
                self.queue_group(index);
            }
        }
        self.woken = woken;
    }

    /// Writes to live readers, as much as one turn allows.
    pub(super) fn sweep(&mut self, now: Instant) {
        let mut turn = TurnBudget { writes: WRITES_MAX, bytes: BYTES_MAX };
        while turn.writes > 0
            && turn.bytes > 0
            && let Some(id) = self.group_queue.pop_front()
        {
            let index = id.index();
            let Some(group) = self.groups.get_mut(index) else { continue };
            if group.id(index) != id {
                continue;
            }
            group.queued = false;
            if group.read(now) == GroupRead::NeedsStorage {
                self.query_for_group(index);
            }
            self.sweep_group(index, &mut turn, now);
            self.count_held(index);
        }
    }

    /// Continues the sweep of one group.
    fn sweep_group(&mut self, index: usize, turn: &mut TurnBudget, now: Instant) {
        let mut delivered = Delivered::default();
        loop {
            let Some(group) = self.groups.get_mut(index) else { return };
            if group.frames.is_empty() {
                group.swept = group.readers.len();
            }
            let Some(reader) = group.readers.get_mut(group.swept) else { break };
            if turn.writes == 0 || turn.bytes == 0 {
                break;
            }
            match write(reader, &mut group.frames, turn, &mut delivered) {
                ReaderWrite::Complete => group.swept += 1,
                ReaderWrite::Stopped(written) => {
                    let (group, own_index) = (to_u32(index), to_u32(group.swept));
                    if let Some(reader) = self.remove_from_group(group, own_index) {
                        self.demote(index, reader, written, now);
                    }
                }
                ReaderWrite::Gone => {
                    let slot = reader.slot;
                    self.remove_in_slot(slot);
                }
            }
        }
        let Some(group) = self.groups.get_mut(index) else { return };
        let metrics = group.stentor.metrics();
        metrics.delivered.inc_by(delivered.records);
        metrics.delivered_bytes.inc_by(delivered.bytes);
        if group.swept < group.readers.len() {
            return self.queue_group(index);
        }
        group.finish_sweep();
        if group.has_frames() {
            self.queue_group(index);
        } else if group.closing.is_some() {
            self.close_readers(index, turn, now);
        }
    }

    /// Closes the readers of a group. All of them have all frames.
    fn close_readers(&mut self, index: usize, turn: &mut TurnBudget, now: Instant) {
        while turn.writes > 0 {
            let Some(group) = self.groups.get_mut(index) else { return };
            let Some(reader) = group.readers.pop() else { return self.remove_unused_group(index) };
            turn.writes -= 1;
            group.subscription.set_readers(group.readers.len());
            group.open.close_one();
            let framing = group.framing;
            let text = group.closing.unwrap_or(CloseReason::Finished).ending(framing);
            if let Some(id) = self.readers.in_slot(reader.slot) {
                self.start_closing(id, reader.transport, text, true, now);
            }
        }
        self.queue_group(index);
    }

    /// Closes the connections of a group without an end of their streams. The readers reconnect.
    pub(super) fn interrupt_group(&mut self, index: usize) {
        while let Some(group) = self.groups.get(index)
            && let Some(slot) = group.readers.last().map(|reader| reader.slot)
        {
            self.remove_in_slot(slot);
        }
        self.remove_unused_group(index);
    }

    /// Removes a group without readers.
    fn remove_unused_group(&mut self, index: usize) {
        let group = self.groups.get(index);
        if group.is_none_or(|group| !group.readers.is_empty()) {
            return;
        }
        let Some(group) = self.groups.try_remove(index) else { return };
        self.held_bytes -= group.held_counted;
        if let Some(indexes) = self.groups_by_key.get_mut(&group.key) {
            indexes.retain(|known| *known != index);
            if indexes.is_empty() {
                self.groups_by_key.remove(&group.key);
            }
        }
    }

    /// Adds a keep-alive to a group that has been silent for too long, and removes a group without
    /// readers.
    pub(super) fn check_silence(&mut self, id: GroupId, now: Instant) {
        let Some(index) = self.index_of(id) else { return };
        let Some(group) = self.groups.get_mut(index).filter(|group| group.silence_check <= now)
        else {
            return;
        };
        let mut read = GroupRead::Done;
        if group.is_silent(now) {
            // Reads first: a position must not cover records that are still to be sent.
            read = group.read(now);
            if read == GroupRead::Done && group.is_silent(now) && !group.readers.is_empty() {
                group.keep_alive(now);
            }
        }
        let next = group.schedule_silence_check(now);
        self.timers.add(next, Timer::Silence(id));
        self.count_held(index);
        if read == GroupRead::NeedsStorage {
            self.query_for_group(index);
        }
        self.queue_group(index);
        self.remove_unused_group(index);
    }
}

/// Writes to one live reader all frames that it lacks.
fn write<T: Transport>(
    reader: &mut LiveReader<T>,
    frames: &mut Frames,
    turn: &mut TurnBudget,
    delivered: &mut Delivered,
) -> ReaderWrite {
    while let Some((mut bytes, next_frame, records)) = frames.next_write(reader.next_frame) {
        turn.writes = turn.writes.saturating_sub(1);
        let length = bytes.as_slice().len();
        match reader.transport.write_shared(&mut bytes) {
            Written::Bytes(written) => {
                turn.bytes = turn.bytes.saturating_sub(written);
                delivered.bytes += written as u64;
                if written < length {
                    let stop = frames.locate(reader.next_frame, written);
                    delivered.records += stop.map_or(0, |stop| stop.records);
                    return ReaderWrite::Stopped(written);
                }
                reader.next_frame = next_frame;
                delivered.records += records;
            }
            Written::Blocked => return ReaderWrite::Stopped(0),
            Written::Gone => return ReaderWrite::Gone,
        }
    }
    ReaderWrite::Complete
}
