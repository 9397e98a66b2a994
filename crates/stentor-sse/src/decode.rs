use std::mem;
use std::time::Duration;

use thiserror::Error;

use crate::block::{Block, Found};
use crate::line::Lines;
use crate::{Event, EventId};

/// Reads a stream, in pieces cut anywhere, by every rule of the standard (HTML, section 9.2.6).
///
/// What cannot be read is never an error: malformed UTF-8 becomes U+FFFD, unknown fields are
/// ignored. The one failure is a stream that goes over the bound.
///
/// The end of the stream needs no call. By the standard it discards an unfinished block, its id
/// included; [`is_mid_block`](Self::is_mid_block) tells whether there is one.
///
/// ```
/// use stentor_sse::{Decoder, Item};
///
/// let mut decoder = Decoder::new();
/// let mut seen = Vec::new();
/// for mut piece in [&b"data: hel"[..], b"lo\n", b"\ndata: cut sho"] {
///     while let Some(item) = decoder.decode(&mut piece) {
///         if let Item::Event(event) = item? {
///             seen.push(event.into_data());
///         }
///     }
/// }
/// assert_eq!(seen, ["hello"]);
/// assert!(decoder.is_mid_block());
/// # Ok::<(), stentor_sse::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    lines: Lines,
    /// The line that has begun in an earlier piece and not ended, unless it is one of data.
    begun: Vec<u8>,
    /// The line that has begun is one of data; what has come of it is in the block.
    in_data: bool,
    block: Block,
    limit: usize,
    failed: bool,
}

/// What a [`Decoder`] finds in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A block with data ended. The event's id and retry are those of its own block; the id that
    /// outlives blocks is [`Decoder::last_event_id`].
    Event(Event),
    /// A comment line, without its colon and the one space behind it.
    Comment(String),
    /// A new reconnection time, which counts from now on; the event of the same block, if it comes to
    /// one, has it too.
    Retry(Duration),
    /// A block without data ended that set the last event id.
    Id(EventId),
}

/// Why a [`Decoder`] gave up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The data of one event, or one line, is over the bound.
    #[error(
        "an event of the stream is over {limit} bytes; send smaller events or raise the limit of the decoder"
    )]
    TooLong {
        /// The bound, in bytes as they came in.
        limit: usize,
    },
}

impl Decoder {
    /// The bound of [`Decoder::new`]: 16 MiB.
    pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

    /// Room for a line that comes in pieces is kept up to this.
    const LINE_BYTES_KEPT: usize = 8 * 1024;

    /// A decoder for events of up to [`EVENT_BYTES_MAX`](Self::EVENT_BYTES_MAX) bytes of data.
    pub fn new() -> Self {
        Self::with_event_bytes_max(Self::EVENT_BYTES_MAX)
    }

    /// A decoder for events of up to `limit` bytes of data, counted as they come in. No line may be
    /// longer than the longest that carries such data, so memory is bounded too: by a small multiple
    /// of `limit`, and by what was sent.
    pub fn with_event_bytes_max(limit: usize) -> Self {
        Self {
            lines: Lines::new(),
            begun: Vec::new(),
            in_data: false,
            block: Block::new(limit),
            limit,
            failed: false,
        }
    }

    /// Sets the last event id of a new connection to that of the previous one, for it outlives
    /// connections: without this, a first event that has no id would erase it.
    pub fn set_last_event_id(&mut self, last_event_id: &str) {
        last_event_id.clone_into(&mut self.block.last_event_id);
    }

    /// Consumes `input` up to the end of the next item, or all of it, which gives `None`: call it
    /// again with the next piece. An item is complete with its last line end; a CR does not wait for
    /// an LF.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLong`], after which the rest of `input` is gone, and further input gives
    /// the same error.
    pub fn decode(&mut self, input: &mut &[u8]) -> Option<Result<Item, DecodeError>> {
        if self.failed && input.is_empty() {
            return None;
        }
        match self.find(input) {
            Ok(None) => None,
            Ok(Some(Found::Event(data))) => Some(Ok(Item::Event(self.block.end_with_data(data)))),
            Ok(Some(Found::Id(id))) => Some(Ok(Item::Id(id))),
            Ok(Some(Found::Comment(text))) => Some(Ok(Item::Comment(text))),
            Ok(Some(Found::Retry(retry))) => Some(Ok(Item::Retry(retry))),
            Err(error) => {
                self.failed = true;
                *input = &[];
                Some(Err(error))
            }
        }
    }

