//! A topic's row.

use std::ops::ControlFlow;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::{self, Columns, senseless};
use super::fault::Fault;
use super::ledger::Ledger;
use crate::cursor::{Check, Offset};
use crate::topic::TopicName;

/// What is known of a topic as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    /// The row, by which records name their topic.
    pub(super) id: i64,
    pub(super) name: TopicName,
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// The offset of its last record, be it removed since.
    pub(super) last: Offset,
    /// Its end or, if it was deleted and not begun anew, its deletion.
    pub(super) end: Option<(Offset, Check)>,
    pub(super) deleted: bool,
    /// Records up to here are not shown any more.
    pub(super) removed_through: Offset,
    pub(super) removed_by_delete: bool,
    /// The log's count of removals when this topic last lost something.
    pub(super) removals: u64,
    /// Records up to here are still to be taken off the disk.
    pub(super) sweep_through: Option<Offset>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, events, bytes, last, end_offset, end_check, deleted, removed_through, \
             removed_by_delete, removals, sweep_through FROM topics ",
            $rest
        )
    };
}

/// All questions about topics, each of which goes along an index.
pub(super) mod sql {
    pub(in super::super) const BY_NAME: &str = select!("WHERE name = ?1");
    pub(in super::super) const BY_ID: &str = select!("WHERE id = ?1");
    pub(in super::super) const NAMES_FROM: &str = select!("WHERE name >= ?1 ORDER BY name");
    pub(in super::super) const REMOVED_AFTER: &str =
        select!("WHERE removed_through > ?1 AND removed_through > 0 AND deleted = 0");
    pub(in super::super) const UNSWEPT: &str =
        select!("WHERE sweep_through IS NOT NULL ORDER BY id LIMIT ?1");
    pub(in super::super) const LONGEST_EMPTY: &str = select!(
        "WHERE events = 0 AND (end_offset IS NULL OR deleted = 1) AND sweep_through IS NULL \
         ORDER BY removed_through LIMIT 1"
    );
}

impl Topic {
    /// A topic that is about to get its first record. It may be one whose name was forgotten, so all that
    /// was removed from forgotten ones counts as removed from it.
    pub(super) fn new(name: TopicName, ledger: &Ledger) -> Topic {
        Topic {
            id: ledger.next_topic,
            name,
            events: 0,
            bytes: 0,
            last: Offset::ZERO,
            end: None,
            deleted: false,
            removed_through: ledger.floor,
            removed_by_delete: false,
            removals: ledger.floor_removals,
            sweep_through: None,
        }
    }

    /// Whether there is nothing to read but, perhaps, its deletion.
    pub(super) fn is_empty(&self) -> bool {
        self.events == 0 && (self.end.is_none() || self.deleted)
    }

    /// Whether it holds anything after an offset that can be read.
    pub(super) fn has_after(&self, after: Offset) -> bool {
        self.last > after && self.last > self.removed_through
    }

    pub(super) fn by_name(connection: &Connection, name: &str) -> Result<Option<Topic>, Fault> {
        let mut statement = connection.prepare_cached(sql::BY_NAME)?;
        let topic = statement.query_row([name], read).optional();
        topic.map_err(|error| Fault::at(format_args!("the topic {name:?}"), error))
    }

    pub(super) fn by_id(connection: &Connection, id: i64) -> Result<Topic, Fault> {
        let mut statement = connection.prepare_cached(sql::BY_ID)?;
        statement
            .query_row([id], read)
            .map_err(|error| Fault::at(format_args!("the topic in row {id}"), error))
    }

    /// The first topic that a question without parameters finds.
    pub(super) fn first(
        connection: &Connection,
        sql: &'static str,
    ) -> Result<Option<Topic>, Fault> {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_row([], read).optional().map_err(|error| Fault::at("a topic", error))
    }

    /// Visits the topics that a question finds, until told to stop.
    pub(super) fn each(
        connection: &Connection,
        sql: &'static str,
        parameter: impl rusqlite::ToSql,
        mut visit: impl FnMut(Topic) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([parameter])?;
        while let Some(row) = rows.next()? {
            let topic = read(row).map_err(|error| Fault::at("a topic", error))?;
            if visit(topic)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Stores the row, new or changed.
    pub(super) fn store(&self, connection: &Connection) -> Result<(), Fault> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO topics (id, name, events, bytes, last, end_offset, end_check, deleted, \
             removed_through, removed_by_delete, removals, sweep_through) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             ON CONFLICT (id) DO UPDATE SET events = ?3, bytes = ?4, last = ?5, end_offset = ?6, \
             end_check = ?7, deleted = ?8, removed_through = ?9, removed_by_delete = ?10, removals = ?11, \
             sweep_through = ?12",
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
            self.sweep_through.map(column::offset),
        ])?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Topic> {
    let name = TopicName::new(row.get_ref(1)?.as_str()?)
        .map_err(|error| senseless(1, Type::Text, error))?;
    let end = match row.offset_or_none(5)? {
        Some(offset) => Some((offset, row.check(6)?)),
        None => None,
    };
    Ok(Topic {
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
        sweep_through: row.offset_or_none(11)?,
    })
}
