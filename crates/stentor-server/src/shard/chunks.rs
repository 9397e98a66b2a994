//! A vector in chunks, for the many small values of a shard.

/// Number of values in a chunk.
const CHUNK: usize = 512;

/// A vector whose memory grows by chunks and never moves.
///
/// A plain vector of 10,000 readers is one block of several hundred KiB, which is copied at every
/// doubling. The allocator puts each such block on huge pages of its own, and keeps the old ones.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    /// All chunks but the last are full. A chunk beyond the first has its full capacity.
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Chunks<T> {
        Chunks { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Chunks<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.get(self.len.checked_sub(1)?)
    }

    pub(super) fn push(&mut self, value: T) {
        let is_full = self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK);
        if is_full {
            // The first chunk grows by doubling, because most groups have few readers.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(value);
            self.len += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let chunk = self.chunks.last_mut()?;
        let value = chunk.pop()?;
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.pop();
        }
        Some(value)
    }

    /// Removes the value at `index`, and puts the last one in its place.
    pub(super) fn swap_remove(&mut self, index: usize) -> Option<T> {
        if index >= self.len {
            return None;
        }
        let last = self.pop()?;
        match self.get_mut(index) {
            Some(place) => Some(std::mem::replace(place, last)),
            None => Some(last),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }

    /// Returns the number of values that there is memory for.
    pub(super) fn capacity(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_what_a_vector_does() {
        let (mut chunks, mut vector) = (Chunks::default(), Vec::new());
        fastrand::seed(7);
        for step in 0..20_000 {
            match fastrand::u32(0..if step < 10_000 { 5 } else { 3 }) {
                0 => assert_eq!(chunks.pop(), vector.pop()),
                1 if !vector.is_empty() => {
                    let index = fastrand::usize(0..vector.len());
                    assert_eq!(chunks.swap_remove(index), Some(vector.swap_remove(index)));
                }
                _ => {
                    chunks.push(step);
                    vector.push(step);
                }
            }
            assert_eq!((chunks.len(), chunks.last()), (vector.len(), vector.last()));
            assert_eq!(chunks.get(step / 9), vector.get(step / 9));
        }
        assert!(chunks.iter().eq(vector.iter()));
        assert!(chunks.capacity() - chunks.len() <= CHUNK);
        assert_eq!(chunks.swap_remove(vector.len()), None);
    }
}
