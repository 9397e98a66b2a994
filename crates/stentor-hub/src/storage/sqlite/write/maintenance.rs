//! Maintenance: keeps the files small. The writer does it between jobs, a slice at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::checkpoint::{self, Checkpoint, checkpoint};
use super::compaction::Step;
use super::pages::pragma;
use super::pending::Backlog;
use super::writer::Writer;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::limits::Limits;
use crate::timestamp::Timestamp;

/// Maximum number of free pages that one slice returns to the file system: 1 MiB.
const VACUUM_PAGES: u64 = 256;
/// Number of free pages that are kept for the next records: 1 MiB.
const SPARE_PAGES: u64 = 256;

impl Writer {
    /// Returns `true` if there is maintenance that should not wait until the log is idle.
    pub(crate) fn has_maintenance(&self) -> bool {
        let pending = &self.pending;
        !pending.is_paused()
            && self.state.refuse_if_failed().is_ok()
            && (pending.wal == Backlog::Unknown
                || pending.purge
                || pending.keys
                || pending.vacuum_to.is_some()
                || self.is_compacting()
                || self.must_measure()
                || self.has_forgettable_topics())
    }

    /// Returns `true` if there is nothing to do, also when the log is idle.
    pub(crate) fn is_settled(&self) -> bool {
        self.state.refuse_if_failed().is_err()
            || !self.has_maintenance()
                && self.pending.failed_at.is_none()
                && self.pending.wal == Backlog::Empty
    }

    /// Returns `true` if a compaction is running. On a full disk it waits, because it needs space.
    pub(crate) fn is_compacting(&self) -> bool {
        self.compaction.is_running() && self.ballast.is_held()
    }

    fn must_measure(&self) -> bool {
        self.limits.bytes_max.is_some_and(|max| self.capacity.is_due(max))
    }

    fn has_forgettable_topics(&self) -> bool {
        self.log.empty_topics > self.limits.empty_topics
    }

    /// Does a slice of maintenance, if there is any. An error postpones the rest.
    pub(crate) fn maintain(&mut self) {
        /// Interval at which the keys are checked, in the time of keys.
        const KEYS_INTERVAL: Duration = Duration::from_secs(1);
        if self.log.keys > 0 && self.key_time > self.pending.keys_checked.plus(KEYS_INTERVAL) {
            self.pending.keys = true;
        }
        if self.has_maintenance()
            && let Err(error) = self.slice()
        {
            self.postpone(error);
        }
    }

    /// Pauses maintenance. A full or failed disk was logged already.
    fn postpone(&mut self, error: DbError) {
        self.pending.failed_at = Some(Instant::now());
        let error = self.handle_error(error);
        tracing::debug!(%error, "maintenance of the log is postponed");
    }

    fn slice(&mut self) -> Result<(), DbError> {
        self.pending.resume();
        let (rows, bytes) = self.slice_size();
        // A slice continues after this check, which is due after each commit. Otherwise a log that is written without
        // a pause would get no other maintenance.
        if self.pending.wal == Backlog::Unknown {
            self.pending.wal = Backlog::Bounded;
            self.wal_limit.apply(&self.connection, &mut self.ballast, self.limits.wal_pages)?;
        }
        if self.pending.purge {
            self.pending.purge = self.transact(|transaction| transaction.purge(rows, bytes))?;
            if !self.pending.purge {
                self.request_vacuum()?;
                self.start_compaction_if_due()?;
            }
        } else if self.must_measure() {
            self.trim_to_capacity(rows)?;
        } else if self.has_forgettable_topics() {
            self.transact(|transaction| transaction.forget_empty_topics(rows))?;
        } else if self.pending.keys {
            self.pending.keys = self.transact(|transaction| {
                transaction.keys.delete_expired(&mut transaction.log, rows)
            })?;
            self.pending.keys_checked = self.key_time;
        } else if let Some(spare) = self.pending.vacuum_to {
            if !self.vacuum(spare)? {
                self.pending.vacuum_to = None;
            }
        } else if self.is_compacting() && !self.compact()? {
            self.request_vacuum()?;
        }
        Ok(())
    }

