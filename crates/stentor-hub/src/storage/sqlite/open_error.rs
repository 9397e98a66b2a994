//! The error of opening a log.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::db_error::{self, DbError};

/// Reason why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SqliteOpenError {
    /// Another process uses the log, or this process has it open already.
    #[error(
        "the log in {} is in use{}; stop that program first, or choose another directory", .dir.display(),
        .process.map(|id| format!(" by process {id}")).unwrap_or_default()
    )]
    Locked {
        /// Directory of the log.
        dir: PathBuf,
        /// Id of the process that uses it, if known.
        process: Option<u32>,
    },
    /// The log was written by a newer version of Stentor.
    #[error(
        "the log has format {found} and this version knows formats up to {known}; use the newer version of \
         Stentor that wrote it, or choose another directory"
    )]
    Newer {
        /// Format version of the log.
        found: i64,
        /// Newest format version that this program knows.
        known: i64,
    },
    /// The file is not a log.
    #[error("{} is not a log of Stentor; move it away, or choose another directory", .path.display())]
    NotALog {
        /// Path of the file.
        path: PathBuf,
    },
    /// The path of the directory is a file.
    #[error("{} is a file; choose a directory (it is created if it does not exist)", .path.display())]
    NotADirectory {
        /// Path of the file.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot use {} ({error}); check its permissions and the disk", .path.display())]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the file operation.
        error: io::Error,
    },
    /// The disk is full, and the reserved space is used up too.
    #[error("the disk is full: the log cannot be opened; free some space and try again")]
    Full,
    /// The file system lacks the shared memory that a write-ahead log needs.
    #[error("{} cannot hold a log: its file system has no shared memory; choose a local disk", .dir.display())]
    NoWal {
        /// Directory of the log.
        dir: PathBuf,
    },
    /// The log has an older format and cannot be backed up before its migration.
    #[error(
        "the log has format {found} and cannot be backed up before its migration ({reason}); solve that, or skip the \
         backup with --no-backup"
    )]
    MigrationBackup {
        /// Format version of the log.
        found: i64,
        /// The error, or the first finding of the verification.
        reason: String,
    },
    /// SQLite returned an error.
    #[error(
        "the log cannot be opened ({reason}); check the disk and the permissions of the directory"
    )]
    Sqlite {
        /// Message of SQLite.
        reason: String,
    },
    /// The write-ahead log is damaged in front of acknowledged events.
    #[error(
        "{} is damaged: {reason}, and {transactions} transactions would be lost; restore the log from a backup, \
         or drop them with `stentor log repair --accept-loss`", .path.display()
    )]
    DamagedWal {
        /// Path of the write-ahead log.
        path: PathBuf,
        /// The damage.
        reason: String,
        /// Number of transactions found behind the damage.
        transactions: u64,
    },
    /// A file of a log that was not closed properly is missing.
    #[error(
        "{} is missing, although the log was not closed properly: its newest events are lost; put the file back, \
         restore the log from a backup, or go on without it with `stentor log repair --accept-loss`", .path.display()
    )]
    MissingFile {
        /// Path of the file.
        path: PathBuf,
    },
    /// The stored data is invalid.
    #[error("the log is damaged ({reason}); restore it from a backup, or choose another directory")]
    Damaged {
        /// The invalid value, and its place.
        reason: String,
    },
}

impl SqliteOpenError {
    /// The error for a directory that cannot be used.
    pub(super) fn directory(dir: &Path, error: io::Error) -> SqliteOpenError {
        let path = dir.to_owned();
        if dir.is_file() {
            return SqliteOpenError::NotADirectory { path };
        }
        SqliteOpenError::Io { path, error }
    }
}

impl From<DbError> for SqliteOpenError {
    fn from(error: DbError) -> SqliteOpenError {
        if error.is_disk_full() {
            return SqliteOpenError::Full;
        }
        match error {
            DbError::Sqlite(error) => {
                let reason = db_error::describe(&error);
                match error.sqlite_error_code() {
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                        SqliteOpenError::Damaged { reason }
                    }
                    _ => SqliteOpenError::Sqlite { reason },
                }
            }
            DbError::Damaged(reason) => SqliteOpenError::Damaged { reason },
            DbError::Failed(reason) => SqliteOpenError::Sqlite { reason },
        }
    }
}
