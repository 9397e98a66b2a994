//! Makes a log usable again whose write-ahead log is damaged or missing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::error::{self, ToolError};
use super::log::SqliteLog;
use super::log_row::LogRow;
use crate::cursor::Offset;
use crate::storage::sqlite::crash::{Files, Loss};
use crate::storage::sqlite::lock::Lock;
use crate::storage::sqlite::open_error::SqliteOpenError;
use crate::storage::sqlite::schema;

/// The part of a write-ahead log that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedWal {
    /// The damage, or the missing file.
    pub reason: String,
    /// Number of dropped transactions that are still recognizable. More may be lost.
    pub transactions: u64,
    /// Number of dropped pages.
    pub pages: u64,
    /// The last offset that the log has now.
    pub last: Offset,
}

impl SqliteLog {
    /// Drops the damaged part of the write-ahead log in `dir`, and everything behind it. Also accepts that the
    /// write-ahead log is missing. Returns `None` if nothing is lost, and changes nothing then.
    ///
    /// The transactions before the damage are kept if the result is a sound log. Otherwise the whole write-ahead log
    /// is dropped: the database file may be newer than the damage.
    ///
    /// # Errors
    ///
    /// [`SqliteOpenError::Damaged`] if neither is a sound log; restore a backup then. [`SqliteOpenError::Locked`] if
    /// the log is in use. Others if the files cannot be read or written.
    pub fn accept_loss(dir: impl AsRef<Path>) -> Result<Option<DroppedWal>, ToolError> {
        let dir = dir.as_ref();
        if !error::file(dir).exists() {
            return Err(ToolError::Missing { dir: dir.to_owned() });
        }
        let lock = Lock::take(dir)?;
        let files = Files::read(dir, lock.is_alone())?;
        let reason = match files.loss() {
            None => return Ok(None),
            Some(Loss::Damaged(reason)) => reason,
            Some(Loss::Missing(path)) => format!("{} is missing", path.display()),
        };
        let wal = files.wal.clone().unwrap_or_default();
        let trial = Trial::new(dir)?;
        let (before, without) = (trial.newest(wal.bytes)?, trial.newest(0)?);
        drop(trial);
        let (kept, last) = match (before, without) {
            (Some(before), without) if without.is_none_or(|without| without <= before) => {
                (wal.bytes, before)
            }
            (_, Some(without)) => (0, without),
            (_, None) => return Err(SqliteOpenError::Damaged { reason }.into()),
        };
        files.accept_loss(kept).map_err(|error| ToolError::write(dir, error))?;
        let (transactions, pages) = (wal.left_out.commits, wal.left_out.pages);
        Ok(Some(DroppedWal { reason, transactions, pages, last }))
    }
}

/// A copy of the log, with a part of its write-ahead log. It shares the database file, which reading does not change.
struct Trial {
    wal: PathBuf,
    folder: PathBuf,
}

impl Trial {
    fn new(dir: &Path) -> Result<Trial, ToolError> {
        let folder = dir.join(Draft::FOLDER);
        let trial = Trial { wal: dir.join(schema::WAL_FILE), folder };
        let create = || {
            trial.clear()?;
            fs::create_dir(&trial.folder)?;
            let (from, to) = (error::file(dir), error::file(&trial.folder));
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop))
        };
        create().map_err(|error| ToolError::write(&trial.folder, error))?;
        Ok(trial)
    }

    /// Returns the last offset of the log with this many bytes of its write-ahead log; `None` if it is not sound.
    fn newest(&self, bytes: u64) -> Result<Option<Offset>, ToolError> {
        for name in [schema::WAL_FILE, schema::INDEX_FILE] {
            remove(&self.folder.join(name))?;
        }
        let path = self.folder.join(schema::WAL_FILE);
        let copy = || {
            if bytes > 0 {
                io::copy(&mut File::open(&self.wal)?.take(bytes), &mut File::create(&path)?)?;
            }
            Ok(())
        };
        copy().map_err(|error| ToolError::write(&path, error))?;
        let sound = || {
            let mut log = SqliteLog::open(&self.folder)?;
            let findings = log.verify(&mut |_| ())?;
            let row = LogRow::load(&log.connection)?;
            Ok::<_, ToolError>((findings == 0).then_some(row.newest))
        };
        // A log that cannot be read is not sound.
        Ok(sound().unwrap_or(None))
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // The next attempt removes what is left.
        let _ = self.clear();
    }
}

fn remove(path: &Path) -> Result<(), ToolError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ToolError::write(path, error)),
        _ => Ok(()),
    }
}
