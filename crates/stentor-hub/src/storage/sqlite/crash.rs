//! Checks the files that a crash has left, before SQLite opens them.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::last_run::LastRun;
use super::open_error::SqliteOpenError;
use super::options::Durability;
use super::schema;
use super::wal::Wal;
use super::wal::index::WalIndex;

/// Files of a log that is not in use.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    /// The run that has not closed the log; `None` if it was closed, or by a version that did not write this.
    last_run: Option<LastRun>,
    pub(super) wal: Option<Wal>,
    index: Option<WalIndex>,
}

/// The write-ahead log of a log that was not closed properly has lost acknowledged events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// A file is missing.
    Missing(PathBuf),
    /// The write-ahead log is damaged, for this reason.
    Damaged(String),
}

impl Files {
    /// Reads the files. No process may use the log. `is_alone` is `false` if this process has a connection to it:
    /// reading SQLite's index would then drop its locks.
    pub(super) fn read(dir: &Path, is_alone: bool) -> Result<Files, SqliteOpenError> {
        let io = |name: &str, error| SqliteOpenError::Io { path: dir.join(name), error };
        Ok(Files {
            dir: dir.to_owned(),
            last_run: LastRun::read(dir).map_err(|error| io(LastRun::FILE, error))?,
            wal: Wal::read(&dir.join(schema::WAL_FILE))
                .map_err(|error| io(schema::WAL_FILE, error))?,
            index: if is_alone { WalIndex::read(&dir.join(schema::INDEX_FILE)) } else { None },
        })
    }

    /// Returns the loss of acknowledged events, if there is one that a crash does not explain.
    ///
    /// With durability `os`, a crash may lose any part of the write-ahead log.
    pub(super) fn loss(&self) -> Option<Loss> {
        let last_run = self.last_run.as_ref()?;
        let database = self.dir.join(schema::FILE);
        if !fs::metadata(&database).is_ok_and(|file| file.len() > 0) {
            return Some(Loss::Missing(database));
        }
        let Some(wal) = &self.wal else {
            return Some(Loss::Missing(self.dir.join(schema::WAL_FILE)));
        };
        if last_run.durability == Durability::Os {
            return None;
        }
        wal.damage(self.index, last_run.is_of_this_boot()).map(Loss::Damaged)
    }

    /// Converts a loss to the error that says what to do.
    pub(super) fn refuse_loss(&self) -> Result<(), SqliteOpenError> {
        match self.loss() {
            None => Ok(()),
            Some(Loss::Missing(path)) => Err(SqliteOpenError::MissingFile { path }),
            Some(Loss::Damaged(reason)) => {
                let path = self.dir.join(schema::WAL_FILE);
                let transactions = self.wal.as_ref().map_or(0, |wal| wal.left_out.commits);
                Err(SqliteOpenError::DamagedWal { path, reason, transactions })
            }
        }
    }

    /// Writes the write-ahead log again with the bytes that it has, up to the last commit, and syncs it. Drops what
    /// is behind that: a torn transaction, and frames of older generations. Does nothing if there is no file.
    ///
    /// If the last run ended with a failed sync, the operating system may return bytes that are not on the disk, and
    /// no later sync would write them, because the system considers them written. A power loss would then lose
    /// everything recovered from them and everything appended after them.
    ///
    /// The torn transaction must not stay: after the next crash it would look like a later one.
    pub(super) fn rewrite_wal(&self) -> io::Result<()> {
        let Some(wal) = &self.wal else { return Ok(()) };
        if wal.left_out.pages > 0 {
            tracing::warn!(
                pages = wal.left_out.pages,
                transactions = wal.left_out.commits,
                "the crash left an incomplete transaction at the end of the write-ahead log; it is dropped"
            );
        }
        self.keep(wal.bytes)
    }

    /// Keeps `bytes` of the write-ahead log and syncs it. Afterwards the log can be opened.
    pub(super) fn accept_loss(&self, bytes: u64) -> io::Result<()> {
        self.keep(bytes)?;
        // It names frames that are gone now.
        match fs::remove_file(self.dir.join(schema::INDEX_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        LastRun::remove(&self.dir)
    }

    fn keep(&self, bytes: u64) -> io::Result<()> {
        /// Number of bytes read and written at a time.
        const CHUNK: u64 = 1 << 20;
        let path = self.dir.join(schema::WAL_FILE);
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let mut chunk = Vec::new();
        let mut at = 0;
        while at < bytes {
            chunk.resize(usize::try_from(CHUNK.min(bytes - at)).unwrap_or_default(), 0);
            file.read_exact_at(&mut chunk, at)?;
            file.write_all_at(&chunk, at)?;
            at += chunk.len() as u64;
        }
        file.set_len(bytes)?;
        file.sync_all()
    }
}
