//! From a directory to a log with its threads.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::watch;

use super::ballast::{Ballast, growth};
use super::fault::Fault;
use super::ledger::{Ledger, Opened};
use super::limits::Limits;
use super::lock::Lock;
use super::queue::{Job, Queue};
use super::shared::Shared;
use super::view::Reader;
use super::writer::Writer;
use super::{SqliteOpenError, SqliteStorage, leftover, schema};

/// How many threads read.
const READERS: usize = 3;
/// How many questions wait or are being answered.
const READS_MAX: usize = 64;
/// How many changes wait or are being made. The hub has one append in flight; the others are rare.
const CHANGES_MAX: usize = 16;

impl SqliteStorage {
    pub(super) fn open_within(
        dir: &Path,
        limits: Limits,
    ) -> Result<SqliteStorage, SqliteOpenError> {
        create_dir(dir).map_err(|error| SqliteOpenError::directory(dir, error))?;
        let lock = Lock::take(dir)?;
        let mut ballast = Ballast::find(dir, limits.ballast);
        let (connection, opened) = match open_log(dir, limits, &ballast) {
            // The last run may have left a full disk and the ballast on it.
            Err(SqliteOpenError::Full) if ballast.is_held() => {
                ballast.release();
                open_log(dir, limits, &ballast)
            }
            opened => opened,
        }?;
        if limits.ballast != Some(0)
            && let Err(error) = ballast.hold(growth(&connection)?)
        {
            tracing::warn!(%error, "there is no space to put aside for the case that the disk is full");
        }
        tell_excess(dir, limits);
        let shared = Arc::new(Shared::new(&opened));
        let (readers, questions) = Queue::new(READS_MAX);
        let reading = spawn_readers(dir, &shared, questions)?;
        let (writer, changes) = Queue::new(CHANGES_MAX);
        let (open, held) = watch::channel(());
        let work = Writer::new(connection, Arc::clone(&shared), opened.ledger, limits, ballast);
        let thread = spawn("stentor-writer", dir, move || {
            work.run(&changes, reading);
            // In this order: who waits for `held` may open the log again at once.
            drop(lock);
            drop(held);
        })?;
        Ok(SqliteStorage { shared, writer, readers, thread: Mutex::new(Some(thread)), open })
    }
}

/// Creates the directory, and those above it, so that they survive a power failure as its files do.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.is_dir();
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(dir)?;
    for made in missing {
        let parent =
            made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Not every system opens directories; those that do not keep them in order by themselves.
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
    Ok(())
}

/// Says that much is about to go, to whoever opens a log with a smaller bound than it had, such as one that
/// was imported.
fn tell_excess(dir: &Path, limits: Limits) {
    /// Room beyond the bound that is no news: a quarter of it, and so many bytes.
    const SLACK: u64 = 1 << 20;
    let Some(most) = limits.bytes_max else { return };
    let bytes = fs::metadata(dir.join(schema::FILE)).map_or(0, |file| file.len());
    if bytes > most.saturating_add(most / 4).saturating_add(SLACK) {
        tracing::warn!(bytes, most, "the log takes more than it may: its oldest events go now");
    }
}

fn open_log(
    dir: &Path,
    limits: Limits,
    ballast: &Ballast,
) -> Result<(Connection, Opened), SqliteOpenError> {
    let wal = || dir.join(schema::WAL_FILE);
    leftover::bring_to_disk(dir).map_err(|error| SqliteOpenError::Io { path: wal(), error })?;
    let mut connection = schema::open_writer(dir)?;
    if let Some(pages) = limits.pages {
        connection.pragma_update(None, "max_page_count", pages).map_err(Fault::Sqlite)?;
    }
    if !ballast.is_held() && growth(&connection)? == 0 {
        // The disk was full, and may be. The copy needs no space, and what follows then needs none either.
        schema::begin_wal_anew(&connection).map_err(Fault::Sqlite)?;
    }
    let opened = Ledger::open(&mut connection, limits.reserve)?;
    // What was written until here is on the disk in any case.
    schema::set_durability(&connection, limits.durability).map_err(Fault::Sqlite)?;
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
        threads.push(spawn("stentor-reader", dir, move || {
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
    spawned.map_err(|error| SqliteOpenError::Io { path: dir.to_owned(), error })
}
