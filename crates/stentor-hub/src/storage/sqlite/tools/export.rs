//! Reads all records of a log.

use std::sync::Arc;

use super::error::ToolError;
use super::log::SqliteLog;
use super::log_row::LogRow;
use crate::cursor::{Cursor, Offset};
use crate::filter::Filters;
use crate::record::{Body, Record};
use crate::storage::query::{Budget, ReadRequest, Seek};
use crate::storage::result::Removed;
use crate::storage::sqlite::read::page::ReadQuery;
use crate::storage::sqlite::read::seek::SeekQuery;
use crate::storage::sqlite::read::snapshot::Snapshot;
use crate::storage::sqlite::tables::record;
use crate::timestamp::Timestamp;

/// Size of a page.
const BUDGET: Budget = Budget { records: 2_000, bytes: 4 << 20, rows: 20_000 };

/// Start of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFrom {
    /// At the oldest record.
    Earliest,
    /// After the event with this id.
    After(Cursor),
    /// At the first record with this time or a later one.
    Since(Timestamp),
}

/// A running export, up to the tail of the moment when it started.
///
/// Each page is read in its own transaction, so a slow consumer does not delay checkpoints. Records that
/// are removed before they are read are reported in [`Exported::removed`].
#[derive(Debug)]
pub struct Export<'a> {
    log: &'a mut SqliteLog,
    request: ReadRequest,
}

/// A page of an export.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// Events and ends in log order. Deletions are left out.
    pub records: Vec<Arc<Record>>,
    /// Records that were removed before they could be read.
    pub removed: Option<Removed>,
}

impl SqliteLog {
    /// Starts an export of the matching topics.
    ///
    /// # Errors
    ///
    /// [`ToolError::ForeignId`] or [`ToolError::Beyond`] if the start id is not one of this log.
    pub fn export(&mut self, filters: Filters, from: ExportFrom) -> Result<Export<'_>, ToolError> {
        let filters = Arc::new(filters);
        let transaction = self.connection.transaction()?;
        let log = LogRow::load(&transaction)?;
        let snapshot = Snapshot::new(&transaction, log.epoch, log.tail(), log.removals);
        let (after, reported) = match from {
            ExportFrom::Earliest => (Offset::ZERO, log.removals),
            ExportFrom::Since(time) => {
                let seek = SeekQuery::new(Arc::clone(&filters), Seek::Since(time));
                (snapshot.run(seek)?.after, log.removals)
            }
            ExportFrom::After(cursor) => {
                let found = record::find(&transaction, log.epoch, cursor.offset, |id| {
                    Ok(Some(snapshot.topic(id)?.name.clone()))
                })?;
                let fits =
                    found.is_none_or(|record| cursor.check.is_none() || record.cursor() == cursor);
                if cursor.epoch != log.epoch || !fits {
                    return Err(ToolError::ForeignId { id: cursor.to_string() });
                }
                if cursor.offset > log.tail() {
                    return Err(ToolError::Beyond { id: cursor.to_string() });
                }
                (cursor.offset, 0)
            }
        };
        drop(snapshot);
        let until = log.tail();
        drop(transaction);
        let request =
            ReadRequest { filters, after, until, budget: BUDGET, losses_reported: reported };
        Ok(Export { log: self, request })
    }
}

impl Export<'_> {
    /// Reads the next page. Returns `None` at the end. A page may be empty.
    pub fn next_page(&mut self) -> Result<Option<Exported>, ToolError> {
        if self.request.after >= self.request.until {
            return Ok(None);
        }
        let transaction = self.log.connection.transaction()?;
        let log = LogRow::load(&transaction)?;
        let snapshot = Snapshot::new(&transaction, log.epoch, self.request.until, log.removals);
        let mut page = snapshot.run(ReadQuery::new(self.request.clone()))?;
        page.records.retain(|record| *record.body() != Body::Deleted);
        self.request.after = page.through;
        self.request.losses_reported = self.request.losses_reported.max(page.removals);
        Ok(Some(Exported { records: page.records, removed: page.removed }))
    }
}
