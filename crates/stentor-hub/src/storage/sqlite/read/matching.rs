//! The topics that filters match.

use std::ops::ControlFlow;

use super::snapshot::Snapshot;
use crate::filter::{Filters, TopicFilter};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::topic::{Topic, sql};

impl Snapshot<'_> {
    /// Calls `visit` once with each known topic that matches: exact names first, then the names in the range of
    /// each pattern.
    ///
    /// Returns `false` if it stopped after reading `names_max` names in these ranges.
    pub(crate) fn each_matching(
        &self,
        filters: &Filters,
        names_max: usize,
        mut visit: impl FnMut(Topic) -> Result<ControlFlow<()>, DbError>,
    ) -> Result<bool, DbError> {
        for name in filters.exact() {
            if let Some(topic) = Topic::by_name(self.connection, name.as_str())?
                && visit(topic)?.is_break()
            {
                return Ok(true);
            }
        }
        let mut names = 0;
        for (at, filter) in filters.patterns().iter().enumerate() {
            let TopicFilter::Pattern(pattern) = filter else { continue };
            let prefix = pattern.literal_prefix();
            let mut flow = ControlFlow::Continue(());
            Topic::each(self.connection, sql::NAMES_FROM, prefix, |topic| {
                if !topic.name.as_str().starts_with(prefix) || names == names_max {
                    return Ok(ControlFlow::Break(()));
                }
                names += 1;
                self.count_row();
                let seen = filters.exact().contains(&topic.name)
                    || filters
                        .patterns()
                        .iter()
                        .take(at)
                        .any(|earlier| earlier.matches(&topic.name));
                if !seen && filter.matches(&topic.name) {
                    flow = visit(topic)?;
                }
                Ok(flow)
            })?;
            if flow.is_break() {
                return Ok(true);
            }
            if names == names_max {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
