//! A queue in blocks of bounded size.

use std::collections::VecDeque;

/// A queue that grows by whole blocks, so that a long one is never copied and has little unused memory. A short one
/// is a plain [`VecDeque`].
#[derive(Debug)]
pub(super) struct Blocks<T> {
    /// The oldest entries. Empty only if `rest` is.
    first: VecDeque<T>,
    /// The entries after `first`. All blocks are full, except the last one, which is not empty.
    rest: VecDeque<VecDeque<T>>,
}

/// Number of entries of a full block.
const BLOCK: usize = 512;

impl<T> Default for Blocks<T> {
    fn default() -> Blocks<T> {
        Blocks { first: VecDeque::new(), rest: VecDeque::new() }
    }
}

impl<T> Blocks<T> {
    pub(super) fn push_back(&mut self, entry: T) {
        let last = self.rest.back_mut().unwrap_or(&mut self.first);
        if last.len() < BLOCK {
            last.push_back(entry);
            return;
        }
        let mut block = VecDeque::with_capacity(BLOCK);
        block.push_back(entry);
        self.rest.push_back(block);
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let entry = self.first.pop_front();
        if self.first.is_empty()
            && let Some(next) = self.rest.pop_front()
        {
            self.first = next;
        }
        entry
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.first.front()
    }

    pub(super) fn back(&self) -> Option<&T> {
        self.rest.back().unwrap_or(&self.first).back()
    }

    pub(super) fn len(&self) -> usize {
        let full = self.rest.len().saturating_sub(1) * BLOCK;
        self.first.len() + full + self.rest.back().map_or(0, VecDeque::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        match at.checked_sub(self.first.len()) {
            None => self.first.get(at),
            Some(at) => self.rest.get(at / BLOCK)?.get(at % BLOCK),
        }
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        match at.checked_sub(self.first.len()) {
            None => self.first.get_mut(at),
            Some(at) => self.rest.get_mut(at / BLOCK)?.get_mut(at % BLOCK),
        }
    }

    /// All entries, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.first.iter().chain(self.rest.iter().flatten())
    }

    /// The entries from an index on, oldest first.
    pub(super) fn iter_from(&self, at: usize) -> impl Iterator<Item = &T> {
        (at..self.len()).map_while(|at| self.get(at))
    }

    /// The index of the first entry for which `before` is false. It is true for all entries before that one.
    pub(super) fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        let blocks = self.rest.partition_point(|block| block.front().is_some_and(&mut before));
        match blocks.checked_sub(1).and_then(|last| Some((last, self.rest.get(last)?))) {
            Some((last, block)) => self.first.len() + last * BLOCK + block.partition_point(before),
            None => self.first.partition_point(before),
        }
    }

    /// Removes the entries for which `keep` is false.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let old = std::mem::take(self);
        for entry in old.first.into_iter().chain(old.rest.into_iter().flatten()) {
            if keep(&entry) {
                self.push_back(entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue and a plain one after many pushes, pops and removals, in which the queue has several blocks.
    fn pairs() -> impl Iterator<Item = (Blocks<usize>, VecDeque<usize>)> {
        [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 7].into_iter().flat_map(|len| {
            [0, 1, 3, BLOCK / 2, BLOCK, BLOCK + 1, 3 * BLOCK].map(|popped| {
                let (mut blocks, mut plain) = (Blocks::default(), VecDeque::new());
                for n in 0..len {
                    blocks.push_back(2 * n);
                    plain.push_back(2 * n);
                }
                for _ in 0..popped {
                    assert_eq!(blocks.pop_front(), plain.pop_front());
                }
                for n in len..len + popped / 2 {
                    blocks.push_back(2 * n);
                    plain.push_back(2 * n);
                }
                (blocks, plain)
            })
        })
    }

    #[test]
    fn it_has_the_entries_of_a_plain_queue() {
        for (mut blocks, mut plain) in pairs() {
            assert_eq!((blocks.len(), blocks.is_empty()), (plain.len(), plain.is_empty()));
            assert_eq!((blocks.front(), blocks.back()), (plain.front(), plain.back()));
            assert!(blocks.iter().eq(&plain) && blocks.iter().rev().eq(plain.iter().rev()));
            for at in (0..=plain.len()).step_by(101) {
                assert!(blocks.iter_from(at).eq(plain.range(at..)));
            }
            for at in 0..=plain.len() {
                assert_eq!(blocks.get(at), plain.get(at));
                assert_eq!(blocks.get_mut(at), plain.get_mut(at));
            }
            while let Some(entry) = plain.pop_front() {
                assert_eq!(blocks.pop_front(), Some(entry));
            }
            assert_eq!(blocks.pop_front(), None);
        }
    }

    #[test]
    fn it_finds_the_first_entry_at_or_after_a_value() {
        for (blocks, plain) in pairs() {
            let last = plain.back().copied().unwrap_or(0);
            for value in 0..=last + 2 {
                let found = blocks.partition_point(|entry| *entry < value);
                assert_eq!(found, plain.partition_point(|entry| *entry < value));
            }
        }
    }

    #[test]
    fn it_keeps_the_entries_that_are_wanted() {
        for (mut blocks, mut plain) in pairs() {
            blocks.retain(|entry| entry % 3 == 0);
            plain.retain(|entry| entry % 3 == 0);
            assert!(blocks.iter().eq(&plain));
            assert_eq!(blocks.len(), plain.len());
        }
    }
}
