//! The running hashes of uploads in memory.

use std::collections::{BTreeMap, VecDeque};

use crate::cursor::Offset;
use crate::storage::PartHash;

/// What is remembered of the parts of uploads, at most [`Parts::MAX`] in all: those of the uploads that
/// began first go first.
#[derive(Default)]
pub(super) struct Parts {
    /// By the offset of the upload's first record.
    uploads: BTreeMap<Offset, Hashes>,
    pub(super) count: usize,
}

/// The newest parts of an upload.
struct Hashes {
    /// How many went before these.
    gone: u64,
    newest: VecDeque<PartHash>,
}

impl Parts {
    /// 8 MiB of hashes.
    pub(super) const MAX: usize = 1 << 20;

    pub(super) fn get(&self, upload: Offset, part: u64) -> Option<PartHash> {
        let hashes = self.uploads.get(&upload)?;
        let at = usize::try_from(part.checked_sub(hashes.gone)?).ok()?;
        hashes.newest.get(at).copied()
    }

    /// Remembers the next part of an upload.
    pub(super) fn push(&mut self, upload: Offset, part: u64, hash: PartHash) {
        let begin = || Hashes { gone: part, newest: VecDeque::new() };
        self.uploads.entry(upload).or_insert_with(begin).newest.push_back(hash);
        self.count += 1;
        while self.count > Parts::MAX {
            self.forget_first();
        }
    }

    /// Forgets all parts of an upload.
    pub(super) fn forget(&mut self, upload: Offset) {
        if let Some(hashes) = self.uploads.remove(&upload) {
            self.count -= hashes.newest.len();
        }
    }

    fn forget_first(&mut self) {
        let Some(mut first) = self.uploads.first_entry() else { return };
        let hashes = first.get_mut();
        if hashes.newest.pop_front().is_some() {
            hashes.gone += 1;
            self.count -= 1;
        }
        if hashes.newest.is_empty() {
            first.remove();
        }
    }
}
