//! The embedded durable log, on SQLite.
//!
//! One thread writes, a few read, and futures hand them work:
//!
//! ```text
//! SqliteStorage -> queue -> writer -> change    append, delete, trim: one transaction each
//!                             |    -> sweep     removed rows leave the disk, in slices
//!                             |    -> keys      what is a repeat, and what of that is forgotten
//!                             |    -> capacity  the oldest records go when the log is full
//!                             |    -> pack      what is left of the log is put together
//!                             |    -> chores    what is done between jobs: expired keys, space given back
//!                             |    -> wal       checkpoints
//!                             |    -> ballast   what to do when the disk is full
//!                             v
//!                           shared              commit -> feed -> tail, in this order
//!                             ^
//!               -> queue -> view   -> read      by the indices of topics (merge) or by a scan (names)
//!                                  -> seek      where reading begins
//!                                  -> removed   what a reader has lost
//! ```
//!
//! The file and its versions are in `schema`; its rows in `ledger` (the log as a whole), `topic`, `row`
//! (records), `key` and `part` (of an upload under a key). What looks into a log beside the program that
//! serves it is in `tools`.

mod ballast;
mod capacity;
mod change;
mod chores;
mod clock;
mod column;
mod error;
mod excess;
mod fault;
mod key;
mod keys;
mod lease;
mod ledger;
mod leftover;
mod limits;
mod lock;
mod merge;
mod names;
mod open;
mod options;
mod pack;
mod part;
mod queue;
mod read;
mod removed;
mod row;
mod schema;
mod seek;
mod shared;
mod sweep;
#[cfg(test)]
mod tests;
mod tools;
mod topic;
mod view;
mod wal;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::future::FutureExt;
use tokio::sync::watch;

pub use self::error::SqliteOpenError;
use self::fault::Fault;
use self::limits::Limits;
pub use self::options::{Durability, SqliteOptions};
use self::queue::Queue;
use self::shared::Shared;
pub use self::tools::{
    BackedUp, Export, ExportFrom, Exported, Finding, Imported, LogInfo, SqliteLog, ToolError,
    VerifyNote,
};
use self::view::{Reader, View};
use self::writer::Writer;
use super::{
    Bounds, CommitSink, Outcome, Page, ReadRequest, Seek, SeekResult, Storage, StorageError,
    TopicInfo, TopicState, TopicsQuery, TrimLimits, Trimmed,
};
use crate::cursor::{Epoch, Offset};
use crate::filter::Filters;
use crate::publish::Publish;
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// A log in a directory of its own that survives whatever the disk survives.
///
/// What [`append`](Storage::append) returned is on the disk. One process uses a directory at a time.
/// Dropping the storage closes it and waits for that; [`close`](Storage::close) does the same without
/// blocking a thread.
///
/// ```
/// use stentor_hub::storage::{SqliteStorage, Storage};
///
/// # let parent = tempfile::tempdir()?;
/// # let dir = parent.path().join("data");
/// let log = SqliteStorage::open(&dir)?;
/// assert_eq!(log.bounds().tail.get(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SqliteStorage {
    shared: Arc<Shared>,
    writer: Queue<Writer>,
    readers: Queue<Reader>,
    /// The writing thread, which ends last.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Closed as soon as that thread has let go of everything.
    open: watch::Sender<()>,
}

impl SqliteStorage {
    /// Opens the log in a directory, or begins one there. Blocks; call it before serving.
    pub fn open(dir: impl AsRef<Path>) -> Result<SqliteStorage, SqliteOpenError> {
        SqliteStorage::open_with(dir, SqliteOptions::default())
    }

    /// The same, kept in another way than the usual one.
    pub fn open_with(
        dir: impl AsRef<Path>,
        options: SqliteOptions,
    ) -> Result<SqliteStorage, SqliteOpenError> {
        SqliteStorage::open_within(dir.as_ref(), Limits::new(options))
    }

    fn view<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StorageError>> {
        self.readers.ask(|reader| reader.view(question)).boxed()
    }

    fn take_no_more(&self) {
        self.readers.close();
        self.writer.close();
    }
}

impl Drop for SqliteStorage {
    fn drop(&mut self) {
        self.take_no_more();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The feed may own the last handle, and a thread cannot wait for itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
        {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl Storage for SqliteStorage {
    fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    fn bounds(&self) -> Bounds {
        self.shared.bounds()
    }

    fn follow(&self, sink: CommitSink) {
        self.shared.set_sink(sink);
    }

    fn append(
        &self,
        batch: Vec<Publish>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, StorageError>> {
        self.writer.ask(move |writer| writer.append(batch, now)).boxed()
    }

    fn read(&self, request: ReadRequest) -> BoxFuture<'_, Result<Page, StorageError>> {
        self.view(move |view| view.read(&request))
    }

    fn fetch(&self, offsets: Vec<Offset>) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>> {
        self.view(move |view| view.fetch(&offsets))
    }

    fn seek(
        &self,
        filters: Arc<Filters>,
        seek: Seek,
    ) -> BoxFuture<'_, Result<SeekResult, StorageError>> {
        self.view(move |view| view.seek(&filters, seek))
    }

    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> BoxFuture<'_, Result<Option<Vec<Offset>>, StorageError>> {
        self.view(move |view| view.newest_each(&filters, count, until, limit))
    }

    fn states(
        &self,
        topics: Vec<TopicName>,
    ) -> BoxFuture<'_, Result<Vec<TopicState>, StorageError>> {
        self.view(move |view| view.states(&topics))
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<Vec<TopicInfo>, StorageError>> {
        self.view(move |view| view.list(&query))
    }

    fn trim_point(
        &self,
        topic: TopicName,
        keep: TrimLimits,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>> {
        self.view(move |view| view.trim_point(&topic, keep))
    }

    fn trim(&self, topics: Vec<(TopicName, Offset)>) -> BoxFuture<'_, Result<(), StorageError>> {
        async move {
            let mut left = topics;
            // In steps, so that appends get their turn in between.
            while !left.is_empty() {
                left = self.writer.ask(move |writer| writer.trim(left)).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn removals(&self) -> u64 {
        self.shared.removals()
    }

    fn trimmed(&self) -> Trimmed {
        self.shared.trimmed()
    }

    fn delete(
        &self,
        topic: TopicName,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>> {
        self.writer.ask(move |writer| writer.delete(&topic, now)).boxed()
    }

    fn set_lease(
        &self,
        topic: TopicName,
        lease: Option<Duration>,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.writer.ask(move |writer| writer.set_lease(&topic, lease)).boxed()
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<(TopicName, Duration)>, StorageError>> {
        self.view(|view| lease::all(view.connection))
    }

    fn failed(&self) -> BoxFuture<'_, StorageError> {
        self.shared.failed().boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.take_no_more();
            self.open.closed().await;
        }
        .boxed()
    }
}
