//! The maintenance that is pending.

use std::time::Duration;

use tokio::time::Instant;

use crate::timestamp::Timestamp;

/// Time without a commit after which the writer tidies up, and the pause after maintenance that failed.
pub(crate) const IDLE: Duration = Duration::from_secs(1);

/// The maintenance that is pending, and what its next slice needs to know.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Removed records are still on the disk.
    pub(crate) purge: bool,
    /// Idempotency keys may have expired.
    pub(crate) keys: bool,
    /// Time at which the keys were last checked.
    pub(crate) keys_checked: Timestamp,
    /// Free pages beyond this number are to be returned to the file system.
    pub(crate) vacuum_to: Option<u64>,
    pub(crate) wal: Backlog,
    /// Number of records appended since the last slice. A slice frees more than that. Otherwise a log that is
    /// written without a pause would never get back to its size limit.
    pub(crate) rows: u64,
    /// Number of bytes appended since the last slice.
    pub(crate) bytes: u64,
    /// Number of commits since the log was opened.
    pub(crate) commits: u64,
    /// Time of the last slice, if it failed. The next one waits for [`IDLE`].
    pub(crate) failed_at: Option<Instant>,
}

/// Content of the write-ahead log that the database file does not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// Nothing.
    Empty,
    /// Something, within the limit.
    Bounded,
    /// Not checked since the last commit.
    Unknown,
}

impl Default for Pending {
    /// The state of a log that was just opened. The last run may have left any maintenance undone.
    fn default() -> Pending {
        Pending {
            purge: true,
            keys: true,
            keys_checked: Timestamp::default(),
            vacuum_to: None,
            wal: Backlog::Unknown,
            rows: 0,
            bytes: 0,
            commits: 0,
            failed_at: None,
        }
    }
}

impl Pending {
    /// Returns `true` if the last slice failed less than [`IDLE`] ago.
    pub(crate) fn is_paused(&self) -> bool {
        self.failed_at.is_some_and(|at| at.elapsed() < IDLE)
    }

    /// Ends the pause after a failed slice.
    ///
    /// The next slice may find free space on a full disk, even while publishers retry without a pause.
    pub(crate) fn resume(&mut self) {
        self.failed_at = None;
    }

    /// Notes a commit.
    pub(crate) fn committed(&mut self, to_purge: bool, rows: u64, bytes: u64) {
        if to_purge {
            self.purge = true;
            self.resume();
        }
        self.commits += 1;
        self.rows += rows;
        self.bytes += bytes;
        self.wal = Backlog::Unknown;
    }
}
