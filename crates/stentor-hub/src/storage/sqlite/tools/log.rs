//! A log that is read from outside.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::error::ToolError;
use crate::storage::sqlite::crash::Files;
use crate::storage::sqlite::database_file::DatabaseFile;
use crate::storage::sqlite::last_run::LastRun;
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
    cleanup: Cleanup,
}

impl SqliteLog {
    /// Opens the log in `dir` for reading.
    ///
    /// # Errors
    ///
    /// [`ToolError::Missing`] if there is no log, [`ToolError::Open`] if it cannot be opened or a crash was followed
    /// by damage of its write-ahead log.
    pub fn open(dir: impl AsRef<Path>) -> Result<SqliteLog, ToolError> {
        let dir = dir.as_ref().to_owned();
        let path = dir.join(schema::FILE);
        // SQLite reports every file that it cannot open in the same way, so the reason is found here.
        let database = match DatabaseFile::open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ToolError::Missing { dir });
            }
            Err(error) if dir.is_file() => {
                return Err(SqliteOpenError::directory(&dir, error).into());
            }
            Err(error) => return Err(SqliteOpenError::Io { path, error }.into()),
            Ok(database) => database,
        };
        refuse_loss(&dir, &database)?;
        let (connection, version) = schema::open_beside(&dir)?;
        let cleanup = Cleanup { dir: dir.clone(), database };
        Ok(SqliteLog { dir, connection, version, cleanup })
    }

    pub(super) fn database(&self) -> &DatabaseFile {
        &self.cleanup.database
    }
}

/// Returns an error if the write-ahead log of a log that is not in use has lost events. Readers would miss them
/// without a word.
fn refuse_loss(dir: &Path, database: &DatabaseFile) -> Result<(), SqliteOpenError> {
    let is_free = || Ok::<_, SqliteOpenError>(Lock::holder(dir, database)? == Holder::None);
    if !is_free()? {
        return Ok(());
    }
    let refused = Files::read(dir, !database.is_shared())?.refuse_loss();
    // A server that has opened the log meanwhile changes the files.
    if refused.is_err() && is_free()? { refused } else { Ok(()) }
}

/// Removes the empty write-ahead log that reading a closed log creates.
///
/// A connection that only reads cannot remove it. A connection that may write removes it when it is
/// closed, if no other connection has the log open.
#[derive(Debug)]
struct Cleanup {
    dir: PathBuf,
    database: DatabaseFile,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let is_empty = |file: std::fs::Metadata| file.len() == 0;
        if self.dir.join(schema::WAL_FILE).metadata().is_ok_and(is_empty)
            // A log that was not closed properly needs its write-ahead log, even if that is empty.
            && !self.dir.join(LastRun::FILE).exists()
            && matches!(Lock::holder(&self.dir, &self.database), Ok(Holder::None))
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
