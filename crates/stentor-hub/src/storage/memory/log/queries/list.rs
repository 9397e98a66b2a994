//! The list of topics.

use std::ops::Bound::{Excluded, Included, Unbounded};

use super::Stepped;
use crate::storage::memory::log::Log;
use crate::storage::query::TopicsQuery;
use crate::storage::result::TopicInfo;
use crate::topic::TopicName;

/// See [`Storage::topics`](crate::storage::Storage::topics).
pub(crate) struct List {
    query: TopicsQuery,
    topics: Vec<TopicInfo>,
}

impl List {
    pub(crate) fn new(query: TopicsQuery) -> List {
        List { query, topics: Vec::new() }
    }
}

impl Stepped for List {
    type Output = Vec<TopicInfo>;

    fn step(&mut self, log: &mut Log, rows_max: usize) -> Option<Vec<TopicInfo>> {
        let TopicsQuery { prefix, after, limit } = &self.query;
        let from = match after.as_deref() {
            Some(after) if after >= prefix.as_str() => Excluded(after),
            _ => Included(prefix.as_str()),
        };
        let mut last: Option<&TopicName> = None;
        let range = log.topics.range::<str, _>((from, Unbounded)).enumerate();
        for (at, (name, topic)) in range {
            if !name.as_str().starts_with(prefix) || self.topics.len() == *limit {
                break;
            }
            if at == rows_max {
                self.query.after = last.map(ToString::to_string);
                return None;
            }
            last = Some(name);
            let is_empty = topic.events == 0 && topic.end.is_none();
            if !is_empty && !topic.is_deleted() {
                self.topics.push(TopicInfo {
                    topic: name.clone(),
                    events: topic.events,
                    bytes: topic.bytes,
                    ended: topic.end.is_some(),
                });
            }
        }
        Some(std::mem::take(&mut self.topics))
    }
}
