//! Queries of readers to the storage, coalesced and cached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cursor::Offset;
use crate::filter::Filters;
use crate::query_cache::{LogState, QueryCache};
use crate::record::{Body, Record};
use crate::storage::{
    Budget, Damaged, LiveWindow, Page, ReadRequest, Seek, SeekResult, Storage, StorageError,
};

/// Maximum memory of cached pages.
const PAGES_BYTES_MAX: usize = 4 << 20;
/// Maximum memory of cached results of each other kind.
const RESULTS_BYTES_MAX: usize = 1 << 20;
/// Memory of a result in addition to its records.
const RESULT_BYTES: usize = 512;

/// Queries of readers to the storage.
///
/// After a restart all readers reconnect at once, with one cursor or a few different ones. Coalescing turns them into
/// a few storage queries.
///
/// A result that is slightly older than the query is still correct, for two reasons. Between two losses the log only
/// grows, so everything in an older result is still there. And every result contains the offset up to which it is
/// complete, from which the reader continues. Each method decides which states of the log are fresh enough, so that it
/// only returns results that the storage could return now.
pub(crate) struct ReaderQueries {
    storage: Arc<dyn Storage>,
    window: LiveWindow,
    ends_seen: Arc<EndTracker>,
    pages: QueryCache<ReadRequest, Arc<Page>>,
    records: QueryCache<Offset, Option<Arc<Record>>>,
    ends: QueryCache<Arc<Filters>, Ends>,
    seeks: QueryCache<(Arc<Filters>, Seek), SeekResult>,
}

/// The end of each topic, in the order of the names. `None` for a topic that has not ended.
pub(crate) type Ends = Arc<[Option<Arc<Record>>]>;

