//! Sets the time of a log back, after a system clock that was ahead.

use std::path::Path;

use super::error::ToolError;
use super::log::SqliteLog;
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::open::OpenLog;
use crate::storage::sqlite::options::SqliteOptions;
use crate::timestamp::Timestamp;

/// The result of [`SqliteLog::set_time`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeSet {
    /// The time of the newest record before.
    pub before: Timestamp,
    /// Number of records that had a later time.
    pub records: u64,
    /// Number of idempotency keys whose expiry was moved.
    pub keys: u64,
}

impl SqliteLog {
    /// Sets the time of the log in `dir` back to `to`. No server may use the log.
    ///
    /// Records with a later time get this time. Their order, their ids and their content stay. Idempotency keys that
    /// expire after the log's time keep the rest of their windows. Changes nothing if no record is later than `to`.
    ///
    /// It works in steps, and the log is consistent after each of them. If it is interrupted, call it again.
    ///
    /// # Errors
    ///
    /// [`ToolError::Missing`] if there is no log, [`ToolError::Open`] if it is in use or cannot be opened, and
    /// [`ToolError::Storage`] if it cannot be written or is damaged.
    pub async fn set_time(dir: &Path, to: Timestamp) -> Result<TimeSet, ToolError> {
        // Without a log, `OpenLog` would create one.
        drop(SqliteLog::open(dir)?);
        let options = SqliteOptions { bytes_max: None, ..SqliteOptions::default() };
        let log = OpenLog::open(dir, Limits::new(options))?;
        let set = set(&log, to).await;
        log.close().await;
        set
    }
}

async fn set(log: &OpenLog, to: Timestamp) -> Result<TimeSet, ToolError> {
    let before = log.writes.run(move |writer| Ok(writer.log.time)).await?;
    let mut set = TimeSet { before, ..TimeSet::default() };
    if before <= to {
        return Ok(set);
    }
    // The oldest first, so that the order of the times holds after each step.
    let mut after = log.writes.run(move |writer| writer.last_at(to)).await?;
    while let Some((last, records)) =
        log.writes.run(move |writer| writer.set_times(after, to)).await?
    {
        after = last;
        set.records += records;
    }
    set.keys = log.writes.run(move |writer| writer.set_log_time(to)).await?;
    Ok(set)
}
