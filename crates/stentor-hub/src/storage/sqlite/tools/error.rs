//! Why a tool did not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use super::super::fault::Fault;
use super::super::{SqliteOpenError, schema};
use crate::storage::StorageError;

/// Why a log could not be looked into, copied, or made.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// There is no log.
    #[error("there is no log in {}; name its directory with --data", .dir.display())]
    Missing {
        /// Where one was looked for.
        dir: PathBuf,
    },
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] SqliteOpenError),
    /// It cannot be read on.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is a log where a new one is to be.
    #[error("there is a log in {} already; name a directory that is new or empty", .dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// A new log needs a directory of its own.
    #[error("there is something in {} already ({name}); name a directory that is new or empty", .dir.display())]
    Occupied {
        /// The directory.
        dir: PathBuf,
        /// What is in it.
        name: String,
    },
    /// An id that this log did not give.
    #[error(
        "{id} is the id of another history than that of this log; begin with `earliest` or a time"
    )]
    ForeignId {
        /// The id.
        id: String,
    },
    /// That log ends before it.
    #[error("this log ends before {id}; begin with `earliest`, a time, or an id of it")]
    Beyond {
        /// The id.
        id: String,
    },
    /// The disk of the new log is full.
    #[error("the disk of {} is full; free some space there and try again", .dir.display())]
    Full {
        /// Where it was to be.
        dir: PathBuf,
    },
    /// The file system refused.
    #[error("{} cannot be written ({error}); look at its permissions and at the disk", .path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// Why it cannot be.
        error: io::Error,
    },
    /// What is to be imported cannot be read on.
    #[error("the input cannot be read ({error})")]
    Read {
        /// Why not.
        error: io::Error,
    },
    /// A line that is no record of an export.
    #[error("line {line}: {reason}")]
    Line {
        /// Which one, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl ToolError {
    pub(super) fn write(path: &Path, error: io::Error) -> ToolError {
        ToolError::Write { path: path.to_owned(), error }
    }
}

/// A fault while a log is read. One of the file is told as when it is opened.
impl From<Fault> for ToolError {
    fn from(fault: Fault) -> ToolError {
        match SqliteOpenError::from(fault) {
            SqliteOpenError::Full => StorageError::Full.into(),
            SqliteOpenError::Sqlite { reason } => StorageError::Unavailable { reason }.into(),
            other => other.into(),
        }
    }
}

impl From<rusqlite::Error> for ToolError {
    fn from(error: rusqlite::Error) -> ToolError {
        Fault::from(error).into()
    }
}

/// The file of the log within a directory.
pub(super) fn file(dir: &Path) -> PathBuf {
    dir.join(schema::FILE)
}
