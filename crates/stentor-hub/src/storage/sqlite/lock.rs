//! One process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::SqliteOpenError;

/// The lock on a log's directory, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// The name of the file that is locked.
    pub(super) const FILE: &str = "lock";

    /// Takes the lock, or tells who has it.
    pub(super) fn take(dir: &Path) -> Result<Lock, SqliteOpenError> {
        /// Who only looks whether the log is in use has the lock for a moment, see [`Lock::look`].
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
                    process: holder(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // Only a help for people: without it the lock is as good.
        let _ = note_holder(&mut file);
        Ok(Lock { _file: file })
    }

    /// Looks whether anybody has the lock, and who.
    pub(super) fn look(dir: &Path) -> Result<Held, SqliteOpenError> {
        let path = dir.join(Self::FILE);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // A log that was copied from elsewhere, and not opened since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Held::No),
            Err(error) => return Err(SqliteOpenError::Io { path, error }),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Held::No),
            Err(TryLockError::WouldBlock) => Ok(Held::By(holder(&mut file))),
            Err(TryLockError::Error(error)) => Err(SqliteOpenError::Io { path, error }),
        }
    }
}

/// Whether a log is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    No,
    /// By a process, if it is known which.
    By(Option<u32>),
}

/// The process that noted itself in the lock, if that can be read.
fn holder(file: &mut File) -> Option<u32> {
    /// More than the digits of any process id.
    const BYTES_MAX: u64 = 32;
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn note_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
