//! Finds what is sound in a damaged log.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, Row};

use crate::cursor::{Epoch, Offset};
use crate::record::Record;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::read::page::first_readable_after;
use crate::storage::sqlite::tables::column::Columns;
use crate::storage::sqlite::tables::record::{self, IndexEntry};
use crate::storage::sqlite::tables::topic::{self, Topic};
use crate::storage::sqlite::tables::{log, sum};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// The state of the log as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogFields {
    pub(super) epoch: Epoch,
    pub(super) reserved_through: Offset,
    pub(super) clean: bool,
    pub(super) tail: Offset,
    pub(super) time: Timestamp,
    pub(super) removals: u64,
    pub(super) floor: Offset,
    pub(super) floor_removals: u64,
}

/// A damaged log, and its backup if there is one.
pub(super) struct Salvage<'a> {
    pub(super) connection: &'a Connection,
    pub(super) backup: Option<&'a Connection>,
    pub(super) log: LogFields,
    /// The topics with a sound row, by row id.
    pub(super) topics: BTreeMap<i64, Topic>,
    /// The names that a topic without a sound row may have. The checksum of a record decides.
    pub(super) candidates: HashMap<i64, Vec<TopicName>>,
}

impl<'a> Salvage<'a> {
    /// Reads the row of the log and the topics.
    pub(super) fn read(
        connection: &'a Connection,
        backup: Option<&'a Connection>,
        notify: &mut dyn FnMut(String),
    ) -> Result<Salvage<'a>, DbError> {
        let backup_log = backup.map(|backup| log_row(backup, true)).transpose()?;
        let log = match log_row(connection, true) {
            Ok(log) => {
                if backup_log.is_some_and(|backup| backup.epoch != log.epoch) {
                    return Err(DbError::Damaged("the backup is of another log".to_owned()));
                }
                log
            }
            Err(error) if error.is_corrupt() => {
                notify(format!("{}; computed again", error.place()));
                log_row_again(connection, backup_log)?
            }
            Err(error) => return Err(error),
        };
        let (mut topics, mut candidates) = (BTreeMap::new(), HashMap::new());
        topic::salvage(connection, &mut topics, &mut candidates)?;
        if let Some(backup) = backup {
            let (mut known, mut unproven) = (BTreeMap::new(), HashMap::new());
            topic::salvage(backup, &mut known, &mut unproven)?;
            for (id, topic) in known.into_iter().filter(|(id, _)| !topics.contains_key(id)) {
                candidates.entry(id).or_default().push(topic.name);
            }
        }
        Ok(Salvage { connection, backup, log, topics, candidates })
    }

    /// Calls `visit` with each sound record and the row id of its topic, in the order of offsets.
    pub(super) fn each_record(
        &self,
        mut visit: impl FnMut(Record, i64) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        let (mut at, until) = (Offset::ZERO, Offset::new(i64::MAX.unsigned_abs()));
        loop {
            match self.scan(&mut at, &mut visit) {
                Err(error) if error.is_corrupt() => {
                    at = first_readable_after(self.connection, at, until)?;
                }
                done => return done,
            }
            if at >= until {
                return Ok(());
            }
        }
    }

    fn scan(
        &self,
        at: &mut Offset,
        visit: &mut impl FnMut(Record, i64) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        let mut select = self.connection.prepare_cached(
            "SELECT topic, kind, time, type, event_id, retry, publisher_id, attributes, id_check, sum, data, offset \
             FROM records WHERE offset > ?1 ORDER BY offset",
        )?;
        let mut rows = select.query([at.get().cast_signed()])?;
        while let Some(row) = rows.next()? {
            let (Ok(offset), Ok(topic)) = (row.offset(11), row.get(0)) else { continue };
            if offset <= *at {
                continue;
            }
            if let Some(record) = self.sound(row, offset, topic) {
                visit(record, topic)?;
                *at = offset;
            }
        }
        Ok(())
    }

    fn sound(&self, row: &Row<'_>, offset: Offset, topic: i64) -> Option<Record> {
        let known = self.topics.get(&topic).map(|topic| &topic.name);
        let candidates = self.candidates.get(&topic).into_iter().flatten();
        known
            .into_iter()
            .chain(candidates)
            .find_map(|name| record::read(row, self.log.epoch, offset, name.clone()).ok())
    }

    /// Calls `visit` with each sound entry of the index of records by topic, up to the first place that cannot be read.
    pub(super) fn each_entry(
        &self,
        mut visit: impl FnMut(i64, IndexEntry) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        let mut select = self.connection.prepare(
            "SELECT topic, offset, kind, bytes, prev, sum FROM topic_records ORDER BY topic, offset",
        )?;
        let mut rows = select.query([])?;
        loop {
            match rows.next().map_err(DbError::from) {
                Ok(Some(row)) => {
                    if let Ok(entry) = IndexEntry::read(row) {
                        visit(row.get(0)?, entry)?;
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) if error.is_corrupt() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Reads the row of the log.
fn log_row(connection: &Connection, check: bool) -> Result<LogFields, DbError> {
    let row = connection.query_row(log::ROW, [], |row| {
        if check {
            sum::check_columns(row, 9)?;
        }
        Ok(LogFields {
            epoch: Epoch::new(row.number(1)?),
            reserved_through: row.offset(2)?,
            clean: row.get(3)?,
            tail: row.offset(4)?,
            time: row.time(5)?,
            removals: row.number(6)?,
            floor: row.offset(7)?,
            floor_removals: row.number(8)?,
        })
    });
    row.map_err(|error| DbError::at("the row of the table `log`", error))
}

/// Computes the row of the log from the other tables, such that nothing is reported too late and no offset is used
/// again.
fn log_row_again(connection: &Connection, backup: Option<LogFields>) -> Result<LogFields, DbError> {
    /// Offsets that are left out after the newest one: more than any reservation.
    const RESERVE: u64 = 131_072;
    let one = |sql: &str| {
        let number = connection.query_row(sql, [], |row| row.number(0));
        number.map_err(|error| DbError::at("the newest offset", error))
    };
    let newest = one("SELECT coalesce(max(offset), 0) FROM records")?
        .max(one("SELECT coalesce(max(last), 0) FROM topics")?)
        .max(one("SELECT coalesce(max(last), 0) FROM burned")?);
    let removals = one("SELECT coalesce(max(removals), 0) + 1 FROM topics")?;
    let time = one("SELECT coalesce(max(time), 0) FROM records")?;
    let newest = Offset::new(newest);
    let found = log_row(connection, false).ok();
    let epoch = backup.or(found).map_or_else(Epoch::random, |log| log.epoch);
    Ok(LogFields {
        epoch,
        reserved_through: Offset::new(newest.get() + RESERVE),
        clean: false,
        tail: Offset::ZERO,
        time: Timestamp::from_micros(time.cast_signed()),
        removals,
        floor: found.map_or(newest, |log| log.floor.min(newest)),
        floor_removals: removals,
    })
}
