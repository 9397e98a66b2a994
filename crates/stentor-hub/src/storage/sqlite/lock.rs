//! The lock on a log: one process at a time has it open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::database_file::DatabaseFile;
use super::open_error::SqliteOpenError;
use super::schema;

/// The lock on a log's directory. It is released when it is dropped, or when the process ends for any reason.
///
/// The lock file can be deleted while it is locked. So the database file is locked too. The lock must outlive all
/// connections to the database, see [`DatabaseFile`].
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    database: Option<DatabaseFile>,
}

impl Lock {
    /// Name of the locked file.
    pub(super) const FILE: &str = "lock";

    /// Takes the lock, also on the database file if there is one.
    ///
    /// # Errors
    /// [`SqliteOpenError::Locked`] with the id of the process that holds it, if known. Retries for up to
    /// 40 ms first.
    pub(super) fn take(dir: &Path) -> Result<Lock, SqliteOpenError> {
        /// [`Lock::holder`] takes the lock for a moment, so one failed attempt proves nothing.
        const TRIES: usize = 5;
        const PAUSE: Duration = Duration::from_millis(10);
        for _ in 1..TRIES {
            match Lock::try_take(dir) {
                Err(SqliteOpenError::Locked { .. }) => thread::sleep(PAUSE),
                done => return done,
            }
        }
        Lock::try_take(dir)
    }

    fn try_take(dir: &Path) -> Result<Lock, SqliteOpenError> {
        let path = dir.join(Self::FILE);
        let io = |error| SqliteOpenError::Io { path: path.clone(), error };
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SqliteOpenError::Locked {
                    dir: dir.to_owned(),
                    process: read_process_id(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let database = match lock_database(dir, false) {
            Err(SqliteOpenError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                None
            }
            // The lock file was deleted and created again. It may still name the process.
            Err(SqliteOpenError::Locked { dir, .. }) => {
                return Err(SqliteOpenError::Locked { dir, process: read_process_id(&mut file) });
            }
            database => Some(database?),
        };
        // The process id only helps people. The lock works without it.
        let _ = write_process_id(&mut file);
        Ok(Lock { _file: file, database })
    }

    /// Creates an empty database file if there is none, and locks it. Returns the database file.
    pub(super) fn create_database(&mut self, dir: &Path) -> Result<&DatabaseFile, SqliteOpenError> {
        match &mut self.database {
            Some(database) => Ok(database),
            none => Ok(none.insert(lock_database(dir, true)?)),
        }
    }

    /// Returns `true` if no other value of this process uses the database file.
    pub(super) fn is_alone(&self) -> bool {
        self.database.as_ref().is_none_or(|database| !database.is_shared())
    }

    /// Returns the process that holds the lock, if any. Does not create the lock file.
    pub(super) fn holder(dir: &Path, database: &DatabaseFile) -> Result<Holder, SqliteOpenError> {
        match Lock::file_holder(dir)? {
            // The lock file may have been deleted.
            Holder::None if database.is_locked() => Ok(Holder::Process(None)),
            holder => Ok(holder),
        }
    }

    fn file_holder(dir: &Path) -> Result<Holder, SqliteOpenError> {
        let path = dir.join(Self::FILE);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // The log was copied without its lock file, and not opened since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holder::None),
            Err(error) => return Err(SqliteOpenError::Io { path, error }),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Holder::None),
            Err(TryLockError::WouldBlock) => Ok(Holder::Process(read_process_id(&mut file))),
            Err(TryLockError::Error(error)) => Err(SqliteOpenError::Io { path, error }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(database) = &self.database {
            database.unlock();
        }
    }
}

fn lock_database(dir: &Path, create: bool) -> Result<DatabaseFile, SqliteOpenError> {
    let path = dir.join(schema::FILE);
    let database = match DatabaseFile::open(&path, create) {
        Ok(database) => database,
        Err(error) => return Err(SqliteOpenError::Io { path, error }),
    };
    match database.try_lock() {
        Ok(()) => Ok(database),
        Err(TryLockError::WouldBlock) => {
            Err(SqliteOpenError::Locked { dir: dir.to_owned(), process: None })
        }
        Err(TryLockError::Error(error)) => Err(SqliteOpenError::Io { path, error }),
    }
}

/// The holder of a log's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The log is not in use.
    None,
    /// A process, with its id if known.
    Process(Option<u32>),
}

/// Reads the process id from the lock file. Returns `None` if there is no valid one.
fn read_process_id(file: &mut File) -> Option<u32> {
    /// Longer than any process id.
    const BYTES_MAX: u64 = 32;
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_process_id(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
