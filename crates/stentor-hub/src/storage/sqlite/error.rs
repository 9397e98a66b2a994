//! Why a log is not opened.

use std::io;
use std::path::PathBuf;

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
    /// The file system refused.
    #[error("{} cannot be used ({source}); look at its permissions and at the disk", .path.display())]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// Why it cannot be.
        source: io::Error,
    },
    /// SQLite refused.
    #[error(
        "the log cannot be opened ({0}); look at the disk and at the permissions of the directory"
    )]
    Sqlite(#[from] rusqlite::Error),
    /// What is in the file is not what was written.
    #[error("the log is damaged ({reason}); restore it from a backup, or choose another directory")]
    Damaged {
        /// What is wrong, and where.
        reason: String,
    },
}

impl SqliteOpenError {
    /// Whether the disk has no room for what opening writes.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, SqliteOpenError::Sqlite(error) if fault::is_full(error))
    }
}

impl From<Fault> for SqliteOpenError {
    fn from(fault: Fault) -> SqliteOpenError {
        match fault {
            Fault::Sqlite(error) => SqliteOpenError::Sqlite(error),
            Fault::Damaged(reason) => SqliteOpenError::Damaged { reason },
            // Nothing is asked with a limit while a log is opened.
            Fault::TooMany { limit } => {
                SqliteOpenError::Damaged { reason: format!("more than {limit} rows") }
            }
        }
    }
}
