//! The forms in which a record travels.

use serde::Serialize;
use stentor_sse::{Event, EventType, Frame};

use crate::cursor::Cursor;
use crate::record::{Body, Record};
use crate::timestamp::Timestamp;

/// How a record is written on the wire. Each is encoded at most once per record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// An event of `text/event-stream` with the record's type and data.
    #[default]
    Plain,
    /// An unnamed event whose data is the event object, for readers of many topics.
    Envelope,
    /// The event object as a line of `application/x-ndjson`.
    Ndjson,
}

/// The event name under which the end of a topic is told.
pub const END_EVENT: &str = "stentor.end";

/// A record as JSON: the same in envelope, NDJSON, history and on the command line.
///
/// `type` is `message` when the event has no name, `data` holds every byte as published.
#[derive(Debug, Serialize)]
pub struct EventObject<'a> {
    /// The record's cursor.
    pub id: String,
    /// Its topic.
    pub topic: &'a str,
    /// The event's name.
    #[serde(rename = "type")]
    pub event_type: &'a str,
    /// When it was appended, RFC 3339.
    pub time: String,
    /// What was published.
    pub data: &'a str,
    /// The reconnection time it asks for, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<u64>,
}

impl<'a> EventObject<'a> {
    /// The object of a record that holds an event; `None` for ends.
    pub fn of(record: &'a Record) -> Option<EventObject<'a>> {
        record.event().map(|event| {
            EventObject::new(record.cursor(), record.time(), record.topic().as_str(), event)
        })
    }

    fn new(id: Cursor, time: Timestamp, topic: &'a str, event: &'a Event) -> EventObject<'a> {
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

/// The end of a topic as JSON: the data of `stentor.end`, and with `type` and `id` its NDJSON line.
#[derive(Debug, Serialize)]
struct EndObject<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    topic: &'a str,
    reason: &'a str,
}

/// Room for what is written beside the data of most events, so that a frame is allocated once.
const AROUND_DATA_BYTES: usize = 128;

pub(crate) fn encode(record: &Record, form: Form) -> Frame {
    match (record.body(), form) {
        (Body::Event(event), Form::Plain) => Frame::build(|out| {
            out.reserve(event.data().len() + AROUND_DATA_BYTES);
            event.encode_with_id(&record.cursor().to_event_id(), out);
        }),
        (Body::Event(event), Form::Envelope | Form::Ndjson) => {
            let object =
                EventObject::new(record.cursor(), record.time(), record.topic().as_str(), event);
            encode_object(record.cursor(), &object, event.data().len(), None, form)
        }
        (Body::End { .. } | Body::Deleted, form) => {
            let ndjson = form == Form::Ndjson;
            let object = EndObject {
                event_type: ndjson.then_some(END_EVENT),
                id: ndjson.then(|| record.cursor().to_string()),
                topic: record.topic().as_str(),
                reason: record.end_reason().unwrap_or_default(),
            };
            encode_object(record.cursor(), &object, 0, Some(END_EVENT), form)
        }
    }
}

/// Writes a JSON object as a line of NDJSON or as the data of an event of this name.
fn encode_object(
    id: Cursor,
    object: &impl Serialize,
    data_bytes: usize,
    name: Option<&str>,
    form: Form,
) -> Frame {
    Frame::build(|out| {
        out.reserve(data_bytes + 2 * AROUND_DATA_BYTES);
        if form != Form::Ndjson {
            // JSON has no line breaks of its own, so it is one line of data.
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(id.to_string().as_bytes());
            if let Some(name) = name {
                out.extend_from_slice(b"\nevent: ");
                out.extend_from_slice(name.as_bytes());
            }
            out.extend_from_slice(b"\ndata: ");
        }
        // Writing strings and numbers into memory cannot fail.
        let _ = serde_json::to_writer(&mut *out, object);
        out.extend_from_slice(if form == Form::Ndjson { b"\n" } else { b"\n\n" });
    })
}
