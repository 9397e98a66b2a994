//! Rows of `topics`.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::column::{self, Columns, invalid};
use super::forgotten;
use super::log::LogState;
use super::sum::{self, Sum};
use crate::cursor::{Check, Offset};
use crate::storage::forgotten::Loss;
use crate::storage::sqlite::db_error::DbError;
use crate::topic::TopicName;

/// The row of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Id of the row. Records refer to their topic by it.
    pub(crate) id: i64,
    pub(crate) name: TopicName,
    /// Number of readable events (not ends).
    pub(crate) events: u64,
    /// Bytes of these events, as [`Body::bytes`](crate::Body::bytes) counts them.
    pub(crate) bytes: u64,
    /// Offset of its last record, which may have been removed since.
    pub(crate) last: Offset,
    /// Its end, or its deletion if it was deleted and nothing was published since.
    pub(crate) end: Option<(Offset, Check)>,
    /// `true` if `end` is a deletion.
    pub(crate) deleted: bool,
    /// Records up to this offset are removed: no query returns them.
    pub(crate) removed_through: Offset,
    /// `true` if the last removal was a deletion, not a trim.
    pub(crate) removed_by_delete: bool,
    /// The log's removal count when records of this topic were last removed.
    pub(crate) removals: u64,
    /// Records up to this offset are still to be purged from the disk (column `sweep_through`).
    pub(crate) purge_through: Option<Offset>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, events, bytes, last, end_offset, end_check, deleted, removed_through, \
             removed_by_delete, removals, sweep_through, sum FROM topics ",
            $rest
        )
    };
}

/// The queries of topics. Each uses an index.
pub(crate) mod sql {
    pub(crate) const BY_NAME: &str = select!("WHERE name = ?1");
    pub(crate) const BY_ID: &str = select!("WHERE id = ?1");
    pub(crate) const RECORD_WITHIN: &str =
        "SELECT 1 FROM topic_records WHERE topic = ?1 AND offset BETWEEN ?2 AND ?3";
    pub(crate) const NAMES_FROM: &str = select!("WHERE name >= ?1 ORDER BY name");
    /// The topic after a name, or the first one.
    pub(crate) const NAME_AFTER: &str = "SELECT id, before, name FROM topics \
        WHERE id = coalesce((SELECT id FROM topics WHERE name > ?1 ORDER BY name LIMIT 1), \
        (SELECT id FROM topics WHERE name <> ?1 ORDER BY name LIMIT 1))";
    /// The topic before a name, or the last one.
    pub(crate) const NAME_BEFORE: &str = "SELECT id, before, name FROM topics \
        WHERE id = coalesce((SELECT id FROM topics WHERE name < ?1 ORDER BY name DESC LIMIT 1), \
        (SELECT id FROM topics WHERE name <> ?1 ORDER BY name DESC LIMIT 1))";
    pub(crate) const ALL: &str = select!("NOT INDEXED");
    pub(crate) const NAMES: &str = "SELECT id, name FROM topics ORDER BY name";
    pub(crate) const ANY: &str = "SELECT 1 FROM topics NOT INDEXED LIMIT 1";
    pub(crate) const REMOVED_AFTER: &str =
        select!("WHERE removed_through > ?1 AND removed_through > 0 AND deleted = 0");
    pub(crate) const REMOVED_SINCE: &str =
        select!("WHERE removals > ?1 AND removed_through > 0 AND deleted = 0");
    pub(crate) const REMOVED_FROM: &str = select!(
        "WHERE (removals, id) > (?1, ?2) AND removed_through > 0 AND deleted = 0 \
         ORDER BY removals, id LIMIT ?3"
    );
    pub(crate) const TO_PURGE: &str = select!("WHERE sweep_through IS NOT NULL ORDER BY id");
    pub(crate) const LONGEST_EMPTY: &str = select!(
        "WHERE events = 0 AND (end_offset IS NULL OR deleted = 1) AND sweep_through IS NULL \
         ORDER BY removed_through"
    );
}

