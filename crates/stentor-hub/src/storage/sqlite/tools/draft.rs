//! A directory that gets its log whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::super::ballast::Ballast;
use super::super::lock::Lock;
use super::super::{SqliteOpenError, open};
use super::{ToolError, error};
use crate::storage::StorageError;

/// A log in the making. It grows in a folder within the directory that is to have it, where nothing takes
/// it for a log, and moves out of there by one rename when it is done. Until then the directory is
/// locked. Dropped before that, it leaves nothing behind; what a killed program left, the next one clears.
pub(super) struct Draft {
    target: PathBuf,
    folder: PathBuf,
    /// Whether the directory was not there before.
    is_new: bool,
    is_done: bool,
    lock: Option<Lock>,
}

impl Draft {
    const FOLDER: &str = "unfinished";

    /// Begins a log for a directory that is new or empty.
    pub(super) fn begin(target: &Path) -> Result<Draft, ToolError> {
        refuse_occupied(target)?;
        let is_new = !target.exists();
        let refused = |source| ToolError::write(target, source);
        open::create_dir(target).map_err(refused)?;
        let lock = Some(Lock::take(target)?);
        let folder = target.join(Self::FOLDER);
        let draft = Draft { target: target.to_owned(), folder, is_new, is_done: false, lock };
        // Somebody may have come before the lock.
        refuse_occupied(target)?;
        draft.clear().map_err(refused)?;
        fs::create_dir(&draft.folder).map_err(refused)?;
        Ok(draft)
    }

    /// Where the log grows.
    pub(super) fn dir(&self) -> &Path {
        &self.folder
    }

    /// What an error means that hit the log in the making.
    pub(super) fn judge(&self, error: ToolError) -> ToolError {
        match error {
            ToolError::Storage(StorageError::Full) | ToolError::Open(SqliteOpenError::Full) => {
                ToolError::Full { dir: self.target.clone() }
            }
            other => other,
        }
    }

    /// Makes it the log of the directory. Its file is complete: nothing of it is in another one.
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
        // What cannot be removed is no log, and the next one clears it.
        let _ = self.clear();
        if self.is_new && !self.is_done {
            let _ = fs::remove_file(self.target.join(Lock::FILE));
            let _ = fs::remove_dir(&self.target);
        }
        self.lock.take();
    }
}

/// Fails if a directory holds anything but what a draft, a lock, or the file system left there.
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
