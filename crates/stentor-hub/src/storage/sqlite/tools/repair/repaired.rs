//! The result of a repair.

use std::path::PathBuf;

/// Result of a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Number of records that were copied.
    pub records: u64,
    /// Number of records that were restored from the backup.
    pub restored: u64,
    /// Number of records, or ranges of records, that are lost. Readers get a gap with the reason `damaged` there.
    pub lost: u64,
    /// Number of other rows that were lost: keys, parts of uploads, leases, burned ranges.
    pub lost_rows: u64,
    /// Directory with the damaged files; `None` if the log was sound and nothing was changed.
    pub damaged_files: Option<PathBuf>,
}
