//! The topics that filters ask for.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::fault::Fault;
use super::topic::{Topic, sql};
use super::view::View;
use crate::cursor::Offset;
use crate::filter::{Filters, TopicFilter};
use crate::storage::{TopicInfo, TopicsQuery};

impl View<'_> {
    /// Visits all known topics that match, each once: exact names first, then in each pattern's range
    /// of names. Gives up (`false`) after so many names in these ranges.
    pub(super) fn each_matching(
        &self,
        filters: &Filters,
        names_max: usize,
        mut visit: impl FnMut(Topic) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<bool, Fault> {
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

    /// The topics that hold anything, by name.
    pub(super) fn list(&self, query: &TopicsQuery) -> Result<Vec<TopicInfo>, Fault> {
        let after = query.after.as_deref().unwrap_or_default();
        let mut topics = Vec::new();
        Topic::each(self.connection, sql::NAMES_FROM, after.max(&query.prefix), |topic| {
            if !topic.name.as_str().starts_with(&query.prefix) || topics.len() == query.limit {
                return Ok(ControlFlow::Break(()));
            }
            if topic.name.as_str() > after && !topic.is_empty() {
                let ended = topic.end.is_some();
                topics.push(TopicInfo {
                    topic: topic.name,
                    events: topic.events,
                    bytes: topic.bytes,
                    ended,
                });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(topics)
    }
}

/// Tells, in a scan over all records, which ones a reader of some filters is shown.
pub(super) struct Sieve<'v> {
    view: &'v View<'v>,
    filters: &'v Filters,
    /// By the row of a topic: what it shows lies above this. Nothing does if it does not match.
    floors: HashMap<i64, Offset>,
}

impl<'v> Sieve<'v> {
    pub(super) fn new(view: &'v View<'v>, filters: &'v Filters) -> Sieve<'v> {
        Sieve { view, filters, floors: HashMap::new() }
    }

    /// Whether the record at an offset of the topic in a row is shown.
    pub(super) fn shows(&mut self, topic: i64, offset: Offset) -> Result<bool, Fault> {
        if let Some(floor) = self.floors.get(&topic) {
            return Ok(offset > *floor);
        }
        let found = self.view.topic(topic)?;
        let floor =
            if self.filters.matches(&found.name) { found.removed_through } else { Offset::MAX };
        self.floors.insert(topic, floor);
        Ok(offset > floor)
    }
}
