//! Finds the removed records that a reader has not read, in steps.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Params;

use super::snapshot::Snapshot;
use super::step::FIRST_STEP_ROWS;
use super::topic_walk::TopicWalk;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::query::ReadRequest;
use crate::storage::result::{Damaged, Removed};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::log::LogRemovals;
use crate::storage::sqlite::tables::topic::{Topic, sql};
use crate::topic::TopicName;

pub(crate) const COUNT_NAMES: &str = "SELECT count(*) FROM \
    (SELECT 1 FROM topics WHERE name >= ?1 AND name < ?2 LIMIT ?3)";
pub(crate) const COUNT_REMOVED_AFTER: &str = "SELECT count(*) FROM (SELECT 1 FROM topics \
    WHERE removed_through > ?1 AND removed_through > 0 AND deleted = 0 LIMIT ?2)";
pub(crate) const COUNT_REMOVED_SINCE: &str = "SELECT count(*) FROM (SELECT 1 FROM topics \
    WHERE removals > ?1 AND removed_through > 0 AND deleted = 0 LIMIT ?2)";

/// A search for the losses of a reader: the removals after an offset from matching topics. It leaves out removals up to
/// the count `reported`, which the reader knows.
///
/// If few topics can be affected, one step looks at all of them. Otherwise it goes through the topics with removals in
/// the order of their removal counts. Each new removal has the highest count, so whatever is removed between two
/// steps is found before the search ends. The last step is therefore complete for its own snapshot.
pub(crate) struct LossSearch {
    filters: Arc<Filters>,
    after: Offset,
    reported: u64,
    /// The topics found, and for each: `true` if it was deleted, `false` if it was trimmed.
    topics: BTreeMap<TopicName, bool>,
    /// Removal count and row id of the last topic, if the search takes several steps.
    reached: Option<(u64, i64)>,
}

/// The result of a search.
pub(crate) struct Losses {
    pub(crate) removed: Option<Removed>,
    /// The log's count of removals. All of them were considered.
    pub(crate) removals: u64,
    /// Set if a damaged row ended the search: any matching topic may have lost records.
    pub(crate) damaged: Option<Damaged>,
}

impl LossSearch {
    pub(crate) fn of(request: &ReadRequest) -> LossSearch {
        LossSearch {
            filters: Arc::clone(&request.filters),
            after: request.after,
            reported: request.losses_reported,
            topics: BTreeMap::new(),
            reached: None,
        }
    }

    /// Continues the search. Returns `None` if another step is needed.
    pub(crate) fn step(
        &mut self,
        snapshot: &Snapshot<'_>,
        rows_max: u64,
    ) -> Result<Option<Losses>, DbError> {
        let log = LogRemovals::read(snapshot.connection)?;
        if self.reported >= log.removals {
            let (removed, damaged) = (None, None);
            return Ok(Some(Losses { removed, removals: log.removals, damaged }));
        }
        match self.search(snapshot, rows_max, &log) {
            Err(error) if error.is_corrupt() => {
                snapshot.note_damaged_row(error.place());
                let (removed, damaged) = (self.removed(log.removals, false), Damaged::default());
                Ok(Some(Losses { removed, removals: log.removals, damaged: Some(damaged) }))
            }
            done => done,
        }
    }

    fn search(
        &mut self,
        snapshot: &Snapshot<'_>,
        rows_max: u64,
        log: &LogRemovals,
    ) -> Result<Option<Losses>, DbError> {
        if !self.filters.patterns().is_empty() && !self.search_patterns(snapshot, rows_max)? {
            return Ok(None);
        }
        let forgotten = log.floor > self.after && log.floor_removals > self.reported;
        for name in self.filters.exact() {
            match Topic::by_name(snapshot.connection, name.as_str())? {
                Some(topic) if self.is_lost(&topic) => {
                    self.topics.insert(topic.name, topic.removed_by_delete);
                }
                None if forgotten => {
                    let loss = snapshot.forgotten_of(name.as_str())?;
                    if loss.is_unreported(self.after, self.reported) {
                        self.topics.insert(name.clone(), false);
                    }
                }
                Some(_) | None => {}
            }
        }
        let unnamed = forgotten
            && self.topics.is_empty()
            && snapshot.forgot_match_of(&self.filters, self.after, self.reported)?;
        let removed = self.removed(log.removals, unnamed);
        Ok(Some(Losses { removed, removals: log.removals, damaged: None }))
    }

