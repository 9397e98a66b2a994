//! Recovery: prepares a log for use after a close or a crash.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

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

/// Writes the write-ahead log again with the bytes that it has, and syncs it. Does nothing if there is none.
///
/// If the last run ended with a failed sync, the operating system may return bytes that are not on the disk, and
/// no later sync would write them, because the system considers them written. A power loss would then lose everything
/// recovered from them and everything appended after them.
pub(crate) fn rewrite_wal(path: &Path) -> io::Result<()> {
    /// Number of bytes read and written at a time.
    const CHUNK: usize = 1 << 20;
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let read = match file.read_at(&mut chunk, at) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        file.write_all_at(chunk.get(..read).unwrap_or_default(), at)?;
        at += read as u64;
    }
    file.sync_all()
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
