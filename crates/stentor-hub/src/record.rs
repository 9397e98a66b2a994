//! An event at its offset in the log.

use std::sync::OnceLock;

use stentor_sse::{Event, Frame};

use crate::cursor::{Check, Cursor, Epoch, Offset};
use crate::form::{self, Form};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// An event, an end or a deletion at its offset in the log, with the frames made of it so far.
#[derive(Debug)]
pub struct Record {
    epoch: Epoch,
    offset: Offset,
    time: Timestamp,
    topic: TopicName,
    body: Body,
    /// `None` if there are none, as with most.
    attributes: Option<Box<Attributes>>,
    check: Check,
    plain: OnceLock<Frame>,
    /// The other forms, which few records are asked for.
    others: OnceLock<Box<Others>>,
}

#[derive(Debug, Default)]
struct Others {
    envelope: OnceLock<Frame>,
    ndjson: OnceLock<Frame>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Something was published.
    Event(Event),
    /// The topic is finished: the durable last record of a finite topic.
    End {
        /// Why, in the publisher's words; may be empty.
        reason: String,
    },
    /// The topic was deleted. Readers are told an end with the reason `deleted`.
    Deleted,
}

/// What protocol adapters keep with a record. The log never looks into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The id that the publisher gave the event, by which a storage finds it again.
    pub publisher_id: Option<String>,
}

/// The longest reason of an end, in bytes.
pub const END_REASON_BYTES_MAX: usize = 1024;

const DELETED: &str = "deleted";

impl Record {
    /// The record of `body` at `offset`. Only storages make records.
    pub fn new(
        epoch: Epoch,
        offset: Offset,
        time: Timestamp,
        topic: TopicName,
        body: Body,
        attributes: Attributes,
    ) -> Record {
        let check = check(offset, time, &topic, &body);
        let (plain, others) = (OnceLock::new(), OnceLock::new());
        let attributes = (attributes != Attributes::NONE).then(|| Box::new(attributes));
        Record { epoch, offset, time, topic, body, attributes, check, plain, others }
    }

    /// The record's id: the receipt of whoever received it.
    pub fn cursor(&self) -> Cursor {
        Cursor::event_id(self.epoch, self.offset, self.check)
    }

    /// Its place in the log.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// When it was appended; never before the time of an earlier record.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The topic it belongs to.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// What it says.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// What protocol adapters keep with it.
    pub fn attributes(&self) -> &Attributes {
        static NONE: Attributes = Attributes::NONE;
        self.attributes.as_deref().unwrap_or(&NONE)
    }

    /// The event, if it is one.
    pub fn event(&self) -> Option<&Event> {
        match &self.body {
            Body::Event(event) => Some(event),
            Body::End { .. } | Body::Deleted => None,
        }
    }

    pub(crate) fn is_deletion(&self) -> bool {
        matches!(self.body, Body::Deleted)
    }

    /// Why the topic ended, if this is its end or its deletion.
    pub fn end_reason(&self) -> Option<&str> {
        match &self.body {
            Body::Event(_) => None,
            Body::End { reason } => Some(reason),
            Body::Deleted => Some(DELETED),
        }
    }

    /// The record's bytes in one form: encoded at first use, shared by all readers.
    pub fn frame(&self, form: Form) -> &Frame {
        let others = || self.others.get_or_init(Box::default);
        let cell = match form {
            Form::Plain => &self.plain,
            Form::Envelope => &others().envelope,
            Form::Ndjson => &others().ndjson,
        };
        cell.get_or_init(|| form::encode(self, form))
    }

    /// About how many bytes the record takes in memory with one frame of it.
    pub fn memory_bytes(&self) -> usize {
        /// The structures around the text: record, shared counts, index entries.
        const OVERHEAD: usize = 400;
        OVERHEAD + self.topic.as_str().len() + 2 * self.body.bytes() + self.attributes().bytes()
    }
}

/// Two records are the same if all but the frames made of them agrees.
impl PartialEq for Record {
    fn eq(&self, other: &Record) -> bool {
        (self.cursor(), self.time, &self.topic, &self.body, self.attributes())
            == (other.cursor(), other.time, &other.topic, &other.body, other.attributes())
    }
}

impl Eq for Record {}

impl Body {
    /// The bytes of its text, as topics count them.
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

/// A pure function of what is stored, the same in every version: cursors outlive programs.
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
