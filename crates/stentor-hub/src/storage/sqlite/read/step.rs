//! Queries that run in steps.

use super::snapshot::Snapshot;
use crate::storage::sqlite::db_error::DbError;

/// Maximum number of rows that the first step of a query looks at: a few milliseconds of a thread.
///
/// Most queries need no second step.
pub(crate) const FIRST_STEP_ROWS: u64 = 1_000;
/// Maximum number of rows that each later step looks at.
pub(crate) const STEP_ROWS: u64 = 2_000;

/// A query that runs in steps, each in its own snapshot. Between two steps other queries run, and the log can change.
/// Each implementation says why its result is right nevertheless.
pub(crate) trait Stepped: Send + 'static {
    /// The result.
    type Output: Send + 'static;

    /// Looks at about `rows_max` more rows. Returns the result, or `None` if another step is needed.
    fn step(
        &mut self,
        snapshot: &Snapshot<'_>,
        rows_max: u64,
    ) -> Result<Option<Self::Output>, DbError>;
}

impl Snapshot<'_> {
    /// Runs all steps of a query in this snapshot, for tools.
    pub(crate) fn run<Q: Stepped>(&self, mut query: Q) -> Result<Q::Output, DbError> {
        loop {
            if let Some(result) = query.step(self, u64::MAX)? {
                return Ok(result);
            }
        }
    }
}
