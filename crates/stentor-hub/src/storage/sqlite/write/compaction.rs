//! Compaction: rewrites the records that are left after many were purged.
//!
//! SQLite merges pages only when they are less than a third full. After a purge, the remaining records may therefore
//! occupy far more pages than necessary. To free pages, they are deleted and inserted again in order. A pass does this
//! for one run of records at a time, and keeps a rewrite only if it frees pages. In dense parts of the log it tries
//! only a few runs.

use rusqlite::types::Value;
use rusqlite::{Connection, TransactionBehavior, params_from_iter};

use super::pages::{used_bytes, used_pages};
use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::tables::column::{self, Columns};

/// Approximate number of runs that a pass tries in a dense log.
const DENSE_RUNS: u64 = 16;
/// Maximum size of a run in bytes: about the content of 16 pages.
const RUN_BYTES: u64 = 64 << 10;
/// Approximate size of a row without the columns that count as its bytes here.
const ROW_BYTES: u64 = 30;
/// Records with a larger mean size have pages of their own. Rewriting them gains almost nothing.
const LARGE: u64 = 4 << 10;

pub(crate) const RUN: &str = "SELECT offset, octet_length(data) + ifnull(octet_length(type), 0) \
    + ifnull(octet_length(event_id), 0) + ifnull(octet_length(publisher_id), 0) \
    + ifnull(octet_length(attributes), 0) \
    FROM records WHERE offset > ?1 AND offset <= ?2 ORDER BY offset LIMIT ?3";

pub(crate) const RECORDS: &str =
    "SELECT * FROM records WHERE offset BETWEEN ?1 AND ?2 ORDER BY offset";

/// State of compaction.
///
/// Right after open, the density of the log is unknown, and it is not measured: a scan could hit damage in old
/// data and stop a server that would otherwise run.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    /// Approximate number of bytes purged since the last pass began.
    purged: u64,
    pass: Option<Pass>,
}

/// A pass over the log.
#[derive(Clone, Copy, Debug)]
struct Pass {
    /// The pass continues after this offset.
    after: Offset,
    /// The pass ends at this offset.
    through: Offset,
    /// Number of runs that are skipped after one that was dense.
    stride: u64,
    stride_max: u64,
}

/// Result of one step of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The pass is over, or none was running.
    Done,
    /// The run was dense. Nothing was written.
    Skipped,
    /// The run was rewritten and freed pages.
    Rewritten,
}

impl Compaction {
    /// Counts purged bytes.
    pub(crate) fn purged(&mut self, bytes: u64) {
        self.purged = self.purged.saturating_add(bytes);
    }

    /// Returns `true` if a pass is running.
    pub(crate) fn is_running(&self) -> bool {
        self.pass.is_some()
    }

    /// Starts a pass up to `tail` if enough was purged since the last one.
    pub(crate) fn start_if_due(
        &mut self,
        connection: &Connection,
        tail: Offset,
        limits: &Limits,
    ) -> Result<(), DbError> {
        let used = used_bytes(connection)?;
        let due = (used / limits.compaction_part).max(limits.compaction_bytes);
        if self.pass.is_none() && self.purged > due {
            let stride_max = (used / RUN_BYTES / DENSE_RUNS).max(1);
            let pass = Pass { after: Offset::ZERO, through: tail, stride: 0, stride_max };
            *self = Compaction { purged: 0, pass: Some(pass) };
        }
        Ok(())
    }

    /// Continues the pass by one run of records. An error ends the pass.
    pub(crate) fn step(
        &mut self,
        connection: &mut Connection,
        limits: &Limits,
    ) -> Result<Step, DbError> {
        let Some(pass) = self.pass.take() else { return Ok(Step::Done) };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Some(run) = Run::find(&transaction, &pass, limits.compaction_rows)? else {
            return Ok(Step::Done);
        };
        let before = used_pages(&transaction)?;
        if !run.is_large() {
            run.rewrite(&transaction)?;
        }
        // A commit never uses more pages than before, so the ballast does not have to grow for it.
        let gains = used_pages(&transaction)? + limits.compaction_gain <= before;
        if gains {
            transaction.commit()?;
        } else {
            transaction.rollback()?;
        }
        self.pass = Some(pass.next(&run, gains));
        Ok(if gains { Step::Rewritten } else { Step::Skipped })
    }
}

impl Pass {
    /// Returns the pass after a run. A skip counts offsets, so it may skip fewer records than that.
    fn next(self, run: &Run, gains: bool) -> Pass {
        let stride = if gains { 0 } else { (2 * self.stride).clamp(1, self.stride_max) };
        let after = Offset::new(run.last.get().saturating_add(stride * run.rows));
        Pass { after, stride, ..self }
    }
}

/// Consecutive records.
struct Run {
    first: Offset,
    last: Offset,
    rows: u64,
    bytes: u64,
}

impl Run {
    fn find(connection: &Connection, pass: &Pass, rows_max: u64) -> Result<Option<Run>, DbError> {
        let mut statement = connection.prepare_cached(RUN)?;
        let (after, through) = (column::offset(pass.after), column::offset(pass.through));
        let mut rows = statement.query([after, through, column::number(rows_max)])?;
        let mut run: Option<Run> = None;
        while let Some(row) = rows.next()? {
            let read = || Ok((row.offset(0)?, row.number(1)? + ROW_BYTES));
            let (offset, bytes) = read().map_err(|error| DbError::at("a run of records", error))?;
            let run = run.get_or_insert(Run { first: offset, last: offset, rows: 0, bytes: 0 });
            if run.rows > 0 && run.bytes + bytes > RUN_BYTES {
                break;
            }
            run.last = offset;
            run.rows += 1;
            run.bytes += bytes;
        }
        Ok(run)
    }

    fn is_large(&self) -> bool {
        self.bytes > LARGE * self.rows
    }

    /// Deletes the records and inserts them again unchanged.
    fn rewrite(&self, connection: &Connection) -> Result<(), DbError> {
        let range = [column::offset(self.first), column::offset(self.last)];
        let mut records = Vec::new();
        {
            let mut statement = connection.prepare_cached(RECORDS)?;
            let columns = statement.column_count();
            let mut rows = statement.query(range)?;
            while let Some(row) = rows.next()? {
                let record: rusqlite::Result<Vec<Value>> =
                    (0..columns).map(|at| row.get(at)).collect();
                let offset = row.offset(0).unwrap_or_default();
                let place = format_args!("the record at offset {offset}");
                records.push(record.map_err(|error| DbError::at(place, error))?);
            }
        }
        connection
            .prepare_cached("DELETE FROM records WHERE offset BETWEEN ?1 AND ?2")?
            .execute(range)?;
        let mut statement = connection.prepare_cached(
            "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?;
        for record in records {
            statement.execute(params_from_iter(record))?;
        }
        Ok(())
    }
}
