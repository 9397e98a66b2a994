//! What keeps the files small, done by the writer between jobs, a slice at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::fault::Fault;
use super::limits::Limits;
use super::wal::Checkpoint;
use super::writer::Writer;
use crate::timestamp::Timestamp;

/// How long nothing must be asked for before the log is put in order, and how long chores that came to
/// nothing are left alone.
pub(super) const IDLE: Duration = Duration::from_secs(1);
/// Free pages that one slice gives back to the file system: 1 MiB.
const VACUUM_PAGES: u64 = 256;
/// Free pages that are kept for what comes next: 1 MiB.
const SPARE_PAGES: u64 = 256;

/// What there is to do.
#[derive(Debug)]
pub(super) struct Chores {
    /// Removed records are still on the disk.
    sweep: bool,
    /// Keys may have expired ...
    keys: bool,
    /// ... since this time.
    keys_seen: Timestamp,
    /// Free pages beyond so many are to be given back.
    vacuum_to: Option<u64>,
    wal: Behind,
    /// What was appended since the last slice: a slice frees more than that, or a log that is written
    /// without a pause would never get back to its bound.
    rows: u64,
    bytes: u64,
    /// At how many pages the write-ahead log is to begin anew.
    pub(super) restart_at: u64,
    /// When the last try came to nothing, if it did: the next one waits for [`IDLE`].
    stalled: Option<Instant>,
}

/// What the write-ahead log has and the file has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// Nothing.
    Nothing,
    /// Something, but not too much.
    Bounded,
    /// Nobody has looked since the last commit.
    Unknown,
}

impl Default for Chores {
    /// A log that was just opened: the last run may have left anything undone.
    fn default() -> Chores {
        Chores {
            sweep: true,
            keys: true,
            keys_seen: Timestamp::default(),
            vacuum_to: None,
            wal: Behind::Unknown,
            rows: 0,
            bytes: 0,
            restart_at: 0,
            stalled: None,
        }
    }
}

impl Chores {
    fn is_stalled(&self) -> bool {
        self.stalled.is_some_and(|since| since.elapsed() < IDLE)
    }

    pub(super) fn committed(&mut self, unswept: bool, rows: u64, bytes: u64) {
        if unswept {
            self.sweep = true;
            self.resume();
        }
        self.rows += rows;
        self.bytes += bytes;
        self.wal = Behind::Unknown;
    }

    /// The next try does not wait: there may be room now, and publishers who come
    /// back again and again must not keep the log from finding it.
    pub(super) fn resume(&mut self) {
        self.stalled = None;
    }
}

impl Writer {
    /// Whether there is anything to do that should not wait until the log is idle.
    pub(super) fn has_chores(&self) -> bool {
        let chores = &self.chores;
        !chores.is_stalled()
            && self.shared.refuse_if_failed().is_ok()
            && (chores.wal == Behind::Unknown
                || chores.sweep
                || chores.keys
                || chores.vacuum_to.is_some()
                || self.packs()
                || self.may_be_over()
                || self.folds())
    }

    /// Whether there is nothing to do at all, also when the log is idle.
    pub(super) fn is_settled(&self) -> bool {
        self.shared.refuse_if_failed().is_err()
            || !self.has_chores()
                && self.chores.stalled.is_none()
                && self.chores.wal == Behind::Nothing
    }

    fn folds(&self) -> bool {
        self.ledger.empty_topics > self.limits.empty_topics
    }

    /// Does a slice of what there is to do.
    pub(super) fn chore(&mut self) {
        /// How often keys are looked through, in the hub's time.
        const KEYS: Duration = Duration::from_secs(1);
        if self.ledger.keys > 0 && self.now > self.chores.keys_seen.plus(KEYS) {
            self.chores.keys = true;
        }
        if self.has_chores()
            && let Err(fault) = self.slice()
        {
            self.postpone(fault);
        }
    }

    /// Leaves the chores for a while. That the disk is full or failed was told already.
    fn postpone(&mut self, fault: Fault) {
        self.chores.stalled = Some(Instant::now());
        let error = self.judge(fault);
        tracing::debug!(%error, "the log could not be tidied now");
    }

