//! A directory that gets a complete log or none.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{self, ToolError};
use crate::storage::error::StorageError;
use crate::storage::sqlite::lock::Lock;
use crate::storage::sqlite::open;
use crate::storage::sqlite::open_error::SqliteOpenError;
use crate::storage::sqlite::write::ballast::Ballast;

/// A log that is being created.
///
/// It is written in a folder inside the target directory, where no program takes it for a log. One rename moves it
/// out when it is complete. Until then the directory is locked. If it is dropped before, it removes its files; what
/// a killed program left is removed by the next attempt.
pub(super) struct Draft {
    target: PathBuf,
    folder: PathBuf,
    /// `true` if the directory did not exist before.
    is_new: bool,
    is_done: bool,
    lock: Option<Lock>,
}

impl Draft {
    pub(super) const FOLDER: &str = "unfinished";

    /// Starts a log for a directory that is new or empty.
    pub(super) fn begin(target: &Path) -> Result<Draft, ToolError> {
        refuse_occupied(target)?;
        let is_new = !target.exists();
        let refused = |source| ToolError::write(target, source);
        open::create_dir(target).map_err(refused)?;
        let lock = Some(Lock::take(target)?);
        let folder = target.join(Self::FOLDER);
        let draft = Draft { target: target.to_owned(), folder, is_new, is_done: false, lock };
        // Another program may have written to it before the lock was taken.
        refuse_occupied(target)?;
        draft.clear().map_err(refused)?;
        fs::create_dir(&draft.folder).map_err(refused)?;
        Ok(draft)
    }

    /// Returns the directory in which the log is written.
    pub(super) fn dir(&self) -> &Path {
        &self.folder
    }

    /// Converts an error of writing the draft. If the disk is full, the error names the target directory.
    pub(super) fn convert_error(&self, error: ToolError) -> ToolError {
        match error {
            ToolError::Storage(StorageError::Full) | ToolError::Open(SqliteOpenError::Full) => {
                ToolError::Full { dir: self.target.clone() }
            }
            other => other,
        }
    }

    /// Moves the log into the target directory. The log must be closed: then all of it is in
    /// one file.
    pub(super) fn finish(mut self) -> Result<(), ToolError> {
        let (from, to) = (error::file(&self.folder), error::file(&self.target));
        let moved = File::open(&from)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&from, &to))
            .and_then(|()| File::open(&self.target)?.sync_all());
        moved.map_err(|source| ToolError::write(&to, source))?;
        self.is_done = true;
        Ok(())
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Files that cannot be removed are not a log, and the next attempt removes them.
        let _ = self.clear();
        if self.is_new && !self.is_done {
            let _ = fs::remove_file(self.target.join(Lock::FILE));
            let _ = fs::remove_dir(&self.target);
        }
        self.lock.take();
    }
}

/// Returns an error if a directory contains anything but the files of a draft, of a lock, or of the file system.
fn refuse_occupied(dir: &Path) -> Result<(), ToolError> {
    const OURS: [&str; 4] = [Draft::FOLDER, Lock::FILE, Ballast::FILE, "lost+found"];
    let io = |error| ToolError::Open(SqliteOpenError::directory(dir, error));
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    if error::file(dir).exists() {
        return Err(ToolError::Exists { dir: dir.to_owned() });
    }
    for entry in entries {
        let name = entry.map_err(io)?.file_name();
        if !OURS.iter().any(|ours| name == *ours) {
            let name = name.to_string_lossy().into_owned();
            return Err(ToolError::Occupied { dir: dir.to_owned(), name });
        }
    }
    Ok(())
}
