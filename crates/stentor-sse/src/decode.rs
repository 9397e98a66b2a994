use std::mem;
use std::time::Duration;

use memchr::memchr;
use thiserror::Error;

use crate::line::{LineTooLong, Lines};
use crate::{Event, EventId, EventType};

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
    block: Block,
    last_event_id: String,
    retry: Option<Duration>,
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

    /// A decoder for events of up to [`EVENT_BYTES_MAX`](Self::EVENT_BYTES_MAX) bytes of data.
    pub fn new() -> Self {
        Self::with_event_bytes_max(Self::EVENT_BYTES_MAX)
    }

    /// A decoder for events of up to `limit` bytes of data, counted as they come in. No line may be
    /// longer than the longest that carries such data, so memory is bounded too: by a small multiple
    /// of `limit`, and by what was sent.
    pub fn with_event_bytes_max(limit: usize) -> Self {
        const LONGEST_HEAD: usize = "\u{FEFF}data: ".len();
        Self {
            lines: Lines::new(limit.saturating_add(LONGEST_HEAD)),
            block: Block::default(),
            last_event_id: String::new(),
            retry: None,
            limit,
            failed: false,
        }
    }

    /// Sets the last event id of a new connection to that of the previous one, for it outlives
    /// connections: without this, a first event that has no id would erase it.
    pub fn seed(&mut self, last_event_id: &str) {
        last_event_id.clone_into(&mut self.last_event_id);
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
        if self.failed && !input.is_empty() {
            return Some(Err(self.fail(input)));
        }
        while let Some(line) = self.lines.next(input) {
            match line.and_then(|line| self.take_line(&line)) {
                Ok(None) => {}
                Ok(Some(item)) => return Some(Ok(item)),
                Err(LineTooLong) => return Some(Err(self.fail(input))),
            }
        }
        None
    }

    /// The last event id: of the last finished block that had one, with or without data, else as
    /// [`seed`](Self::seed)ed. Empty means none, and then a reconnect sends no `Last-Event-ID`.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time that the stream asked for last.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Whether the stream, if it ended now, would lose something: a line without its end, or a block
    /// without its blank line. A failed decoder always says so.
    pub fn is_mid_block(&self) -> bool {
        self.failed || self.lines.is_mid_line() || self.block.has_begun()
    }

    /// How many bytes of the stream it holds for what is not finished yet.
    pub fn buffered_bytes(&self) -> usize {
        self.lines.partial_bytes() + self.block.data.as_ref().map_or(0, Vec::len)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<Item>, LineTooLong> {
        if line.is_empty() {
            return Ok(self.end_block());
        }
        let (name, value) = split_field(line);
        match name {
            b"" => return Ok(Some(Item::Comment(text(value)))),
            b"data" => self.block.add_data(value, self.limit)?,
            b"event" => self.block.event_type = EventType::decoded(text(value)),
            b"id" => {
                // An id with NUL is none: the field is ignored, an earlier one of the block stays.
                if let Ok(id) = EventId::new(text(value)) {
                    self.block.id = Some(id);
                }
            }
            b"retry" => {
                if let Some(retry) = parse_retry(value) {
                    self.retry = Some(retry);
                    self.block.retry = Some(retry);
                    return Ok(Some(Item::Retry(retry)));
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn end_block(&mut self) -> Option<Item> {
        let block = mem::take(&mut self.block);
        if let Some(id) = &block.id {
            id.as_str().clone_into(&mut self.last_event_id);
        }
        block.into_item()
    }

    fn fail(&mut self, input: &mut &[u8]) -> DecodeError {
        *input = &[];
        self.failed = true;
        DecodeError::TooLong { limit: self.limit }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The fields since the last blank line.
#[derive(Debug, Default)]
struct Block {
    event_type: Option<EventType>,
    /// The data lines joined with LF, as they came in; an empty line differs from none.
    data: Option<Vec<u8>>,
    id: Option<EventId>,
    retry: Option<Duration>,
}

impl Block {
    fn add_data(&mut self, line: &[u8], limit: usize) -> Result<(), LineTooLong> {
        match &mut self.data {
            _ if line.len() > limit => return Err(LineTooLong),
            None => self.data = Some(line.to_vec()),
            Some(data) if line.len() + data.len() >= limit => return Err(LineTooLong),
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(line);
            }
        }
        Ok(())
    }

    /// A retry alone begins nothing that could be lost: it has been yielded already.
    fn has_begun(&self) -> bool {
        self.event_type.is_some() || self.data.is_some() || self.id.is_some()
    }

    fn into_item(self) -> Option<Item> {
        let Some(data) = self.data else {
            return self.id.map(Item::Id);
        };
        let data = String::from_utf8(data).unwrap_or_else(|malformed| text(malformed.as_bytes()));
        let mut event = Event::new(data);
        if let Some(event_type) = self.event_type {
            event = event.with_type(event_type);
        }
        if let Some(id) = self.id {
            event = event.with_id(id);
        }
        if let Some(retry) = self.retry {
            event = event.with_retry(retry);
        }
        Some(Item::Event(event))
    }
}

/// Name and value; a line without a colon is a name, and one that begins with it has an empty name.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    let (name, rest) = line.split_at(memchr(b':', line).unwrap_or(line.len()));
    let value = rest.strip_prefix(b": ").or_else(|| rest.strip_prefix(b":"));
    (name, value.unwrap_or_default())
}

/// ASCII digits and nothing else; beyond what fits it is the longest time there is.
fn parse_retry(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add_digit =
        |millis: u64, digit: &u8| millis.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(Duration::from_millis(value.iter().fold(0, add_digit)))
}

/// Line ends are ASCII, so that mending malformed UTF-8 line by line, or in lines already joined,
/// gives what mending the whole stream would.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
