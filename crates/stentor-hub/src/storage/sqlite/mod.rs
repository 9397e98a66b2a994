//! The embedded durable log, on SQLite.
//!
//! One thread writes, a few read, and futures hand them work:
//!
//! ```text
//! SqliteStorage -> queue -> writer -> change    append, delete, trim: one transaction each
//!                             |    -> sweep     removed rows leave the disk, in slices
//!                             |    -> chores    checkpoints, space given back
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
//! (records) and `key`.

mod ballast;
mod change;
mod chores;
mod clock;
mod column;
mod fault;
mod key;
mod ledger;
mod lock;
mod merge;
mod names;
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
mod topic;
mod view;
mod writer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use futures_core::future::BoxFuture;
use futures_util::future::FutureExt;
use rusqlite::Connection;
use tokio::sync::watch;

use self::ballast::Ballast;
use self::fault::Fault;
use self::ledger::{Ledger, Opened};
use self::lock::Lock;
use self::queue::{Job, Queue};
use self::shared::Shared;
use self::view::{Reader, View};
use self::writer::Writer;
use super::{
    Bounds, Feed, KeyName, Outcome, Page, ReadRequest, Seek, Sought, Storage, StorageError,
    TopicInfo, TopicState, TopicsQuery, Upload,
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

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SqliteOpenError {
    /// Another process uses it, or this one does already.
    #[error(
        "the log in {} is in use{}; stop that program first, or choose another directory", .dir.display(),
        .process.map(|id| format!(" by process {id}")).unwrap_or_default()
    )]
    Locked {
        /// The log's directory.
        dir: PathBuf,
        /// Who uses it, if that is known.
        process: Option<u32>,
    },
    /// A newer Stentor wrote it.
    #[error(
        "the log has format {found} and this version knows formats up to {known}; use the newer version of \
         Stentor that wrote it, or choose another directory"
    )]
    Newer {
        /// The version of the format.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// The file is something else.
    #[error("{} is not a log of Stentor; move it away, or choose another directory", .path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{} cannot be used ({source}); look at its permissions and at the disk", .path.display())]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// Why it cannot be.
        source: io::Error,
    },
    /// SQLite refused.
    #[error(
        "the log cannot be opened ({0}); look at the disk and at the permissions of the directory"
    )]
    Sqlite(#[from] rusqlite::Error),
    /// What is in the file is not what was written.
    #[error("the log is damaged ({reason}); restore it from a backup, or choose another directory")]
    Damaged {
        /// What is wrong, and where.
        reason: String,
    },
}

impl SqliteOpenError {
    fn is_full(&self) -> bool {
        matches!(self, SqliteOpenError::Sqlite(error) if fault::is_full(error))
    }
}

impl From<Fault> for SqliteOpenError {
    fn from(fault: Fault) -> SqliteOpenError {
        match fault {
            Fault::Sqlite(error) => SqliteOpenError::Sqlite(error),
            Fault::Damaged(reason) => SqliteOpenError::Damaged { reason },
            // Nothing is asked with a limit while a log is opened.
            Fault::TooMany { limit } => {
                SqliteOpenError::Damaged { reason: format!("more than {limit} rows") }
            }
        }
    }
}

/// How much of everything; what is not said here is bounded by these.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How many offsets are reserved at a time.
    reserve: u64,
    /// How many records one trim takes at a time; a longer one goes in steps.
    trim_rows: u64,
    /// How many rows, or bytes of them, are taken off the disk at a time.
    slice_rows: u64,
    slice_bytes: u64,
    /// How many topics that hold nothing any more are known by name.
    empty_topics: u64,
    /// How many keys are remembered.
    keys: u64,
    /// How large the file may become, in pages: stands in for a full disk in tests.
    pages: Option<u32>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            reserve: 65_536,
            trim_rows: 20_000,
            slice_rows: 500,
            slice_bytes: 4 << 20,
            empty_topics: 100_000,
            keys: 1_000_000,
            pages: None,
        }
    }
}

/// How many threads read.
const READERS: usize = 3;
/// How many questions wait or are being answered.
const READS_MAX: usize = 64;
/// How many changes wait or are being made. The hub has one append in flight; the others are rare.
const CHANGES_MAX: usize = 16;

impl SqliteStorage {
    /// Opens the log in a directory, or begins one there. Blocks; call it before serving.
    pub fn open(dir: impl AsRef<Path>) -> Result<SqliteStorage, SqliteOpenError> {
        SqliteStorage::open_with(dir.as_ref(), Limits::default())
    }

