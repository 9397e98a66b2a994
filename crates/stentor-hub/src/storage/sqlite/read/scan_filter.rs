//! The filter of a scan over all records.

use std::collections::HashMap;

use super::snapshot::Snapshot;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::sqlite::db_error::DbError;

/// Decides which records of a scan match the filters and are readable.
pub(crate) struct ScanFilter<'s> {
    snapshot: &'s Snapshot<'s>,
    filters: &'s Filters,
    /// For each topic, by row id: the offset after which its records match. [`Offset::MAX`] if none match.
    floors: HashMap<i64, Offset>,
}

impl<'s> ScanFilter<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot<'s>, filters: &'s Filters) -> ScanFilter<'s> {
        ScanFilter { snapshot, filters, floors: HashMap::new() }
    }

    /// Returns `true` if the record at `offset` of the topic with row id `topic` matches and is readable.
    pub(crate) fn matches(&mut self, topic: i64, offset: Offset) -> Result<bool, DbError> {
        if let Some(floor) = self.floors.get(&topic) {
            return Ok(offset > *floor);
        }
        let found = self.snapshot.topic(topic)?;
        let floor =
            if self.filters.matches(&found.name) { found.removed_through } else { Offset::MAX };
        self.floors.insert(topic, floor);
        Ok(offset > floor)
    }
}
