//! A transaction of the writer, with statements that are prepared once.

use rusqlite::Connection;

use crate::storage::sqlite::db_error::DbError;

/// An open write transaction. Dropping it rolls it back.
///
/// Unlike `rusqlite::Transaction`, it does not parse `BEGIN` and `COMMIT` for each transaction.
pub(crate) struct OpenTransaction<'c>(&'c Connection);

impl<'c> OpenTransaction<'c> {
    /// Begins a transaction and takes the write lock.
    pub(crate) fn begin(connection: &'c Connection) -> Result<OpenTransaction<'c>, DbError> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(OpenTransaction(connection))
    }

    /// Commits. If that fails, the transaction is rolled back.
    pub(crate) fn commit(self) -> Result<(), DbError> {
        self.0.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

impl Drop for OpenTransaction<'_> {
    fn drop(&mut self) {
        // Already closed after a commit, and after an error for which SQLite rolls back by itself.
        if !self.0.is_autocommit()
            && let Err(error) = self.0.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "cannot roll back a transaction of the log");
        }
    }
}
