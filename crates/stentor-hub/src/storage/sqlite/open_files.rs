//! Notices that a file of an open log was deleted or replaced.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::database_file::FileId;
use super::db_error::DbError;
use super::schema;

/// Interval of the checks. Events that are acknowledged in between may be lost with the files.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// The files of an open log, which must stay the ones that were opened.
#[derive(Debug)]
pub(super) struct OpenFiles {
    files: Vec<(PathBuf, FileId)>,
    checked_at: Instant,
}

impl OpenFiles {
    /// Remembers the files in `dir`. `database` is the identity of the database file that is locked.
    ///
    /// # Errors
    /// If a file is not there any more.
    pub(super) fn new(dir: &Path, database: FileId) -> Result<OpenFiles, DbError> {
        let wal = dir.join(schema::WAL_FILE);
        let wal_id = find(&wal).ok_or_else(|| lost(&wal))?;
        let files = vec![(dir.join(schema::FILE), database), (wal, wal_id)];
        let open = OpenFiles { files, checked_at: Instant::now() };
        open.check()?;
        Ok(open)
    }

    /// Checks the files if the last check was an [`INTERVAL`] ago.
    ///
    /// # Errors
    /// If a file was deleted or replaced.
    pub(super) fn check_if_due(&mut self) -> Result<(), DbError> {
        if self.checked_at.elapsed() < INTERVAL {
            return Ok(());
        }
        self.checked_at = Instant::now();
        self.check()
    }

    fn check(&self) -> Result<(), DbError> {
        match self.files.iter().find(|(path, id)| find(path) != Some(*id)) {
            Some((path, _)) => Err(lost(path)),
            None => Ok(()),
        }
    }

    /// Makes the next check due at once.
    #[cfg(test)]
    pub(super) fn forget_check(&mut self) {
        self.checked_at -= INTERVAL;
    }
}

fn find(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|file| FileId::of(&file))
}

fn lost(path: &Path) -> DbError {
    DbError::Failed(format!("{} was deleted or replaced while it was in use", path.display()))
}
