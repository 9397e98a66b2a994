//! The bounds of everything.

use super::options::{Durability, SqliteOptions};

/// How much a log keeps, and how much it does at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// What the user chose.
    pub(super) durability: Durability,
    pub(super) bytes_max: Option<u64>,
    /// How many offsets are reserved at a time.
    pub(super) reserve: u64,
    /// How many records one trim takes at a time; a longer one goes in steps.
    pub(super) trim_rows: u64,
    /// How many rows, or bytes of them, are taken off the disk at a time.
    pub(super) slice_rows: u64,
    pub(super) slice_bytes: u64,
    /// How many rows are written anew at a time, and how many pages have to come free by it.
    pub(super) pack_rows: u64,
    pub(super) pack_gain: u64,
    /// The part of what is left, and how many bytes at least, that must have been swept before the log is
    /// looked through for such rows. Holes are never larger than what was swept, so until then the log is at
    /// most that much larger than it need be.
    pub(super) pack_part: u64,
    pub(super) pack_bytes: u64,
    /// Pages at which the write-ahead log must begin anew, although readers have to be waited for.
    pub(super) wal_pages: u64,
    /// How many topics that hold nothing any more are known by name.
    pub(super) empty_topics: u64,
    /// How many keys are remembered.
    pub(super) keys: u64,
    /// How many parts of uploads under keys are remembered: 40 MB of the file or so.
    pub(super) parts: u64,
    /// How large the file may become, in pages: stands in for a full disk in tests.
    pub(super) pages: Option<u32>,
    /// How large the ballast may become, in bytes: stands in for one as well.
    pub(super) ballast: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::new(SqliteOptions::default())
    }
}

impl Limits {
    pub(super) fn new(options: SqliteOptions) -> Limits {
        let SqliteOptions { durability, bytes_max } = options;
        Limits {
            durability,
            bytes_max,
            reserve: 65_536,
            trim_rows: 20_000,
            slice_rows: 500,
            slice_bytes: 4 << 20,
            pack_rows: 500,
            pack_gain: 1,
            pack_part: 3,
            pack_bytes: 1 << 20,
            // 128 MiB.
            wal_pages: 32_000,
            empty_topics: 100_000,
            keys: 1_000_000,
            parts: 2_000_000,
            pages: None,
            ballast: None,
        }
    }
}
