//! The part hashes of uploads in memory.

use std::collections::{BTreeMap, VecDeque};

use crate::cursor::Offset;
use crate::key::PartHash;

/// The part hashes of all uploads, at most [`Parts::MAX`] in total. The hashes of the oldest upload are removed first.
#[derive(Default)]
pub(super) struct Parts {
    /// By the offset of the upload's first record.
    uploads: BTreeMap<Offset, Hashes>,
    pub(super) count: usize,
}

/// The hashes of the newest parts of an upload.
struct Hashes {
    /// Number of parts before these.
    dropped: u64,
    newest: VecDeque<PartHash>,
}

impl Parts {
    /// Maximum number of hashes; they take 8 MiB.
    pub(super) const MAX: usize = 1 << 20;

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
        while self.count > Parts::MAX {
            self.drop_oldest();
        }
    }

    /// Removes the hashes of an upload.
    pub(super) fn remove(&mut self, upload: Offset) {
        if let Some(hashes) = self.uploads.remove(&upload) {
            self.count -= hashes.newest.len();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(mut first) = self.uploads.first_entry() else { return };
        let hashes = first.get_mut();
        if hashes.newest.pop_front().is_some() {
            hashes.dropped += 1;
            self.count -= 1;
        }
        if hashes.newest.is_empty() {
            first.remove();
        }
    }
}
