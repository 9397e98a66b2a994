//! What can go wrong below.

use std::fmt::Display;
use std::io;

use rusqlite::{ErrorCode, ffi};

use crate::storage::StorageError;

/// Why a question or a change came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// What is stored is not what was written: what, and where.
    Damaged(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Sqlite(error)
    }
}

impl Fault {
    /// A row that cannot be read: says where it is, if the row and not the reading is at fault.
    pub(super) fn at(place: impl Display, error: rusqlite::Error) -> Fault {
        match error {
            rusqlite::Error::SqliteFailure(..) => Fault::Sqlite(error),
            other => Fault::Damaged(format!("{place} cannot be read: {other}")),
        }
    }

    /// There is no space to put aside for what was to be written.
    pub(super) fn no_ballast(error: &io::Error) -> Fault {
        let code = ffi::Error::new(ffi::SQLITE_FULL);
        Fault::Sqlite(rusqlite::Error::SqliteFailure(code, Some(error.to_string())))
    }

    /// Whether the disk has no room for what was to be written.
    pub(super) fn is_full(&self) -> bool {
        let Fault::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    }
}

impl From<Fault> for StorageError {
    fn from(fault: Fault) -> StorageError {
        if fault.is_full() {
            return StorageError::Full;
        }
        match fault {
            Fault::Damaged(reason) => StorageError::Failed { reason },
            Fault::Sqlite(error) if passes(&error) => {
                StorageError::Unavailable { reason: say(&error) }
            }
            Fault::Sqlite(error) => StorageError::Failed { reason: say(&error) },
        }
    }
}

/// An error with what the disk was doing, and with the number by which it can be looked up.
pub(super) fn say(error: &rusqlite::Error) -> String {
    let Some(code) = error.sqlite_error().map(|error| error.extended_code) else {
        return error.to_string();
    };
    let doing = match code {
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => " in a sync",
        ffi::SQLITE_IOERR_WRITE => " in a write",
        ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ => " in a read",
        ffi::SQLITE_IOERR_TRUNCATE => " while a file was cut short",
        _ => "",
    };
    format!("{error}{doing}, SQLite code {code}")
}

/// Whether an error says nothing about the disk, only about this moment or about what was asked.
fn passes(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(error, _) = error else { return false };
    error.extended_code == ffi::SQLITE_IOERR_NOMEM
        || matches!(
            error.code,
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::TooBig
        )
}
