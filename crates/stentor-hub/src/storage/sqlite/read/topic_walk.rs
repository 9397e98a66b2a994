//! A walk over the topics that filters match.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::filter::Filters;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::topic::{Topic, sql};

/// A walk over the known topics that filters match: exact names first, then the names in the range of each literal
/// prefix of the patterns. It can be continued in a later snapshot.
///
/// Each topic that exists during the whole walk is visited once, because it is found by its name, which never changes.
pub(crate) struct TopicWalk {
    filters: Arc<Filters>,
    /// Number of exact names that were visited.
    exact: usize,
    /// The literal prefixes whose ranges are not finished. None of them begins with another one.
    prefixes: Vec<String>,
    /// The last name that was read in the range of the last prefix.
    last_name: Option<String>,
}

impl TopicWalk {
    pub(crate) fn new(filters: &Arc<Filters>) -> TopicWalk {
        let prefixes = filters.literal_prefixes().into_iter().map(str::to_owned).collect();
        TopicWalk { filters: Arc::clone(filters), exact: 0, prefixes, last_name: None }
    }

    /// Continues the walk until it has read `names_max` names in the ranges, or `visit` breaks. Returns `true` if it
    /// is complete.
    pub(crate) fn go_on(
        &mut self,
        snapshot: &Snapshot<'_>,
        names_max: u64,
        mut visit: impl FnMut(Topic) -> Result<ControlFlow<()>, DbError>,
    ) -> Result<bool, DbError> {
        while let Some(name) = self.filters.exact().get(self.exact) {
            self.exact += 1;
            if let Some(topic) = Topic::by_name(snapshot.connection, name.as_str())?
                && visit(topic)?.is_break()
            {
                return Ok(false);
            }
        }
        let mut left = names_max;
        while let Some(prefix) = self.prefixes.last() {
            if !self.walk_range(snapshot, &prefix.clone(), &mut left, &mut visit)? {
                return Ok(false);
            }
            self.prefixes.pop();
            self.last_name = None;
        }
        Ok(true)
    }

    /// Walks over the names that begin with `prefix`. Returns `true` if there are no more of them.
    fn walk_range(
        &mut self,
        snapshot: &Snapshot<'_>,
        prefix: &str,
        left: &mut u64,
        visit: &mut impl FnMut(Topic) -> Result<ControlFlow<()>, DbError>,
    ) -> Result<bool, DbError> {
        let from = self.last_name.clone().unwrap_or_else(|| prefix.to_owned());
        let mut is_complete = true;
        Topic::each(snapshot.connection, sql::NAMES_FROM, [from], |topic| {
            if !topic.name.as_str().starts_with(prefix) {
                return Ok(ControlFlow::Break(()));
            }
            if self.last_name.as_deref() == Some(topic.name.as_str()) {
                return Ok(ControlFlow::Continue(()));
            }
            if *left == 0 {
                is_complete = false;
                return Ok(ControlFlow::Break(()));
            }
            *left -= 1;
            snapshot.count_row();
            self.last_name = Some(topic.name.as_str().to_owned());
            let mut flow = ControlFlow::Continue(());
            if self.filters.matches_by_pattern(&topic.name) {
                flow = visit(topic)?;
                is_complete = flow.is_continue();
            }
            Ok(flow)
        })?;
        Ok(is_complete)
    }
}
