//! Where records are kept: the contract, and the two storages that need no other server.
//!
//! The engine stores, the hub delivers, the server writes sockets. No storage ever sees a
//! subscriber; it answers a few questions about a log, and one conformance suite (feature
//! `testing`) holds every implementation to the sentences below.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod excess;
mod filling;
mod key;
mod memory;
mod ring;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::future::FutureExt;

pub use self::key::{KeyHash, KeyName, PartHash, Upload, part_hash};
pub use self::memory::MemoryStorage;
pub(crate) use self::ring::Ring;
#[cfg(feature = "sqlite")]
pub use self::sqlite::{
    BackedUp, Durability, Export, ExportFrom, Exported, Finding, Imported, LogInfo, SqliteLog,
    SqliteOpenError, SqliteOptions, SqliteStorage, ToolError, VerifyNote,
};
use crate::cursor::{Cursor, Epoch, Offset};

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
    fn tail(&self, feed: Feed);

    /// Appends publishes, with one outcome for each, in order.
    ///
    /// - One append is in flight at a time; the hub sees to that.
    /// - The entries of a publish are appended all or not at all, at offsets that rise in the order
    ///   of the batch. A refused publish does not fail its neighbours, and later publishes of the
    ///   batch see what earlier ones did.
    /// - When it returns `Ok`, what was appended is durable and has been handed to the feed.
    /// - When it returns `Err`, nothing was appended, as far as the storage can know.
    /// - The time of a record is `now`, or the time of the record before it if that is later.
    /// - A key is looked up before anything else, so a repeat is a repeat also after an end.
    ///   A key and its records are stored in one transaction.
    /// - Each part of a streamed upload that is there already is compared by itself: [`Key::check`] is
    ///   the rule. Its repeat restarts the key's window as [`Key::restart`] says. The parts are forgotten
    ///   with their key.
    /// - A publish to a deleted topic begins the topic anew.
    ///
    /// [`Key::check`]: crate::Key::check
    /// [`Key::restart`]: crate::Key::restart
    fn append(
        &self,
        batch: Vec<Publish>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, StorageError>>;

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
    ) -> BoxFuture<'_, Result<Sought, StorageError>>;

    /// The offsets of the newest `count` events (not ends) of each matching topic up to `until`, in
    /// log order. `Err(TooMany)` if that is more than `limit` in all.
    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Offset>, StorageError>>;

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
    fn excess(
        &self,
        topic: TopicName,
        keep: Keep,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>>;

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

    /// How far a streamed upload under a key came, if the key is remembered.
    fn upload(
        &self,
        key: KeyName,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Upload>, StorageError>>;

    /// Remembers that a topic has a lease of so many whole seconds (a part of one counts as a whole), or
    /// with `None` that it has none. An end or a deletion of the topic takes its lease with it, in the same
    /// transaction. What a lease means is the hub's affair.
    fn lease(
        &self,
        topic: TopicName,
        lease: Option<Duration>,
    ) -> BoxFuture<'_, Result<(), StorageError>>;

    /// All leases, by name in byte order.
    fn leases(&self) -> BoxFuture<'_, Result<Vec<(TopicName, Duration)>, StorageError>>;

    /// The record that carries this publisher's id in a topic, the newest if there are several.
    fn by_publisher_id(
        &self,
        topic: TopicName,
        publisher_id: String,
    ) -> BoxFuture<'_, Result<Option<Arc<Record>>, StorageError>>;

    /// Waits until the storage has failed for good, whatever it was doing then, and says how. One that
    /// fails in answers only waits for ever.
    fn failed(&self) -> BoxFuture<'_, StorageError> {
        std::future::pending().boxed()
    }

    /// Finishes what is under way and lets go of files, so that the log can be opened again.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What a storage calls with what it just committed. It returns quickly and never blocks.
pub type Feed = Box<dyn Fn(Vec<Arc<Record>>) + Send + Sync>;

/// Where the log begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The offset of the last record handed to the feed, or burned, or zero: the next one is beyond it.
    pub tail: Offset,
    /// Ranges whose numbers were given up after an unclean stop; both ends are burned. Oldest first.
    pub burned: Vec<(Offset, Offset)>,
}

