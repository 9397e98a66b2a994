//! The size limit of the log as a whole: decides when its oldest records are trimmed, and how much.

use rusqlite::Connection;

use super::pages::used_bytes;
use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;

/// Number of appended bytes after which the database is measured again.
const MEASURE_BYTES: u64 = 1 << 20;
/// 1/`SLACK_PART` of the limit is freed at a time, so most appends do not have to free anything.
const SLACK_PART: u64 = 32;
/// Approximate size of a record without its data: its other columns, its index entries, and its share of pages
/// that are not full.
pub(crate) const RECORD_BYTES: u64 = 150;

/// Estimate of the size of the log.
#[derive(Debug)]
pub(crate) struct Capacity {
    /// Approximate number of bytes appended since the database was measured.
    unmeasured: u64,
    /// `true` while the log is larger than its limit and is being trimmed.
    shrinking: bool,
    /// Trims continue after this offset. Records that are still stored up to it cannot be trimmed.
    considered_through: Offset,
}

/// Records that exceed the size limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excess {
    /// Trim records after this offset.
    pub(crate) after: Offset,
    /// Number of bytes above the goal.
    pub(crate) bytes: u64,
}

impl Default for Capacity {
    /// The state of a log that was just opened, perhaps with another limit than before: it must be measured.
    fn default() -> Capacity {
        Capacity { unmeasured: MEASURE_BYTES, shrinking: false, considered_through: Offset::ZERO }
    }
}

impl Capacity {
    /// Counts appended bytes.
    pub(crate) fn appended(&mut self, bytes: u64) {
        self.unmeasured = self.unmeasured.saturating_add(bytes);
    }

    /// Returns `true` if the log may be larger than `bytes_max` and must be measured.
    pub(crate) fn is_due(&self, bytes_max: u64) -> bool {
        let due = MEASURE_BYTES.min(bytes_max / SLACK_PART).max(1);
        self.shrinking || self.unmeasured >= due
    }

    /// Measures the database. Returns what to trim, or `None` if it is not larger than `bytes_max`.
    pub(crate) fn measure(
        &mut self,
        connection: &Connection,
        bytes_max: u64,
    ) -> Result<Option<Excess>, DbError> {
        self.unmeasured = 0;
        let used = used_bytes(connection)?;
        let goal = bytes_max - bytes_max / SLACK_PART;
        self.shrinking = used > if self.shrinking { goal } else { bytes_max };
        let excess = Excess { after: self.considered_through, bytes: used.saturating_sub(goal) };
        Ok(self.shrinking.then_some(excess))
    }

    /// Notes the offset that a trim reached, or that there was nothing to trim.
    pub(crate) fn trimmed(&mut self, through: Option<Offset>) {
        self.shrinking = through.is_some();
        self.considered_through = through.unwrap_or(self.considered_through);
    }
}
