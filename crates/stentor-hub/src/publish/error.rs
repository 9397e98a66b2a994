//! Errors of a publish.

use crate::cursor::Cursor;
use crate::key::TooManyKeys;
use crate::storage::error::StorageError;
use crate::topic::TopicName;

/// The reason why a publish was refused. Nothing of it was appended, except as [`PublishError::Storage`] says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic has ended and takes no more events.
    #[error("the topic {:?} has ended; delete it to use the name again, or publish to another topic", .topic.as_str())]
    Ended {
        /// The topic.
        topic: TopicName,
        /// The id of its end.
        end: Cursor,
    },
    /// The idempotency key was used for other content.
    #[error("this idempotency key was used for another event; use a new key for each event")]
    KeyReused,
    /// The publish requires the previous one, which was refused.
    #[error(
        "this event was not stored, because the event before it was refused; fix that one and publish both"
    )]
    Withheld,
    /// The event has an id of its own. The log gives each event an id, which subscribers resume from.
    #[error(
        "the event has the id {id:?}, but the log gives each event its id; remove it with `Event::without_id`"
    )]
    EventHasId {
        /// The id.
        id: String,
    },
    /// The event has more data than [`EVENT_BYTES_MAX`](crate::EVENT_BYTES_MAX).
    #[error("the event has {bytes} bytes of data; the maximum is {limit}")]
    EventTooLarge {
        /// The size of the data in bytes.
        bytes: usize,
        /// The maximum in bytes.
        limit: usize,
    },
    /// The event's frame would be larger than [`FRAME_BYTES_MAX`](crate::FRAME_BYTES_MAX).
    #[error("the event would take {bytes} bytes on the wire; the maximum is {limit}")]
    FrameTooLarge {
        /// The size of the frame in bytes.
        bytes: usize,
        /// The maximum in bytes.
        limit: usize,
    },
    /// The event type is longer than [`EVENT_TYPE_BYTES_MAX`](crate::EVENT_TYPE_BYTES_MAX).
    #[error(
        "the event type has {bytes} bytes; the maximum is {limit}; shorten it, or move the text to the data"
    )]
    TypeTooLong {
        /// The length of the type in bytes.
        bytes: usize,
        /// The maximum in bytes.
        limit: usize,
    },
    /// The topic's name is reserved for the server.
    #[error("names that begin with `$` are reserved; rename the topic {:?}", .topic.as_str())]
    Reserved {
        /// The topic.
        topic: TopicName,
    },
    /// The reason of an end is longer than [`END_REASON_BYTES_MAX`](crate::END_REASON_BYTES_MAX).
    #[error(
        "the reason of an end has {bytes} bytes; the maximum is {}",
        crate::END_REASON_BYTES_MAX
    )]
    ReasonTooLong {
        /// The length of the reason in bytes.
        bytes: usize,
    },
    /// [`LEASES_MAX`](crate::LEASES_MAX) topics have a lease.
    #[error(
        "{} topics have a lease, which is the maximum; end topics that are done, or remove leases with `lease=0`",
        crate::LEASES_MAX
    )]
    TooManyLeases,
    /// Its idempotency key is new, and as many keys as allowed are in use.
    #[error("{}", describe(.0))]
    TooManyKeys(TooManyKeys),
    /// The publish has no entries, or an entry is a deletion.
    #[error("the publish is empty; give at least one event")]
    Empty,
    /// The log cannot store events now. If a write failed half-way, the log may contain the publish.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn describe(TooManyKeys { limit, of_address, retry_after }: &TooManyKeys) -> String {
    let whose = if *of_address { "your address" } else { "the log" };
    let seconds = retry_after.as_secs().saturating_add(1);
    format!(
        "{whose} has {limit} idempotency keys or parts of uploads in use, which is the maximum; try again after \
         {seconds} s with the same key, or publish without a key"
    )
}
