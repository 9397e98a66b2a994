//! Where records are kept: the contract, and the two storages that need no other server.
//!
//! The engine stores, the hub delivers, the server writes sockets. No storage ever sees a
//! subscriber; it answers a few questions about a log, and one conformance suite (feature
//! `testing`) holds every implementation to the sentences below.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod error;
mod key;
mod memory;
mod page_builder;
mod query;
mod result;
mod ring;
#[cfg(feature = "sqlite")]
mod sqlite;
mod trim_point;

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::future::FutureExt;

pub use self::error::StorageError;
pub use self::key::{KeyHash, KeyName, PartHash, StoredKey, part_hash};
pub use self::memory::MemoryStorage;
pub use self::query::{Budget, ReadRequest, Seek, TopicsQuery, TrimLimits};
pub use self::result::{
    Bounds, Outcome, Page, Removed, SeekResult, TopicInfo, TopicState, Trimmed,
};
pub(crate) use self::ring::Ring;
#[cfg(feature = "sqlite")]
pub use self::sqlite::{
    BackedUp, Durability, Export, ExportFrom, Exported, Finding, Imported, LogInfo, SqliteLog,
    SqliteOpenError, SqliteOptions, SqliteStorage, ToolError, VerifyNote,
};
use crate::cursor::{Epoch, Offset};
use crate::filter::Filters;
use crate::publish::Publish;
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// A hub-wide log.
///
/// All methods may be called from any thread and none blocks the caller's: what waits for a disk
/// waits in the returned future. Dropping a future never undoes what it began.
pub trait Storage: Send + Sync + 'static {
    /// The identity of this history. It never changes while the storage is open.
    fn epoch(&self) -> Epoch;

    /// Where the log begins and ends. Cheap: no disk is asked.
    fn bounds(&self) -> Bounds;

    /// Hands all records after `tail` of [`Storage::bounds`] to the feed: each once, in the order
    /// of their offsets, also those that other nodes append, and only when they are durable.
    ///
    /// Called once, before the first append. An embedded storage hands over what it just
    /// committed, without reading it again.
    fn follow(&self, sink: CommitSink);

    /// Appends publishes, with one outcome for each, in order.
    ///
    /// - One append is in flight at a time; the hub sees to that.
    /// - The entries of a publish are appended all or not at all, at offsets that rise in the order
    ///   of the batch. A refused publish does not fail its neighbours, and later publishes of the
    ///   batch see what earlier ones did.
    /// - A publish that [follows](Publish::requires_previous) the one right before it in the batch is withheld if that
    ///   one was refused or withheld, which a repeat is not: [`Publish::is_withheld`] is the rule.
    /// - When it returns `Ok`, what was appended is durable and has been handed to the feed.
    /// - When it returns `Err`, nothing was appended, as far as the storage can know.
    /// - The time of a record is `now`, or the time of the record before it if that is later.
    /// - Unless it is withheld, a key is looked up before anything else, so a repeat is a repeat also after an end.
    ///   A key and its records are stored in one transaction.
    /// - Each part of a streamed upload that is there already is compared by itself: [`Key::check`] is
    ///   the rule. Its repeat restarts the key's window as [`Key::renewed_expiry`] says. The parts are forgotten
    ///   with their key.
    /// - A publish without entries appends nothing: it is a repeat if its key says so, and else differs.
    /// - A publish to a deleted topic begins the topic anew.
    ///
    /// [`Key::check`]: crate::Key::check
    /// [`Key::renewed_expiry`]: crate::Key::renewed_expiry
    fn append(
        &self,
        batch: Vec<Publish>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, StorageError>>;

    /// Appends one publish here and now, with all that [`Storage::append`] promises, or hands it back
    /// untouched: what a storage always does that may have to wait, or may fail.
    #[expect(clippy::result_large_err, reason = "what was handed in comes back")]
    fn append_now(&self, publish: Publish, _now: Timestamp) -> Result<Outcome, Publish> {
        Err(publish)
    }

    /// Reads matching records in log order, the ones appended by a moment within the call.
    ///
    /// Everything up to the answer's `through` has been considered, also when nothing matched, and
    /// `through` is past `after` unless `after` is the tail or `until`. Bounded by the budget, but
    /// never without progress: one record is returned however large it is. Records at or below
    /// their topic's `removed_through` are not returned.
    fn read(&self, request: ReadRequest) -> BoxFuture<'_, Result<Page, StorageError>>;

    /// The records at these offsets, those that are still there, in the order asked. The caller
    /// asks for no more than it can hold.
    fn fetch(&self, offsets: Vec<Offset>) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>>;

    /// Finds where a reader of these filters begins.
    fn seek(
        &self,
        filters: Arc<Filters>,
        seek: Seek,
    ) -> BoxFuture<'_, Result<SeekResult, StorageError>>;

    /// The offsets of the newest `count` events (not ends) of each matching topic up to `until`, in
    /// log order; `None` if these are more than `limit`.
    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> BoxFuture<'_, Result<Option<Vec<Offset>>, StorageError>>;

    /// The states of these topics, in the order asked. A topic that nobody wrote to has
    /// [`TopicState::default`].
    fn states(
        &self,
        topics: Vec<TopicName>,
    ) -> BoxFuture<'_, Result<Vec<TopicState>, StorageError>>;

    /// Topics that exist (not deleted, not wholly trimmed), by name in byte order.
    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<Vec<TopicInfo>, StorageError>>;

    /// Removes what topics hold, each up to an offset; readers are told a gap with reason `trimmed`.
    ///
    /// When it returns, nothing up to there is read any more, durably; the space is given back in
    /// slices behind it. A topic's end goes only with its whole topic.
    fn trim(&self, topics: Vec<(TopicName, Offset)>) -> BoxFuture<'_, Result<(), StorageError>>;

    /// Up to which offset a topic is to be trimmed, so that it keeps no more than this; `None` if there
    /// is nothing to trim, or no such topic.
    ///
    /// The oldest events go first, and the end only with the whole topic: when it is older than
    /// `ended_since`, or when no event is left and it is older than `since`. An answer may cover a
    /// part of what is to go, so that no question takes long: trim, then ask again.
    fn trim_point(
        &self,
        topic: TopicName,
        keep: TrimLimits,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>>;

    /// The count of removals so far, as [`SeekResult::removals`] tells it. Cheap: no disk is asked.
    ///
    /// It grows with each trim and with each deleted topic that begins anew, before anybody is told of
    /// these: before a trim returns, and before the feed has the record that begins a topic anew.
    fn removals(&self) -> u64;

    /// How much trimming has removed since the storage was opened. Cheap: no disk is asked.
    fn trimmed(&self) -> Trimmed;

    /// Deletes a topic: its records, its end, its counts. Appends a [`Body::Deleted`] record in their
    /// place and returns its offset, or `None` if there is no such topic (or none any more).
    ///
    /// Until the topic begins anew, the deletion is the topic's only record and its
    /// `removed_through` lies below it, so older cursors read the deletion and are in no gap. Once
    /// the topic begins anew, the deletion is gone, and `removed_through` is the deletion's offset.
    ///
    /// [`Body::Deleted`]: crate::Body::Deleted
    fn delete(
        &self,
        topic: TopicName,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>>;

    /// Remembers that a topic has a lease of so many whole seconds (a part of one counts as a whole), or
    /// with `None` that it has none. An end or a deletion of the topic takes its lease with it, in the same
    /// transaction. What a lease means is the hub's affair.
    fn set_lease(
        &self,
        topic: TopicName,
        lease: Option<Duration>,
    ) -> BoxFuture<'_, Result<(), StorageError>>;

    /// All leases, by name in byte order.
    fn leases(&self) -> BoxFuture<'_, Result<Vec<(TopicName, Duration)>, StorageError>>;

    /// Waits until the storage has failed for good, whatever it was doing then, and says how. One that
    /// fails in answers only waits for ever.
    fn failed(&self) -> BoxFuture<'_, StorageError> {
        std::future::pending().boxed()
    }

    /// Finishes what is under way and lets go of files, so that the log can be opened again.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What a storage calls with what it just committed. It returns quickly and never blocks.
pub type CommitSink = Box<dyn Fn(&[Arc<Record>]) + Send + Sync>;

/// A length as [`Storage::set_lease`] keeps it.
fn whole_seconds(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs() + u64::from(length.subsec_nanos() > 0))
}
