//! Encodes a record's frames.

use serde::Serialize;
use stentor_sse::Frame;

use super::{Body, Record};
use crate::cursor::Cursor;
use crate::form::{END_EVENT, EventObject, Form};

/// The end of a topic as JSON: the data of `stentor.end`. In NDJSON it also has `type` and `id`.
#[derive(Debug, Serialize)]
struct EndObject<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    topic: &'a str,
    reason: &'a str,
}

/// Bytes reserved for the fields around the data, so that most frames are allocated once.
const AROUND_DATA_BYTES: usize = 128;

impl Record {
    /// The record's frame in one form. Encoded at the first call and shared by all readers.
    pub fn frame(&self, form: Form) -> &Frame {
        let rest = self.rest.get_or_init(Box::default);
        let other_forms = || rest.other_forms.get_or_init(Box::default);
        let cell = match form {
            Form::Plain => &rest.plain,
            Form::Envelope => &other_forms().envelope,
            Form::Ndjson => &other_forms().ndjson,
        };
        cell.get_or_init(|| encode(self, form))
    }
}

fn encode(record: &Record, form: Form) -> Frame {
    match (record.body(), form) {
        // Reserves what it needs. With more room, an allocator would keep the rest also when the frame is shrunk.
        (Body::Event(event), Form::Plain) => {
            Frame::build(|out| event.encode_with_id(&record.cursor().to_event_id(), out))
        }
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

/// Encodes a JSON object as a line of NDJSON, or as the data of an event with this name.
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
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(id.to_string().as_bytes());
            if let Some(name) = name {
                out.extend_from_slice(b"\nevent: ");
                out.extend_from_slice(name.as_bytes());
            }
            // One line is enough: compact JSON contains no line breaks.
            out.extend_from_slice(b"\ndata: ");
        }
        // Cannot fail: strings and numbers are written to memory.
        let _ = serde_json::to_writer(&mut *out, object);
        out.extend_from_slice(if form == Form::Ndjson { b"\n" } else { b"\n\n" });
    })
}
