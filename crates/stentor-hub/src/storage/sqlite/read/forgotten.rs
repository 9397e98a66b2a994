//! Losses of topics whose names are forgotten.

use super::snapshot::Snapshot;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::forgotten::Loss;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::forgotten;

impl Snapshot<'_> {
    /// Returns the loss that an unknown topic of this name may have had.
    pub(crate) fn forgotten_of(&self, name: &str) -> Result<Loss, DbError> {
        self.count_lookup();
        forgotten::of_name(self.connection, name)
    }

    /// Returns `true` if a forgotten topic that a pattern matches may have lost records of which a reader was not
    /// notified. Looks at no more than [`PREFIXES_MAX`] rows.
    ///
    /// [`PREFIXES_MAX`]: crate::storage::forgotten::PREFIXES_MAX
    pub(crate) fn forgot_match_of(
        &self,
        filters: &Filters,
        after: Offset,
        reported: u64,
    ) -> Result<bool, DbError> {
        for prefix in filters.literal_prefixes() {
            // Only a prefix that is shorter than this one covers it. The others are in its range.
            if self.forgotten_of(prefix)?.is_unreported(after, reported) {
                return Ok(true);
            }
            let mut found = false;
            forgotten::each_from(self.connection, prefix, |beginning, loss| {
                self.count_row();
                let is_in_range = beginning.starts_with(prefix);
                found = is_in_range
                    && loss.is_unreported(after, reported)
                    && filters.patterns_may_match_beginning(beginning);
                is_in_range && !found
            })?;
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
