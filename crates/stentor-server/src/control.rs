//! What the server says in a stream besides events: greeting, positions, gaps, signs of life.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use stentor_hub::{CURSOR_EVENT, Cursor, Form, GAP_EVENT, Gap, Record};
use stentor_sse::{Event, EventType, Frame, encode_comment, encode_id, encode_retry};

use crate::stream::StreamOptions;

/// How one reader is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Control {
    form: Form,
    spelled: bool,
}

/// The reconnection time that readers are asked for: 1.5 to 2.5 s, each its own, so that they do not
/// all come back in the same moment.
pub(crate) fn retry_of_readers() -> Duration {
    Duration::from_millis(fastrand::u64(1_500..=2_500))
}

/// The reconnection time of readers who were turned away: 5 to 15 s.
pub(crate) fn come_back_after() -> Duration {
    Duration::from_millis(fastrand::u64(5_000..=15_000))
}

impl Control {
    pub(crate) fn new(options: StreamOptions) -> Control {
        Control { form: options.form, spelled: options.control }
    }

    /// The first bytes, which tell proxies and readers that the stream is open.
    pub(crate) fn greeting(self, out: &mut BytesMut, retry: Duration) {
        self.retry(out, retry);
        self.comment(out);
    }

    /// Asks the reader to wait so long before it reconnects. NDJSON has no word for it.
    pub(crate) fn retry(self, out: &mut BytesMut, retry: Duration) {
        if !self.is_ndjson() {
            write(out, |out| encode_retry(out, retry));
        }
    }

    /// Nothing, said aloud: a comment, or an empty line of NDJSON.
    pub(crate) fn comment(self, out: &mut BytesMut) {
        if !self.is_ndjson() {
            write(out, |out| encode_comment(out, "stentor"));
        }
        out.put_u8(b'\n');
    }

    /// A position that no event carries.
    ///
    /// An id without data would do by the letter of the standard, but of the browsers only Blink
    /// keeps such an id; so it comes with empty data, under a name that nobody listens to.
    pub(crate) fn cursor(self, out: &mut BytesMut, cursor: Cursor) {
        self.say(out, cursor, CURSOR_EVENT, None);
    }

    /// A loss.
    pub(crate) fn gap(self, out: &mut BytesMut, gap: &Gap) {
        let object = serde_json::to_value(gap).unwrap_or_default();
        self.say(out, gap.position, GAP_EVENT, Some(object));
    }

    /// The frame of a record in this reader's form, shared by all who have it. Ends are events of the
    /// server's own, so they follow the same rule as positions and gaps.
    pub(crate) fn frame(self, record: &Record) -> Option<&Frame> {
        (self.spelled || record.event().is_some()).then(|| record.frame(self.form))
    }

    /// The bytes of a record in this reader's form.
    pub(crate) fn record(self, record: &Record) -> Bytes {
        if let Some(frame) = self.frame(record) {
            return frame.bytes();
        }
        let mut out = BytesMut::new();
        self.say(&mut out, record.cursor(), "", None);
        out.freeze()
    }

    fn say(self, out: &mut BytesMut, id: Cursor, name: &str, object: Option<Value>) {
        match (self.is_ndjson(), self.spelled) {
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

/// The encoders write to vectors; what the server says is short.
fn write(out: &mut BytesMut, encode: impl FnOnce(&mut Vec<u8>)) {
    let mut text = Vec::new();
    encode(&mut text);
    out.extend_from_slice(&text);
}
