//! Queries about topics: the list of topics, and the state of some.

use std::ops::ControlFlow;

use super::snapshot::Snapshot;
use crate::storage::query::TopicsQuery;
use crate::storage::result::{TopicInfo, TopicState};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::topic::{Topic, sql};
use crate::topic::TopicName;

impl Snapshot<'_> {
    /// See [`Storage::topics`](crate::storage::Storage::topics).
    pub(crate) fn list(&self, query: &TopicsQuery) -> Result<Vec<TopicInfo>, DbError> {
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

    /// See [`Storage::states`](crate::storage::Storage::states).
    pub(crate) fn states(&self, names: &[TopicName]) -> Result<Vec<TopicState>, DbError> {
        names.iter().map(|name| self.state(name)).collect()
    }

    fn state(&self, name: &TopicName) -> Result<TopicState, DbError> {
        let Some(topic) = self.topic_named(name)? else {
            return Ok(TopicState { removed_through: self.floor()?, ..TopicState::default() });
        };
        let end = self.end_of(&topic)?;
        let (events, bytes, removed_through) = (topic.events, topic.bytes, topic.removed_through);
        Ok(TopicState { events, bytes, end, removed_through })
    }
}
