//! The readers of a shard, each in a slot.

use super::chunks::Chunks;
use super::ids::{ReaderId, to_u32};
use mio::Token;

/// The readers of a shard, in the order of their slots.
pub(super) struct Readers<T> {
    slots: Chunks<Entry<T>>,
    /// The slots without a reader.
    vacant: Vec<u32>,
    last_generation: u32,
}

/// A reader, with what holds in each of its states. Every idle reader has one, so its size matters.
struct Entry<T> {
    generation: u32,
    /// `true` if a timer is set that checks the reader. A reader has at most one.
    has_check_timer: bool,
    /// `None` if the slot is vacant.
    state: Option<T>,
}

impl<T> Readers<T> {
    /// Number of bytes of a slot.
    pub(super) const SLOT_BYTES: usize = size_of::<Entry<T>>();

    pub(super) fn new() -> Readers<T> {
        Readers { slots: Chunks::default(), vacant: Vec::new(), last_generation: 0 }
    }

    pub(super) fn insert(&mut self, state: T) -> ReaderId {
        // 0 is not used: see `by_token`.
        self.last_generation = self.last_generation.checked_add(1).unwrap_or(1);
        let generation = self.last_generation;
        let entry = Entry { generation, has_check_timer: false, state: Some(state) };
        let vacant = self.vacant.pop();
        match vacant.and_then(|slot| self.slots.get_mut(slot as usize)) {
            Some(place) => *place = entry,
            None => self.slots.push(entry),
        }
        let slot = vacant.unwrap_or_else(|| to_u32(self.slots.len() - 1));
        ReaderId::new(slot, generation)
    }

    pub(super) fn get_mut(&mut self, id: ReaderId) -> Option<&mut T> {
        self.entry_mut(id)?.state.as_mut()
    }

    pub(super) fn remove(&mut self, id: ReaderId) -> Option<T> {
        let state = self.entry_mut(id)?.state.take()?;
        self.vacant.push(id.slot());
        Some(state)
    }

    /// Returns the id of the reader that is in a slot now.
    pub(super) fn in_slot(&self, slot: u32) -> Option<ReaderId> {
        let entry = self.slots.get(slot as usize).filter(|entry| entry.state.is_some())?;
        Some(ReaderId::new(slot, entry.generation))
    }

    /// Returns the reader of a [`ReaderId::token`], unless it has left.
    pub(super) fn by_token(&self, token: Token) -> Option<ReaderId> {
        let packed = u64::try_from(token.0).ok()?;
        let slot = u32::try_from(packed & u64::from(u32::MAX)).ok()?;
        let generation = packed >> 32;
        let is_current =
            |id: &ReaderId| generation == 0 || generation == u64::from(id.generation());
        self.in_slot(slot).filter(is_current)
    }

    /// Notes that a timer that checks the reader is set, or that it has fired. Returns `true` if one was
    /// set before.
    pub(super) fn set_check_timer(&mut self, id: ReaderId, is_set: bool) -> bool {
        self.entry_mut(id)
            .is_some_and(|entry| std::mem::replace(&mut entry.has_check_timer, is_set))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ReaderId, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, entry)| {
            let id = ReaderId::new(to_u32(slot), entry.generation);
            Some((id, entry.state.as_mut()?))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.vacant.len() == self.slots.len()
    }

    /// Frees the slots if no reader is left.
    pub(super) fn release_if_empty(&mut self) {
        if self.is_empty() && self.slots.capacity() > 0 {
            (self.slots, self.vacant) = (Chunks::default(), Vec::new());
        }
    }

    /// Returns the number of bytes that the slots take.
    pub(super) fn held_bytes(&self) -> usize {
        self.slots.capacity() * Self::SLOT_BYTES + self.vacant.capacity() * size_of::<u32>()
    }

    fn entry_mut(&mut self, id: ReaderId) -> Option<&mut Entry<T>> {
        self.slots.get_mut(id.slot() as usize).filter(|entry| entry.generation == id.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_does_not_name_a_later_reader_in_the_same_slot() {
        let mut readers = Readers::new();
        let first = readers.insert(());
        assert!(readers.remove(first).is_some());
        let second = readers.insert(());
        assert_eq!(first.slot(), second.slot());
        assert!(readers.get_mut(first).is_none());
        assert!(readers.remove(first).is_none());
        assert!(!readers.set_check_timer(first, true));
        assert_eq!(readers.by_token(first.token()), None);
        assert_eq!(readers.by_token(second.token()), Some(second));
        assert_eq!(readers.in_slot(second.slot()), Some(second));
    }
}
