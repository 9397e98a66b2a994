//! The records of a log, for a program that reads all of them.

use std::sync::Arc;

use super::super::row;
use super::super::view::View;
use super::whole::Whole;
use super::{SqliteLog, ToolError};
use crate::cursor::{Cursor, Offset};
use crate::filter::Filters;
use crate::record::{Body, Record};
use crate::storage::{Budget, ReadRequest, Removed, Seek};
use crate::timestamp::Timestamp;

/// How much is read at a time.
const BUDGET: Budget = Budget { records: 2_000, bytes: 4 << 20, rows: 20_000 };

/// Where an export begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFrom {
    /// With the oldest record.
    Earliest,
    /// Behind the event with this id.
    After(Cursor),
    /// With the first record of this time or later.
    Since(Timestamp),
}

/// An export under way: from where it began to the tail of that moment.
///
/// Each page is read in a moment of its own, so that a slow taker does not keep the log from being
/// tidied. What is removed meanwhile is told as a reader is told a gap.
#[derive(Debug)]
pub struct Export<'a> {
    log: &'a mut SqliteLog,
    request: ReadRequest,
}

/// A page of an export.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// Events and ends in the order of the log. Deletions are left out: they are nothing to keep.
    pub records: Vec<Arc<Record>>,
    /// What was removed before it could be read.
    pub removed: Option<Removed>,
}

impl SqliteLog {
    /// Begins an export of the topics that match.
    pub fn export(&mut self, filters: Filters, from: ExportFrom) -> Result<Export<'_>, ToolError> {
        let filters = Arc::new(filters);
        let transaction = self.connection.transaction()?;
        let whole = Whole::load(&transaction)?;
        let view = View::at(&transaction, whole.epoch, whole.tail(), whole.removals);
        let (after, told) = match from {
            ExportFrom::Earliest => (Offset::ZERO, whole.removals),
            ExportFrom::Since(time) => {
                (view.seek(&filters, Seek::Since(time))?.after, whole.removals)
            }
            ExportFrom::After(cursor) => {
                let there = row::find(&transaction, whole.epoch, cursor.offset, |id| {
                    Ok(Some(view.topic(id)?.name.clone()))
                })?;
                let fits =
                    there.is_none_or(|record| cursor.check.is_none() || record.cursor() == cursor);
                if cursor.epoch != whole.epoch || !fits {
                    return Err(ToolError::ForeignId { id: cursor.to_string() });
                }
                if cursor.offset > whole.tail() {
                    return Err(ToolError::Beyond { id: cursor.to_string() });
                }
                (cursor.offset, 0)
            }
        };
        drop(view);
        let until = whole.tail();
        drop(transaction);
        let request = ReadRequest { filters, after, until, budget: BUDGET, losses_reported: told };
        Ok(Export { log: self, request })
    }
}

impl Export<'_> {
    /// The next page, `None` at the end. A page may be empty.
    pub fn next_page(&mut self) -> Result<Option<Exported>, ToolError> {
        if self.request.after >= self.request.until {
            return Ok(None);
        }
        let transaction = self.log.connection.transaction()?;
        let whole = Whole::load(&transaction)?;
        let view = View::at(&transaction, whole.epoch, self.request.until, whole.removals);
        let mut page = view.read(&self.request)?;
        page.records.retain(|record| *record.body() != Body::Deleted);
        self.request.after = page.through;
        if let Some(removed) = &page.removed {
            self.request.losses_reported = removed.removals;
        }
        Ok(Some(Exported { records: page.records, removed: page.removed }))
    }
}
