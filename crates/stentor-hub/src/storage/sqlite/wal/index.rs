//! The header of SQLite's index of the write-ahead log (`log.db-shm`).
//!
//! It is shared memory, never synced. It survives a kill, and says then how many frames were committed. A commit
//! updates it after the sync of its frames, so after a power loss it may be old, but never too new.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::checksum::{Checksum, Order};

/// Salts of a generation. Each time the write-ahead log is overwritten from its start, they change.
pub(super) type Salts = [u8; 8];

/// The frames that were committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalIndex {
    pub(super) frames: u64,
    pub(super) salts: Salts,
}

impl WalIndex {
    /// Reads the index. Returns `None` if there is none, or it is not valid. No connection of this process may have
    /// the log open: closing the file would drop its locks.
    pub(crate) fn read(path: &Path) -> Option<WalIndex> {
        /// Size of the header, which is there twice.
        const HEADER: usize = 48;
        let mut bytes = [0; 2 * HEADER];
        File::open(path).ok()?.read_exact(&mut bytes).ok()?;
        let (first, second) = bytes.split_at(HEADER);
        if first != second {
            return None;
        }
        let number = |at: usize| Some(u32::from_ne_bytes(*first.get(at..)?.first_chunk()?));
        let is_initialized = first.get(12) == Some(&1);
        let checksum = Checksum::default().with(Order::NATIVE, first.get(..40)?);
        if !is_initialized || checksum != Checksum::new(number(40)?, number(44)?) {
            return None;
        }
        let salts = *first.get(32..)?.first_chunk()?;
        Some(WalIndex { frames: number(16)?.into(), salts })
    }
}
