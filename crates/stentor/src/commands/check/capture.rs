//! A captured stream: its bytes and events with their times.

use std::time::Duration;

use stentor_client::{Control, Event};
use stentor_sse::{DecodeError, Decoder, Item};
use tokio::time::Instant;

/// Maximum number of bytes of a stream that are captured; the rest is not checked.
pub(super) const BYTES_MAX: usize = 4 << 20;

/// The captured bytes and events of one stream.
#[derive(Debug)]
pub(super) struct Capture {
    /// Time of the response head.
    pub(super) opened: Instant,
    pub(super) bytes: Vec<u8>,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) events: Vec<ReceivedEvent>,
    /// The last event id, as a browser tracks it.
    pub(super) last_event_id: String,
    /// `true` if the last byte is within an event.
    pub(super) is_mid_block: bool,
    pub(super) over: Option<EndReason>,
    /// Time of the end of the capture.
    pub(super) closed: Option<Instant>,
    decoder: Decoder,
}

/// Bytes that arrived together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    /// Number of bytes up to and including these.
    pub(super) total: usize,
    /// `true` if the last of these bytes is within an event.
    pub(super) is_mid_block: bool,
    /// `true` if these bytes only keep the connection alive: comments, or typed events without data.
    pub(super) is_keep_alive: bool,
}

/// An event as subscribers receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReceivedEvent {
    /// The id in the block of this event.
    pub(super) id: Option<String>,
    pub(super) event_type: String,
    pub(super) data: String,
    /// `true` for a control event of a Stentor server.
    pub(super) is_control: bool,
}

/// The reason for the end of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EndReason {
    /// The server ended the stream cleanly.
    Ended,
    /// The connection broke, for this reason.
    Broken(String),
    /// The check stopped reading.
    Stopped,
    /// An event is larger than [`BYTES_MAX`].
    TooLong,
}

impl Capture {
    pub(super) fn new() -> Capture {
        Capture {
            opened: Instant::now(),
            bytes: Vec::new(),
            arrivals: Vec::new(),
            events: Vec::new(),
            last_event_id: String::new(),
            is_mid_block: false,
            over: None,
            closed: None,
            decoder: Decoder::with_event_bytes_max(BYTES_MAX),
        }
    }

    pub(super) fn take(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        let (mut input, mut items, mut has_content) = (piece, 0, false);
        while let Some(item) = self.decoder.decode(&mut input) {
            items += 1;
            match item {
                Ok(Item::Event(event)) => {
                    has_content |= !event.data().is_empty() || event.event_type().is_none();
                    self.events.push(ReceivedEvent::new(&event));
                }
                Ok(_) => {}
                Err(DecodeError::TooLong { .. }) => self.finish(EndReason::TooLong),
            }
        }
        self.decoder.last_event_id().clone_into(&mut self.last_event_id);
        self.is_mid_block = self.decoder.is_mid_block();
        self.arrivals.push(Arrival {
            at: Instant::now(),
            total: self.bytes.len(),
            is_mid_block: self.is_mid_block,
            is_keep_alive: items > 0 && !has_content,
        });
        if self.bytes.len() >= BYTES_MAX {
            self.finish(EndReason::Stopped);
        }
    }

    /// Ends the capture. The first reason counts.
    pub(super) fn finish(&mut self, over: EndReason) {
        if self.over.is_none() {
            self.over = Some(over);
            self.closed = Some(Instant::now());
        }
    }

    /// Returns the events without control events.
    pub(super) fn published(&self) -> impl DoubleEndedIterator<Item = &ReceivedEvent> {
        self.events.iter().filter(|event| !event.is_control)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Returns the time from the head to the first bytes.
    pub(super) fn first_byte(&self) -> Option<Duration> {
        Some(self.arrivals.first()?.at.duration_since(self.opened))
    }

    /// `true` if the bytes contained at least one event or keep-alive.
    pub(super) fn is_readable(&self) -> bool {
        !self.events.is_empty() || self.arrivals.iter().any(|arrival| arrival.is_keep_alive)
    }
}

impl ReceivedEvent {
    fn new(event: &Event) -> ReceivedEvent {
        ReceivedEvent {
            id: event.id().map(|id| id.as_str().to_owned()),
            event_type: event.event_type().map_or("message", |name| name.as_str()).to_owned(),
            data: event.data().to_owned(),
            is_control: Control::of(event).is_some(),
        }
    }
}
