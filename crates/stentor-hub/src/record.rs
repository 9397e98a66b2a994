//! A record: an event, an end or a deletion at its offset in the log.

mod frame;

use std::sync::OnceLock;

use stentor_sse::{Event, Frame};

use crate::cursor::{Check, Cursor, Epoch, Offset};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// An event, an end or a deletion at its offset in the log, with the frames that were encoded from it.
#[derive(Debug)]
pub struct Record {
    epoch: Epoch,
    offset: Offset,
    time: Timestamp,
    topic: TopicName,
    body: Body,
    check: Check,
    /// Empty for a record that no reader has read and that has no attributes. In a box, because a log holds many of
    /// these.
    rest: OnceLock<Box<Rest>>,
}

/// The attributes and the frames of a record.
#[derive(Debug, Default)]
struct Rest {
    attributes: Attributes,
    plain: OnceLock<Frame>,
    /// The frames in other forms, which few records need.
    other_forms: OnceLock<Box<OtherForms>>,
}

#[derive(Debug, Default)]
struct OtherForms {
    envelope: OnceLock<Frame>,
    ndjson: OnceLock<Frame>,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A published event.
    Event(Event),
    /// The end of the topic: its last record.
    End {
        /// The reason that the publisher gave; may be empty.
        reason: String,
    },
    /// The deletion of the topic. Subscribers get an end with the reason `deleted`.
    Deleted,
}

/// Data of protocol adapters that is stored with a record. The log does not interpret it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The id that the publisher gave the event.
    pub publisher_id: Option<String>,
}

/// Maximum length of the reason of an end, in bytes.
pub const END_REASON_BYTES_MAX: usize = 1024;

const DELETED: &str = "deleted";

impl Record {
    /// Creates the record of `body` at `offset`. Only storages call this.
    pub fn new(
        epoch: Epoch,
        offset: Offset,
        time: Timestamp,
        topic: TopicName,
        body: Body,
        attributes: Attributes,
    ) -> Record {
        let check = check(offset, time, &topic, &body);
        Record::stored(epoch, offset, time, topic, body, attributes, check)
    }

    /// Creates a record whose check was stored with it.
    pub(crate) fn stored(
        epoch: Epoch,
        offset: Offset,
        time: Timestamp,
        topic: TopicName,
        body: Body,
        attributes: Attributes,
        check: Check,
    ) -> Record {
        let rest = OnceLock::new();
        if attributes != Attributes::NONE {
            // Cannot fail: it is empty.
            let _ = rest.set(Box::new(Rest { attributes, ..Rest::default() }));
        }
        Record { epoch, offset, time, topic, body, check, rest }
    }

    /// The record's event id: its cursor with a check.
    pub fn cursor(&self) -> Cursor {
        Cursor::event_id(self.epoch, self.offset, self.check)
    }

    /// The position in the log.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The time of the append. Never earlier than the time of a record with a lower offset.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The topic.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The content.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The data of protocol adapters.
    pub fn attributes(&self) -> &Attributes {
        static NONE: Attributes = Attributes::NONE;
        self.rest.get().map_or(&NONE, |rest| &rest.attributes)
    }

    /// The event, or `None` for an end or a deletion.
    pub fn event(&self) -> Option<&Event> {
        match &self.body {
            Body::Event(event) => Some(event),
            Body::End { .. } | Body::Deleted => None,
        }
    }

    pub(crate) fn is_deletion(&self) -> bool {
        matches!(self.body, Body::Deleted)
    }

    /// The reason of an end (`deleted` for a deletion), or `None` for an event.
    pub fn end_reason(&self) -> Option<&str> {
        match &self.body {
            Body::Event(_) => None,
            Body::End { reason } => Some(reason),
            Body::Deleted => Some(DELETED),
        }
    }

    /// Approximate memory of the record with its plain frame, in bytes.
    ///
    /// It counts the frame also before a reader needs it, so that readers do not push a full log over its bound.
    pub fn memory_bytes(&self) -> usize {
        /// Memory around the text: record 128, entries in the log and its index 24, frames 96, shared counts of the
        /// frame's bytes 32, id and field names in the frame 60, rounding by the allocator 60.
        const OVERHEAD: usize = 400;
        OVERHEAD + self.topic.as_str().len() + 2 * self.body.bytes() + self.attributes().bytes()
    }
}

/// Compares everything except the encoded frames.
impl PartialEq for Record {
    fn eq(&self, other: &Record) -> bool {
        (self.cursor(), self.time, &self.topic, &self.body, self.attributes())
            == (other.cursor(), other.time, &other.topic, &other.body, other.attributes())
    }
}

impl Eq for Record {}

impl Body {
    /// Size in bytes as topics count it: data and type of an event, or the reason of an end.
    pub fn bytes(&self) -> usize {
        match self {
            Body::Event(event) => {
                event.data().len() + event.event_type().map_or(0, |name| name.as_str().len())
            }
            Body::End { reason } => reason.len(),
            Body::Deleted => 0,
        }
    }
}

impl Attributes {
    const NONE: Attributes = Attributes { publisher_id: None };

    fn bytes(&self) -> usize {
        self.publisher_id.as_ref().map_or(0, String::len)
    }
}

/// Computes the check from the stored content alone. It must stay the same in all versions, because cursors outlive
/// the program that sent them.
fn check(offset: Offset, time: Timestamp, topic: &TopicName, body: &Body) -> Check {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&offset.get().to_le_bytes());
    hash.update(&time.as_micros().to_le_bytes());
    hash.update(topic.as_str().as_bytes());
    match body {
        Body::Event(event) => {
            hash.update(&[0]);
            hash.update(event.event_type().map_or("", |name| name.as_str()).as_bytes());
            hash.update(&[0]);
            hash.update(event.data().as_bytes());
        }
        Body::End { reason } => {
            hash.update(&[1]);
            hash.update(reason.as_bytes());
        }
        Body::Deleted => hash.update(&[2]),
    }
    Check::new(hash.finalize())
}