    fn slice(&mut self) -> Result<(), Fault> {
        self.chores.stalled = None;
        let (rows, bytes) = self.slice_of();
        // After each commit, so this must not be all that is done where one follows upon the other.
        if self.chores.wal == Behind::Unknown {
            self.chores.wal = Behind::Bounded;
            self.bound_wal()?;
        }
        if self.chores.sweep {
            self.chores.sweep = self.transact(|change| change.sweep(rows, bytes))?;
            if !self.chores.sweep {
                self.give_back()?;
                self.begin_pass()?;
            }
        } else if self.may_be_over() {
            self.shrink(rows)?;
        } else if self.folds() {
            self.transact(|change| change.fold(rows))?;
        } else if self.chores.keys {
            let now = self.now;
            self.chores.keys = self.transact(|change| change.forget_keys(now, rows))?;
            self.chores.keys_seen = now;
        } else if let Some(spare) = self.chores.vacuum_to {
            if !self.vacuum(spare)? {
                self.chores.vacuum_to = None;
            }
        } else if self.packs() && !self.pack()? {
            self.give_back()?;
        }
        Ok(())
    }

    /// Has free pages given back: some room in the file is soon used again; what is beyond that is not.
    fn give_back(&mut self) -> Result<(), Fault> {
        self.chores.vacuum_to = Some(self.pragma("page_count")? / 8);
        Ok(())
    }

    /// How much one slice frees, in rows and bytes.
    fn slice_of(&mut self) -> (u64, u64) {
        /// So many times what was appended: a record is first trimmed and then swept, perhaps with its
        /// topic, and all the same the log shall get smaller.
        const FACTOR: u64 = 4;
        let Limits { slice_rows, slice_bytes, trim_rows, .. } = self.limits;
        let (rows, bytes) =
            (std::mem::take(&mut self.chores.rows), std::mem::take(&mut self.chores.bytes));
        if self.ballast.is_held() {
            (
                slice_rows.max(FACTOR * rows).min(trim_rows.max(slice_rows)),
                slice_bytes.max(FACTOR * bytes),
            )
        } else {
            // On a full disk a slice has to do with the space of the ballast.
            (slice_rows.div_ceil(5), slice_bytes.div_ceil(5))
        }
    }

    /// Nothing was asked for a while: gives back all space and copies the write-ahead log, so that this
    /// need not be done while somebody waits for a commit.
    pub(super) fn idle(&mut self) {
        self.chores.stalled = None;
        if let Err(fault) = self.tidy() {
            self.postpone(fault);
        }
    }

    fn tidy(&mut self) -> Result<(), Fault> {
        if self.vacuum(SPARE_PAGES)? {
            self.chores.vacuum_to = Some(SPARE_PAGES);
            return Ok(());
        }
        if !self.has_room_to_copy()? {
            return Ok(());
        }
        // Where space is short, the write-ahead log need not keep its own either.
        let full = !self.ballast.is_held();
        let how = if full { Checkpoint::Truncate } else { Checkpoint::Passive };
        let wal = self.checkpoint(how)?;
        if wal.copied == wal.pages {
            self.chores.wal = Behind::Nothing;
            self.shrink_rest()?;
        }
        Ok(())
    }

    /// Gives a slice of free pages back to the file system, if there are more than the spare ones. Says
    /// whether it did.
    fn vacuum(&mut self, spare: u64) -> Result<bool, Fault> {
        let free = self.pragma("freelist_count")?;
        let most = if self.ballast.is_held() { VACUUM_PAGES } else { VACUUM_PAGES / 4 };
        let slice = free.saturating_sub(spare).min(most);
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
        self.chores.committed(false, 0, 0);
        // There may be space for the ballast and for events now.
        self.full_until = Timestamp::default();
        Ok(self.pragma("freelist_count")? < free)
    }

    pub(super) fn pragma(&self, name: &str) -> Result<u64, Fault> {
        let value: i64 = self.connection.pragma_query_value(None, name, |row| row.get(0))?;
        Ok(u64::try_from(value).unwrap_or_default())
    }
}
