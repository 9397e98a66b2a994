use std::time::Duration;

use crate::event::Event;
use crate::field::EventId;

/// One unit of a stream, as returned by [`Decoder::decode`](crate::Decoder::decode).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A block with data.
    ///
    /// The id and retry of the event are those of its own block. For the last event id, which outlives blocks,
    /// use [`Decoder::last_event_id`](crate::Decoder::last_event_id).
    Event(Event),
    /// A comment line, without its colon and one space after the colon.
    Comment(String),
    /// A new reconnection time. It applies immediately. If its block contains data, the event carries it as well.
    Retry(Duration),
    /// A block without data that set the last event id.
    Id(EventId),
}
