use std::mem;
use std::time::Duration;

use crate::block::{Block, Found};
use crate::error::DecodeError;
use crate::item::Item;
use crate::line::Lines;

/// Incremental decoder of an event stream (WHATWG HTML, section 9.2.6). The input may be cut anywhere.
///
/// Malformed input is not an error: invalid UTF-8 becomes U+FFFD, and unknown fields are ignored. The only error is
/// [`DecodeError::TooLong`].
///
/// No call is needed at the end of a stream. The standard discards an unfinished block, including its id;
/// [`is_mid_block`](Self::is_mid_block) reports one.
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
    /// The start of a line from earlier pieces. Empty if the line is a data line: see `in_data`.
    begun: Vec<u8>,
    /// `true` within a data line whose start is already in `block`.
    in_data: bool,
    block: Block,
    limit: usize,
    failed: bool,
}

impl Decoder {
    /// Default limit for the data of one event: 16 MiB.
    pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

    /// Capacity of `begun` that is kept between lines, in bytes.
    const LINE_BYTES_KEPT: usize = 8 * 1024;

    /// Creates a decoder that accepts events with up to [`EVENT_BYTES_MAX`](Self::EVENT_BYTES_MAX) bytes of data.
    pub fn new() -> Self {
        Self::with_event_bytes_max(Self::EVENT_BYTES_MAX)
    }

    /// Creates a decoder that accepts events with up to `limit` bytes of data, counted as received.
    ///
    /// Every line is limited as well, to `limit` bytes plus the length of `data: `. Memory is therefore bounded by
    /// a small multiple of `limit`, and by the number of bytes received.
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

    /// Sets the last event id. Call it before decoding a new connection, with the id of the previous one.
    ///
    /// The last event id outlives connections. Without this call, a first event without an id would reset it.
    pub fn set_last_event_id(&mut self, last_event_id: &str) {
        last_event_id.clone_into(&mut self.block.last_event_id);
    }

    /// Decodes the next item and advances `input` past it.
    ///
    /// Returns `None` when all of `input` is consumed without completing another item: call again with the next
    /// piece. An item is complete at its last line end. A CR is a line end at once, even if an LF may follow.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLong`] if a line or the data of an event is over the limit. The rest of `input` is then
    /// discarded, and any further input returns the same error.
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

    /// Returns the last event id: the id of the newest complete block that has one, with or without data.
    ///
    /// Before such a block it is the id from [`set_last_event_id`](Self::set_last_event_id). Empty means none: a
    /// reconnect then sends no `Last-Event-ID`.
    pub fn last_event_id(&self) -> &str {
        &self.block.last_event_id
    }

    /// Returns the most recent reconnection time of the stream.
    pub fn retry(&self) -> Option<Duration> {
        self.block.retry
    }

    /// Returns `true` if the end of the stream would discard input: a line without a line end, or a block without
    /// its blank line. Always `true` after an error.
    pub fn is_mid_block(&self) -> bool {
        self.failed || self.lines.bom_bytes() > 0 || self.is_mid_line() || self.block.has_begun()
    }

    /// Returns the number of bytes buffered for the unfinished block and line.
    pub fn buffered_bytes(&self) -> usize {
        self.lines.bom_bytes() + self.begun.len() + self.block.bytes()
    }

    /// Takes input until an item is complete.
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

    /// Takes the rest of a line that began in an earlier piece.
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

    /// Takes the rest of the input, which does not contain the end of its line.
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
