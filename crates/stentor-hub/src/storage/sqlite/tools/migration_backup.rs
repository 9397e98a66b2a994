//! Backs up a log of an older format before it is migrated.

use std::path::Path;

use super::error::{self, ToolError};
use super::log::SqliteLog;
use super::verify::VerifyNote;
use crate::storage::sqlite::open_error::SqliteOpenError;
use crate::storage::sqlite::schema;

/// Copies a log of an older format into the folder `before-v3` in its directory, and verifies the copy. Does nothing if
/// the log is new or has the newest format. A number is added to the folder's name if it has a log already.
///
/// # Errors
///
/// [`SqliteOpenError::MigrationBackup`] if the log cannot be copied, such as on a full disk, or is damaged.
pub(crate) fn back_up_before_migration(dir: &Path) -> Result<(), SqliteOpenError> {
    if !error::file(dir).exists() {
        return Ok(());
    }
    // If it cannot be opened, the start reports the error.
    let Ok(log) = SqliteLog::open(dir) else { return Ok(()) };
    if log.version >= schema::VERSION {
        return Ok(());
    }
    let found = log.version;
    let refuse = |reason: String| SqliteOpenError::MigrationBackup { found, reason };
    let name = format!("before-v{}", schema::VERSION);
    let (mut copy, mut number) = (dir.join(&name), 1);
    // An earlier migration may have left one, of an earlier state.
    while let Err(error) = log.backup(&copy) {
        let ToolError::Exists { .. } = error else { return Err(refuse(error.to_string())) };
        number += 1;
        copy = dir.join(format!("{name}-{number}"));
    }
    drop(log);
    tracing::info!(
        copy = %copy.display(), found, "backed up the log before its migration; delete the copy when you do not \
         need it to go back"
    );
    verify(&copy).map_err(refuse)
}

fn verify(copy: &Path) -> Result<(), String> {
    let mut first = None;
    let mut log = SqliteLog::open(copy).map_err(|error| error.to_string())?;
    let verified = log.verify(&mut |note| {
        if let VerifyNote::Finding(finding) = note {
            first.get_or_insert(finding.to_string());
        }
    });
    verified.map_err(|error| error.to_string())?;
    first.map_or(Ok(()), |finding| Err(format!("the log is damaged: {finding}")))
}
