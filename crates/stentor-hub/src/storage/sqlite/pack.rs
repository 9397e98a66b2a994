//! Putting together what is left of the log after much of it was swept.
//!
//! SQLite joins pages only when they are less than a third full, so records that lay between swept ones
//! may take far more pages than they need. Deleted and inserted again in their order, they do not. A pass
//! goes over the log and does that a run of records at a time, where it frees pages; what is dense
//! already, it tries in a few places only.

use rusqlite::types::Value;
use rusqlite::{Connection, TransactionBehavior, params_from_iter};

use super::capacity::used_pages;
use super::column::{self, Columns};
use super::fault::Fault;
use super::writer::Writer;
use crate::cursor::Offset;

/// In how many places, about, a dense log is tried.
const PLACES: u64 = 16;
/// The most that is written anew at a time: what about 16 pages hold.
const RUN_BYTES: u64 = 64 << 10;
/// About what a row takes beside what counts as its bytes here.
const ROW_BYTES: u64 = 30;
/// Records that are larger than a page in the mean have pages of their own, and gain next to nothing.
const LARGE: u64 = 4 << 10;

pub(super) const RUN: &str = "SELECT offset, octet_length(data) + ifnull(octet_length(type), 0) \
    + ifnull(octet_length(event_id), 0) + ifnull(octet_length(publisher_id), 0) \
    + ifnull(octet_length(attributes), 0) \
    FROM records WHERE offset > ?1 AND offset <= ?2 ORDER BY offset LIMIT ?3";

pub(super) const RECORDS: &str =
    "SELECT * FROM records WHERE offset BETWEEN ?1 AND ?2 ORDER BY offset";

/// What is known of how dense the log is. Of a log that was just opened that is nothing: to look through it
/// would be the first thing to come upon damage in what nobody asks for, and keep it from serving at all.
#[derive(Debug, Default)]
pub(super) struct Packing {
    /// About how much was swept since the last pass began.
    swept: u64,
    pass: Option<Pass>,
}

/// A pass under way.
#[derive(Clone, Copy, Debug)]
struct Pass {
    /// It has come so far ...
    after: Offset,
    /// ... and goes up to here.
    through: Offset,
    /// How many runs it leaves out after one that was dense, and at most.
    stride: u64,
    stride_max: u64,
}

impl Packing {
    pub(super) fn swept(&mut self, bytes: u64) {
        self.swept = self.swept.saturating_add(bytes);
    }
}

impl Writer {
    /// Whether a pass is under way. On a full disk it waits: it is nothing to take space for.
    pub(super) fn packs(&self) -> bool {
        self.packing.pass.is_some() && self.ballast.is_held()
    }

    /// Begins a pass, if so much was swept that there may be something to gain.
    pub(super) fn begin_pass(&mut self) -> Result<(), Fault> {
        let used = self.used_bytes()?;
        let due = (used / self.limits.pack_part).max(self.limits.pack_bytes);
        if self.packing.pass.is_none() && self.packing.swept > due {
            let stride_max = (used / RUN_BYTES / PLACES).max(1);
            let through = self.ledger.tail;
            let pass = Pass { after: Offset::ZERO, through, stride: 0, stride_max };
            self.packing = Packing { swept: 0, pass: Some(pass) };
        }
        Ok(())
    }

    /// Goes on with the pass by a run of records. Says whether there is more to do; a fault ends the pass.
    pub(super) fn pack(&mut self) -> Result<bool, Fault> {
        let Some(pass) = self.packing.pass.take() else { return Ok(false) };
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Some(run) = Run::find(&transaction, &pass, self.limits.pack_rows)? else {
            return Ok(false);
        };
        let before = used_pages(&transaction)?;
        if !run.is_large() {
            run.write_anew(&transaction)?;
        }
        // Never more pages than before, so there is nothing to be put aside for them.
        let gains = used_pages(&transaction)? + self.limits.pack_gain <= before;
        if gains {
            transaction.commit()?;
            self.chores.committed(false, 0, 0);
        } else {
            transaction.rollback()?;
        }
        self.packing.pass = Some(pass.behind(&run, gains));
        Ok(true)
    }
}

impl Pass {
    /// Where it goes on. It leaves out offsets, of which there are at least as many as records.
    fn behind(self, run: &Run, gains: bool) -> Pass {
        let stride = if gains { 0 } else { (2 * self.stride).clamp(1, self.stride_max) };
        let after = Offset::new(run.last.get().saturating_add(stride * run.rows));
        Pass { after, stride, ..self }
    }
}

/// Records that follow each other.
struct Run {
    first: Offset,
    last: Offset,
    rows: u64,
    bytes: u64,
}

impl Run {
    fn find(connection: &Connection, pass: &Pass, rows_max: u64) -> Result<Option<Run>, Fault> {
        let mut statement = connection.prepare_cached(RUN)?;
        let (after, through) = (column::offset(pass.after), column::offset(pass.through));
        let mut rows = statement.query([after, through, column::number(rows_max)])?;
        let mut run: Option<Run> = None;
        while let Some(row) = rows.next()? {
            let read = || Ok((row.offset(0)?, row.number(1)? + ROW_BYTES));
            let (offset, bytes) = read().map_err(|error| Fault::at("a run of records", error))?;
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

    /// Deletes its records and inserts them again as they were.
    fn write_anew(&self, connection: &Connection) -> Result<(), Fault> {
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
                records.push(record.map_err(|error| Fault::at(place, error))?);
            }
        }
        connection
            .prepare_cached("DELETE FROM records WHERE offset BETWEEN ?1 AND ?2")?
            .execute(range)?;
        let mut statement = connection.prepare_cached(
            "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        for record in records {
            statement.execute(params_from_iter(record))?;
        }
        Ok(())
    }
}