impl Topic {
    /// Creates a topic without records. A topic with this name may have been forgotten, so the loss of forgotten topics
    /// whose names begin like this one counts as its own.
    pub(crate) fn new(
        name: TopicName,
        log: &LogState,
        connection: &Connection,
    ) -> Result<Topic, DbError> {
        let mut loss = Loss::default();
        if log.floor > Offset::ZERO {
            loss = forgotten::of_name(connection, name.as_str())?;
        }
        Ok(Topic {
            id: log.next_topic,
            name,
            events: 0,
            bytes: 0,
            last: Offset::ZERO,
            end: None,
            deleted: false,
            removed_through: loss.through,
            removed_by_delete: false,
            removals: loss.removals,
            purge_through: None,
        })
    }

    /// Returns `true` if the topic is empty: it has no record, or only its deletion.
    pub(crate) fn is_empty(&self) -> bool {
        self.events == 0 && (self.end.is_none() || self.deleted)
    }

    /// Returns `true` if the topic may have readable records after an offset.
    pub(crate) fn has_after(&self, after: Offset) -> bool {
        self.last > after && self.last > self.removed_through
    }

    /// Returns `true` if the topic has a stored record in a range of offsets.
    pub(crate) fn has_record(
        &self,
        connection: &Connection,
        first: Offset,
        last: Offset,
    ) -> Result<bool, DbError> {
        let mut statement = connection.prepare_cached(sql::RECORD_WITHIN)?;
        let found = statement.exists([self.id, column::offset(first), column::offset(last)]);
        found.map_err(|error| DbError::at("the index of a topic", error))
    }

    /// Reads the topic with this name.
    pub(crate) fn by_name(connection: &Connection, name: &str) -> Result<Option<Topic>, DbError> {
        let mut statement = connection.prepare_cached(sql::BY_NAME)?;
        let topic = statement.query_row([name], read).optional();
        let topic =
            topic.map_err(|error| DbError::at(format_args!("the topic {name:?}"), error))?;
        match topic {
            None => prove_absent(connection, name).map(|()| None),
            Some(topic) if topic.name.as_str() != name => {
                Err(DbError::Damaged(format!("the index of names has another topic for {name:?}")))
            }
            topic => Ok(topic),
        }
    }

    /// Reads the topic with this row id. It must exist.
    pub(crate) fn by_id(connection: &Connection, id: i64) -> Result<Topic, DbError> {
        let mut statement = connection.prepare_cached(sql::BY_ID)?;
        statement
            .query_row([id], read)
            .map_err(|error| DbError::at(format_args!("the topic in row {id}"), error))
    }

    /// Calls `visit` with each topic that a query finds, until it returns a break.
    pub(crate) fn each(
        connection: &Connection,
        sql: &'static str,
        parameters: impl Params,
        mut visit: impl FnMut(Topic) -> Result<ControlFlow<()>, DbError>,
    ) -> Result<(), DbError> {
        Topic::each_or_damage(connection, sql, parameters, |topic| visit(topic?))
    }

