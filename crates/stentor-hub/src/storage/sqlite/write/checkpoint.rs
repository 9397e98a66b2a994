//! Checkpoints: the write-ahead log is copied into the database file, then overwritten from its start.

use std::time::Duration;

use rusqlite::Connection;

use super::ballast::Ballast;
use super::pages::growth;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::schema;

/// Number of pages in the write-ahead log that are worth a checkpoint: 16 MiB.
const CHECKPOINT_PAGES: u64 = 4_000;

/// Kind of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checkpoint {
    /// Copies nothing; only returns the state.
    Noop,
    /// Copies what no other connection still reads, without waiting.
    Passive,
    /// Copies everything and waits for other connections. The write-ahead log is then overwritten from its start.
    Restart,
    /// Copies everything and waits for other connections, then empties the write-ahead log.
    Truncate,
}

/// State of the write-ahead log, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalPages {
    pub(crate) total: u64,
    pub(crate) copied: u64,
}

/// Runs a checkpoint. Unlike SQLite's automatic ones, it reports disk errors.
pub(crate) fn checkpoint(connection: &Connection, kind: Checkpoint) -> Result<WalPages, DbError> {
    let mut statement = connection.prepare_cached(match kind {
        Checkpoint::Noop => "PRAGMA wal_checkpoint(NOOP)",
        Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Restart => "PRAGMA wal_checkpoint(RESTART)",
        Checkpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    })?;
    // Both are -1 if there is no write-ahead log.
    let pages = |pages: i64| u64::try_from(pages).unwrap_or_default();
    Ok(statement.query_row([], |row| {
        Ok(WalPages { total: pages(row.get(1)?), copied: pages(row.get(2)?) })
    })?)
}

/// Returns `true` if the disk has room for a checkpoint.
///
/// On a full disk, a checkpoint that stops half-way would take the space that deletions need and free none. The
/// ballast guarantees enough. If other programs took its space, the copy waits until the space is
/// free again, or until enough is deleted that the database file does not have to grow.
pub(crate) fn has_room(connection: &Connection, ballast: &mut Ballast) -> Result<bool, DbError> {
    if ballast.is_held() {
        return Ok(true);
    }
    let growth = growth(connection)?;
    Ok(growth == 0 || ballast.has_room(growth))
}

/// Truncates a write-ahead log that is large compared with the database file, and shrinks the ballast.
///
/// Smaller ones stay: overwriting a file is faster than extending it.
pub(crate) fn shrink(connection: &Connection, ballast: &mut Ballast) -> Result<(), DbError> {
    /// Each of the two may take 1/`PART` of the database file while nothing is written.
    const PART: u64 = 8;
    let bytes = |name: String| std::fs::metadata(name).map_or(0, |file| file.len());
    let Some(file) = connection.path().map(str::to_owned) else { return Ok(()) };
    let bytes_max = bytes(file.clone()) / PART;
    ballast.shrink(bytes_max);
    if bytes(format!("{file}-wal")) > bytes_max {
        // Not worth waiting for another connection.
        connection.busy_timeout(Duration::ZERO)?;
        let truncated = checkpoint(connection, Checkpoint::Truncate);
        connection.busy_timeout(schema::BUSY)?;
        truncated?;
    }
    Ok(())
}

/// Keeps the write-ahead log from growing without bound while events arrive.
#[derive(Debug, Default)]
pub(crate) struct WalLimit {
    /// Number of pages at which the write-ahead log must restart.
    restart_at: u64,
}

impl WalLimit {
    /// Runs a checkpoint if the write-ahead log is large enough for one. From `pages_max` pages on, the checkpoint
    /// waits for readers and restarts the write-ahead log.
    pub(crate) fn apply(
        &mut self,
        connection: &Connection,
        ballast: &mut Ballast,
        pages_max: u64,
    ) -> Result<(), DbError> {
        /// Maximum time to wait for readers. Ours are short. A program that reads the log from outside may take
        /// minutes, and publishers must not wait for that.
        const WAIT: Duration = Duration::from_millis(100);
        let wal = checkpoint(connection, Checkpoint::Noop)?;
        if !has_room(connection, ballast)? {
            return Ok(());
        }
        if wal.total < pages_max {
            self.restart_at = pages_max;
        }
        if wal.total >= self.restart_at.max(pages_max) || !ballast.is_held() {
            connection.busy_timeout(WAIT)?;
            let restarted = checkpoint(connection, Checkpoint::Restart);
            connection.busy_timeout(schema::BUSY)?;
            restarted?;
            // If a reader prevented the restart, the next wait is due after this many more pages.
            self.restart_at = wal.total + CHECKPOINT_PAGES;
        } else if wal.total - wal.copied.min(wal.total) >= CHECKPOINT_PAGES {
            checkpoint(connection, Checkpoint::Passive)?;
        }
        Ok(())
    }
}
