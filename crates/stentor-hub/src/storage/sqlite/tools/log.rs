//! A log that is read from outside.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::error::ToolError;
use crate::storage::sqlite::lock::{Holder, Lock};
use crate::storage::sqlite::open_error::SqliteOpenError;
use crate::storage::sqlite::schema;

/// A log on disk that is read from outside, also while a server uses it.
///
/// Reads logs of all format versions that this program knows, takes no lock, and does not change the file. All
/// methods block.
///
/// ```
/// use stentor_hub::storage::{SqliteLog, SqliteStorage};
///
/// # let parent = tempfile::tempdir()?;
/// # let dir = parent.path().join("data");
/// let storage = SqliteStorage::open(&dir)?;
/// let info = SqliteLog::open(&dir)?.info()?;
/// assert_eq!((info.in_use, info.events), (true, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteLog {
    pub(crate) dir: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) version: i64,
    // Dropped after the connection.
    _cleanup: Cleanup,
}

impl SqliteLog {
    /// Opens the log in `dir` for reading.
    ///
    /// # Errors
    ///
    /// [`ToolError::Missing`] if there is no log, [`ToolError::Open`] if it cannot be opened.
    pub fn open(dir: impl AsRef<Path>) -> Result<SqliteLog, ToolError> {
        let dir = dir.as_ref().to_owned();
        let path = dir.join(schema::FILE);
        // SQLite reports every file that it cannot open in the same way, so the reason is found here.
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ToolError::Missing { dir });
            }
            Err(error) if dir.is_file() => {
                return Err(SqliteOpenError::directory(&dir, error).into());
            }
            Err(error) => return Err(SqliteOpenError::Io { path, error }.into()),
            Ok(_) => {}
        }
        let (connection, version) = schema::open_beside(&dir)?;
        let cleanup = Cleanup { dir: dir.clone() };
        Ok(SqliteLog { dir, connection, version, _cleanup: cleanup })
    }
}

/// Removes the empty write-ahead log that reading a closed log creates.
///
/// A connection that only reads cannot remove it. A connection that may write removes it when it is
/// closed, if no other connection has the log open.
#[derive(Debug)]
struct Cleanup {
    dir: PathBuf,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let is_empty = |file: std::fs::Metadata| file.len() == 0;
        if self.dir.join(schema::WAL_FILE).metadata().is_ok_and(is_empty)
            && matches!(Lock::holder(&self.dir), Ok(Holder::None))
            && let Ok(connection) = Connection::open_with_flags(
                self.dir.join(schema::FILE),
                OpenFlags::SQLITE_OPEN_READ_WRITE,
            )
        {
            // The first query opens the write-ahead log, and closing the connection removes it.
            let _ = connection.query_row("PRAGMA schema_version", [], |_| Ok(()));
        }
    }
}
