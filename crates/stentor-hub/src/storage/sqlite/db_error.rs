//! The error of the functions that read and write the database.

use std::fmt::Display;
use std::io::{self, ErrorKind};

use rusqlite::{ErrorCode, ffi};

use crate::storage::error::StorageError;

/// Reason why a query or a write transaction failed.
#[derive(Debug)]
pub(super) enum DbError {
    /// SQLite returned an error.
    Sqlite(rusqlite::Error),
    /// The stored data is invalid. The text says what is wrong, and where.
    Damaged(String),
    /// The log cannot be written any more. The text says why.
    Failed(String),
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> DbError {
        DbError::Sqlite(error)
    }
}

impl DbError {
    /// Creates the error for a row that cannot be read. `place` names the row in the message. An error of SQLite
    /// itself, such as a failed read of the file, is kept without it.
    pub(super) fn at(place: impl Display, error: rusqlite::Error) -> DbError {
        match error {
            rusqlite::Error::SqliteFailure(..) => DbError::Sqlite(error),
            other => DbError::Damaged(format!("{place} cannot be read: {other}")),
        }
    }

    /// Creates the error for a write whose ballast cannot be written.
    pub(super) fn no_ballast(error: &io::Error) -> DbError {
        let code = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                ffi::SQLITE_FULL
            }
            // No free file descriptor, for example. It is not a sign of a full or failed disk.
            _ => ffi::SQLITE_CANTOPEN,
        };
        let text = format!("the ballast file cannot be written: {error}");
        DbError::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(text)))
    }

    /// Returns `true` if a commit failed after its last write to the write-ahead log: in SQLite's index of that log.
    pub(super) fn is_behind_the_writes(&self) -> bool {
        let DbError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        let code = error.extended_code;
        error.code == ErrorCode::OutOfMemory
            || [ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_SHMMAP, ffi::SQLITE_IOERR_NOMEM]
                .contains(&code)
    }

    /// Returns `true` if stored data is invalid: a row, or the structure of the file.
    pub(super) fn is_corrupt(&self) -> bool {
        match self {
            DbError::Damaged(_) => true,
            DbError::Failed(_) => false,
            DbError::Sqlite(error) => error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt),
        }
    }

    /// Describes the error for the report of damaged rows.
    pub(super) fn place(&self) -> String {
        match self {
            DbError::Damaged(reason) | DbError::Failed(reason) => reason.clone(),
            DbError::Sqlite(error) => describe(error),
        }
    }

    /// Returns `true` if the write failed because the disk is full.
    pub(super) fn is_disk_full(&self) -> bool {
        let DbError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    }
}

impl From<DbError> for StorageError {
    fn from(error: DbError) -> StorageError {
        if error.is_disk_full() {
            return StorageError::Full;
        }
        match error {
            DbError::Damaged(reason) => StorageError::Damaged { reason },
            DbError::Failed(reason) => StorageError::Failed { reason },
            DbError::Sqlite(error) if is_transient(&error) => {
                StorageError::Unavailable { reason: describe(&error) }
            }
            DbError::Sqlite(error) => StorageError::Failed { reason: describe(&error) },
        }
    }
}

/// Describes an SQLite error, with the file operation that failed and the extended error code.
pub(super) fn describe(error: &rusqlite::Error) -> String {
    let Some(code) = error.sqlite_error().map(|error| error.extended_code) else {
        return error.to_string();
    };
    let operation = match code {
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => " in a sync",
        ffi::SQLITE_IOERR_WRITE => " in a write",
        ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ => " in a read",
        ffi::SQLITE_IOERR_TRUNCATE => " while truncating a file",
        ffi::SQLITE_CANTOPEN => {
            " (is there a free file descriptor, and permission to open the files?)"
        }
        _ => "",
    };
    format!("{error}{operation}, SQLite code {code}")
}

/// Returns `true` if a retry may succeed, because the error is not a sign of a failed disk or damaged data.
fn is_transient(error: &rusqlite::Error) -> bool {
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
