//! Recovery: prepares a log for use after a close or a crash.

use rusqlite::Connection;

use crate::cursor::{Epoch, Offset};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::burned;
use crate::storage::sqlite::tables::log::{self, LogState, Stored};

/// The state of a log after recovery.
pub(crate) struct Recovered {
    pub(crate) epoch: Epoch,
    pub(crate) log: LogState,
    /// Ranges of burned offsets, oldest first. Both ends are burned.
    pub(crate) burned: Vec<(Offset, Offset)>,
}

/// Loads the state of the log and marks the log as in use.
///
/// If it was not closed properly, this burns the reserved offsets after the last record: they may have
/// been assigned.
pub(crate) fn recover(connection: &mut Connection, block: u64) -> Result<Recovered, DbError> {
    let transaction = connection.transaction()?;
    let Stored { epoch, clean, state: before } = LogState::load(&transaction)?;
    let mut log = before;
    if !clean {
        log.tail = log.tail.max(log::newest_offset(&transaction)?);
        if log.reserved_through > log.tail {
            burned::burn(&transaction, log.tail, log.reserved_through)?;
            log.tail = log.reserved_through;
        }
    }
    log.reserve(block);
    log.store(&before, &transaction)?;
    log::set_clean(&transaction, false)?;
    let burned = burned::all(&transaction)?;
    transaction.commit()?;
    Ok(Recovered { epoch, log, burned })
}
