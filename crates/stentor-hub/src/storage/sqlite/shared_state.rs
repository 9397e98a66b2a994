//! State that all threads of an open log share.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rusqlite::ErrorCode;
use tokio::sync::watch;

use super::damage_report::DamageReport;
use super::db_error::{DbError, describe};
use super::tables::log::LogState;
use crate::cursor::{Epoch, Offset};
use crate::storage::clock::{LogClock, LogTime, Reading};
use crate::storage::contract::{Commit, CommitSink};
use crate::storage::error::StorageError;
use crate::storage::result::{Bounds, Trimmed};
use crate::timestamp::Timestamp;

/// The committed state of a log, as readers may see it.
pub(super) struct SharedState {
    pub(super) epoch: Epoch,
    burned: Vec<(Offset, Offset)>,
    tail: AtomicU64,
    removals: AtomicU64,
    trimmed_events: AtomicU64,
    trimmed_bytes: AtomicU64,
    /// Time of the newest record.
    time: AtomicI64,
    clock: Mutex<LogClock>,
    sink: OnceLock<CommitSink>,
    failed: watch::Sender<Option<String>>,
    /// The damaged rows that reads have found.
    pub(super) damage: DamageReport,
}

impl SharedState {
    pub(super) fn new(epoch: Epoch, burned: Vec<(Offset, Offset)>, log: &LogState) -> SharedState {
        SharedState {
            epoch,
            burned,
            tail: AtomicU64::new(log.tail.get()),
            removals: AtomicU64::new(log.removals),
            trimmed_events: AtomicU64::new(0),
            trimmed_bytes: AtomicU64::new(0),
            time: AtomicI64::new(log.time.as_micros()),
            clock: Mutex::default(),
            sink: OnceLock::new(),
            failed: watch::Sender::new(None),
            damage: DamageReport::default(),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { tail: self.tail(), burned: self.burned.clone() }
    }

    /// The tail: everything up to this offset is committed, and the commit sink has it.
    pub(super) fn tail(&self) -> Offset {
        Offset::new(self.tail.load(Ordering::Acquire))
    }

    /// Number of removals. At least this many are committed.
    pub(super) fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    /// Reads the clock of the log. Returns the time by which keys expire, and the time by which records age. `now` is
    /// the time of the system clock.
    pub(super) fn read_clock(&self, now: Timestamp) -> (Timestamp, LogTime) {
        let newest = Timestamp::from_micros(self.time.load(Ordering::Acquire));
        let reading = Reading::at(now);
        // No code that holds the lock panics.
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        (clock.key_time(newest, reading), clock.log_time(newest, reading))
    }

    /// Events and bytes trimmed since the log was opened.
    pub(super) fn trimmed(&self) -> Trimmed {
        Trimmed {
            events: self.trimmed_events.load(Ordering::Relaxed),
            bytes: self.trimmed_bytes.load(Ordering::Relaxed),
        }
    }

    /// Adds the events and bytes that a commit trimmed.
    pub(super) fn count_trimmed(&self, trimmed: Trimmed) {
        self.trimmed_events.fetch_add(trimmed.events, Ordering::Relaxed);
        self.trimmed_bytes.fetch_add(trimmed.bytes, Ordering::Relaxed);
    }

    /// Sets the commit sink. Only the first call has an effect; a second one is a bug of the caller.
    pub(super) fn set_sink(&self, sink: CommitSink) {
        let _ = self.sink.set(sink);
    }

    /// Makes a commit visible: first its removals, then its records to the commit sink, last the new tail.
    pub(super) fn publish(&self, commit: Commit<'_>, tail: Offset, removals: u64) {
        self.removals.store(removals, Ordering::Release);
        if let Some(newest) = commit.records.last() {
            self.time.store(newest.time().as_micros(), Ordering::Release);
        }
        if let Some(sink) = self.sink.get()
            && !(commit.records.is_empty() && commit.leases.is_empty())
        {
            sink(commit);
        }
        self.tail.store(tail.get(), Ordering::Release);
    }

    /// Returns an error if the log has failed. Nothing may be written then.
    pub(super) fn refuse_if_failed(&self) -> Result<(), StorageError> {
        match &*self.failed.borrow() {
            None => Ok(()),
            Some(reason) => Err(StorageError::Failed { reason: reason.clone() }),
        }
    }

    /// Waits until the log has failed, and returns the reason.
    pub(super) async fn failed(&self) -> StorageError {
        let mut failed = self.failed.subscribe();
        let reason = failed.wait_for(Option::is_some).await;
        let reason = reason.ok().and_then(|reason| reason.clone()).unwrap_or_default();
        StorageError::Failed { reason }
    }

    /// Converts an error of a read. Damage fails only the read.
    pub(super) fn note_read_error(&self, error: DbError) -> StorageError {
        match error {
            DbError::Sqlite(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) =>
            {
                let reason = describe(&error);
                self.damage.note(&reason);
                StorageError::Damaged { reason }
            }
            error => self.note_error(error),
        }
    }

    /// Converts an error. A sign of a failed disk or of damaged data marks the log as failed, which ends all writing.
    pub(super) fn note_error(&self, error: DbError) -> StorageError {
        let error = StorageError::from(error);
        if let StorageError::Damaged { reason } = &error {
            self.damage.note(reason);
        }
        if let StorageError::Failed { reason } = &error {
            let is_first = self.failed.send_if_modified(|failed| {
                let is_first = failed.is_none();
                failed.get_or_insert_with(|| reason.clone());
                is_first
            });
            if is_first {
                tracing::error!(
                    reason,
                    "the log has failed; no more events are accepted until a restart"
                );
            }
        }
        error
    }
}
