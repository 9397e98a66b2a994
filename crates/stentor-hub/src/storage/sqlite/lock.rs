//! One process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::SqliteOpenError;

/// The lock on a log's directory, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    const FILE: &str = "lock";

    /// Takes the lock, or tells who has it.
    pub(super) fn take(dir: &Path) -> Result<Lock, SqliteOpenError> {
        let path = dir.join(Self::FILE);
        let io = |source| SqliteOpenError::Io { path: path.clone(), source };
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
}

/// The process that noted itself in the lock, if that can be read.
fn holder(file: &mut File) -> Option<u32> {
    /// More than the digits of any process id.
    const BYTES_MAX: u64 = 32;
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn note_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
