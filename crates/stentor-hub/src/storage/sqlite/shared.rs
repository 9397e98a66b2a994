//! What the threads of a log have in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::fault::Fault;
use super::ledger::Opened;
use crate::cursor::{Epoch, Offset};
use crate::record::Record;
use crate::storage::{Bounds, CommitSink, StorageError, Trimmed};

/// The published part of a log: what readers may rely on.
pub(super) struct Shared {
    pub(super) epoch: Epoch,
    burned: Vec<(Offset, Offset)>,
    tail: AtomicU64,
    removals: AtomicU64,
    trimmed_events: AtomicU64,
    trimmed_bytes: AtomicU64,
    sink: OnceLock<CommitSink>,
    failed: watch::Sender<Option<String>>,
}

impl Shared {
    pub(super) fn new(opened: &Opened) -> Shared {
        Shared {
            epoch: opened.epoch,
            burned: opened.burned.clone(),
            tail: AtomicU64::new(opened.ledger.tail.get()),
            removals: AtomicU64::new(opened.ledger.removals),
            trimmed_events: AtomicU64::new(0),
            trimmed_bytes: AtomicU64::new(0),
            sink: OnceLock::new(),
            failed: watch::Sender::new(None),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { tail: self.tail(), burned: self.burned.clone() }
    }

    /// Everything up to here is committed and was handed to the feed.
    pub(super) fn tail(&self) -> Offset {
        Offset::new(self.tail.load(Ordering::Acquire))
    }

    /// At least so many removals are committed.
    pub(super) fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    /// What was trimmed since the log was opened.
    pub(super) fn trimmed(&self) -> Trimmed {
        Trimmed {
            events: self.trimmed_events.load(Ordering::Relaxed),
            bytes: self.trimmed_bytes.load(Ordering::Relaxed),
        }
    }

    /// Counts what a commit trimmed.
    pub(super) fn count_trimmed(&self, trimmed: Trimmed) {
        self.trimmed_events.fetch_add(trimmed.events, Ordering::Relaxed);
        self.trimmed_bytes.fetch_add(trimmed.bytes, Ordering::Relaxed);
    }

    /// Sets where committed records go. A second feed would be a mistake of the program; the first one
    /// stays.
    pub(super) fn set_sink(&self, sink: CommitSink) {
        let _ = self.sink.set(sink);
    }

    /// Makes a commit visible: what it removed, then its records to the feed, then to readers of the tail.
    pub(super) fn publish(&self, records: &[Arc<Record>], tail: Offset, removals: u64) {
        self.removals.store(removals, Ordering::Release);
        if let Some(sink) = self.sink.get()
            && !records.is_empty()
        {
            sink(records);
        }
        self.tail.store(tail.get(), Ordering::Release);
    }

    /// Refuses to write once anything has failed that puts the disk in doubt.
    pub(super) fn refuse_if_failed(&self) -> Result<(), StorageError> {
        match &*self.failed.borrow() {
            None => Ok(()),
            Some(reason) => Err(StorageError::Failed { reason: reason.clone() }),
        }
    }

    /// Waits until then.
    pub(super) async fn failed(&self) -> StorageError {
        let mut failed = self.failed.subscribe();
        let reason = failed.wait_for(Option::is_some).await;
        let reason = reason.ok().and_then(|reason| reason.clone()).unwrap_or_default();
        StorageError::Failed { reason }
    }

    /// Decides what a fault means. One that puts the disk in doubt ends all writing.
    pub(super) fn judge(&self, fault: Fault) -> StorageError {
        let error = StorageError::from(fault);
        if let StorageError::Failed { reason } = &error {
            let is_first = self.failed.send_if_modified(|failed| {
                let is_first = failed.is_none();
                failed.get_or_insert_with(|| reason.clone());
                is_first
            });
            if is_first {
                tracing::error!(
                    reason,
                    "the log has failed and takes no more events until a restart"
                );
            }
        }
        error
    }
}
