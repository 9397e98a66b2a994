//! State that a hub shares with its subscriptions.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::cursor::{Cursor, Offset};
use crate::interest::Interest;
use crate::large_records::LargeRecords;
use crate::reader_queries::{EndTracker, ReaderQueries};
use crate::storage::{Commit, LiveWindow, Storage};

/// Maximum number of pages of history whose records are read at the same time.
const PAGE_READS_MAX: usize = 8;

/// State that a hub shares with its subscriptions.
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) window: LiveWindow,
    pub(crate) interest: Interest,
    pub(crate) queries: ReaderQueries,
    pub(crate) large: LargeRecords,
    /// Permits to read the records of a page of history. A record can be large, and many results could wait for their
    /// tasks.
    pub(crate) page_reads: Semaphore,
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

    /// The cursor of an offset in this log, without a check.
    pub(crate) fn position(&self, offset: Offset) -> Cursor {
        Cursor::position(self.storage.epoch(), offset)
    }
}
