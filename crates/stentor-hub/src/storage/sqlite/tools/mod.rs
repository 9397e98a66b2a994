//! What looks into a log from outside, beside the program that may serve it, or makes a new one.
//!
//! ```text
//! SqliteLog -> info      what there is
//!           -> verify    whether it is what was written
//!           -> backup    a copy of one moment  -> draft    a directory that gets its log whole or not
//!           -> export    its records, paged
//!    import -> line      a record of an export -> draft
//! ```
//!
//! Looking takes no lock and changes nothing in the file.

mod backup;
mod draft;
mod error;
mod export;
mod import;
mod info;
mod line;
mod verify;
mod whole;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

pub use self::backup::BackedUp;
pub use self::error::ToolError;
pub use self::export::{Export, ExportFrom, Exported};
pub use self::import::Imported;
pub use self::info::LogInfo;
pub use self::verify::{Finding, VerifyNote};
use super::lock::{Held, Lock};
use super::{SqliteOpenError, schema};

/// A log on the disk, looked at from outside: beside a program that serves it, or at rest.
///
/// It reads logs of all versions that this program knows, takes no lock, and changes nothing. All of it
/// blocks.
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
    dir: PathBuf,
    connection: Connection,
    version: i64,
    // Dropped behind the connection.
    _tidy: Tidy,
}

impl SqliteLog {
    /// Opens the log in a directory to look into it.
    pub fn open(dir: impl AsRef<Path>) -> Result<SqliteLog, ToolError> {
        let dir = dir.as_ref().to_owned();
        let path = dir.join(schema::FILE);
        // SQLite says of all that it cannot open the same.
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
        let tidy = Tidy { dir: dir.clone() };
        Ok(SqliteLog { dir, connection, version, _tidy: tidy })
    }
}

/// Whoever reads a log at rest makes an empty write-ahead log beside it, and one who only reads cannot
/// remove it. So when it is done, SQLite is asked to, which it does if nobody else has the log open.
#[derive(Debug)]
struct Tidy {
    dir: PathBuf,
}

impl Drop for Tidy {
    fn drop(&mut self) {
        let is_empty = |file: std::fs::Metadata| file.len() == 0;
        if self.dir.join(schema::WAL_FILE).metadata().is_ok_and(is_empty)
            && matches!(Lock::look(&self.dir), Ok(Held::No))
            && let Ok(connection) = Connection::open_with_flags(
                error::file(&self.dir),
                OpenFlags::SQLITE_OPEN_READ_WRITE,
            )
        {
            // It looks for the write-ahead log when it is first asked something, and tidies up at its end.
            let _ = connection.query_row("PRAGMA schema_version", [], |_| Ok(()));
        }
    }
}
