//! The state of a committer, which its task and the publishers share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, watch};

use super::queue::{QUEUE_PERMITS, Queue};
use super::waiter::Outcomes;
use crate::storage::{Storage, StorageError};

pub(super) struct State {
    pub(super) storage: Arc<dyn Storage>,
    queue: Mutex<Queue>,
    /// Permits of the queue, see [`QUEUE_PERMITS`].
    pub(super) permits: Arc<Semaphore>,
    /// Number of publishers that wait for permits.
    entering: AtomicUsize,
    /// Notified when the queue reaches the expected length.
    pub(super) gathered: Notify,
    pub(super) failure: watch::Sender<Option<StorageError>>,
    /// Number of successful appends.
    pub(super) commits: AtomicU64,
    /// Number of tasks that ended early.
    pub(super) restarts: AtomicU64,
}

impl State {
    pub(super) fn new(storage: Arc<dyn Storage>) -> State {
        State {
            storage,
            queue: Mutex::default(),
            permits: Arc::new(Semaphore::new(QUEUE_PERMITS as usize)),
            entering: AtomicUsize::new(0),
            gathered: Notify::new(),
            failure: watch::Sender::new(None),
            commits: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a publisher that waits for permits, until the result is dropped.
    pub(super) fn enter(&self) -> Entering<'_> {
        self.entering.fetch_add(1, Ordering::AcqRel);
        Entering(&self.entering)
    }

    /// Returns `true` if publishers wait for permits. Others must not overtake them.
    pub(super) fn has_entering(&self) -> bool {
        self.entering.load(Ordering::Acquire) > 0
    }

    /// Counts a commit, or notes that the log has failed.
    pub(super) fn note(&self, outcomes: &Outcomes) {
        match outcomes {
            Ok(_) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
            }
            Err(error @ StorageError::Failed { .. }) => {
                self.failure.send_replace(Some(error.clone()));
            }
            Err(
                StorageError::Full
                | StorageError::Busy
                | StorageError::Damaged { .. }
                | StorageError::Unavailable { .. },
            ) => {}
        }
    }
}

/// A publisher that waits for permits of the queue.
pub(super) struct Entering<'a>(&'a AtomicUsize);

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