    /// Calls `visit` with each topic that a query finds, or with the error of its row, until it returns a break.
    pub(crate) fn each_or_damage(
        connection: &Connection,
        sql: &'static str,
        parameters: impl Params,
        mut visit: impl FnMut(Result<Topic, DbError>) -> Result<ControlFlow<()>, DbError>,
    ) -> Result<(), DbError> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            let topic = read(row).map_err(|error| {
                let id = row.get(0).unwrap_or(0_i64);
                DbError::at(format_args!("the topic in row {id}"), error)
            });
            if visit(topic)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Inserts or updates the row.
    pub(crate) fn store(&self, connection: &Connection) -> Result<(), DbError> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO topics (id, name, events, bytes, last, end_offset, end_check, deleted, \
             removed_through, removed_by_delete, removals, sweep_through, sum) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
             ON CONFLICT (id) DO UPDATE SET events = ?3, bytes = ?4, last = ?5, end_offset = ?6, \
             end_check = ?7, deleted = ?8, removed_through = ?9, removed_by_delete = ?10, removals = ?11, \
             sweep_through = ?12, sum = ?13",
        )?;
        statement.execute(params![
            self.id,
            self.name.as_str(),
            column::number(self.events),
            column::number(self.bytes),
            column::offset(self.last),
            self.end.map(|(offset, _)| column::offset(offset)),
            self.end.map(|(_, check)| check.get()),
            self.deleted,
            column::offset(self.removed_through),
            self.removed_by_delete,
            column::number(self.removals),
            self.purge_through.map(column::offset),
            self.sum(),
        ])?;
        Ok(())
    }

    /// Computes the checksum of the row.
    fn sum(&self) -> i64 {
        let flags = i64::from(self.deleted) | i64::from(self.removed_by_delete) << 1;
        Sum::new()
            .number(self.id)
            .number(column::number(self.events))
            .number(column::number(self.bytes))
            .number(column::offset(self.last))
            .number_or_null(self.end.map(|(offset, _)| column::offset(offset)))
            .number_or_null(self.end.map(|(_, check)| check.get().into()))
            .number(flags)
            .number(column::offset(self.removed_through))
            .number(column::number(self.removals))
            .number_or_null(self.purge_through.map(column::offset))
            .bytes(self.name.as_str().as_bytes())
            .finish()
    }
}

/// Computes the checksum of a name, as the row after it in the order of names has it.
pub(crate) fn name_sum(name: &str) -> i64 {
    Sum::new().bytes(name.as_bytes()).finish()
}

/// The neighbours of a name in the order of names, which is a circle.
///
/// Each row has the checksum of the name before it. So a name that the index does not find does not exist, if the next
/// row names the one before. Otherwise the index is damaged.
struct Neighbours {
    before: String,
    /// Row id of the topic after it.
    next: i64,
    /// The checksum of the name before `next`, as its row has it. `None` in an older log, which has none.
    next_before: Option<i64>,
}

impl Neighbours {
    /// Finds the neighbours of a name, which may be in the index or not. Returns `None` if there is no other topic.
    fn of(connection: &Connection, name: &str) -> Result<Option<Neighbours>, DbError> {
        let one = |sql| -> Result<Option<(i64, Option<i64>, String)>, DbError> {
            let mut statement = connection.prepare_cached(sql)?;
            let row = statement
                .query_row([name], |row| Ok((row.get(0)?, before(row, 1)?, row.get(2)?)))
                .optional();
            row.map_err(|error| DbError::at("the index of names", error))
        };
        let Some((next, next_before, _)) = one(sql::NAME_AFTER)? else { return Ok(None) };
        let Some((_, _, before)) = one(sql::NAME_BEFORE)? else { return Ok(None) };
        Ok(Some(Neighbours { before, next, next_before }))
    }

    fn link(connection: &Connection, id: i64, before: &str) -> Result<(), DbError> {
        connection
            .prepare_cached("UPDATE topics SET before = ?2 WHERE id = ?1")?
            .execute(params![id, name_sum(before)])?;
        Ok(())
    }
}