    /// Trims a slice of the oldest records of the log, if it is larger than its limit.
    fn trim_to_capacity(&mut self, rows: u64) -> Result<(), DbError> {
        let Some(bytes_max) = self.limits.bytes_max else { return Ok(()) };
        let Some(excess) = self.capacity.measure(&self.connection, bytes_max)? else {
            return Ok(());
        };
        let through =
            self.transact(|transaction| transaction.trim_oldest(excess.after, rows, excess.bytes))?;
        self.capacity.trimmed(through);
        Ok(())
    }

    /// Starts a compaction if enough was purged that it may free pages.
    pub(crate) fn start_compaction_if_due(&mut self) -> Result<(), DbError> {
        self.compaction.start_if_due(&self.connection, self.log.tail, &self.limits)
    }

    /// Continues the compaction by one step. Returns `true` if there is more to do.
    pub(crate) fn compact(&mut self) -> Result<bool, DbError> {
        let step = self.compaction.step(&mut self.connection, &self.limits)?;
        if step == Step::Rewritten {
            self.pending.committed(false, 0, 0);
        }
        Ok(step != Step::Done)
    }

    /// Requests that free pages are returned, except an eighth of the file, which new records soon use again.
    fn request_vacuum(&mut self) -> Result<(), DbError> {
        self.pending.vacuum_to = Some(pragma(&self.connection, "page_count")? / 8);
        Ok(())
    }

    /// Returns the size of the next slice, in rows and bytes.
    fn slice_size(&mut self) -> (u64, u64) {
        /// A slice frees this many times the appended amount. Each record costs several steps (trim, purge, perhaps
        /// the row of its topic), and the log must shrink faster than it grows.
        const FACTOR: u64 = 4;
        let Limits { slice_rows, slice_bytes, trim_rows, .. } = self.limits;
        let (rows, bytes) =
            (std::mem::take(&mut self.pending.rows), std::mem::take(&mut self.pending.bytes));
        if self.ballast.is_held() {
            (
                slice_rows.max(FACTOR * rows).min(trim_rows.max(slice_rows)),
                slice_bytes.max(FACTOR * bytes),
            )
        } else {
            // On a full disk, a slice has only the space of the ballast.
            (slice_rows.div_ceil(5), slice_bytes.div_ceil(5))
        }
    }

    /// Tidies up after some time without a job: returns free pages and copies the write-ahead log. Later commits then
    /// do not have to wait for that.
    pub(crate) fn idle(&mut self) {
        self.pending.resume();
        if let Err(error) = self.tidy() {
            self.postpone(error);
        }
    }

    fn tidy(&mut self) -> Result<(), DbError> {
        if self.vacuum(SPARE_PAGES)? {
            self.pending.vacuum_to = Some(SPARE_PAGES);
            return Ok(());
        }
        if !checkpoint::has_room(&self.connection, &mut self.ballast)? {
            return Ok(());
        }
        // On a full disk, the space of the write-ahead log is freed too.
        let full = !self.ballast.is_held();
        let kind = if full { Checkpoint::Truncate } else { Checkpoint::Passive };
        let wal = checkpoint(&self.connection, kind)?;
        if wal.copied == wal.total {
            self.pending.wal = Backlog::Empty;
            checkpoint::shrink(&self.connection, &mut self.ballast)?;
        }
        Ok(())
    }

    /// Returns a slice of free pages to the file system, if there are more than `spare`. Returns `true` if it
    /// did.
    fn vacuum(&mut self, spare: u64) -> Result<bool, DbError> {
        let free = pragma(&self.connection, "freelist_count")?;
        let pages_max = if self.ballast.is_held() { VACUUM_PAGES } else { VACUUM_PAGES / 4 };
        let slice = free.saturating_sub(spare).min(pages_max);
        if slice == 0 {
            return Ok(false);
        }
        {
            // Each step frees one page, so the statement must be stepped to its end.
            let mut statement =
                self.connection.prepare(&format!("PRAGMA incremental_vacuum({slice})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        self.pending.committed(false, 0, 0);
        // There may be space for the ballast and for events now.
        self.full_until = Timestamp::default();
        Ok(pragma(&self.connection, "freelist_count")? < free)
    }
}
