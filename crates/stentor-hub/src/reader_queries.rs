//! What readers ask of the storage, asked once for all who come with the same question.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cursor::Offset;
use crate::filter::Filters;
use crate::query_cache::{Moment, QueryCache};
use crate::record::{Body, Record};
use crate::storage::{Page, ReadRequest, Seek, SeekResult, Storage, StorageError};
use crate::window::LiveWindow;

/// Memory of the pages that are kept.
const PAGES_BYTES_MAX: usize = 4 << 20;
/// Memory of other answers that are kept, of each kind.
const ANSWERS_BYTES_MAX: usize = 1 << 20;
/// What an answer takes beside its records.
const ANSWER_BYTES: usize = 512;

/// The questions of readers to the storage. After a restart all readers come back at once, with the same
/// cursor or with few different ones: a crowd costs the storage a handful of questions.
///
/// An answer may be somewhat older than the question, for two reasons. *Between two losses the log only
/// grows*: what was read is all still there. And *every answer says up to where it knows the log*, and
/// whoever gets it reads on from there. So each method below says which moments serve, and an answer
/// that serves is one which the storage might give now.
pub(crate) struct ReaderQueries {
    storage: Arc<dyn Storage>,
    window: Arc<LiveWindow>,
    end_tracker: Arc<EndTracker>,
    pages: QueryCache<ReadRequest, Arc<Page>>,
    records: QueryCache<Offset, Option<Arc<Record>>>,
    ends: QueryCache<Arc<Filters>, Ends>,
    beginnings: QueryCache<(Arc<Filters>, Seek), SeekResult>,
}

/// The end of each topic, in the order of the names; `None` of one that goes on.
pub(crate) type Ends = Arc<[Option<Arc<Record>>]>;

impl ReaderQueries {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        window: Arc<LiveWindow>,
        end_tracker: Arc<EndTracker>,
    ) -> ReaderQueries {
        ReaderQueries {
            storage,
            window,
            end_tracker,
            pages: QueryCache::new(PAGES_BYTES_MAX, |request, page: &Arc<Page>| {
                // One that leads nowhere is soon wrong: something is appended.
                (page.through > request.after).then(|| weight(&page.records))
            }),
            records: QueryCache::new(ANSWERS_BYTES_MAX, |_, record: &Option<Arc<Record>>| {
                record.as_ref().map(|record| weight([record]))
            }),
            ends: QueryCache::new(ANSWERS_BYTES_MAX, |_, ends: &Ends| {
                Some(weight(ends.iter().flatten()))
            }),
            beginnings: QueryCache::new(ANSWERS_BYTES_MAX, |_, _| Some(ANSWER_BYTES)),
        }
    }

    /// See [`Storage::read`].
    pub(crate) async fn page(&self, request: ReadRequest) -> Result<Page, StorageError> {
        let (now, after) = (self.now(), request.after);
        // The older page ends earlier. It must lead somewhere if a new one would: only who is told that
        // there is nothing knows that he is at the tail.
        let serves = |then: Moment| {
            then.losses == now.losses && (then.tail > after || then.tail == now.tail)
        };
        let (storage, asked) = (Arc::clone(&self.storage), request.clone());
        let ask = async move { storage.read(asked).await.map(Arc::new) };
        self.pages.ask(request, now, serves, ask).await.map(Arc::unwrap_or_clone)
    }

    /// The record at an offset, if it is still there.
    pub(crate) async fn record(&self, offset: Offset) -> Result<Option<Arc<Record>>, StorageError> {
        let now = self.now();
        let storage = Arc::clone(&self.storage);
        let ask = async move { Ok(storage.fetch(vec![offset]).await?.pop()) };
        // A record never changes.
        self.records.ask(offset, now, |then| then.losses == now.losses, ask).await
    }

    /// The ends of all exact names, for a reader that begins after an offset. Those beyond it may be
    /// missing: the reader comes upon them.
    pub(crate) async fn ends(
        &self,
        filters: &Arc<Filters>,
        after: Offset,
    ) -> Result<Ends, StorageError> {
        let now = self.now();
        // An end that the reader will not come upon has to be known. Without a loss a topic that has
        // ended stays so, and what has ended since has done so up to the last end of any topic.
        let known = after.min(self.end_tracker.ends_through());
        let serves = |then: Moment| then.losses == now.losses && then.tail >= known;
        let (storage, names) = (Arc::clone(&self.storage), filters.exact().to_vec());
        let ask = async move {
            let states = storage.states(names).await?;
            Ok(states.into_iter().map(|state| state.end).collect())
        };
        self.ends.ask(Arc::clone(filters), now, serves, ask).await
    }

    /// See [`Storage::seek`].
    pub(crate) async fn seek(
        &self,
        filters: &Arc<Filters>,
        seek: Seek,
    ) -> Result<SeekResult, StorageError> {
        let now = self.now();
        if seek == Seek::Earliest {
            let removals = self.storage.removals();
            return Ok(SeekResult { after: Offset::ZERO, tail: now.tail, removals });
        }
        let (storage, asked) = (Arc::clone(&self.storage), Arc::clone(filters));
        let ask = async move { storage.seek(asked, seek).await };
        // The newest events are others as soon as one is appended.
        self.beginnings.ask((Arc::clone(filters), seek), now, |then| then == now, ask).await
    }

    /// The moment of a question that is asked now: the answer knows all that this says.
    fn now(&self) -> Moment {
        let losses = self.storage.removals() + self.end_tracker.deletions();
        Moment { tail: self.window.tail(), losses }
    }
}

fn weight<'r>(records: impl IntoIterator<Item = &'r Arc<Record>>) -> usize {
    ANSWER_BYTES + records.into_iter().map(|record| record.memory_bytes()).sum::<usize>()
}

/// The ends and deletions among the records of the tail. It is shown them before anybody can have read
/// them, so who begins behind one knows of it.
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

    /// The offset of the last end or deletion since the hub began.
    fn ends_through(&self) -> Offset {
        Offset::new(self.ends_through.load(Ordering::Acquire))
    }

    fn deletions(&self) -> u64 {
        self.deletions.load(Ordering::Acquire)
    }
}
