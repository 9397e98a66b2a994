//! What a reader has lost.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::column::Columns;
use super::fault::Fault;
use super::topic::{Topic, sql};
use super::view::View;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::Removed;
use crate::topic::TopicName;

/// What the log as a whole has lost.
struct Losses {
    removals: u64,
    /// The highest offset removed from topics that are forgotten, and the removals at that moment.
    floor: Offset,
    floor_removals: u64,
}

impl View<'_> {
    /// What was removed after an offset from topics that match, beyond what the reader has been told.
    pub(super) fn removed(
        &self,
        filters: &Filters,
        after: Offset,
        losses_reported: u64,
    ) -> Result<Option<Removed>, Fault> {
        let losses = self.losses()?;
        if losses_reported >= losses.removals {
            return Ok(None);
        }
        let lost = |topic: &Topic| {
            topic.removed_through > after && topic.removals > losses_reported && !topic.deleted
        };
        // Names that are no longer known: rather a gap too many.
        let forgotten = losses.floor > after && losses.floor_removals > losses_reported;
        let mut topics = Vec::new();
        for name in filters.exact() {
            match Topic::by_name(self.connection, name.as_str())? {
                Some(topic) if lost(&topic) => topics.push((topic.name, topic.removed_by_delete)),
                None if forgotten => topics.push((name.clone(), false)),
                Some(_) | None => {}
            }
        }
        if !filters.patterns().is_empty() {
            topics.extend(self.lost_by_globs(filters, after, lost)?);
        }
        let perhaps = forgotten && !filters.patterns().is_empty();
        if topics.is_empty() && !perhaps {
            return Ok(None);
        }
        topics.truncate(Removed::TOPICS_MAX);
        let deleted = topics.first().is_some_and(|(_, by_delete)| *by_delete);
        let topics = topics.into_iter().map(|(name, _)| name).collect();
        Ok(Some(Removed { deleted, topics, removals: losses.removals }))
    }

    /// The first topics by name that patterns match and that lost anything.
    fn lost_by_globs(
        &self,
        filters: &Filters,
        after: Offset,
        lost: impl Fn(&Topic) -> bool,
    ) -> Result<BTreeMap<TopicName, bool>, Fault> {
        let mut topics = BTreeMap::new();
        let after = super::column::offset(after);
        Topic::each(self.connection, sql::REMOVED_AFTER, after, |topic| {
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

    /// Up to where a topic that nobody knows may have lost records.
    pub(super) fn floor(&self) -> Result<Offset, Fault> {
        self.losses().map(|losses| losses.floor)
    }

    fn losses(&self) -> Result<Losses, Fault> {
        let mut statement =
            self.connection.prepare_cached("SELECT removals, floor, floor_removals FROM log")?;
        let losses = statement.query_row([], |row| {
            Ok(Losses {
                removals: row.number(0)?,
                floor: row.offset(1)?,
                floor_removals: row.number(2)?,
            })
        });
        losses.map_err(|error| Fault::at("the log's own row", error))
    }
}