/// What became of one publish of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was appended.
    Appended {
        /// The id of its first record.
        first: Cursor,
        /// The id of its last record.
        last: Cursor,
    },
    /// Its key was used before for the same content; nothing was appended.
    Repeat {
        /// The id of the first record of that publish.
        first: Cursor,
        /// The id of the last one.
        last: Cursor,
    },
    /// One of its topics has ended; nothing was appended.
    Ended {
        /// The topic.
        topic: TopicName,
        /// The id of its end.
        end: Cursor,
    },
    /// Its key was used before for other content; nothing was appended.
    Differs,
}

/// What to read.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Of which topics.
    pub filters: Arc<Filters>,
    /// After this offset.
    pub after: Offset,
    /// Up to and with this offset, or the tail if that is less.
    pub until: Offset,
    /// How much at most.
    pub budget: Budget,
    /// Removals up to this count have been told to the reader, see [`Removed::removals`].
    pub told: u64,
}

/// How much one read may return or touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Records returned.
    pub records: usize,
    /// Bytes of the records returned, as [`Body::bytes`](crate::Body::bytes) counts them.
    pub bytes: usize,
    /// Rows looked at.
    pub rows: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { records: 500, bytes: 256 << 10, rows: 10_000 }
    }
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The matching records.
    pub records: Vec<Arc<Record>>,
    /// Everything up to here has been considered.
    pub through: Offset,
    /// What a reader at `after` has lost and was not told of.
    pub removed: Option<Removed>,
}

/// Records that a reader asked for, had not read, and never will: a matching topic that is not a
/// deleted one has `removed_through` above `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Whether the first of the topics below lost them by deletion, not by trim.
    pub deleted: bool,
    /// The topics that lost records, at most [`Removed::TOPICS_MAX`].
    pub topics: Vec<TopicName>,
    /// The storage's count of removals so far. A reader that is told this gap hands it back as
    /// `told`, and is told again only of later ones.
    pub removals: u64,
}

impl Removed {
    /// The most topics that a gap names.
    pub const TOPICS_MAX: usize = 32;
}

/// Where a reader wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// Before everything.
    Earliest,
    /// Before the newest `count` matching events (not ends) below an offset.
    Newest {
        /// How many.
        count: usize,
        /// Below which offset.
        before: Offset,
    },
    /// Before the first record with this time or a later one; the tail if there is none yet.
    Since(Timestamp),
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sought {
    /// Reading goes on after this offset.
    pub after: Offset,
    /// The tail at that moment.
    pub tail: Offset,
    /// The storage's count of removals at that moment: a reader that begins here lost nothing by them.
    pub removals: u64,
}

/// What is known of a topic as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicState {
    /// How many events (not ends) it holds.
    pub events: u64,
    /// Their bytes, as [`Body::bytes`](crate::Body::bytes) counts them.
    pub bytes: u64,
    /// Its end or deletion, if it has ended or was deleted and not begun anew.
    pub end: Option<Arc<Record>>,
    /// The highest offset that trim took from it, or that of its last deletion; zero if nothing
    /// was ever removed. See [`Storage::delete`].
    pub removed_through: Offset,
}

/// How much of a topic is to be kept. What is `None` has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Nothing older than this.
    pub since: Option<Timestamp>,
    /// At most so many events.
    pub events: Option<u64>,
    /// At most so many bytes of events, as [`Body::bytes`](crate::Body::bytes) counts them.
    pub bytes: Option<u64>,
    /// Nothing at all if it has ended before this.
    pub ended_since: Option<Timestamp>,
}

/// What trimming removed, be it by a policy or because the log was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How many events.
    pub events: u64,
    /// Their bytes, as [`Body::bytes`](crate::Body::bytes) counts them.
    pub bytes: u64,
}

/// A length as [`Storage::lease`] keeps it.
fn whole_seconds(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs() + u64::from(length.subsec_nanos() > 0))
}

/// Which topics to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsQuery {
    /// Names that begin with this.
    pub prefix: String,
    /// Names after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub topic: TopicName,
    /// How many events it holds.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it has ended.
    pub ended: bool,
}

/// Why a storage did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The disk is full. Reading goes on; writing will again when there is space.
    #[error("the disk is full: nothing was stored; free some space and try again")]
    Full,
    /// The storage cannot be used now, and perhaps later.
    #[error("the log cannot be used now ({reason}); try again later")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// What is on the disk can no longer be vouched for: nothing more is written until a restart.
    #[error(
        "the log has failed ({reason}) and takes no more events; look at the disk, then restart"
    )]
    Failed {
        /// What happened.
        reason: String,
    },
    /// The question has a larger answer than the limit that came with it.
    #[error("this asks for more than {limit} events; ask for fewer events or fewer topics")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}
