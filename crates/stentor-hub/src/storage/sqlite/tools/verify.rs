//! Verifies a log: finds damage.
//!
//! First SQLite checks its pages and indexes. Then the invariants of the log are checked, table by table.

mod check;
mod others;
mod records;
mod topics;

use self::check::Check;
pub use self::check::{Finding, VerifyNote};
use super::error::ToolError;
use super::log::SqliteLog;
use super::log_row::LogRow;
use crate::storage::sqlite::schema;

impl SqliteLog {
    /// Reads the whole log, as it is at one moment, and passes each inconsistency to `notify`. Returns the number of
    /// findings: 0 if the log is sound.
    ///
    /// While it runs, the write-ahead log of a server that uses the log keeps all changes, and grows.
    ///
    /// # Errors
    ///
    /// If the log cannot be read. Damage is not an error but a finding.
    pub fn verify(&mut self, notify: &mut dyn FnMut(VerifyNote)) -> Result<u64, ToolError> {
        let version = self.version;
        let transaction = self.connection.transaction()?;
        let mut check = Check { connection: &transaction, notify, findings: 0 };
        check.step(Check::file)?;
        if let Some(log) = check.step(|check| LogRow::load(check.connection))? {
            check.log(&log);
            check.step(|check| check.topics(&log))?;
            check.step(|check| check.records(&log))?;
            let has_sums = version >= schema::SUMS_SINCE;
            check.step(|check| check.index(has_sums))?;
            if has_sums {
                check.step(Check::purged)?;
                check.step(Check::names)?;
            }
            check.step(|check| check.burned(&log))?;
            check.step(|check| check.keys(&log))?;
            if version >= 2 {
                check.step(Check::parts)?;
                check.step(Check::leases)?;
            }
        }
        Ok(check.findings)
    }
}
