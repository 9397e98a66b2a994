//! What a stream sent, and when.

use std::time::Duration;

use stentor_client::{Control, Event};
use stentor_sse::{DecodeError, Decoder, Item};
use tokio::time::Instant;

/// The most bytes of one stream that are kept: what is behind them is not looked at.
pub(super) const BYTES_MAX: usize = 4 << 20;

/// A stream as it came, byte by byte and event by event.
#[derive(Debug)]
pub(super) struct Capture {
    /// When the head of the answer was there.
    pub(super) opened: Instant,
    pub(super) bytes: Vec<u8>,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) events: Vec<ReceivedEvent>,
    /// The last event id, as a browser knows it.
    pub(super) last_event_id: String,
    /// Whether it stands in the middle of an event.
    pub(super) is_mid_block: bool,
    pub(super) over: Option<Over>,
    /// When it was over.
    pub(super) closed: Option<Instant>,
    decoder: Decoder,
}

/// Bytes that came together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    /// How many bytes had come with it.
    pub(super) total: usize,
    /// Whether it left an event unfinished.
    pub(super) is_mid_block: bool,
    /// Whether it only showed that the connection lives: a comment, or a typed event without data.
    pub(super) is_sign_of_life: bool,
}

/// An event that readers get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReceivedEvent {
    /// The id of its own block.
    pub(super) id: Option<String>,
    pub(super) event_type: String,
    pub(super) data: String,
    /// Whether it is a word of a Stentor server about the stream itself.
    pub(super) is_control: bool,
}

/// Why no more came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The server ended it, cleanly.
    Ended,
    Broken(String),
    /// Enough was seen.
    Left,
    /// One event is larger than anything is looked at.
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
                Err(DecodeError::TooLong { .. }) => self.finish(Over::TooLong),
            }
        }
        self.decoder.last_event_id().clone_into(&mut self.last_event_id);
        self.is_mid_block = self.decoder.is_mid_block();
        self.arrivals.push(Arrival {
            at: Instant::now(),
            total: self.bytes.len(),
            is_mid_block: self.is_mid_block,
            is_sign_of_life: items > 0 && !has_content,
        });
        if self.bytes.len() >= BYTES_MAX {
            self.finish(Over::Left);
        }
    }

    /// Nothing more is recorded; the first reason counts.
    pub(super) fn finish(&mut self, over: Over) {
        if self.over.is_none() {
            self.over = Some(over);
            self.closed = Some(Instant::now());
        }
    }

    /// The events that somebody published.
    pub(super) fn published(&self) -> impl DoubleEndedIterator<Item = &ReceivedEvent> {
        self.events.iter().filter(|event| !event.is_control)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// How long after the head the first bytes came.
    pub(super) fn first_byte(&self) -> Option<Duration> {
        Some(self.arrivals.first()?.at.duration_since(self.opened))
    }

    /// Whether anything of it made sense as a stream of events.
    pub(super) fn is_readable(&self) -> bool {
        !self.events.is_empty() || self.arrivals.iter().any(|arrival| arrival.is_sign_of_life)
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
