//! Limits of a log: what it keeps, and how much work one step does.

use super::options::{Durability, SqliteOptions};
use super::read::step::{FIRST_STEP_ROWS, STEP_ROWS};
use crate::key::KeyLimits;

/// Limits of a log, and the sizes of the steps in which the writer works.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// See [`SqliteOptions::durability`].
    pub(super) durability: Durability,
    /// See [`SqliteOptions::bytes_max`].
    pub(super) bytes_max: Option<u64>,
    /// Number of offsets that are reserved at a time.
    pub(super) reserve: u64,
    /// Maximum number of records that one transaction trims. A longer trim takes several.
    pub(super) trim_rows: u64,
    /// Maximum number of rows that one slice of maintenance deletes.
    pub(super) slice_rows: u64,
    /// Maximum number of bytes that one slice of maintenance deletes.
    pub(super) slice_bytes: u64,
    /// Maximum number of records that one compaction step rewrites.
    pub(super) compaction_rows: u64,
    /// Minimum number of pages that a compaction step must free to be committed.
    pub(super) compaction_gain: u64,
    /// A compaction starts when more than 1/`compaction_part` of the used size was purged since the last one.
    ///
    /// Unused space between records is never larger than the purged bytes, so before a compaction the log is at most
    /// that much larger than necessary.
    pub(super) compaction_part: u64,
    /// Minimum number of purged bytes before a compaction starts.
    pub(super) compaction_bytes: u64,
    /// Size in pages at which the write-ahead log must restart, even if that waits for readers.
    pub(super) wal_pages: u64,
    /// Maximum number of rows that the first step of a query looks at.
    pub(super) first_step_rows: u64,
    /// Maximum number of rows that each later step looks at.
    pub(super) step_rows: u64,
    /// Maximum number of empty topics whose names are kept.
    pub(super) empty_topics: u64,
    /// See [`SqliteOptions::keys`].
    pub(super) keys: KeyLimits,
    /// Maximum size of the database in pages. Tests simulate a full disk with it.
    pub(super) pages: Option<u32>,
    /// Maximum size of the ballast in bytes. Tests simulate a full disk with it, and an import sets it to 0.
    pub(super) ballast: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::new(SqliteOptions::default())
    }
}

impl Limits {
    pub(super) fn new(options: SqliteOptions) -> Limits {
        let SqliteOptions { durability, bytes_max, keys, migration_backup: _ } = options;
        Limits {
            durability,
            bytes_max,
            reserve: 65_536,
            trim_rows: 20_000,
            slice_rows: 500,
            slice_bytes: 4 << 20,
            compaction_rows: 500,
            compaction_gain: 1,
            compaction_part: 3,
            compaction_bytes: 1 << 20,
            // 128 MiB.
            wal_pages: 32_000,
            first_step_rows: FIRST_STEP_ROWS,
            step_rows: STEP_ROWS,
            empty_topics: 100_000,
            keys,
            pages: None,
            ballast: None,
        }
    }
}
