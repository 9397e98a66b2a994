//! The list of topics, in steps.

use std::ops::ControlFlow;

use super::snapshot::Snapshot;
use super::step::Stepped;
use crate::storage::query::TopicsQuery;
use crate::storage::result::TopicInfo;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::topic::{Topic, sql};

/// See [`Storage::topics`](crate::storage::Storage::topics).
///
/// Each topic is listed as the snapshot of its step shows it. It is found by its name, so no step lists it twice.
/// One whose row is damaged is left out.
pub(crate) struct TopicsList {
    query: TopicsQuery,
    topics: Vec<TopicInfo>,
}

impl TopicsList {
    pub(crate) fn new(query: TopicsQuery) -> TopicsList {
        TopicsList { query, topics: Vec::new() }
    }
}

impl Stepped for TopicsList {
    type Output = Vec<TopicInfo>;

    fn step(
        &mut self,
        snapshot: &Snapshot<'_>,
        rows_max: u64,
    ) -> Result<Option<Vec<TopicInfo>>, DbError> {
        let TopicsQuery { prefix, after, limit } = &self.query;
        let after = after.as_deref().unwrap_or_default();
        let (topics, mut last, mut is_complete) = (&mut self.topics, None, true);
        let from = [after.max(prefix.as_str())];
        Topic::each_or_damage(snapshot.connection, sql::NAMES_FROM, from, |topic| {
            let topic = match topic {
                Err(error) if error.is_corrupt() => {
                    snapshot.note_damaged_row(error.place());
                    return Ok(ControlFlow::Continue(()));
                }
                topic => topic?,
            };
            if !topic.name.as_str().starts_with(prefix) || topics.len() == *limit {
                return Ok(ControlFlow::Break(()));
            }
            if topic.name.as_str() <= after {
                return Ok(ControlFlow::Continue(()));
            }
            if snapshot.work() >= rows_max {
                is_complete = false;
                return Ok(ControlFlow::Break(()));
            }
            snapshot.count_row();
            last = Some(topic.name.as_str().to_owned());
            if !topic.is_empty() {
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
        if is_complete {
            return Ok(Some(std::mem::take(&mut self.topics)));
        }
        self.query.after = last;
        Ok(None)
    }
}
