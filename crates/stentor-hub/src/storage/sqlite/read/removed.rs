//! Finds the removed records that a reader has not read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::snapshot::Snapshot;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::result::Removed;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::topic::{Topic, sql};
use crate::topic::TopicName;

/// Removals of the log as a whole.
struct LogRemovals {
    removals: u64,
    /// The highest offset that was removed from a topic whose name is forgotten.
    floor: Offset,
    /// The removal count when the floor last rose.
    floor_removals: u64,
}

impl Snapshot<'_> {
    /// Returns the losses of a reader: the removals after an offset from matching topics. Leaves out removals up to the
    /// count `reported`, which the reader knows.
    pub(crate) fn removed(
        &self,
        filters: &Filters,
        after: Offset,
        reported: u64,
    ) -> Result<Option<Removed>, DbError> {
        let log = self.log_removals()?;
        if reported >= log.removals {
            return Ok(None);
        }
        let lost = |topic: &Topic| {
            topic.removed_through > after && topic.removals > reported && !topic.deleted
        };
        // The topic may be one whose name is forgotten. A gap too many is better than none.
        let forgotten = log.floor > after && log.floor_removals > reported;
        let mut topics = Vec::new();
        for name in filters.exact() {
            match Topic::by_name(self.connection, name.as_str())? {
                Some(topic) if lost(&topic) => topics.push((topic.name, topic.removed_by_delete)),
                None if forgotten => topics.push((name.clone(), false)),
                Some(_) | None => {}
            }
        }
        if !filters.patterns().is_empty() {
            topics.extend(self.lost_by_patterns(filters, after, lost)?);
        }
        let unnamed = forgotten && !filters.patterns().is_empty();
        if topics.is_empty() && !unnamed {
            return Ok(None);
        }
        topics.truncate(Removed::TOPICS_MAX);
        let deleted = topics.first().is_some_and(|(_, by_delete)| *by_delete);
        let topics = topics.into_iter().map(|(name, _)| name).collect();
        Ok(Some(Removed { deleted, topics, removals: log.removals }))
    }

    /// Returns the first topics, by name, that match a pattern and have lost records.
    fn lost_by_patterns(
        &self,
        filters: &Filters,
        after: Offset,
        lost: impl Fn(&Topic) -> bool,
    ) -> Result<BTreeMap<TopicName, bool>, DbError> {
        let mut topics = BTreeMap::new();
        Topic::each(self.connection, sql::REMOVED_AFTER, column::offset(after), |topic| {
            self.count_row();
            let named = filters.exact().contains(&topic.name);
            if lost(&topic) && !named && filters.matches(&topic.name) {
                topics.insert(topic.name, topic.removed_by_delete);
                if topics.len() > Removed::TOPICS_MAX {
                    topics.pop_last();
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(topics)
    }

    /// Returns the offset up to which an unknown topic may have lost records.
    pub(crate) fn floor(&self) -> Result<Offset, DbError> {
        self.log_removals().map(|log| log.floor)
    }

    fn log_removals(&self) -> Result<LogRemovals, DbError> {
        let mut statement =
            self.connection.prepare_cached("SELECT removals, floor, floor_removals FROM log")?;
        let log = statement.query_row([], |row| {
            Ok(LogRemovals {
                removals: row.number(0)?,
                floor: row.offset(1)?,
                floor_removals: row.number(2)?,
            })
        });
        log.map_err(|error| DbError::at("the row of the table `log`", error))
    }
}
