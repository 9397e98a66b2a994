//! Why a log is not opened.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::fault::{self, Fault};

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SqliteOpenError {
    /// Another process uses it, or this one does already.
    #[error(
        "the log in {} is in use{}; stop that program first, or choose another directory", .dir.display(),
        .process.map(|id| format!(" by process {id}")).unwrap_or_default()
    )]
    Locked {
        /// The log's directory.
        dir: PathBuf,
        /// Who uses it, if that is known.
        process: Option<u32>,
    },
    /// A newer Stentor wrote it.
    #[error(
        "the log has format {found} and this version knows formats up to {known}; use the newer version of \
         Stentor that wrote it, or choose another directory"
    )]
    Newer {
        /// The version of the format.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// The file is something else.
    #[error("{} is not a log of Stentor; move it away, or choose another directory", .path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// There is a file where the directory should be.
    #[error("{} is a file; name a directory, which is made if there is none", .path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{} cannot be used ({error}); look at its permissions and at the disk", .path.display())]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// Why it cannot be.
        error: io::Error,
    },
    /// The disk is full, and the space put aside for that is used up too.
    #[error("the disk is full: the log cannot be opened; free some space and try again")]
    Full,
    /// The file system lacks what a write-ahead log needs.
    #[error("{} cannot hold a log, for its file system has no shared memory; choose a local disk", .dir.display())]
    NoWal {
        /// The log's directory.
        dir: PathBuf,
    },
    /// SQLite refused.
    #[error(
        "the log cannot be opened ({reason}); look at the disk and at the permissions of the directory"
    )]
    Sqlite {
        /// What SQLite says.
        reason: String,
    },
    /// What is in the file is not what was written.
    #[error("the log is damaged ({reason}); restore it from a backup, or choose another directory")]
    Damaged {
        /// What is wrong, and where.
        reason: String,
    },
}

impl SqliteOpenError {
    /// Why a directory cannot be used.
    pub(super) fn directory(dir: &Path, error: io::Error) -> SqliteOpenError {
        let path = dir.to_owned();
        if dir.is_file() {
            return SqliteOpenError::NotADirectory { path };
        }
        SqliteOpenError::Io { path, error }
    }
}

impl From<Fault> for SqliteOpenError {
    fn from(fault: Fault) -> SqliteOpenError {
        if fault.is_full() {
            return SqliteOpenError::Full;
        }
        match fault {
            Fault::Sqlite(error) => {
                let reason = fault::say(&error);
                match error.sqlite_error_code() {
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                        SqliteOpenError::Damaged { reason }
                    }
                    _ => SqliteOpenError::Sqlite { reason },
                }
            }
            Fault::Damaged(reason) => SqliteOpenError::Damaged { reason },
        }
    }
}
