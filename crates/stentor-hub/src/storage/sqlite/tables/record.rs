//! Rows of `records` and `topic_records`.

use std::fmt;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use stentor_sse::{Decoder, Event, EventId, EventType, Item};

use super::column::{self, Columns, invalid};
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

pub(crate) const BY_OFFSET: &str = "SELECT topic, kind, time, type, event_id, retry, publisher_id, data \
                                    FROM records WHERE offset = ?1";

/// The statements that insert records. Prepared once in a transaction, which may insert thousands.
pub(crate) struct Inserts<'c> {
    record: CachedStatement<'c>,
    index: CachedStatement<'c>,
}

impl<'c> Inserts<'c> {
    pub(crate) fn prepare(connection: &'c Connection) -> Result<Inserts<'c>, DbError> {
        Ok(Inserts {
            record: connection.prepare_cached(
                "INSERT INTO records (offset, topic, kind, time, type, event_id, retry, publisher_id, \
                 data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            index: connection.prepare_cached(
                "INSERT INTO topic_records (topic, offset, kind, bytes) VALUES (?1, ?2, ?3, ?4)",
            )?,
        })
    }

    /// Inserts a record and its entry in the index of its topic.
    pub(crate) fn insert(&mut self, record: &Record, topic: i64) -> Result<(), DbError> {
        let (kind, data) = match record.body() {
            Body::Event(event) => (EVENT, event.data()),
            Body::End { reason } => (END, reason.as_str()),
            Body::Deleted => (DELETED, ""),
        };
        let event = record.event();
        let offset = column::offset(record.offset());
        self.record.execute(params![
            offset,
            topic,
            kind,
            record.time().as_micros(),
            event.and_then(Event::event_type).map(EventType::as_str),
            event.and_then(Event::id).map(EventId::as_str),
            event.and_then(Event::retry).map(|retry| column::number(millis(retry))),
            record.attributes().publisher_id,
            data,
        ])?;
        let bytes = column::number(record.body().bytes() as u64);
        self.index.execute([topic, offset, kind, bytes])?;
        Ok(())
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
    let stored = statement.query_row([column::offset(offset)], |row| {
        Ok((row.get(0)?, row.time(2)?, read_body(row)?, read_attributes(row)?))
    });
    let Some((topic, time, body, attributes)) =
        stored.optional().map_err(|error| DbError::at(place, error))?
    else {
        return Ok(None);
    };
    Ok(name(topic)?.map(|name| Record::new(epoch, offset, time, name, body, attributes)))
}

/// Reads the body of a record from the columns of [`BY_OFFSET`].
pub(crate) fn read_body(row: &Row<'_>) -> rusqlite::Result<Body> {
    let text = || Ok::<_, rusqlite::Error>(row.get_ref(7)?.as_str()?.to_owned());
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
