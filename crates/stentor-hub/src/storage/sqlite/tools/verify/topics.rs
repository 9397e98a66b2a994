//! Checks the table `topics`.

use rusqlite::Connection;

use super::check::Check;
use crate::cursor::Offset;
use crate::record::{Body, Record};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::record;
use crate::storage::sqlite::tables::topic::Topic;
use crate::storage::sqlite::tools::log_row::LogRow;

impl Check<'_> {
    /// Checks each topic.
    pub(super) fn topics(&mut self, log: &LogRow) -> Result<(), DbError> {
        let mut statement = self.connection.prepare("SELECT id FROM topics ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let checked = Topic::by_id(self.connection, row.get(0)?)
                .and_then(|topic| self.topic(&topic, log));
            if let Err(error) = checked {
                self.record_error(error)?;
            }
        }
        Ok(())
    }

    fn topic(&mut self, topic: &Topic, log: &LogRow) -> Result<(), DbError> {
        let name = topic.name.as_str();
        let held = Contents::of(self.connection, topic)?;
        if (topic.events, topic.bytes) != (held.events, held.bytes) {
            self.add(format_args!(
                "the topic {name:?}: its counts are {} events of {} bytes, but it has {} of {}",
                topic.events, topic.bytes, held.events, held.bytes
            ));
        }
        let last_fits =
            held.last.map_or(topic.last <= topic.removed_through, |last| topic.last == last);
        if !last_fits {
            let last = held.last.unwrap_or_default();
            self.add(format_args!(
                "the topic {name:?}: its last offset is {}, but should be {last}",
                topic.last
            ));
        }
        for (column, offset) in [("last", topic.last), ("removed_through", topic.removed_through)] {
            if offset > log.reserved_through {
                self.add(format_args!(
                    "the topic {name:?}: {column} is {offset}, after the last reserved offset ({})",
                    log.reserved_through
                ));
            }
        }
        if topic.removals > log.removals {
            self.add(format_args!(
                "the topic {name:?}: its removal count {} is higher than that of the log ({})",
                topic.removals, log.removals
            ));
        }
        if held.unpurgeable {
            self.add(format_args!(
                "the topic {name:?}: it has removed records that will not be purged"
            ));
        }
        self.end(topic, log)
    }

    fn end(&mut self, topic: &Topic, log: &LogRow) -> Result<(), DbError> {
        let name = topic.name.as_str();
        let Some((offset, check)) = topic.end else {
            if topic.deleted {
                self.add(format_args!(
                    "the topic {name:?}: it is deleted, but has no deletion record"
                ));
            }
            return Ok(());
        };
        let mut is_found = false;
        let end = record::find(self.connection, log.epoch, offset, |id| {
            is_found = true;
            Ok((id == topic.id).then(|| topic.name.clone()))
        })?;
        match end {
            None if is_found => self.add(format_args!(
                "the topic {name:?}: the record at offset {offset} is not its end"
            )),
            None if self.is_noted_as_lost(topic.id, offset)? => {}
            None => {
                self.add(format_args!("the topic {name:?}: its end at offset {offset} is missing"));
            }
            Some(end) if !is_end(&end, topic.deleted) => self.add(format_args!(
                "the topic {name:?}: the record at offset {offset} is not its end"
            )),
            Some(end) if end.cursor().check != Some(check) => self.add(format_args!(
                "the topic {name:?}: its end at offset {offset} does not match its check"
            )),
            Some(_) if topic.last != offset => self.add(format_args!(
                "the topic {name:?}: it has records after its end at offset {offset}"
            )),
            Some(_) => {}
        }
        Ok(())
    }
}

impl Check<'_> {
    /// Returns `true` if a repair has noted that a record is lost.
    fn is_noted_as_lost(&self, topic: i64, offset: Offset) -> Result<bool, DbError> {
        let mut noted = self.connection.prepare_cached(
            "SELECT 1 FROM topic_records WHERE topic = ?1 AND offset = ?2 AND kind = ?3",
        )?;
        Ok(noted.exists([topic, column::offset(offset), record::LOST])?)
    }
}

fn is_end(record: &Record, deleted: bool) -> bool {
    match record.body() {
        Body::Event(_) => false,
        Body::End { .. } => !deleted,
        Body::Deleted => deleted,
    }
}

/// The contents of a topic according to the index.
struct Contents {
    events: u64,
    bytes: u64,
    last: Option<Offset>,
    /// `true` if there are removed records that will not be purged.
    unpurgeable: bool,
}

impl Contents {
    fn of(connection: &Connection, topic: &Topic) -> Result<Contents, DbError> {
        let mut statement = connection.prepare_cached(
            "SELECT count(*) FILTER (WHERE kind = 0), coalesce(sum(bytes) FILTER (WHERE kind = 0), 0), \
             max(offset), EXISTS (SELECT 1 FROM topic_records WHERE topic = ?1 AND offset > ?3 AND offset <= ?2) \
             FROM topic_records WHERE topic = ?1 AND offset > ?2",
        )?;
        let removed = column::offset(topic.removed_through);
        let purging = topic.purge_through.map_or(0, column::offset);
        let held = statement.query_row([topic.id, removed, purging], |row| {
            Ok(Contents {
                events: row.number(0)?,
                bytes: row.number(1)?,
                last: row.offset_or_none(2)?,
                unpurgeable: row.get(3)?,
            })
        });
        held.map_err(|error| {
            DbError::at(format_args!("the index of the topic {:?}", topic.name.as_str()), error)
        })
    }
}
