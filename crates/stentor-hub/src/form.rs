//! The forms in which a record is sent.

use serde::Serialize;
use stentor_sse::{Event, EventType};

use crate::cursor::Cursor;
use crate::record::Record;
use crate::timestamp::Timestamp;

/// The form in which a record is sent. A record is encoded at most once in each form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// An event of `text/event-stream` with the record's type and data.
    #[default]
    Plain,
    /// An event without a type whose data is the [`EventObject`], for readers of several topics.
    Envelope,
    /// The [`EventObject`] as a line of `application/x-ndjson`.
    Ndjson,
}

/// The type of the event that reports the end of a topic.
pub const END_EVENT: &str = "stentor.end";

/// An event record as JSON. Envelopes, NDJSON, pages of history and the command line use this object.
#[derive(Debug, Serialize)]
pub struct EventObject<'a> {
    /// The event id.
    pub id: String,
    /// The topic.
    pub topic: &'a str,
    /// The event's type; `message` if it has none.
    #[serde(rename = "type")]
    pub event_type: &'a str,
    /// The time of the append in RFC 3339.
    pub time: String,
    /// The data, with every byte as published.
    pub data: &'a str,
    /// The reconnection time that the event sets, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<u64>,
}

impl<'a> EventObject<'a> {
    /// The object of an event record; `None` for an end or a deletion.
    pub fn of(record: &'a Record) -> Option<EventObject<'a>> {
        record.event().map(|event| {
            EventObject::new(record.cursor(), record.time(), record.topic().as_str(), event)
        })
    }

    pub(crate) fn new(
        id: Cursor,
        time: Timestamp,
        topic: &'a str,
        event: &'a Event,
    ) -> EventObject<'a> {
        EventObject {
            id: id.to_string(),
            topic,
            event_type: event.event_type().map_or("message", EventType::as_str),
            time: time.to_string(),
            data: event.data(),
            retry: event.retry().map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}