impl ReaderQueries {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        window: LiveWindow,
        ends_seen: Arc<EndTracker>,
    ) -> ReaderQueries {
        ReaderQueries {
            storage,
            window,
            ends_seen,
            pages: QueryCache::new(PAGES_BYTES_MAX, |request, page: &Arc<Page>| {
                // A page without progress is outdated at the next append.
                (page.through > request.after).then(|| weight(&page.records))
            }),
            records: QueryCache::new(RESULTS_BYTES_MAX, |_, record: &Option<Arc<Record>>| {
                record.as_ref().map(|record| weight([record]))
            }),
            ends: QueryCache::new(RESULTS_BYTES_MAX, |_, ends: &Ends| {
                Some(weight(ends.iter().flatten()))
            }),
            seeks: QueryCache::new(RESULTS_BYTES_MAX, |_, _| Some(RESULT_BYTES)),
        }
    }

    /// Reads a page, see [`Storage::read`].
    pub(crate) async fn page(&self, request: ReadRequest) -> Result<Page, StorageError> {
        let (now, after) = (self.log_state(), request.after);
        // An older page can end earlier. But it must make progress if a new page would, because a page without progress
        // means that the reader is at the tail.
        let is_fresh = |then: LogState| {
            then.losses == now.losses && (then.tail > after || then.tail == now.tail)
        };
        let (storage, query) = (Arc::clone(&self.storage), request.clone());
        let fetch = async move { storage.read(query).await.map(Arc::new) };
        self.pages.get(request, now, is_fresh, fetch).await.map(Arc::unwrap_or_clone)
    }

    /// The record at an offset, if it still exists.
    pub(crate) async fn record(&self, offset: Offset) -> Result<Option<Arc<Record>>, StorageError> {
        let now = self.log_state();
        let storage = Arc::clone(&self.storage);
        let fetch = async move { Ok(storage.fetch(vec![offset]).await?.pop()) };
        // A record never changes, so only a loss outdates the result.
        self.records.get(offset, now, |then| then.losses == now.losses, fetch).await
    }

    /// Fetches the records of [`Start::LastEach`](crate::Start::LastEach), and finds which of the missing ones are
    /// damaged, with one short read for each. Others were trimmed meanwhile.
    pub(crate) async fn picked(
        &self,
        filters: &Arc<Filters>,
        offsets: Vec<Offset>,
    ) -> Result<(Vec<Arc<Record>>, Option<Damaged>), StorageError> {
        let records = self.storage.fetch(offsets.clone()).await?;
        let missing = missing(offsets, &records);
        let mut damaged: Option<Damaged> = None;
        for offset in missing {
            let request = ReadRequest {
                filters: Arc::clone(filters),
                after: offset.previous(),
                until: offset,
                budget: Budget::default(),
                losses_reported: u64::MAX,
            };
            if let Some(later) = self.storage.read(request).await?.damaged {
                damaged.get_or_insert_default().add_all(later);
            }
        }
        Ok((records, damaged))
    }

    /// The ends of all exact names, for a reader that starts after an offset. Ends after that offset can be missing,
    /// because the reader reads them later.
    pub(crate) async fn ends(
        &self,
        filters: &Arc<Filters>,
        after: Offset,
    ) -> Result<Ends, StorageError> {
        let now = self.log_state();
        // The result must contain each end that the reader will not read. Without a loss, an ended topic stays ended,
        // and no topic has ended after the last end that was observed.
        let known = after.min(self.ends_seen.ends_through());
        let is_fresh = |then: LogState| then.losses == now.losses && then.tail >= known;
        let (storage, names) = (Arc::clone(&self.storage), filters.exact().to_vec());
        let fetch = async move {
            let states = storage.states(names).await?;
            Ok(states.into_iter().map(|state| state.end).collect())
        };
        self.ends.get(Arc::clone(filters), now, is_fresh, fetch).await
    }

    /// Finds the start of a reader, see [`Storage::seek`].
    pub(crate) async fn seek(
        &self,
        filters: &Arc<Filters>,
        seek: Seek,
    ) -> Result<SeekResult, StorageError> {
        let now = self.log_state();
        if seek == Seek::Earliest {
            let removals = self.storage.removals();
            return Ok(SeekResult { after: Offset::ZERO, tail: now.tail, removals });
        }
        let (storage, query) = (Arc::clone(&self.storage), Arc::clone(filters));
        let fetch = async move { storage.seek(query, seek).await };
        // Each append changes which events are the newest.
        self.seeks.get((Arc::clone(filters), seek), now, |then| then == now, fetch).await
    }

    /// The state of the log now. A query that starts after this call sees at least this state.
    fn log_state(&self) -> LogState {
        let losses = self.storage.removals() + self.ends_seen.deletions();
        LogState { tail: self.window.tail(), losses }
    }
}

/// The offsets that have no record. Both are in the same order.
fn missing(mut offsets: Vec<Offset>, records: &[Arc<Record>]) -> Vec<Offset> {
    let mut records = records.iter().peekable();
    offsets.retain(|offset| records.next_if(|record| record.offset() == *offset).is_none());
    offsets
}

fn weight<'r>(records: impl IntoIterator<Item = &'r Arc<Record>>) -> usize {
    RESULT_BYTES + records.into_iter().map(|record| record.memory_bytes()).sum::<usize>()
}

/// Counts ends and deletions among committed records.
///
/// It observes them before a reader can read them, so an end is already counted when a reader starts after it.
#[derive(Debug, Default)]
pub(crate) struct EndTracker {
    ends_through: AtomicU64,
    deletions: AtomicU64,
}

impl EndTracker {
    pub(crate) fn observe(&self, records: &[Arc<Record>]) {
        for record in records.iter().filter(|record| record.event().is_none()) {
            if *record.body() == Body::Deleted {
                self.deletions.fetch_add(1, Ordering::AcqRel);
            }
            self.ends_through.store(record.offset().get(), Ordering::Release);
        }
    }

    /// The offset of the last end or deletion since the hub was created.
    fn ends_through(&self) -> Offset {
        Offset::new(self.ends_through.load(Ordering::Acquire))
    }

    fn deletions(&self) -> u64 {
        self.deletions.load(Ordering::Acquire)
    }
}