    fn open_with(dir: &Path, limits: Limits) -> Result<SqliteStorage, SqliteOpenError> {
        create_dir(dir).map_err(|source| SqliteOpenError::Io { path: dir.to_owned(), source })?;
        let lock = Lock::take(dir)?;
        let mut ballast = Ballast::find(dir);
        let (connection, opened) = match open_log(dir, limits) {
            // The last run may have left a full disk and the ballast on it.
            Err(error) if error.is_full() && ballast.is_held() => {
                ballast.release();
                open_log(dir, limits)
            }
            opened => opened,
        }?;
        if let Err(error) = ballast.hold() {
            tracing::warn!(%error, "there is no space to put aside for the case that the disk is full");
        }
        let shared = Arc::new(Shared::new(&opened));
        let (readers, questions) = Queue::new(READS_MAX);
        let reading = spawn_readers(dir, &shared, questions)?;
        let (writer, changes) = Queue::new(CHANGES_MAX);
        let (open, held) = watch::channel(());
        let work = Writer::new(connection, Arc::clone(&shared), opened.ledger, limits, ballast);
        let thread = spawn("stentor-log-writer", dir, move || {
            work.run(&changes, reading);
            // In this order: who waits for `held` may open the log again at once.
            drop(lock);
            drop(held);
        })?;
        Ok(SqliteStorage { shared, writer, readers, thread: Mutex::new(Some(thread)), open })
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

/// Creates the directory so that it survives a power failure as its files do.
fn create_dir(dir: &Path) -> io::Result<()> {
    if !dir.is_dir() {
        fs::create_dir_all(dir)?;
        let parent =
            dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Not every system opens directories; those that do not keep them in order by themselves.
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
    Ok(())
}

fn open_log(dir: &Path, limits: Limits) -> Result<(Connection, Opened), SqliteOpenError> {
    let mut connection = schema::open_writer(dir)?;
    if let Some(pages) = limits.pages {
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    let opened = Ledger::open(&mut connection, limits.reserve)?;
    Ok((connection, opened))
}

fn spawn_readers(
    dir: &Path,
    shared: &Arc<Shared>,
    questions: Receiver<Job<Reader>>,
) -> Result<Vec<JoinHandle<()>>, SqliteOpenError> {
    let questions = Arc::new(Mutex::new(questions));
    let mut threads = Vec::with_capacity(READERS);
    for _ in 0..READERS {
        let mut reader = Reader::new(schema::open_reader(dir)?, Arc::clone(shared));
        let questions = Arc::clone(&questions);
        threads.push(spawn("stentor-log-reader", dir, move || {
            while let Some(question) = next(&questions) {
                question(&mut reader);
            }
        })?);
    }
    Ok(threads)
}

/// Waits for the next job; one idle reader waits, the others wait for its turn to end.
fn next(questions: &Mutex<Receiver<Job<Reader>>>) -> Option<Job<Reader>> {
    questions.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn spawn(
    name: &str,
    dir: &Path,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, SqliteOpenError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|source| SqliteOpenError::Io { path: dir.to_owned(), source })
}

impl Storage for SqliteStorage {
    fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    fn bounds(&self) -> Bounds {
        self.shared.bounds()
    }

    fn tail(&self, feed: Feed) {
        self.shared.set_feed(feed);
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
    ) -> BoxFuture<'_, Result<Sought, StorageError>> {
        self.view(move |view| view.seek(&filters, seek))
    }

    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Offset>, StorageError>> {
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

    fn trim(&self, topic: TopicName, through: Offset) -> BoxFuture<'_, Result<(), StorageError>> {
        async move {
            // In steps, so that appends get their turn in between.
            loop {
                let name = topic.clone();
                if !self.writer.ask(move |writer| writer.trim(&name, through)).await? {
                    return Ok(());
                }
            }
        }
        .boxed()
    }

    fn delete(
        &self,
        topic: TopicName,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>> {
        self.writer.ask(move |writer| writer.delete(&topic, now)).boxed()
    }

    fn upload(
        &self,
        key: KeyName,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Upload>, StorageError>> {
        self.view(move |view| view.upload(&key, now))
    }

    fn by_publisher_id(
        &self,
        topic: TopicName,
        publisher_id: String,
    ) -> BoxFuture<'_, Result<Option<Arc<Record>>, StorageError>> {
        self.view(move |view| view.by_publisher_id(&topic, &publisher_id))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.take_no_more();
            self.open.closed().await;
        }
        .boxed()
    }
}
