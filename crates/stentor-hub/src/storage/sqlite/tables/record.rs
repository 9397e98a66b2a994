//! Rows of `records` and `topic_records`.

use std::fmt;
use std::time::Duration;

use rusqlite::types::{Null, Type, ValueRef};
use rusqlite::{CachedStatement, Connection, Row, params};
use stentor_sse::{Decoder, Event, EventId, EventType, Item};

use super::column::{self, Columns, invalid};
use super::sum::{self, Sum, WrongSum};
use crate::cursor::{Epoch, Offset};
use crate::record::{Attributes, Body, Record};
use crate::storage::sqlite::db_error::DbError;
use crate::topic::TopicName;

/// Value of the column `kind` for an event.
pub(crate) const EVENT: i64 = 0;
/// Value of the column `kind` for the end of a topic.
pub(crate) const END: i64 = 1;
/// Value of the column `kind` for the deletion of a topic.
pub(crate) const DELETED: i64 = 2;
/// Value of the column `kind` of an index entry whose record a repair has dropped.
pub(crate) const LOST: i64 = 3;

pub(crate) const BY_OFFSET: &str = "SELECT topic, kind, time, type, event_id, retry, publisher_id, attributes, id_check, sum, data \
                                    FROM records WHERE offset = ?1";
pub(crate) const INSERT: &str = "INSERT INTO records (offset, topic, kind, time, type, event_id, retry, \
    publisher_id, attributes, id_check, head_sum, sum, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
    ?12, ?13)";
pub(crate) const INSERT_ENTRY: &str = "INSERT INTO topic_records (topic, offset, kind, bytes, prev, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// The columns of `topic_records` that the checksum covers.
#[cfg(test)]
pub(crate) const SEALED_ENTRY: sum::Sealed = sum::Sealed {
    name: "topic_records",
    keys: &["topic", "offset"],
    columns: "topic, offset, kind, bytes, prev",
};

/// The statements that insert records. Prepared once in a transaction, which may insert thousands.
pub(crate) struct Inserts<'c> {
    record: CachedStatement<'c>,
    index: CachedStatement<'c>,
}