    fn removed(&mut self, removals: u64, unnamed: bool) -> Option<Removed> {
        let topics = std::mem::take(&mut self.topics);
        if topics.is_empty() && !unnamed {
            return None;
        }
        let deleted = topics.values().next().is_some_and(|by_delete| *by_delete);
        let topics = topics.into_keys().take(Removed::TOPICS_MAX).collect();
        Some(Removed { deleted, topics, removals })
    }

    fn is_lost(&self, topic: &Topic) -> bool {
        topic.removed_through > self.after && topic.removals > self.reported && !topic.deleted
    }

    /// Continues the search for topics that match a pattern. Returns `true` if it is complete.
    fn search_patterns(&mut self, snapshot: &Snapshot<'_>, rows_max: u64) -> Result<bool, DbError> {
        if let Some((removals, id)) = self.reached {
            let from = [column::number(removals), id, column::number(rows_max)];
            return self.search_from(snapshot, from, rows_max);
        }
        let (after, reported) = (column::offset(self.after), column::number(self.reported));
        // A step of any kind can afford this many rows.
        let few = rows_max.min(FIRST_STEP_ROWS);
        let count = |sql, parameter| snapshot.count(sql, (parameter, column::number(few)));
        let by_offset = count(COUNT_REMOVED_AFTER, after)?;
        let by_count = count(COUNT_REMOVED_SINCE, reported)?;
        let by_name = self.names_in_ranges(snapshot, by_offset.min(by_count))?;
        if by_offset.min(by_count).min(by_name) >= few {
            let from = [reported, i64::MAX, column::number(rows_max)];
            return self.search_from(snapshot, from, rows_max);
        }
        if by_name < by_offset.min(by_count) {
            let mut walk = TopicWalk::new(&Arc::clone(&self.filters));
            let _ = walk.go_on(snapshot, u64::MAX, |topic| Ok(self.note(topic)))?;
            return Ok(true);
        }
        let (sql, parameter) = if by_offset <= by_count {
            (sql::REMOVED_AFTER, after)
        } else {
            (sql::REMOVED_SINCE, reported)
        };
        Topic::each(snapshot.connection, sql, [parameter], |topic| {
            snapshot.count_row();
            Ok(self.note(topic))
        })?;
        Ok(true)
    }

    /// Continues in the order of removal counts. Returns `true` if the search is complete.
    fn search_from(
        &mut self,
        snapshot: &Snapshot<'_>,
        from: [i64; 3],
        rows_max: u64,
    ) -> Result<bool, DbError> {
        let (mut rows, mut is_complete) = (0, true);
        Topic::each(snapshot.connection, sql::REMOVED_FROM, from, |topic| {
            snapshot.count_row();
            rows += 1;
            self.reached = Some((topic.removals, topic.id));
            is_complete = rows < rows_max;
            Ok(self.note(topic).map_break(|()| is_complete = true))
        })?;
        Ok(is_complete)
    }

    /// Notes a topic if it is lost. Breaks once there are enough for a gap.
    fn note(&mut self, topic: Topic) -> ControlFlow<()> {
        if self.is_lost(&topic) && self.filters.matches_by_pattern(&topic.name) {
            self.topics.insert(topic.name, topic.removed_by_delete);
        }
        if self.topics.len() >= Removed::TOPICS_MAX {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Counts the names that begin with the literal prefix of a pattern, up to `max`.
    fn names_in_ranges(&self, snapshot: &Snapshot<'_>, max: u64) -> Result<u64, DbError> {
        let mut names = 0;
        for prefix in self.filters.literal_prefixes() {
            let end = format!("{prefix}{}", char::MAX);
            names += snapshot.count(COUNT_NAMES, (prefix, end, column::number(max)))?;
            if names >= max {
                break;
            }
        }
        Ok(names)
    }
}

impl Snapshot<'_> {
    fn count(&self, sql: &str, parameters: impl Params) -> Result<u64, DbError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(parameters, |row| row.number(0))?)
    }
}
