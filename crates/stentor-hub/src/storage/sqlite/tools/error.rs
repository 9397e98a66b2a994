//! The error of the tools.

use std::io;
use std::path::{Path, PathBuf};

use crate::storage::error::StorageError;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::open_error::SqliteOpenError;
use crate::storage::sqlite::schema;

/// Reason why a log cannot be read, copied or created.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The directory has no log.
    #[error("there is no log in {}; name its directory with --data", .dir.display())]
    Missing {
        /// Directory that was searched.
        dir: PathBuf,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Open(#[from] SqliteOpenError),
    /// The log cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The directory for the new log has a log already.
    #[error("there is already a log in {}; choose a directory that is new or empty", .dir.display())]
    Exists {
        /// Path of the directory.
        dir: PathBuf,
    },
    /// The directory for the new log is not empty.
    #[error("{} is not empty (it contains {name}); choose a directory that is new or empty", .dir.display())]
    Occupied {
        /// Path of the directory.
        dir: PathBuf,
        /// Name of a file in it.
        name: String,
    },
    /// The start id is of another log.
    #[error("the id {id} is not from this log; start with `earliest` or a time")]
    ForeignId {
        /// The start id.
        id: String,
    },
    /// The start id is after the end of this log.
    #[error(
        "this log ends before the id {id}; start with `earliest`, a time, or an id from this log"
    )]
    Beyond {
        /// The start id.
        id: String,
    },
    /// The disk for the new log is full.
    #[error("the disk of {} is full; free some space there and try again", .dir.display())]
    Full {
        /// Directory of the new log.
        dir: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {} ({error}); check its permissions and the disk", .path.display())]
    Write {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the file operation.
        error: io::Error,
    },
    /// The input of an import cannot be read.
    #[error("cannot read the input ({error}); check the file or pipe, then import again")]
    Read {
        /// Error of the read.
        error: io::Error,
    },
    /// A repair would lose data.
    #[error(
        "{records} records and {rows} other rows cannot be restored and nothing was changed; name a backup with \
         --from, or accept the loss with --accept-loss"
    )]
    Loss {
        /// Number of records, or ranges of records.
        records: u64,
        /// Number of other rows.
        rows: u64,
    },
    /// The log was written by a version without checksums, so a repair cannot tell what is damaged.
    #[error(
        "the log in {} has format {found}, which has no checksums; restore it from a backup, or start the server once \
         to migrate it", .dir.display()
    )]
    NoChecksums {
        /// Directory of the log.
        dir: PathBuf,
        /// Format version of the log.
        found: i64,
    },
    /// The result of a repair is not sound. The log was not changed.
    #[error(
        "the log cannot be repaired and was not changed ({findings} findings: {finding}); restore it from a backup, or \
         export what is readable"
    )]
    NotRepaired {
        /// Number of findings in the result.
        findings: u64,
        /// The first one.
        finding: String,
    },
    /// A line of the input is not a record of an export.
    #[error("line {line}: {reason}")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// Reason why it is invalid.
        reason: String,
    },
}

impl ToolError {
    pub(super) fn write(path: &Path, error: io::Error) -> ToolError {
        ToolError::Write { path: path.to_owned(), error }
    }
}

/// Converts an error of reading a log. Damage becomes the same error as when the log is opened.
impl From<DbError> for ToolError {
    fn from(error: DbError) -> ToolError {
        match SqliteOpenError::from(error) {
            SqliteOpenError::Full => StorageError::Full.into(),
            SqliteOpenError::Sqlite { reason } => StorageError::Unavailable { reason }.into(),
            other => other.into(),
        }
    }
}

impl From<rusqlite::Error> for ToolError {
    fn from(error: rusqlite::Error) -> ToolError {
        DbError::from(error).into()
    }
}

/// Returns the path of the database in the directory of a log.
pub(super) fn file(dir: &Path) -> PathBuf {
    dir.join(schema::FILE)
}