impl<'c> Inserts<'c> {
    pub(crate) fn prepare(connection: &'c Connection) -> Result<Inserts<'c>, DbError> {
        Ok(Inserts {
            record: connection.prepare_cached(INSERT)?,
            index: connection.prepare_cached(INSERT_ENTRY)?,
        })
    }

    /// Inserts a record and its entry in the index of its topic. `prev` is the offset of the record before it in the
    /// topic, or zero.
    pub(crate) fn insert(
        &mut self,
        record: &Record,
        topic: i64,
        prev: Offset,
    ) -> Result<(), DbError> {
        let kind = self.insert_record(record, topic)?;
        let offset = column::offset(record.offset());
        let (bytes, prev) = (column::number(record.body().bytes() as u64), column::offset(prev));
        let sum = entry_sum(topic, offset, kind, bytes, prev);
        self.index.execute([topic, offset, kind, bytes, prev, sum])?;
        Ok(())
    }

    /// Inserts a record without an entry in the index. Returns its kind.
    pub(crate) fn insert_record(&mut self, record: &Record, topic: i64) -> Result<i64, DbError> {
        let (kind, data) = kind_and_data(record.body());
        let event = record.event();
        let time = record.time().as_micros();
        let offset = column::offset(record.offset());
        self.record.execute(params![
            offset,
            topic,
            kind,
            time,
            event.and_then(Event::event_type).map(EventType::as_str),
            event.and_then(Event::id).map(EventId::as_str),
            event.and_then(Event::retry).map(|retry| column::number(millis(retry))),
            record.attributes().publisher_id,
            Null,
            id_check(record),
            head_sum(record.offset(), topic, kind, time),
            sum(record),
            data,
        ])?;
        Ok(kind)
    }
}

fn kind_and_data(body: &Body) -> (i64, &str) {
    match body {
        Body::Event(event) => (EVENT, event.data()),
        Body::End { reason } => (END, reason.as_str()),
        Body::Deleted => (DELETED, ""),
    }
}

/// Returns the check of the record's event id, as it is stored.
pub(crate) fn id_check(record: &Record) -> i64 {
    record.cursor().check.map_or(0, |check| check.get().into())
}

/// Computes the checksum of a record from its content alone: it is the same in every copy of the log.
pub(crate) fn sum(record: &Record) -> i64 {
    let (kind, data) = kind_and_data(record.body());
    let event = record.event();
    let text = |text: Option<&str>, sum: Sum| sum.bytes_or_null(text.map(str::as_bytes));
    let sum = Sum::new()
        .number(column::offset(record.offset()))
        .number(record.time().as_micros())
        .number(id_check(record) << 8 | kind)
        .number_or_null(event.and_then(Event::retry).map(|retry| column::number(millis(retry))))
        .bytes(record.topic().as_str().as_bytes());
    let sum = text(event.and_then(Event::event_type).map(EventType::as_str), sum);
    let sum = text(event.and_then(Event::id).map(EventId::as_str), sum);
    let sum = text(record.attributes().publisher_id.as_deref(), sum);
    // The column `attributes`, which is not used.
    sum.bytes_or_null(None).bytes(data.as_bytes()).finish()
}

/// Stores the time of a record. `topic` is the row id of its topic.
pub(crate) fn set_time(
    connection: &Connection,
    topic: i64,
    record: &Record,
) -> Result<(), DbError> {
    let (kind, _) = kind_and_data(record.body());
    let (offset, time) = (record.offset(), record.time().as_micros());
    connection
        .prepare_cached("UPDATE records SET time = ?2, head_sum = ?3, sum = ?4 WHERE offset = ?1")?
        .execute([
            column::offset(offset),
            time,
            head_sum(offset, topic, kind, time),
            sum(record),
        ])?;
    Ok(())
}

/// Computes the checksum of the columns that a scan reads without the rest of the record.
pub(crate) fn head_sum(offset: Offset, topic: i64, kind: i64, time: i64) -> i64 {
    Sum::new().number(column::offset(offset)).number(topic).number(kind).number(time).finish()
}

/// Computes the checksum of an entry in the index of records by topic.
pub(crate) fn entry_sum(topic: i64, offset: i64, kind: i64, bytes: i64, prev: i64) -> i64 {
    Sum::new().number(topic).number(offset).number(kind).number(bytes).number(prev).finish()
}

/// The columns of a record that scans read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) offset: Offset,
    /// Row id of the topic.
    pub(crate) topic: i64,
}

impl Head {
    /// Reads the columns offset, topic, kind and time. Compares them with the checksum in the column `sum`.
    pub(crate) fn read(row: &Row<'_>, sum: usize) -> rusqlite::Result<Head> {
        let (offset, topic, kind, time) = (row.offset(0)?, row.get(1)?, row.get(2)?, row.time(3)?);
        sum::check(row, sum, || head_sum(offset, topic, kind, time.as_micros()))?;
        Ok(Head { offset, topic })
    }
}

/// An entry in the index of records by topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexEntry {
    pub(crate) offset: Offset,
    pub(crate) kind: i64,
    pub(crate) bytes: u64,
    /// Offset of the record before it in the topic, or zero.
    pub(crate) prev: Offset,
}

impl IndexEntry {
    /// Reads the columns topic, offset, kind, bytes, prev, sum, and compares them with the checksum.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<IndexEntry> {
        sum::check_columns(row, 5)?;
        Ok(IndexEntry {
            offset: row.offset(1)?,
            kind: row.get(2)?,
            bytes: row.number(3)?,
            prev: row.offset(4)?,
        })
    }
}

