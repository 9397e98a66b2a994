//! A publish: the entries to append, and the result.

mod error;

use std::time::Duration;

use stentor_sse::Event;

pub use self::error::PublishError;
use crate::cursor::Cursor;
use crate::key::Key;
use crate::lease::LeaseChange;
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
    /// The lease that a topic gets or loses with this publish: in the same transaction, or not at all. Boxed, because
    /// few publishes have one.
    pub lease: Option<Box<LeaseChange>>,
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
        Publish { entries, key, requires_previous: false, lease: None }
    }

    /// A publish of one event.
    ///
    /// The event must not have an id: the log gives each event an id, the [`Published::first`] of the result. An event
    /// with an id of its own is refused as [`PublishError::EventHasId`]. To publish the events of another stream,
    /// remove their ids with [`Event::without_id`], and use them as idempotency keys if repeats are possible
    /// ([`Publish::with_key`]).
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

    /// Changes the lease of a topic together with this publish, usually the topic of its entries.
    ///
    /// If the publish is refused, the lease does not change. If [`LEASES_MAX`](crate::LEASES_MAX) other topics have a
    /// lease, the publish is refused as a whole. If the publish also ends the topic, the topic gets no lease. A repeat
    /// (see [`Publish::key`]) changes the lease only if the topic still has records and has not ended.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use stentor_hub::{Event, Hub, Publish, TopicName};
    ///
    /// let hub = Hub::memory();
    /// let job = TopicName::new("job/7")?;
    /// let started = Publish::event(job.clone(), Event::new("started"));
    /// hub.publish(started.with_lease(job, Some(Duration::from_secs(30)))).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_lease(mut self, topic: TopicName, length: Option<Duration>) -> Publish {
        self.lease = Some(Box::new(LeaseChange { topic, length }));
        self
    }

    /// A publish without entries that only changes the lease of a topic.
    pub(crate) fn only_lease(topic: TopicName, length: Option<Duration>) -> Publish {
        Publish::new(Vec::new(), None).with_lease(topic, length)
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
    /// [`PublishError::Empty`], [`PublishError::Reserved`] for the topic of the lease, or the error of the first entry
    /// that is not valid, see [`Entry::validate`].
    pub fn validate(&self) -> Result<(), PublishError> {
        if self.entries.is_empty() {
            return Err(PublishError::Empty);
        }
        if let Some(lease) = &self.lease {
            refuse_reserved(&lease.topic)?;
        }
        self.entries.iter().try_for_each(Entry::validate)
    }

    /// Returns `true` if one of the entries ends `topic`.
    pub(crate) fn ends(&self, topic: &TopicName) -> bool {
        let ends = |entry: &Entry| matches!(entry.body, Body::End { .. }) && entry.topic == *topic;
        self.entries.iter().any(ends)
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
    /// [`PublishError::Reserved`], [`PublishError::EventHasId`], [`PublishError::EventTooLarge`],
    /// [`PublishError::FrameTooLarge`], [`PublishError::TypeTooLong`], [`PublishError::ReasonTooLong`], or
    /// [`PublishError::Empty`] for [`Body::Deleted`].
    pub fn validate(&self) -> Result<(), PublishError> {
        refuse_reserved(&self.topic)?;
        match &self.body {
            Body::Event(event) => match event.id() {
                Some(id) => Err(PublishError::EventHasId { id: id.as_str().to_owned() }),
                None => check_size(event).and_then(|()| check_type(event)),
            },
            Body::End { reason } if reason.len() > END_REASON_BYTES_MAX => {
                Err(PublishError::ReasonTooLong { bytes: reason.len() })
            }
            Body::End { .. } => Ok(()),
            Body::Deleted => Err(PublishError::Empty),
        }
    }
}

/// Returns an error for a name that is reserved for the server.
pub(crate) fn refuse_reserved(topic: &TopicName) -> Result<(), PublishError> {
    if topic.is_reserved() {
        return Err(PublishError::Reserved { topic: topic.clone() });
    }
    Ok(())
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

/// Upper bound of the bytes that id, type, topic and time of a record take together in a frame.
const FIELDS_BYTES_MAX: usize = 64 << 10;

/// Maximum length of an event type: 4 KiB. Subscribers pass types on in headers, file names and environment variables,
/// which have limits of their own.
pub const EVENT_TYPE_BYTES_MAX: usize = 4 << 10;

fn check_type(event: &Event) -> Result<(), PublishError> {
    let bytes = event.event_type().map_or(0, |name| name.as_str().len());
    if bytes > EVENT_TYPE_BYTES_MAX {
        return Err(PublishError::TypeTooLong { bytes, limit: EVENT_TYPE_BYTES_MAX });
    }
    Ok(())
}

fn check_size(event: &Event) -> Result<(), PublishError> {
    /// Maximum number of bytes of a frame for one byte of data: a line break becomes `\ndata: ` (7 bytes) in a plain
    /// frame, and a control character becomes `\u0000` (6 bytes) in JSON.
    const GROWTH_MAX: usize = 7;
    let data = event.data();
    if data.len() > EVENT_BYTES_MAX {
        return Err(PublishError::EventTooLarge { bytes: data.len(), limit: EVENT_BYTES_MAX });
    }
    if data.len() * GROWTH_MAX + FIELDS_BYTES_MAX <= FRAME_BYTES_MAX {
        return Ok(());
    }
    let plain = plain_bytes(data);
    let json: usize = data.bytes().map(escaped_bytes).sum();
    let bytes = plain.max(json) + FIELDS_BYTES_MAX;
    if bytes > FRAME_BYTES_MAX {
        return Err(PublishError::FrameTooLarge { bytes, limit: FRAME_BYTES_MAX });
    }
    Ok(())
}

/// Number of bytes that data takes in a plain frame, where each CR, LF or CRLF becomes `\ndata: `.
fn plain_bytes(data: &str) -> usize {
    const LINE_BREAK: usize = "\ndata: ".len();
    let mut bytes = 0;
    let mut previous = 0;
    for byte in data.bytes() {
        bytes += match (previous, byte) {
            // Counted with its CR.
            (b'\r', b'\n') => 0,
            (_, b'\r' | b'\n') => LINE_BREAK,
            _ => 1,
        };
        previous = byte;
    }
    bytes
}

/// Number of bytes that a byte takes in a JSON string.
fn escaped_bytes(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use stentor_sse::{EventId, EventType};

    use super::*;

    #[test]
    fn a_line_break_of_two_characters_counts_once() {
        let validate =
            |data: String| Publish::event("t".parse().unwrap(), Event::new(data)).validate();
        // 3 MB of data, and 1.5 M line breaks of 7 bytes: 10.5 MB on the wire.
        assert_eq!(validate("\r\n".repeat(1_500_000)), Ok(()));
        for (data, bytes) in [
            ("\r\n".repeat(2_500_000), 2_500_000 * 7),
            ("\n".repeat(2_500_000), 2_500_000 * 7),
            ("\r".repeat(2_500_000), 2_500_000 * 7),
        ] {
            let refused = validate(data).unwrap_err();
            let PublishError::FrameTooLarge { bytes: found, .. } = refused else {
                panic!("{refused}");
            };
            assert_eq!(found - FIELDS_BYTES_MAX, bytes);
        }
    }

    #[test]
    fn a_type_is_bounded() {
        let validate = |bytes: usize| {
            let name = EventType::new("x".repeat(bytes)).unwrap();
            Publish::event("t".parse().unwrap(), Event::new("").with_type(name)).validate()
        };
        assert_eq!(validate(EVENT_TYPE_BYTES_MAX), Ok(()));
        let refused = validate(EVENT_TYPE_BYTES_MAX + 1).unwrap_err();
        assert_eq!(
            refused,
            PublishError::TypeTooLong {
                bytes: EVENT_TYPE_BYTES_MAX + 1,
                limit: EVENT_TYPE_BYTES_MAX
            }
        );
        assert!(refused.to_string().contains("4097 bytes; the maximum is 4096"), "{refused}");
    }

    #[test]
    fn an_event_with_an_id_of_its_own_is_refused_with_the_remedy() {
        let event = Event::new("x").with_id(EventId::new("7").unwrap());
        let topic: TopicName = "t".parse().unwrap();
        let refused = Publish::event(topic.clone(), event.clone()).validate().unwrap_err();
        assert_eq!(refused, PublishError::EventHasId { id: "7".to_owned() });
        assert!(refused.to_string().contains("`Event::without_id`"), "{refused}");
        assert_eq!(Publish::event(topic, event.without_id()).validate(), Ok(()));
    }
}
