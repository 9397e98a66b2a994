//! Copies a log.

use std::path::Path;

use rusqlite::Connection;

use super::draft::Draft;
use super::error::{self, ToolError};
use super::log::SqliteLog;
use crate::storage::sqlite::schema;
use crate::storage::sqlite::tables::log;
use crate::storage::sqlite::tables::sum::seal;

/// Result of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// Size of the copy in bytes.
    pub bytes: u64,
}

impl SqliteLog {
    /// Copies the log, as it is at this moment, into a directory that is new or empty.
    ///
    /// The directory has no log until the whole copy is on the disk. Afterwards a server can use it.
    ///
    /// The copy has the same epoch, so readers of the original can resume from it. When it is opened, it assigns
    /// offsets after all that were reserved in the original at this moment. A reader that has read more than the
    /// copy holds gets a gap.
    ///
    /// # Errors
    ///
    /// [`ToolError::Exists`] or [`ToolError::Occupied`] if `to` is not empty, [`ToolError::Full`] if its disk is
    /// full, and others if the log cannot be read or the copy cannot be written.
    pub fn backup(&self, to: &Path) -> Result<BackedUp, ToolError> {
        let draft = Draft::begin(to)?;
        let copy = error::file(draft.dir());
        let path = copy.to_str().ok_or_else(|| {
            let reason = "a backup needs a path in UTF-8";
            ToolError::write(&copy, std::io::Error::new(std::io::ErrorKind::InvalidInput, reason))
        })?;
        // A copy page by page would start again with each write of the server, and would include the free pages
        // and the damage of the original. This reads each row once, in one snapshot. The write-ahead log must keep
        // that snapshot while the copy runs.
        let copy_all = || self.connection.execute("VACUUM INTO ?1", [path]);
        // The copy creates the indexes of the tables, which are not those of views.
        let copied =
            schema::as_stored(&self.connection, self.version, copy_all).map_err(ToolError::from);
        copied
            .and_then(|_| mark_unclean(&copy, self.version))
            .map_err(|error| draft.convert_error(error))?;
        draft.finish()?;
        let bytes = std::fs::metadata(error::file(to)).map_or(0, |file| file.len());
        Ok(BackedUp { bytes })
    }
}

/// Marks the copy as not closed. The original continues, and assigns the next offsets to other records.
fn mark_unclean(copy: &Path, version: i64) -> Result<(), ToolError> {
    let connection = Connection::open(copy)?;
    connection.execute("UPDATE log SET clean = 0", [])?;
    if version >= schema::SUMS_SINCE {
        seal(&connection, log::SEALED, "true")?;
    }
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}
