//! A publish: the entries to append, and the result.

mod error;

use stentor_sse::Event;

pub use self::error::PublishError;
use crate::cursor::Cursor;
use crate::key::Key;
use crate::record::{Attributes, Body, END_REASON_BYTES_MAX};
use crate::storage::result::Outcome;
use crate::topic::TopicName;

/// One or more entries that are appended together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The entries, in the order in which they are appended; at least one.
    pub entries: Vec<Entry>,
    /// The idempotency key, which makes a repeat harmless.
    pub key: Option<Key>,
    /// `true` if this is appended only if the previous publish of the same call is in the log. Ignored for the
    /// first publish of a call.
    pub requires_previous: bool,
}

/// A record to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The topic.
    pub topic: TopicName,
    /// An event or an end. [`Body::Deleted`] is refused; use [`Hub::delete`](crate::Hub::delete).
    pub body: Body,
    /// Data of protocol adapters that is stored with the record.
    pub attributes: Attributes,
}

impl Publish {
    /// A publish of several entries, with an idempotency key if there is one.
    pub fn new(entries: Vec<Entry>, key: Option<Key>) -> Publish {
        Publish { entries, key, requires_previous: false }
    }

    /// A publish of one event.
    ///
    /// ```
    /// use stentor_hub::{Publish, TopicName};
    /// use stentor_sse::Event;
    ///
    /// let publish = Publish::event(TopicName::new("news")?, Event::new("hello"));
    /// # Ok::<(), stentor_hub::TopicError>(())
    /// ```
    pub fn event(topic: TopicName, event: Event) -> Publish {
        Publish::new(vec![Entry::new(topic, Body::Event(event))], None)
    }

    /// A publish of an end. The topic then takes no events until it is deleted.
    pub fn end(topic: TopicName, reason: impl Into<String>) -> Publish {
        Publish::new(vec![Entry::new(topic, Body::End { reason: reason.into() })], None)
    }

    /// Adds an entry.
    #[must_use]
    pub fn and(mut self, entry: Entry) -> Publish {
        self.entries.push(entry);
        self
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn with_key(mut self, key: Key) -> Publish {
        self.key = Some(key);
        self
    }

    /// Makes this publish depend on the previous one of the same call, see [`Publish::requires_previous`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stentor_hub::{Event, Hub, Publish, TopicName};
    ///
    /// let hub = Hub::memory();
    /// let job = TopicName::new("job")?;
    /// let step = |text| Publish::event(job.clone(), Event::new(text)).requiring_previous();
    /// for published in hub.publish_all(vec![step("started"), step("half"), step("done")]).await? {
    ///     println!("its id is {}", published?.first);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn requiring_previous(mut self) -> Publish {
        self.requires_previous = true;
        self
    }

    /// Returns `true` if a storage must not append this publish, given the outcome of the previous one in its batch.
    pub fn is_withheld(&self, previous: Option<&Outcome>) -> bool {
        self.requires_previous && previous.is_some_and(|previous| !previous.is_stored())
    }

    /// Checks the limits of names, events and reasons. [`Hub::publish`](crate::Hub::publish) does this itself; call
    /// this to check early.
    ///
    /// # Errors
    ///
    /// [`PublishError::Empty`], or the error of the first entry that is not valid, see [`Entry::validate`].
    pub fn validate(&self) -> Result<(), PublishError> {
        if self.entries.is_empty() {
            return Err(PublishError::Empty);
        }
        self.entries.iter().try_for_each(Entry::validate)
    }

    /// Bytes of data, types and reasons.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.body.bytes()).sum()
    }
}

impl Entry {
    /// An entry without attributes.
    pub fn new(topic: TopicName, body: Body) -> Entry {
        Entry { topic, body, attributes: Attributes::default() }
    }

    /// Checks the limits of this entry.
    ///
    /// # Errors
    ///
    /// [`PublishError::Reserved`], [`PublishError::EventTooLarge`], [`PublishError::FrameTooLarge`],
    /// [`PublishError::ReasonTooLong`], or [`PublishError::Empty`] for [`Body::Deleted`].
    pub fn validate(&self) -> Result<(), PublishError> {
        if self.topic.is_reserved() {
            return Err(PublishError::Reserved { topic: self.topic.clone() });
        }
        match &self.body {
            Body::Event(event) => check_size(event),
            Body::End { reason } if reason.len() > END_REASON_BYTES_MAX => {
                Err(PublishError::ReasonTooLong { bytes: reason.len() })
            }
            Body::End { .. } => Ok(()),
            Body::Deleted => Err(PublishError::Empty),
        }
    }
}

/// The result of a publish that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The id of the first record.
    pub first: Cursor,
    /// The id of the last record.
    pub last: Cursor,
    /// `true` if an earlier publish with the same key appended these records, and this one appended nothing.
    pub repeat: bool,
}

/// Maximum data of an event: 8 MiB.
pub const EVENT_BYTES_MAX: usize = 8 << 20;

/// Maximum size of a record's frame, in every form: 16 MiB.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

fn check_size(event: &Event) -> Result<(), PublishError> {
    /// Maximum number of bytes of a frame for one byte of data: a line break becomes `\ndata: ` (7 bytes) in a plain
    /// frame, and a control character becomes `\u0000` (6 bytes) in JSON.
    const GROWTH_MAX: usize = 7;
    /// Upper bound of the bytes that id, type, topic and time of a record take together.
    const FIELDS_MAX: usize = 64 << 10;
    let data = event.data();
    if data.len() > EVENT_BYTES_MAX {
        return Err(PublishError::EventTooLarge { bytes: data.len(), limit: EVENT_BYTES_MAX });
    }
    if data.len() * GROWTH_MAX + FIELDS_MAX <= FRAME_BYTES_MAX {
        return Ok(());
    }
    let lines = data.bytes().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
    let plain = data.len() + lines * "\ndata: ".len();
    let json: usize = data.bytes().map(escaped_bytes).sum();
    let bytes = plain.max(json) + FIELDS_MAX;
    if bytes > FRAME_BYTES_MAX {
        return Err(PublishError::FrameTooLarge { bytes, limit: FRAME_BYTES_MAX });
    }
    Ok(())
}

/// Number of bytes that a byte takes in a JSON string.
fn escaped_bytes(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    }
}
