//! The database file as this process has it open: its identity and the lock on it.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A descriptor of a database file. All values for one file in a process share one descriptor.
///
/// POSIX drops all locks that a process has on a file as soon as the process closes any descriptor of it, and SQLite
/// uses such locks. So a value must outlive every connection to its file, and no other code may open the file.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    id: FileId,
}

/// Identity of a file. A file that replaces another one at a path has another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(file: &Metadata) -> FileId {
        FileId { device: file.dev(), inode: file.ino() }
    }
}

/// The descriptor that the values for one file share.
struct Shared {
    id: FileId,
    file: File,
    /// Number of values that use it.
    users: usize,
    /// `true` if one of the values has the lock.
    is_locked: bool,
}

/// The database files that this process has open.
static OPEN: Mutex<Vec<Shared>> = Mutex::new(Vec::new());

/// `flock` is used where it is independent of the locks of SQLite. On BSD systems the two exclude each other.
const USES_FLOCK: bool = cfg!(target_os = "linux");

impl DatabaseFile {
    /// Opens the file at `path`. Creates an empty one if there is none and `create` is `true`.
    pub(super) fn open(path: &Path, create: bool) -> io::Result<DatabaseFile> {
        let mut open = open_files();
        // Without a new descriptor if there is one already: closing the new one would drop SQLite's locks.
        let found = fs::metadata(path).ok().map(|file| FileId::of(&file));
        if let Some(shared) = open.iter_mut().find(|shared| Some(shared.id) == found) {
            shared.users += 1;
            return Ok(DatabaseFile { id: shared.id });
        }
        let file = OpenOptions::new().read(true).write(create).create(create).open(path)?;
        let id = FileId::of(&file.metadata()?);
        open.push(Shared { id, file, users: 1, is_locked: false });
        Ok(DatabaseFile { id })
    }

    /// Returns the identity of the file.
    pub(super) fn id(&self) -> FileId {
        self.id
    }

    /// Locks the file. The lock is held until [`unlock`](Self::unlock).
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if another process has it locked, or another value of this process.
    pub(super) fn try_lock(&self) -> Result<(), TryLockError> {
        self.with(|shared| {
            if shared.is_locked {
                return Err(TryLockError::WouldBlock);
            }
            if USES_FLOCK {
                shared.file.try_lock()?;
            }
            shared.is_locked = true;
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    /// Releases the lock of [`try_lock`](Self::try_lock).
    pub(super) fn unlock(&self) {
        self.with(|shared| {
            shared.is_locked = false;
            // If it fails, the lock ends when the descriptor is closed.
            let _ = shared.file.unlock();
        });
    }

    /// Returns `true` if any process has the file locked.
    pub(super) fn is_locked(&self) -> bool {
        let is_locked = self.with(|shared| {
            if shared.is_locked || !USES_FLOCK {
                return shared.is_locked;
            }
            match shared.file.try_lock_shared() {
                Ok(()) => shared.file.unlock().is_err(),
                Err(TryLockError::WouldBlock) => true,
                // The file system has no such locks.
                Err(TryLockError::Error(_)) => false,
            }
        });
        is_locked.unwrap_or(false)
    }

    /// Returns `true` if other values of this process use the file.
    pub(super) fn is_shared(&self) -> bool {
        self.with(|shared| shared.users > 1).unwrap_or(false)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Shared) -> T) -> Option<T> {
        open_files().iter_mut().find(|shared| shared.id == self.id).map(work)
    }
}

impl Drop for DatabaseFile {
    fn drop(&mut self) {
        let mut open = open_files();
        if let Some(at) = open.iter().position(|shared| shared.id == self.id)
            && let Some(shared) = open.get_mut(at)
        {
            shared.users -= 1;
            if shared.users == 0 {
                // Closed before another value can be created.
                open.swap_remove(at);
            }
        }
    }
}

fn open_files() -> MutexGuard<'static, Vec<Shared>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}