    /// The last event id: of the last finished block that had one, with or without data, else as
    /// set by [`set_last_event_id`](Self::set_last_event_id). Empty means none, and then a reconnect
    /// sends no `Last-Event-ID`.
    pub fn last_event_id(&self) -> &str {
        &self.block.last_event_id
    }

    /// The reconnection time that the stream asked for last.
    pub fn retry(&self) -> Option<Duration> {
        self.block.retry
    }

    /// Whether the stream, if it ended now, would lose something: a line without its end, or a block
    /// without its blank line. A failed decoder always says so.
    pub fn is_mid_block(&self) -> bool {
        self.failed || self.lines.mark_bytes() > 0 || self.is_mid_line() || self.block.has_begun()
    }

    /// How many bytes of the stream it holds for what is not finished yet.
    pub fn buffered_bytes(&self) -> usize {
        self.lines.mark_bytes() + self.begun.len() + self.block.bytes()
    }

    /// Takes input until something is complete.
    fn find<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Found<'i>>, DecodeError> {
        if self.failed {
            return Err(self.too_long());
        }
        self.begun.extend_from_slice(self.lines.begin_piece(input));
        if self.is_mid_line()
            && let Some(item) = self.end_line(input)?
        {
            return Ok(Some(item));
        }
        loop {
            while self.lines.take_end(input) {
                if self.block.has_data() {
                    return Ok(Some(Found::Event(None)));
                }
                if let Some(id) = self.block.end_without_data() {
                    return Ok(Some(Found::Id(id)));
                }
            }
            let Some(line) = self.lines.next(input) else {
                self.begin_line(mem::take(input))?;
                return Ok(None);
            };
            self.check_length(line)?;
            if let Some(value) = self.block.only_data(line)
                && self.lines.take_end(input)
            {
                return Ok(Some(Found::Event(Some(value))));
            }
            if let Some(item) = self.block.take_line(line)? {
                return Ok(Some(item));
            }
        }
    }

    /// Takes the rest of a line that has begun in an earlier piece.
    fn end_line(&mut self, input: &mut &[u8]) -> Result<Option<Found<'static>>, DecodeError> {
        let Some(piece) = self.lines.next(input) else {
            self.begin_line(mem::take(input))?;
            return Ok(None);
        };
        if mem::take(&mut self.in_data) {
            self.block.extend_data(piece)?;
            return Ok(None);
        }
        self.check_length(piece)?;
        self.begun.extend_from_slice(piece);
        let item = self.block.take_line(&self.begun);
        self.begun.clear();
        self.begun.shrink_to(Self::LINE_BYTES_KEPT);
        item
    }

    /// Takes the last piece of input, whose line does not end in it.
    fn begin_line(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        if self.in_data {
            return self.block.extend_data(piece);
        }
        self.check_length(piece)?;
        let line = if self.begun.is_empty() {
            piece
        } else {
            self.begun.extend_from_slice(piece);
            &self.begun
        };
        self.in_data = self.block.begin_data(line)?;
        if self.in_data {
            self.begun.clear();
        } else if self.begun.is_empty() {
            self.begun.extend_from_slice(piece);
        }
        Ok(())
    }

    fn is_mid_line(&self) -> bool {
        self.in_data || !self.begun.is_empty()
    }

    fn check_length(&self, piece: &[u8]) -> Result<(), DecodeError> {
        let max = self.limit.saturating_add("data: ".len());
        if self.begun.len() + piece.len() > max { Err(self.too_long()) } else { Ok(()) }
    }

    fn too_long(&self) -> DecodeError {
        DecodeError::TooLong { limit: self.limit }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}
