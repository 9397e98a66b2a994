//! Repairs a log: copies its sound rows into a new one, and puts that in its place.

mod rebuild;
mod repaired;
mod salvage;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use self::rebuild::Rebuild;
pub use self::repaired::Repaired;
use self::salvage::Salvage;
use super::error::{self, ToolError};
use super::log::SqliteLog;
use crate::storage::sqlite::last_run::LastRun;
use crate::storage::sqlite::lock::Lock;
use crate::storage::sqlite::schema;

/// Options of [`SqliteLog::repair`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairOptions {
    /// Directory of a backup of this log, from which lost records are restored.
    pub from: Option<PathBuf>,
    /// Drops what is damaged and cannot be restored. Without it, a repair that would lose a row changes nothing.
    pub accept_loss: bool,
}

/// Folder in which the new log is written.
const FOLDER: &str = "unfinished";
/// Folder that keeps the damaged files. A number is added if it exists.
const KEPT: &str = "before-repair";

impl SqliteLog {
    /// Repairs the log in `dir`, which no process may use. Passes each loss, and each row that was restored or computed
    /// again, to `notify`.
    ///
    /// Writes a new log from the sound rows, verifies it, and puts it in place of the old one. The old files are kept
    /// in `before-repair`. If the log is sound, nothing changes.
    ///
    /// # Errors
    ///
    /// [`ToolError::Loss`] if rows would be lost and [`RepairOptions::accept_loss`] is not set. Others if the log is in
    /// use, cannot be read at all, or cannot be written. After an error the log is as it was.
    pub fn repair(
        dir: &Path,
        options: &RepairOptions,
        notify: &mut dyn FnMut(String),
    ) -> Result<Repaired, ToolError> {
        let lock = Lock::take(dir)?;
        let log = SqliteLog::open(dir)?;
        log.refuse_older_format()?;
        let backup = options.from.as_deref().map(SqliteLog::open).transpose()?;
        if let Some(backup) = &backup {
            backup.refuse_older_format()?;
        }
        let mut findings = 0;
        let mut log = log;
        // A log in such a state that it cannot be verified is damaged too.
        let verified = log.verify(&mut |_| findings += 1);
        if verified.is_ok_and(|findings| findings == 0) {
            return Ok(Repaired::default());
        }
        let folder = dir.join(FOLDER);
        clear(&folder).and_then(|()| fs::create_dir(&folder)).map_err(write_error(&folder))?;
        let repaired = rebuild(&folder, &log, backup.as_ref(), options, notify);
        drop(log);
        let swapped = repaired.and_then(|repaired| {
            let kept = swap(dir, &folder)?;
            Ok(Repaired { damaged_files: Some(kept), ..repaired })
        });
        // The folder that remains is not a log, and the next attempt removes it.
        let _ = clear(&folder);
        drop(lock);
        swapped
    }

    fn refuse_older_format(&self) -> Result<(), ToolError> {
        if self.version >= schema::SUMS_SINCE {
            return Ok(());
        }
        Err(ToolError::NoChecksums { dir: self.dir.clone(), found: self.version })
    }
}

/// Writes the new log in `folder` and verifies it.
fn rebuild(
    folder: &Path,
    log: &SqliteLog,
    backup: Option<&SqliteLog>,
    options: &RepairOptions,
    notify: &mut dyn FnMut(String),
) -> Result<Repaired, ToolError> {
    let salvage = Salvage::read(&log.connection, backup.map(|backup| &backup.connection), notify)?;
    let repaired = Rebuild::run(folder, &salvage, notify)?;
    if repaired.lost + repaired.lost_rows > 0 && !options.accept_loss {
        return Err(ToolError::Loss { records: repaired.lost, rows: repaired.lost_rows });
    }
    let mut first = None;
    let findings = SqliteLog::open(folder)?.verify(&mut |note| {
        if let super::VerifyNote::Finding(finding) = note {
            first.get_or_insert(finding.to_string());
        }
    })?;
    match first {
        Some(finding) => Err(ToolError::NotRepaired { findings, finding }),
        None => Ok(repaired),
    }
}

/// Puts the new log in place of the old one, and returns the folder that keeps the old files.
fn swap(dir: &Path, folder: &Path) -> Result<PathBuf, ToolError> {
    let (old, new) = (error::file(dir), error::file(folder));
    // Usually this leaves one file, so that the exchange is one rename.
    if let Ok(connection) = rusqlite::Connection::open(&old) {
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    let mut number = 1;
    let mut kept = dir.join(KEPT);
    while kept.exists() {
        number += 1;
        kept = dir.join(format!("{KEPT}-{number}"));
    }
    let swapped = fs::create_dir(&kept).and_then(|()| {
        for name in [schema::FILE, schema::WAL_FILE] {
            let (from, to) = (dir.join(name), kept.join(name));
            if from.exists() && fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
            }
        }
        File::open(&kept)?.sync_all()?;
        for name in [schema::WAL_FILE, "log.db-shm"] {
            match fs::remove_file(dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        File::open(&new)?.sync_all()?;
        fs::rename(&new, &old)?;
        // The new log is closed, whatever the last run left.
        LastRun::remove(dir)?;
        File::open(dir)?.sync_all()
    });
    swapped.map_err(write_error(&old))?;
    Ok(kept)
}

fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> ToolError {
    move |error| ToolError::write(path, error)
}
