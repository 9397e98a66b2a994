//! A copy of a log.

use std::path::Path;

use rusqlite::Connection;

use super::draft::Draft;
use super::{SqliteLog, ToolError, error};

/// What a backup came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The size of the copy, in bytes.
    pub bytes: u64,
}

impl SqliteLog {
    /// Copies the log as it is at this moment into a directory that is new or empty, and is then complete
    /// as the directory of a log. Until all of the copy is on the disk there is no log in it.
    ///
    /// The copy is of the same history, for readers of the original to resume from. Opened, it goes on
    /// beyond all numbers that were reserved at this moment, and tells a gap to those who have read more
    /// than there is in it.
    pub fn backup(&self, to: &Path) -> Result<BackedUp, ToolError> {
        let draft = Draft::begin(to)?;
        let copy = error::file(draft.dir());
        let path = copy.to_str().ok_or_else(|| {
            let reason = "a backup needs a path in UTF-8";
            ToolError::write(&copy, std::io::Error::new(std::io::ErrorKind::InvalidInput, reason))
        })?;
        // Not page by page: a server that writes would have such a copy begin anew each time, or carry the
        // free pages and the damage of the original along. This reads each row once, in one snapshot,
        // which the write-ahead log has to keep meanwhile: for as long as the disk takes to copy the log.
        let copied = self.connection.execute("VACUUM INTO ?1", [path]).map_err(ToolError::from);
        copied.and_then(|_| leave_unclean(&copy)).map_err(|error| draft.judge(error))?;
        draft.finish()?;
        let bytes = std::fs::metadata(error::file(to)).map_or(0, |file| file.len());
        Ok(BackedUp { bytes })
    }
}

/// The original goes on, so the next numbers of the copy may stand for something else there.
fn leave_unclean(copy: &Path) -> Result<(), ToolError> {
    let connection = Connection::open(copy)?;
    connection.execute("UPDATE log SET clean = 0", [])?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}
