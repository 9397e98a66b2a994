//! What a publisher hands in, and what it gets back.

use std::time::Duration;

use stentor_sse::Event;

use crate::cursor::Cursor;
use crate::record::{Attributes, Body, END_REASON_BYTES_MAX};
use crate::storage::{KeyHash, KeyName, Outcome, PartHash, StorageError, StoredKey, part_hash};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// One publish: one or more entries that are appended all or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// What is appended, in this order; at least one.
    pub entries: Vec<Entry>,
    /// What makes a repeat of it harmless.
    pub key: Option<Key>,
    /// Whether it is appended only if the publish right before it, of those handed in together, is in
    /// the log. The first of them follows none.
    pub requires_previous: bool,
}

/// One record to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes.
    pub topic: TopicName,
    /// An event or an end. A storage refuses [`Body::Deleted`] here.
    pub body: Body,
    /// What a protocol adapter keeps with it.
    pub attributes: Attributes,
}

impl Publish {
    /// A publish of these entries, under this idempotency key.
    pub fn new(entries: Vec<Entry>, key: Option<Key>) -> Publish {
        Publish { entries, key, requires_previous: false }
    }

    /// The publish of one event.
    ///
    /// ```
    /// use stentor_hub::{Publish, TopicName};
    /// use stentor_sse::Event;
    ///
    /// let publish = Publish::event(TopicName::new("news")?, Event::new("hello"));
    /// # Ok::<(), stentor_hub::TopicError>(())
    /// ```
    pub fn event(topic: TopicName, event: Event) -> Publish {
        Publish::of(topic, Body::Event(event))
    }

    /// The publish of an end: after it the topic takes no events until it is deleted.
    pub fn end(topic: TopicName, reason: impl Into<String>) -> Publish {
        Publish::of(topic, Body::End { reason: reason.into() })
    }

    /// The same publish with one more entry.
    #[must_use]
    pub fn and(mut self, entry: Entry) -> Publish {
        self.entries.push(entry);
        self
    }

    /// The same publish under an idempotency key.
    #[must_use]
    pub fn with_key(mut self, key: Key) -> Publish {
        self.key = Some(key);
        self
    }

    /// The same publish, for the case only that the one right before it is in the log.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stentor_hub::{Event, Hub, Publish, TopicName};
    ///
    /// let hub = Hub::memory();
    /// let job = TopicName::new("job")?;
    /// let step = |text| Publish::event(job.clone(), Event::new(text)).requiring_previous();
    /// for published in hub.publish_all(vec![step("begun"), step("half"), step("whole")]).await? {
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

    /// Whether it is withheld, given what became of the publish before it in its batch. The same rule
    /// for every storage.
    pub fn is_withheld(&self, before: Option<&Outcome>) -> bool {
        self.requires_previous && before.is_some_and(|before| !before.is_stored())
    }

    /// The bytes of its text.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.body.bytes()).sum()
    }

    fn of(topic: TopicName, body: Body) -> Publish {
        Publish::new(vec![Entry::new(topic, body)], None)
    }
}

impl Entry {
    /// An entry without attributes.
    pub fn new(topic: TopicName, body: Body) -> Entry {
        Entry { topic, body, attributes: Attributes::default() }
    }
}

/// What makes a repeated publish harmless.
///
/// Two publishes are the same if scope, publisher and name agree within the window; what they hold
/// must then agree too, which their hashes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The topic, or `None` for a batch over several topics.
    pub scope: Option<TopicName>,
    /// Who publishes; empty where nobody is told apart.
    pub publisher: String,
    /// The key that the publisher chose.
    pub name: String,
    /// How long the key is remembered after it was published under; that of an upload also after a part
    /// of it was repeated.
    pub window: Duration,
    /// What is published under it.
    pub content: KeyContent,
}

/// What stands behind a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyContent {
    /// The whole publish.
    Whole(KeyHash),
    /// One event of a streamed upload, which is published only if it is the next one that is missing.
    Part {
        /// How many events of the upload come before it.
        index: u64,
        /// The running hash of these.
        before: KeyHash,
        /// The running hash with this event.
        after: KeyHash,
    },
}

impl Key {
    /// The key without its content, by which a storage finds it.
    pub fn to_name(&self) -> KeyName {
        KeyName {
            scope: self.scope.clone(),
            publisher: self.publisher.clone(),
            name: self.name.clone(),
            upload: matches!(self.content, KeyContent::Part { .. }),
        }
    }