/// Reads the record at an offset, if there is one.
///
/// `name` returns the name of a topic by its row id. If it returns `None`, so does this function.
pub(crate) fn find(
    connection: &Connection,
    epoch: Epoch,
    offset: Offset,
    mut name: impl FnMut(i64) -> Result<Option<TopicName>, DbError>,
) -> Result<Option<Record>, DbError> {
    let place = format_args!("the record at offset {offset}");
    let mut statement = connection.prepare_cached(BY_OFFSET)?;
    let at = |error| DbError::at(place, error);
    let mut rows = statement.query([column::offset(offset)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let Some(topic) = name(row.get(0).map_err(at)?)? else { return Ok(None) };
    read(row, epoch, offset, topic).map(Some).map_err(at)
}

/// Reads a record from the columns of [`BY_OFFSET`], and compares it with its checksum.
pub(crate) fn read(
    row: &Row<'_>,
    epoch: Epoch,
    offset: Offset,
    topic: TopicName,
) -> rusqlite::Result<Record> {
    let (time, body, attributes) = (row.time(2)?, read_body(row)?, read_attributes(row)?);
    let record = if sum::is_checked(row, 9)? {
        let check = row.check(8)?;
        Record::stored(epoch, offset, time, topic, body, attributes, check)
    } else {
        Record::new(epoch, offset, time, topic, body, attributes)
    };
    if !matches!(row.get_ref(7)?, ValueRef::Null) {
        return Err(invalid(7, Type::Blob, WrongSum));
    }
    sum::check(row, 9, || self::sum(&record))?;
    Ok(record)
}

/// Reads the body of a record from the columns of [`BY_OFFSET`].
pub(crate) fn read_body(row: &Row<'_>) -> rusqlite::Result<Body> {
    let text = || Ok::<_, rusqlite::Error>(row.get_ref(10)?.as_str()?.to_owned());
    match row.get(1)? {
        EVENT => read_event(row, text()?).map(Body::Event),
        END => Ok(Body::End { reason: text()? }),
        DELETED => Ok(Body::Deleted),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(1, other)),
    }
}

fn read_event(row: &Row<'_>, data: String) -> rusqlite::Result<Event> {
    let mut event = Event::new(data);
    if let Some(name) = row.get_ref(3)?.as_str_or_null()? {
        event = event.with_type(event_type(name).map_err(|error| invalid(3, Type::Text, error))?);
    }
    if let Some(id) = row.get_ref(4)?.as_str_or_null()? {
        event = event.with_id(EventId::new(id).map_err(|error| invalid(4, Type::Text, error))?);
    }
    if let Some(retry) = row.get_ref(5)?.as_i64_or_null()? {
        let retry =
            u64::try_from(retry).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(5, retry))?;
        event = event.with_retry(Duration::from_millis(retry));
    }
    Ok(event)
}

/// Reads the attributes of a record from the columns of [`BY_OFFSET`].
pub(crate) fn read_attributes(row: &Row<'_>) -> rusqlite::Result<Attributes> {
    Ok(Attributes { publisher_id: row.get(6)? })
}

/// Converts a stored event type. A type that was received on a stream may contain NUL, which only a decoder accepts.
pub(crate) fn event_type(name: &str) -> Result<EventType, InvalidType> {
    if let Ok(event_type) = EventType::new(name) {
        return Ok(event_type);
    }
    let block = format!("event: {name}\ndata\n\n");
    match Decoder::new().decode(&mut block.as_bytes()) {
        Some(Ok(Item::Event(event))) => event
            .event_type()
            .filter(|decoded| decoded.as_str() == name)
            .cloned()
            .ok_or(InvalidType),
        _ => Err(InvalidType),
    }
}

/// The error for a text that cannot be an event type.
#[derive(Debug)]
pub(crate) struct InvalidType;

impl fmt::Display for InvalidType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the type is empty or contains a line break")
    }
}

impl std::error::Error for InvalidType {}

fn millis(retry: Duration) -> u64 {
    u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)
}
