//! The contract of a storage.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::future::FutureExt;

use super::clock::LogTime;
use super::error::StorageError;
use super::live_window::LiveWindow;
use super::query::{ReadRequest, Seek, TopicsQuery, TrimLimits};
use super::result::{
    Bounds, Outcome, Page, QueryCounts, SeekResult, TopicInfo, TopicState, Trimmed,
};
use crate::cursor::{Epoch, Offset};
use crate::filter::Filters;
use crate::lease::LeaseChange;
use crate::publish::Publish;
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// An ordered log of records with topics.
///
/// All methods can be called from any thread, and none blocks the calling thread: waiting for a disk happens in the
/// returned future. Dropping a future never undoes what it started. A method that returns a [`StorageError`] may
/// be called again.
///
/// Changes of the log take effect in the order in which they were started. So a deletion that its caller gave up
/// removes nothing that was appended after a later deletion.
///
/// # Offsets
///
/// Each record has an [`Offset`]. Offsets increase in log order, can have gaps, and are never used again, not even
/// after a trim, a deletion or a restart.
///
/// # Queries
///
/// A query ([`read`](Storage::read), [`fetch`](Storage::fetch), [`seek`](Storage::seek),
/// [`newest_each`](Storage::newest_each), [`states`](Storage::states), [`topics`](Storage::topics),
/// [`trim_point`](Storage::trim_point)) looks at a bounded number of records and topics at a time. If it needs more, it
/// runs in steps, and other queries and appends run in between. So its result can be of several moments:
///
/// - The tail counts as of the first step. Later records are not part of the result.
/// - A record that is removed during the query may or may not be part of the result. A page is always of one moment,
///   together with its losses.
/// - A topic is listed at most once, with the counts of one moment.
///
/// Dropping the future ends the query at its next step. A storage bounds the number of queries that wait for it, and
/// refuses further ones with [`StorageError::Busy`].
///
/// # Removed records
///
/// A trim or a deletion removes records of one topic. The storage remembers for each topic its `removed_through`: the
/// highest offset that a trim removed or, once a deleted topic is used again, the offset of the deletion
/// ([`TopicState::removed_through`]). Records at or below it are never returned again. A reader at a lower offset has
/// lost records, which [`Page::removed`] reports, unless the topic is deleted: then the reader gets the deletion.
///
/// The storage counts removals: each trim that removes something, and each deleted topic that is used again. A reader
/// passes the count of its last report as [`ReadRequest::losses_reported`], so that each loss is reported to it once.
///
/// # Damage
///
/// A record that does not match what was stored is never returned. [`Page::damaged`] reports it, and each record
/// that is missing and was not removed. [`Storage::fetch`] leaves it out.
pub trait Storage: Send + Sync + 'static {
    /// The identity of this history of the log. It does not change while the storage is open.
    fn epoch(&self) -> Epoch;

    /// The tail and the burned ranges of the log. Does not access the disk.
    fn bounds(&self) -> Bounds;

    /// Passes each record after [`Bounds::tail`] to `sink`: once, in the order of offsets, and only when it is
    /// durable. This includes records that other nodes append. Each change of a lease is passed with the records of its
    /// transaction.
    ///
    /// Called once, before the first append. An embedded storage passes the records that it just committed, without
    /// reading them again.
    fn follow(&self, sink: CommitSink);

    /// Appends publishes. Returns one outcome for each, in the order of the batch.
    ///
    /// The hub makes sure that only one append is in flight.
    ///
    /// **Atomicity.** The entries of a publish are appended together or not at all. A refused publish does not fail
    /// the others.
    ///
    /// **Order.** Offsets increase in the order of the batch. A publish sees the effects of the publishes before it
    /// in the batch.
    ///
    /// **Time.** The time of a record is `now`, or the time of the record before it if that is later.
    ///
    /// **Result.** After `Ok`, the appended records are durable and have been passed to the sink. After `Err`, nothing
    /// was appended, as far as the storage can know.
    ///
    /// The rules for each publish, in this order:
    ///
    /// 1. If it [requires the previous one](Publish::requires_previous) and that one was refused or withheld, it is
    ///    withheld ([`Publish::is_withheld`]). A repeat does not count as refused.
    /// 2. If it has a key, [`Key::check`] decides if it is a repeat, is refused, or is to be appended. So a repeat is a
    ///    repeat even if its topic has ended since. A repeat of a part of an upload restarts the key's window by
    ///    [`Key::renewed_expiry`]. The stored part hashes of an upload are removed with its key. If its key is not
    ///    stored in its own scope, [`Key::check_overlap`] decides by a batch over several topics: one under this key
    ///    that has records of its topic, or whose records of its topic may have been removed. For such a batch it
    ///    decides by a key of one of its topics.
    /// 3. If it has neither entries nor a lease, or an entry is a deletion, it is refused as [`Outcome::KeyReused`].
    ///    The hub refuses such publishes itself; it passes on only one without entries, to renew a key.
    /// 4. If one of its topics has ended, it is refused as [`Outcome::Ended`]. An entry after an end of its topic in
    ///    the same publish counts as well, and so does the topic that it gives a lease to.
    /// 5. If it gives a lease to a topic that has none while [`LEASES_MAX`] others have one, it is refused as
    ///    [`Outcome::TooManyLeases`].
    /// 6. If its key is new and a bound of [`KeyLimits`] is reached, it is refused as [`Outcome::TooManyKeys`]. Keys
    ///    are remembered for their whole window, in the time of the log: see [`Storage::log_time`].
    /// 7. Otherwise it is appended. Its key and its lease are stored in the same transaction. A publish to a deleted
    ///    topic uses the name again: the topic has new counts and no end. A publish with a lease and without entries
    ///    only changes the lease ([`Outcome::LeaseChanged`]).
    ///
    /// **Leases.** [`Publish::lease`] stores the lease of a topic, rounded up to whole seconds and at least one, or
    /// removes it. An end or a deletion of the topic removes its lease in the same transaction, also an end in the same
    /// publish. A repeat changes the lease only if its topic has events left, has not ended, and the limit of rule 5
    /// allows it. The storage only remembers leases; the hub acts on them.
    ///
    /// [`LEASES_MAX`]: crate::LEASES_MAX
    /// [`Key::check`]: crate::Key::check
    /// [`Key::check_overlap`]: crate::Key::check_overlap
    /// [`KeyLimits`]: crate::KeyLimits
    /// [`Key::renewed_expiry`]: crate::Key::renewed_expiry
    fn append(
        &self,
        batch: Vec<Publish>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, StorageError>>;

    /// Appends one publish without waiting, by the rules of [`Storage::append`], or returns it unchanged as `Err`.
    ///
    /// The default always returns it. Keep the default in a storage that may have to wait or may fail.
    #[expect(clippy::result_large_err, reason = "the caller gets the publish back")]
    fn append_now(&self, publish: Publish, _now: Timestamp) -> Result<Outcome, Publish> {
        Err(publish)
    }

    /// Returns `true` if [`Storage::append`] always completes at its first poll. The hub then appends in the call of
    /// the publisher, without a task and without a tokio runtime.
    fn commits_at_once(&self) -> bool {
        false
    }

    /// Reads matching records in log order, up to the tail at some time within the call.
    ///
    /// [`Page::through`] is the offset up to which all records were considered, even if none matched. It is higher
    /// than `after`, unless `after` is the tail or `until`. The page is within the budget, except that its first record
    /// can have any size, so that reading makes progress.
    fn read(&self, request: ReadRequest) -> BoxFuture<'_, Result<Page, StorageError>>;

    /// Returns the records at these offsets that still exist, in the order of `offsets`.
    ///
    /// The caller requests only as many as it can hold in memory.
    fn fetch(&self, offsets: Vec<Offset>) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>>;

    /// Finds the offset after which a reader of these filters starts.
    fn seek(
        &self,
        filters: Arc<Filters>,
        seek: Seek,
    ) -> BoxFuture<'_, Result<SeekResult, StorageError>>;

    /// Returns the offsets of the newest `count` events (not ends) of each matching topic up to `until`, in log
    /// order. Returns `None` if these are more than `limit` offsets in total.
    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> BoxFuture<'_, Result<Option<Vec<Offset>>, StorageError>>;

    /// Returns the states of these topics, in the order of `topics`. A topic without any publish has
    /// [`TopicState::default`], and so has one whose row is damaged.
    fn states(
        &self,
        topics: Vec<TopicName>,
    ) -> BoxFuture<'_, Result<Vec<TopicState>, StorageError>>;

    /// Lists the topics that exist (not deleted, and with a record left), by name in byte order. A topic whose row is
    /// damaged is left out, and counted as damage.
    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<Vec<TopicInfo>, StorageError>>;

    /// Trims topics: removes the records of each topic up to its offset.
    ///
    /// When this returns, these records are durably no longer readable. Their space may be freed later, in steps. The
    /// end of a topic is removed only together with all its events.
    fn trim(&self, topics: Vec<(TopicName, Offset)>) -> BoxFuture<'_, Result<(), StorageError>>;

    /// Returns the offset up to which a topic must be trimmed to be within `limits`. `None` if it is, or if there
    /// is no such topic.
    ///
    /// The oldest events are removed first. The end is removed only with the whole topic: if it is older than
    /// [`TrimLimits::ended_since`], or if no event is left and it is older than [`TrimLimits::since`].
    ///
    /// To bound the time of a query, the result may cover only a part of the excess. Trim, then call this again.
    fn trim_point(
        &self,
        topic: TopicName,
        limits: TrimLimits,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>>;

    /// Number of removals so far; see [the trait](Storage#removed-records). Does not access the disk.
    ///
    /// It increases before the removal is visible: before a trim returns, and before the sink gets the record with
    /// which a deleted topic is used again.
    fn removals(&self) -> u64;

    /// Counts of the queries since the storage was opened. Does not access the disk.
    ///
    /// The default is for storages whose queries never wait.
    fn queries(&self) -> QueryCounts {
        QueryCounts::default()
    }

    /// Events and bytes trimmed since the storage was opened. Does not access the disk.
    fn trimmed(&self) -> Trimmed;

    /// Number of damaged or lost records that reads have found since the storage was opened. Does not access the disk.
    fn damaged(&self) -> u64 {
        0
    }

    /// Deletes a topic with its records, its end and its counts. Appends a [`Body::Deleted`] record in their place
    /// and returns its offset. `None` if there is no such topic, or if it is deleted already.
    ///
    /// The deletion is the topic's only record, and the topic's `removed_through` stays below it, so that a reader
    /// with an older cursor reads the deletion and has no gap. When the name is used again, the deletion is removed and
    /// its offset becomes the topic's `removed_through`.
    ///
    /// [`Body::Deleted`]: crate::Body::Deleted
    fn delete(
        &self,
        topic: TopicName,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>>;

    /// Returns the time by which records age, given the time `now` of the system clock.
    ///
    /// An embedded storage notices jumps of the system clock: by comparison with the time that passes, and with the
    /// time of its newest record. A jump ahead by more than an hour does not age records, nor the keys of publishes.
    /// The default believes the system clock.
    fn log_time(&self, now: Timestamp) -> LogTime {
        LogTime { now, jump: None }
    }

    /// Returns all leases, by name in byte order.
    fn leases(&self) -> BoxFuture<'_, Result<Vec<(TopicName, Duration)>, StorageError>>;

    /// Waits until the storage has failed permanently, in any operation, and returns the error.
    ///
    /// The default never completes, for storages that report failures only as results.
    fn failed(&self) -> BoxFuture<'_, StorageError> {
        std::future::pending().boxed()
    }

    /// Returns the live window of the hub over this log: the newest records, in about `bytes` bytes of memory. Called
    /// once, before [`Storage::follow`].
    ///
    /// Keep the default. It is for logs in memory, which share their records with the window.
    #[doc(hidden)]
    fn live_window(&self, bytes: usize) -> LiveWindow {
        LiveWindow::new(self.bounds().tail, bytes)
    }

    /// Asks everything that works for the storage, such as its threads, and returns when it has answered. Changes
    /// nothing.
    ///
    /// Used by readiness checks, with a deadline. The default runs an empty query.
    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.states(Vec::new()).map(|states| states.map(drop)).boxed()
    }

    /// Finishes running operations and releases files, so that the log can be opened again.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A function that a storage calls with each transaction that it just committed and that appended a record or changed
/// a lease.
///
/// It returns quickly and never blocks.
pub type CommitSink = Box<dyn Fn(Commit<'_>) + Send + Sync>;

/// The visible changes of one committed transaction.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The appended records, in the order of offsets.
    pub records: &'a [Arc<Record>],
    /// The changes of leases, in order. They include the leases that an end or a deletion in `records` removed.
    pub leases: &'a [LeaseChange],
}
