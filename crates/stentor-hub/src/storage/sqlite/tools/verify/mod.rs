//! Whether a log is what was written.
//!
//! First SQLite looks at its own pages and indices, then the invariants of the log are looked at, table
//! by table: [`topics`], [`records`], [`rest`].

mod records;
mod rest;
mod topics;

use std::fmt;

use rusqlite::Connection;

use super::super::fault::{self, Fault};
use super::whole::Whole;
use super::{SqliteLog, ToolError};

/// Something that is not as it was written: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding(String);

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is told while a log is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyNote {
    /// Something is wrong. At most [`Finding::MAX`] are told.
    Finding(Finding),
    /// So many records were looked at.
    Progress {
        /// How many.
        records: u64,
        /// Of about so many.
        of: u64,
    },
}

impl Finding {
    /// How many findings are told; the others are counted only.
    pub const MAX: u64 = 1_000;
}

impl SqliteLog {
    /// Reads all of the log as it is at one moment, and tells what is not as it was written. Returns how
    /// many findings there are; none means that the log is sound.
    ///
    /// The server's write-ahead log keeps what changes meanwhile, and grows by that.
    pub fn verify(&mut self, tell: &mut dyn FnMut(VerifyNote)) -> Result<u64, ToolError> {
        let version = self.version;
        let transaction = self.connection.transaction()?;
        let mut check = Check { connection: &transaction, tell, findings: 0 };
        check.step(Check::file)?;
        if let Some(whole) = check.step(|check| Whole::load(check.connection))? {
            check.whole(&whole);
            check.step(|check| check.topics(&whole))?;
            check.step(|check| check.records(&whole))?;
            check.step(Check::index)?;
            check.step(|check| check.burned(&whole))?;
            check.step(|check| check.keys(&whole))?;
            if version >= 2 {
                check.step(Check::parts)?;
                check.step(Check::leases)?;
            }
        }
        Ok(check.findings)
    }
}

/// A log under examination, in one snapshot.
struct Check<'a> {
    connection: &'a Connection,
    tell: &'a mut dyn FnMut(VerifyNote),
    findings: u64,
}

impl Check<'_> {
    /// One step. Damage that ends it is a finding, and the next step goes on.
    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Option<T>, ToolError> {
        match step(self) {
            Ok(done) => Ok(Some(done)),
            Err(fault) => {
                self.damage(fault)?;
                Ok(None)
            }
        }
    }

    /// Takes a fault as a finding, unless it says nothing of what is in the file.
    fn damage(&mut self, fault: Fault) -> Result<(), Fault> {
        match fault {
            Fault::Damaged(what) => self.find(what),
            Fault::Sqlite(error) if is_damage(&error) => self.find(fault::say(&error)),
            other => return Err(other),
        }
        Ok(())
    }

    fn find(&mut self, what: impl fmt::Display) {
        self.findings += 1;
        if self.findings <= Finding::MAX {
            (self.tell)(VerifyNote::Finding(Finding(what.to_string())));
        }
    }

    /// What SQLite itself finds in its pages, tables and indices.
    fn file(&mut self) -> Result<(), Fault> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check(100)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let said: String = row.get(0)?;
            if said != "ok" {
                self.find(format_args!("the file: {said}"));
            }
        }
        Ok(())
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
        // A value that is not of its type.
        None => true,
    }
}
