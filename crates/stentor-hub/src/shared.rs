//! State that a hub shares with its subscriptions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::cursor::{Cursor, Offset};
use crate::interest::Interest;
use crate::large_records::LargeRecords;
use crate::reader_queries::{EndTracker, ReaderQueries};
use crate::storage::{Commit, LiveWindow, Storage, StorageError};

/// Maximum number of reads of records for pages of history at the same time.
const PAGE_READS_MAX: usize = 8;
/// Maximum time for which a page of history waits for each of its reads to begin.
const PAGE_READ_WAIT_MAX: Duration = Duration::from_secs(10);

/// State that a hub shares with its subscriptions.
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) window: LiveWindow,
    pub(crate) interest: Interest,
    pub(crate) queries: ReaderQueries,
    pub(crate) large: LargeRecords,
    /// Permits to read records for pages of history. A record can be large, and many results could wait for their
    /// tasks.
    page_reads: Semaphore,
    /// Burned ranges of offsets, inclusive. They never change while the log is open.
    pub(crate) burned: Vec<(Offset, Offset)>,
}

impl Shared {
    /// Builds the state over `storage` and follows its commits. `on_commit` is called with each commit when the live
    /// window has its records, before any reader is woken.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        window_bytes: usize,
        on_commit: impl Fn(Commit<'_>) + Send + Sync + 'static,
    ) -> Shared {
        let bounds = storage.bounds();
        let window = storage.live_window(window_bytes);
        let interest = Interest::default();
        let ends = Arc::new(EndTracker::default());
        storage.follow(Box::new({
            let (window, interest) = (window.clone(), interest.clone());
            let ends = Arc::clone(&ends);
            move |commit: Commit<'_>| {
                let records = commit.records;
                ends.observe(records);
                window.push(records);
                on_commit(commit);
                interest.wake(records);
            }
        }));
        let queries = ReaderQueries::new(Arc::clone(&storage), window.clone(), ends);
        let large = LargeRecords::default();
        let page_reads = Semaphore::new(PAGE_READS_MAX);
        Shared { storage, window, interest, queries, large, page_reads, burned: bounds.burned }
    }

    /// A permit for one read of records for a page of history.
    ///
    /// # Errors
    ///
    /// [`StorageError::Busy`] if other reads take so long that there is none within [`PAGE_READ_WAIT_MAX`].
    pub(crate) async fn page_read(&self) -> Result<SemaphorePermit<'_>, StorageError> {
        match timeout(PAGE_READ_WAIT_MAX, self.page_reads.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(StorageError::Busy),
        }
    }

    /// The cursor of an offset in this log, without a check.
    pub(crate) fn position(&self, offset: Offset) -> Cursor {
        Cursor::position(self.storage.epoch(), offset)
    }
}
