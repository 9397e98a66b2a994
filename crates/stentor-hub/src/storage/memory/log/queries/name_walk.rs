//! A walk over the topics that filters match.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::filter::Filters;
use crate::storage::memory::topic::Topic;
use crate::topic::TopicName;

/// A walk over the known topics that filters match: exact names first, then the names in the range of each literal
/// prefix of the patterns. It can be continued later, and visits each topic that exists all the time once.
pub(super) struct NameWalk {
    filters: Arc<Filters>,
    exact: usize,
    /// The literal prefixes whose ranges are not finished.
    prefixes: Vec<String>,
    /// The last name that was read in the range of the last prefix.
    last_name: Option<TopicName>,
}

impl NameWalk {
    pub(super) fn new(filters: &Arc<Filters>) -> NameWalk {
        let prefixes = filters.literal_prefixes().into_iter().map(str::to_owned).collect();
        NameWalk { filters: Arc::clone(filters), exact: 0, prefixes, last_name: None }
    }

    /// Continues the walk until it has read `names_max` names in the ranges, or `visit` breaks. Returns `true` if it
    /// is complete.
    pub(super) fn go_on(
        &mut self,
        topics: &BTreeMap<TopicName, Topic>,
        names_max: usize,
        mut visit: impl FnMut(&TopicName, &Topic) -> ControlFlow<()>,
    ) -> bool {
        while let Some(name) = self.filters.exact().get(self.exact) {
            self.exact += 1;
            if let Some(topic) = topics.get(name)
                && visit(name, topic).is_break()
            {
                return false;
            }
        }
        let mut left = names_max;
        while let Some(prefix) = self.prefixes.last() {
            let from = match &self.last_name {
                Some(name) => Excluded(name.as_str()),
                None => Included(prefix.as_str()),
            };
            let range = topics.range::<str, _>((from, Unbounded));
            let mut reached: Option<&TopicName> = None;
            for (name, topic) in range.take_while(|(name, _)| name.as_str().starts_with(prefix)) {
                if left == 0 {
                    self.last_name = reached.cloned().or(self.last_name.take());
                    return false;
                }
                left -= 1;
                reached = Some(name);
                if self.filters.matches_by_pattern(name) && visit(name, topic).is_break() {
                    self.last_name = Some(name.clone());
                    return false;
                }
            }
            self.prefixes.pop();
            self.last_name = None;
        }
        true
    }
}