/// Reads the column `before`: `None` in an older log.
fn before(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<i64>> {
    if sum::is_checked(row, column)? { row.get(column).map(Some) } else { Ok(None) }
}

/// Makes sure that a topic that the index of names does not find does not exist.
fn prove_absent(connection: &Connection, name: &str) -> Result<(), DbError> {
    let is_linked = match Neighbours::of(connection, name)? {
        Some(found) => found.next_before.is_none_or(|sum| sum == name_sum(&found.before)),
        None => !connection.prepare_cached(sql::ANY)?.exists([])?,
    };
    let damaged = || DbError::Damaged(format!("the index of names near the topic {name:?}"));
    is_linked.then_some(()).ok_or_else(damaged)
}

/// Links a new topic into the order of names.
pub(crate) fn link(connection: &Connection, topic: &Topic) -> Result<(), DbError> {
    let name = topic.name.as_str();
    match Neighbours::of(connection, name)? {
        Some(found) => {
            Neighbours::link(connection, topic.id, &found.before)?;
            Neighbours::link(connection, found.next, name)
        }
        None => Neighbours::link(connection, topic.id, name),
    }
}

/// Deletes the row of a topic and closes the order of names.
pub(crate) fn delete(connection: &Connection, topic: &Topic) -> Result<(), DbError> {
    if let Some(found) = Neighbours::of(connection, topic.name.as_str())? {
        Neighbours::link(connection, found.next, &found.before)?;
    }
    connection.prepare_cached("DELETE FROM topics WHERE id = ?1")?.execute([topic.id])?;
    Ok(())
}

/// Finds the topics with a sound row, and names that others may have, by row id.
pub(crate) fn salvage(
    connection: &Connection,
    topics: &mut BTreeMap<i64, Topic>,
    candidates: &mut HashMap<i64, Vec<TopicName>>,
) -> Result<(), DbError> {
    // The first query reads the table, the second one only the index of names.
    for sql in [sql::ALL, sql::NAMES] {
        let mut select = connection.prepare(sql)?;
        let mut rows = select.query([])?;
        loop {
            let row = match rows.next().map_err(DbError::from) {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) if error.is_corrupt() => break,
                Err(error) => return Err(error),
            };
            let Ok(id) = row.get(0) else { continue };
            if sql == sql::ALL
                && let Ok(topic) = read(row)
            {
                topics.insert(id, topic);
            } else if let Ok(Ok(name)) = row.get_ref(1)?.as_str().map(TopicName::new) {
                candidates.entry(id).or_default().push(name);
            }
        }
    }
    Ok(())
}

/// Stores the checksums of all topics. A row that cannot be read keeps one that does not match.
pub(crate) fn seal_all(connection: &Connection) -> Result<(), DbError> {
    let mut select = connection.prepare(
        "SELECT id, name, events, bytes, last, end_offset, end_check, deleted, removed_through, \
         removed_by_delete, removals, sweep_through, 'unchecked' FROM topics ORDER BY id",
    )?;
    let mut update = connection.prepare("UPDATE topics SET sum = ?2 WHERE id = ?1")?;
    let sums = select.query_map([], |row| {
        Ok((row.get::<_, i64>(0)?, read(row).map_or(0, |topic| topic.sum())))
    })?;
    for row in sums {
        let (id, sum) = row?;
        update.execute([id, sum])?;
    }
    let mut names = connection.prepare("SELECT id, name FROM topics ORDER BY name")?;
    let mut names = names.query([])?;
    let (mut first, mut last) = (None, None::<String>);
    while let Some(row) = names.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        match &last {
            Some(last) => Neighbours::link(connection, id, last)?,
            None => first = Some(id),
        }
        last = Some(name);
    }
    if let (Some(first), Some(last)) = (first, last) {
        Neighbours::link(connection, first, &last)?;
    }
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Topic> {
    let name =
        TopicName::new(row.get_ref(1)?.as_str()?).map_err(|error| invalid(1, Type::Text, error))?;
    let end = match row.offset_or_none(5)? {
        Some(offset) => Some((offset, row.check(6)?)),
        None => None,
    };
    let topic = Topic {
        id: row.get(0)?,
        name,
        events: row.number(2)?,
        bytes: row.number(3)?,
        last: row.offset(4)?,
        end,
        deleted: row.get(7)?,
        removed_through: row.offset(8)?,
        removed_by_delete: row.get(9)?,
        removals: row.number(10)?,
        purge_through: row.offset_or_none(11)?,
    };
    sum::check(row, 12, || topic.sum())?;
    Ok(topic)
}
