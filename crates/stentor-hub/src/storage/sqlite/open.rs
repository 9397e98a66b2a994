//! A log that is open: its threads and the queues to them.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::watch;

use super::crash;
use super::db_error::DbError;
use super::last_run::LastRun;
use super::limits::Limits;
use super::lock::Lock;
use super::open_error::SqliteOpenError;
use super::open_files::OpenFiles;
use super::options::Durability;
use super::queue::Queue;
use super::read::snapshot::ReadConnection;
use super::reads::ReadQueue;
use super::schema;
use super::shared_state::SharedState;
use super::write::ballast::Ballast;
use super::write::checkpoint::{Checkpoint, checkpoint};
use super::write::key_sources::KeySources;
use super::write::pages::growth;
use super::write::recovery::{self, Recovered};
use super::write::run;
use super::write::writer::Writer;

/// Number of threads that read.
const READ_THREADS: usize = 3;
/// Maximum number of writes that wait or run. The hub has one append in flight; other writes are rare.
const WRITES_MAX: usize = 16;

/// A log that is open. Dropping it closes the log and waits for that.
pub(super) struct OpenLog {
    pub(super) state: Arc<SharedState>,
    pub(super) writes: Queue<Writer>,
    pub(super) reads: ReadQueue,
    /// The writer's thread, which ends last.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Closed when that thread has released the lock: it then drops the receiver.
    lock_held: watch::Sender<()>,
}

impl OpenLog {
    /// Opens the log in `dir`, or creates one, and starts its threads. Blocks.
    pub(super) fn open(dir: &Path, limits: Limits) -> Result<OpenLog, SqliteOpenError> {
        create_dir(dir).map_err(|error| SqliteOpenError::directory(dir, error))?;
        let mut lock = Lock::take(dir)?;
        let files = crash::Files::read(dir, lock.is_alone())?;
        files.refuse_loss()?;
        let wal = dir.join(schema::WAL_FILE);
        files.rewrite_wal().map_err(|error| SqliteOpenError::Io { path: wal, error })?;
        let database = lock.create_database(dir)?.id();
        let mut ballast = Ballast::find(dir, limits.ballast);
        let (connection, recovered) = match connect(dir, limits, &ballast) {
            // The last run may have left a full disk, with the ballast on it.
            Err(SqliteOpenError::Full) if ballast.is_held() => {
                ballast.release();
                connect(dir, limits, &ballast)
            }
            result => result,
        }?;
        if limits.ballast != Some(0)
            && let Err(error) = ballast.hold(growth(&connection)?)
        {
            tracing::warn!(%error, "cannot reserve disk space (the ballast file) for the case of a full disk");
        }
        mark_unclosed(dir, limits.durability)?;
        warn_if_over_limit(dir, limits);
        let key_sources = KeySources::load(&connection)?;
        let Recovered { epoch, log, burned } = recovered;
        let state = Arc::new(SharedState::new(epoch, burned, &log));
        let reads = ReadQueue::new(READ_THREADS);
        let read_threads = spawn_read_threads(dir, &state, &reads)?;
        let (writes, write_jobs) = Queue::new(WRITES_MAX);
        let (lock_held, lock_receiver) = watch::channel(());
        let files = OpenFiles::new(dir, database)?;
        let mut worker = Writer::new(
            connection,
            Arc::clone(&state),
            log,
            limits,
            ballast,
            files,
            dir.to_owned(),
        );
        worker.key_sources = key_sources;
        let thread = spawn("stentor-writer", dir, move || {
            run::run(worker, &write_jobs, read_threads);
            // In this order: a caller of `close` may open the log again at once.
            drop(lock);
            drop(lock_receiver);
        })?;
        Ok(OpenLog { state, writes, reads, thread: Mutex::new(Some(thread)), lock_held })
    }

    /// Closes the log and waits until its files and its lock are released.
    pub(super) async fn close(&self) {
        self.close_queues();
        self.lock_held.closed().await;
    }

    fn close_queues(&self) {
        self.reads.close();
        self.writes.close();
    }
}

impl Drop for OpenLog {
    fn drop(&mut self) {
        self.close_queues();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The commit sink may own the last handle, and a thread cannot wait for itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
        {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

/// Creates `dir` and its missing parents, and syncs them: they survive a power loss like the files in them.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.is_dir();
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(dir)?;
    for created in missing {
        let parent = created
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        // Some systems cannot open a directory. They make directories durable without a sync.
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
    Ok(())
}

/// Marks the log as one that a server has opened. Its write-ahead log is on the disk, with at least one commit.
fn mark_unclosed(dir: &Path, durability: Durability) -> Result<(), SqliteOpenError> {
    let Err(error) = LastRun::current(durability).write(dir) else { return Ok(()) };
    tracing::warn!(
        %error,
        "cannot write the file `unclosed`; damage of the write-ahead log will not be noticed after a crash"
    );
    // The file of the last run may promise more than this run does.
    let path = dir.join(LastRun::FILE);
    LastRun::remove(dir).map_err(|error| SqliteOpenError::Io { path, error })
}

/// Warns if the log is far larger than its limit, such as one that was imported.
fn warn_if_over_limit(dir: &Path, limits: Limits) {
    /// A log that is larger by a quarter and this many bytes is normal.
    const SLACK: u64 = 1 << 20;
    let Some(limit) = limits.bytes_max else { return };
    let bytes = fs::metadata(dir.join(schema::FILE)).map_or(0, |file| file.len());
    if bytes > limit.saturating_add(limit / 4).saturating_add(SLACK) {
        tracing::warn!(
            bytes,
            limit,
            "the log is larger than its limit; its oldest events are deleted now"
        );
    }
}

fn connect(
    dir: &Path,
    limits: Limits,
    ballast: &Ballast,
) -> Result<(Connection, Recovered), SqliteOpenError> {
    let mut connection = schema::open_writer(dir)?;
    if let Some(pages) = limits.pages {
        connection.pragma_update(None, "max_page_count", pages).map_err(DbError::Sqlite)?;
    }
    if !ballast.is_held() && growth(&connection)? == 0 {
        // The disk was full, and may still be. This checkpoint needs no space, and after it the write-ahead log
        // is overwritten from its start, so the next writes need none either.
        checkpoint(&connection, Checkpoint::Restart)?;
    }
    let recovered = recovery::recover(&mut connection, limits.reserve)?;
    // Everything before this line is synced, with either durability.
    schema::set_durability(&connection, limits.durability).map_err(DbError::Sqlite)?;
    Ok((connection, recovered))
}

fn spawn_read_threads(
    dir: &Path,
    state: &Arc<SharedState>,
    reads: &ReadQueue,
) -> Result<Vec<JoinHandle<()>>, SqliteOpenError> {
    let mut threads = Vec::with_capacity(READ_THREADS);
    for _ in 0..READ_THREADS {
        let mut connection = ReadConnection::new(schema::open_reader(dir)?, Arc::clone(state));
        let reads = reads.clone();
        threads.push(spawn("stentor-reader", dir, move || reads.run_jobs(&mut connection))?);
    }
    Ok(threads)
}

fn spawn(
    name: &str,
    dir: &Path,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, SqliteOpenError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| SqliteOpenError::Io { path: dir.to_owned(), error })
}
