//! The state of a verification: its findings.

use std::fmt;

use rusqlite::{Connection, ErrorCode};

use crate::storage::sqlite::db_error::{self, DbError};
use crate::storage::sqlite::tools::error::ToolError;

/// An inconsistency in a log: where it is, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding(String);

impl Finding {
    /// Maximum number of findings that are passed on. Further ones are only counted.
    pub const MAX: u64 = 1_000;
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message of a running verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyNote {
    /// An inconsistency. At most [`Finding::MAX`] are passed on.
    Finding(Finding),
    /// Progress of the verification.
    Progress {
        /// Number of records checked so far.
        records: u64,
        /// Approximate number of records in the log.
        of: u64,
    },
}

/// A running verification, in one snapshot.
pub(super) struct Check<'a> {
    pub(super) connection: &'a Connection,
    pub(super) notify: &'a mut dyn FnMut(VerifyNote),
    pub(super) findings: u64,
}

impl Check<'_> {
    /// Runs one step. If damage ends it, that is a finding, and the next step can run.
    pub(super) fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, DbError>,
    ) -> Result<Option<T>, ToolError> {
        match step(self) {
            Ok(done) => Ok(Some(done)),
            Err(error) => {
                self.record_error(error)?;
                Ok(None)
            }
        }
    }

    /// Adds an error as a finding if it means damage. Returns any other error.
    pub(super) fn record_error(&mut self, error: DbError) -> Result<(), DbError> {
        match error {
            DbError::Damaged(reason) => self.add(reason),
            DbError::Sqlite(error) if is_damage(&error) => self.add(db_error::describe(&error)),
            other @ (DbError::Sqlite(_) | DbError::Failed(_)) => return Err(other),
        }
        Ok(())
    }

    /// Adds a finding.
    pub(super) fn add(&mut self, finding: impl fmt::Display) {
        self.findings += 1;
        if self.findings <= Finding::MAX {
            (self.notify)(VerifyNote::Finding(Finding(finding.to_string())));
        }
    }

    /// Runs SQLite's own check of pages, tables and indexes.
    pub(super) fn file(&mut self) -> Result<(), DbError> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check(100)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let message: String = row.get(0)?;
            if message != "ok" {
                self.add(format_args!("the file: {message}"));
            }
        }
        Ok(())
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
        // A value has the wrong type.
        None => true,
    }
}
