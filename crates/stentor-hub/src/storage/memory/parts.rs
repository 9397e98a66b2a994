//! The part hashes of uploads in memory.

use std::collections::{BTreeMap, VecDeque};

use crate::cursor::Offset;
use crate::key::PartHash;

/// The part hashes of all uploads. [`KeyLimits::parts`](crate::KeyLimits::parts) bounds their number.
#[derive(Default)]
pub(super) struct Parts {
    /// By the offset of the upload's first record.
    uploads: BTreeMap<Offset, Hashes>,
    pub(super) count: u64,
}

/// The hashes of the newest parts of an upload.
struct Hashes {
    /// Number of parts before these.
    dropped: u64,
    newest: VecDeque<PartHash>,
}

impl Parts {
    pub(super) fn get(&self, upload: Offset, part: u64) -> Option<PartHash> {
        let hashes = self.uploads.get(&upload)?;
        let at = usize::try_from(part.checked_sub(hashes.dropped)?).ok()?;
        hashes.newest.get(at).copied()
    }

    /// Adds the hash of the next part of an upload.
    pub(super) fn push(&mut self, upload: Offset, part: u64, hash: PartHash) {
        let begin = || Hashes { dropped: part, newest: VecDeque::new() };
        self.uploads.entry(upload).or_insert_with(begin).newest.push_back(hash);
        self.count += 1;
    }

    /// Removes the hashes of an upload. Returns how many.
    pub(super) fn remove(&mut self, upload: Offset) -> u64 {
        let removed = self.uploads.remove(&upload).map_or(0, |hashes| hashes.newest.len() as u64);
        self.count = self.count.saturating_sub(removed);
        removed
    }

    /// Removes the hash of the oldest part of an upload. Returns `true` if there was one.
    pub(super) fn drop_oldest(&mut self, upload: Offset) -> bool {
        let Some(hashes) = self.uploads.get_mut(&upload) else { return false };
        if hashes.newest.pop_front().is_none() {
            return false;
        }
        hashes.dropped += 1;
        self.count = self.count.saturating_sub(1);
        true
    }
}
