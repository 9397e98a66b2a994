//! The write-ahead log: copied into the file in time, and begun anew in its place.

use std::time::Duration;

use super::ballast::growth;
use super::fault::Fault;
use super::schema;
use super::writer::Writer;

/// Pages of the write-ahead log that are worth a checkpoint: 16 MiB.
const CHECKPOINT_PAGES: u64 = 4_000;

/// How far a checkpoint goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checkpoint {
    /// Only looks.
    Noop,
    /// Copies what no reader holds up.
    Passive,
    /// Copies all, so that the write-ahead log begins anew in its place.
    Restart,
    /// Copies all and leaves the write-ahead log empty.
    Truncate,
}

/// The state of the write-ahead log, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wal {
    pub(super) pages: u64,
    pub(super) copied: u64,
}

impl Writer {
    /// Keeps the write-ahead log from growing without bound while events come.
    pub(super) fn bound_wal(&mut self) -> Result<(), Fault> {
        /// How long readers are waited for. Ours are short; who looks into the file from outside may take
        /// minutes, and publishers must not wait for that.
        const READERS: Duration = Duration::from_millis(100);
        let wal = self.checkpoint(Checkpoint::Noop)?;
        if !self.has_room_to_copy()? {
            return Ok(());
        }
        let most = self.limits.wal_pages;
        if wal.pages < most {
            self.chores.restart_at = most;
        }
        if wal.pages >= self.chores.restart_at.max(most) || !self.ballast.is_held() {
            self.connection.busy_timeout(READERS)?;
            let restarted = self.checkpoint(Checkpoint::Restart);
            self.connection.busy_timeout(schema::BUSY)?;
            restarted?;
            // If it could not, it is tried again, and waited for, only when there is something to gain.
            self.chores.restart_at = wal.pages + CHECKPOINT_PAGES;
        } else if wal.pages - wal.copied.min(wal.pages) >= CHECKPOINT_PAGES {
            self.checkpoint(Checkpoint::Passive)?;
        }
        Ok(())
    }

    /// Empties a write-ahead log that is large beside the file, and cuts the ballast back. Smaller ones are
    /// kept, for to write in their place is quicker than to make them longer.
    pub(super) fn shrink_rest(&mut self) -> Result<(), Fault> {
        /// The part of the file that each of the two may take while nothing is written.
        const PART: u64 = 8;
        let bytes = |name: String| std::fs::metadata(name).map_or(0, |file| file.len());
        let Some(file) = self.connection.path().map(str::to_owned) else { return Ok(()) };
        let most = bytes(file.clone()) / PART;
        self.ballast.ease(most);
        if bytes(format!("{file}-wal")) > most {
            // Not worth waiting for somebody who reads.
            self.connection.busy_timeout(Duration::ZERO)?;
            let emptied = self.checkpoint(Checkpoint::Truncate);
            self.connection.busy_timeout(schema::BUSY)?;
            emptied?;
        }
        Ok(())
    }

    /// Whether there is room for a checkpoint. On a full disk one that stops half way would take the space
    /// that deleting needs and give none back. The ballast leaves enough; if somebody else has taken it, the
    /// copy waits until that is freed, or so much is deleted that the file need not grow for it.
    pub(super) fn has_room_to_copy(&self) -> Result<bool, Fault> {
        if self.ballast.is_held() {
            return Ok(true);
        }
        let growth = growth(&self.connection)?;
        Ok(growth == 0 || self.ballast.has_room(growth))
    }

    /// Copies the write-ahead log into the file. Unlike SQLite's own checkpoints, this one tells when the
    /// disk fails.
    pub(super) fn checkpoint(&mut self, how: Checkpoint) -> Result<Wal, Fault> {
        let mut statement = self.connection.prepare_cached(match how {
            Checkpoint::Noop => "PRAGMA wal_checkpoint(NOOP)",
            Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Checkpoint::Restart => "PRAGMA wal_checkpoint(RESTART)",
            Checkpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        })?;
        // Both are -1 where there is no write-ahead log.
        let pages = |pages: i64| u64::try_from(pages).unwrap_or_default();
        Ok(statement.query_row([], |row| {
            Ok(Wal { pages: pages(row.get(1)?), copied: pages(row.get(2)?) })
        })?)
    }
}