    /// What becomes of a publish under this key, given what is stored under it; `None` if it is to
    /// be appended. The same rule for every storage.
    ///
    /// `part` is what is remembered of the part that this one would repeat. One that is remembered no
    /// more (a storage bounds how many it keeps) is taken for a repeat; a later one that is remembered
    /// tells, for its hash covers all before it.
    pub fn check(&self, stored: Option<StoredKey>, part: Option<PartHash>) -> Option<Outcome> {
        let settle = |same: bool, stored: StoredKey| {
            let repeat = Outcome::Repeat { first: stored.first, last: stored.last };
            if same { repeat } else { Outcome::KeyReused }
        };
        match (&self.content, stored) {
            (KeyContent::Whole(hash), Some(stored)) => Some(settle(*hash == stored.hash, stored)),
            (KeyContent::Part { index, after, .. }, Some(stored)) if *index < stored.count => {
                let same = match part {
                    Some(part) => part == part_hash(after),
                    None => index + 1 < stored.count || *after == stored.hash,
                };
                Some(settle(same, stored))
            }
            (KeyContent::Part { index, before, .. }, Some(stored))
                if *index == stored.count && *before == stored.hash =>
            {
                None
            }
            (KeyContent::Whole(_) | KeyContent::Part { index: 0, .. }, None) => None,
            (KeyContent::Part { .. }, _) => Some(Outcome::KeyReused),
        }
    }

    /// When the key is forgotten from now on, if a repeat at `now` puts that off: the repeat of a part
    /// does, once a 64th of the window has passed since it began, so that few of many repeats have to
    /// be noted.
    pub fn renewed_expiry(&self, expires: Timestamp, now: Timestamp) -> Option<Timestamp> {
        /// Into how many steps a window is divided.
        const STEPS: u32 = 64;
        let restarted = now.plus(self.window);
        let is_part = matches!(self.content, KeyContent::Part { .. });
        (is_part && restarted >= expires.plus(self.window / STEPS)).then_some(restarted)
    }
}

/// A publish that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The id of the first record.
    pub first: Cursor,
    /// The id of the last record.
    pub last: Cursor,
    /// Whether an earlier publish under the same key put it there, and nothing was added now.
    pub repeat: bool,
}

/// Why a publish is not in the log. Nothing of it was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic takes no more events.
    #[error("the topic {:?} has ended; delete it to begin it anew, or publish to another one", .topic.as_str())]
    Ended {
        /// The topic.
        topic: TopicName,
        /// The id of its end.
        end: Cursor,
    },
    /// The key was used for something else.
    #[error("this idempotency key was used for another event; use a new key for each event")]
    KeyReused,
    /// It follows a publish that was refused.
    #[error(
        "the event before it was refused, so this one was left out; mend that, and publish both"
    )]
    Withheld,
    /// More data than an event may have.
    #[error("the event has {bytes} bytes of data; at most {limit} are allowed")]
    EventTooLarge {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// More bytes on the wire than a frame may have.
    #[error("the event would take {bytes} bytes on the wire; at most {limit} are allowed")]
    FrameTooLarge {
        /// How many it would take.
        bytes: usize,
        /// How many it may take.
        limit: usize,
    },
    /// The name is one of the server's own.
    #[error("names under `$` are reserved; publish {:?} under another name", .topic.as_str())]
    Reserved {
        /// The topic.
        topic: TopicName,
    },
    /// The reason of an end is longer than [`END_REASON_BYTES_MAX`](crate::END_REASON_BYTES_MAX).
    #[error(
        "the reason of an end has {bytes} bytes; at most {} are allowed",
        crate::END_REASON_BYTES_MAX
    )]
    ReasonTooLong {
        /// How many it has.
        bytes: usize,
    },
    /// [`LEASES_MAX`](crate::LEASES_MAX) topics have a lease.
    #[error(
        "{} topics have a lease, and no more can; end topics that are done, or lift leases with `lease=0`",
        crate::LEASES_MAX
    )]
    TooManyLeases,
    /// A publish without entries.
    #[error("there is nothing to publish; give at least one event")]
    Empty,
    /// The log cannot be written now.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The most data of an event: 8 MiB.
pub const EVENT_BYTES_MAX: usize = 8 << 20;

/// The most bytes of a record on the wire, in any form: 16 MiB.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

impl Publish {
    /// Whether it is within the bounds of events, names and reasons. [`Hub::publish`] asks this
    /// itself; it is public for those who gather several.
    ///
    /// [`Hub::publish`]: crate::Hub::publish
    pub fn validate(&self) -> Result<(), PublishError> {
        if self.entries.is_empty() {
            return Err(PublishError::Empty);
        }
        self.entries.iter().try_for_each(Entry::validate)
    }
}

impl Entry {
    /// Whether it alone is within these bounds: for those who want to tell which entry is not.
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

fn check_size(event: &Event) -> Result<(), PublishError> {
    /// The most that a byte of data becomes on the wire: a line break is `\ndata: `, a control
    /// character in JSON `\u0000`.
    const GROWTH_MAX: usize = 7;
    /// Id, type, topic and time of any record, and then some.
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

/// How many bytes a byte takes in a JSON string.
fn escaped_bytes(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    }
}
