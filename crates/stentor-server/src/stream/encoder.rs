//! The bytes of a stream: records, and the control messages of the server (greeting, positions, gaps
//! and keep-alives). Shards and response bodies both use it, so a stream is the same over either.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use stentor_hub::{CURSOR_EVENT, Cursor, Form, GAP_EVENT, Gap, Record};
use stentor_sse::{Event, EventType, Frame, encode_comment, encode_id};

use super::options::StreamOptions;

/// Encodes one stream. It is part of the key by which readers are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamEncoder {
    form: Form,
    /// See [`StreamOptions::control`].
    control: bool,
}

/// Returns a reconnection time for a reader: 1.5 to 2.5 s, at random, so that readers do not all
/// reconnect at once.
pub(crate) fn reader_retry() -> Duration {
    Duration::from_millis(fastrand::u64(1_500..=2_500))
}

/// Returns a reconnection time for a subscriber whose stream cannot be opened now: 5 to 15 s, at
/// random.
pub(crate) fn unavailable_retry() -> Duration {
    Duration::from_millis(fastrand::u64(5_000..=15_000))
}

impl StreamEncoder {
    pub(crate) fn new(options: StreamOptions) -> StreamEncoder {
        StreamEncoder { form: options.form, control: options.control }
    }

    /// Writes the first bytes of a stream. They show proxies and subscribers that it is open.
    ///
    /// No blank line follows here, after a `retry:` or after a keep-alive: both take effect at the end of
    /// their line (WHATWG HTML 9.2.6), and some parsers return an event without data for a block that has
    /// only such lines.
    pub(crate) fn greeting(self, out: &mut BytesMut, retry: Duration) {
        self.retry(out, retry);
        self.keep_alive(out);
    }

    /// Writes the time after which the subscriber reconnects. NDJSON cannot express it.
    pub(crate) fn retry(self, out: &mut BytesMut, retry: Duration) {
        if !self.is_ndjson() {
            out.put_slice(format!("retry: {}\n", retry.as_millis()).as_bytes());
        }
    }

    /// Writes a keep-alive: a comment, or an empty line in NDJSON.
    pub(crate) fn keep_alive(self, out: &mut BytesMut) {
        if !self.is_ndjson() {
            return write(out, |out| encode_comment(out, "stentor"));
        }
        out.put_u8(b'\n');
    }

    /// Writes a position that no event carries.
    ///
    /// The standard allows an id without data, but of the browsers only Blink keeps such an id. So the
    /// position is an event with empty data, under a name that pages do not listen to.
    pub(crate) fn cursor(self, out: &mut BytesMut, cursor: Cursor) {
        self.put_control(out, cursor, CURSOR_EVENT, None);
    }

    /// Writes the report of a loss.
    pub(crate) fn gap(self, out: &mut BytesMut, gap: &Gap) {
        let object = serde_json::to_value(gap).unwrap_or_default();
        self.put_control(out, gap.position, GAP_EVENT, Some(object));
    }

    /// Returns the frame of a record, which all readers of this form share. Ends are control events:
    /// with `control` off they have no frame.
    pub(crate) fn frame(self, record: &Record) -> Option<&Frame> {
        (self.control || record.event().is_some()).then(|| record.frame(self.form))
    }

    /// Returns the bytes of a record.
    pub(crate) fn record(self, record: &Record) -> Bytes {
        if let Some(frame) = self.frame(record) {
            return frame.bytes();
        }
        let mut out = BytesMut::new();
        self.put_control(&mut out, record.cursor(), "", None);
        out.freeze()
    }

    fn put_control(self, out: &mut BytesMut, id: Cursor, name: &str, object: Option<Value>) {
        match (self.is_ndjson(), self.control) {
            (true, true) => {
                let mut line = json!({ "type": name, "id": id.to_string() });
                if let (Some(line), Some(Value::Object(object))) = (line.as_object_mut(), object) {
                    line.extend(object);
                }
                out.put_slice(line.to_string().as_bytes());
                out.put_u8(b'\n');
            }
            (true, false) => {}
            (false, true) => {
                let data = object.map(|object| object.to_string()).unwrap_or_default();
                let event = Event::new(data).with_id(id.to_event_id());
                let event = match EventType::new(name) {
                    Ok(name) => event.with_type(name),
                    Err(_) => event,
                };
                write(out, |out| event.encode(out));
            }
            (false, false) => write(out, |out| encode_id(out, &id.to_event_id())),
        }
    }

    fn is_ndjson(self) -> bool {
        self.form == Form::Ndjson
    }
}

/// Runs an encoder that writes to a vector, and copies its output. Control messages are short.
fn write(out: &mut BytesMut, encode: impl FnOnce(&mut Vec<u8>)) {
    let mut text = Vec::new();
    encode(&mut text);
    out.extend_from_slice(&text);
}
