//! Collects lines into blocks: the fields since the last blank line, and the state that outlives a block.

use std::mem;
use std::time::Duration;

use crate::error::DecodeError;
use crate::event::Event;
use crate::field::{EventId, EventType};

/// The current block, and the state kept from earlier blocks.
#[derive(Debug)]
pub(crate) struct Block {
    data: Data,
    event_type: Option<EventType>,
    id: Option<EventId>,
    own_retry: Option<Duration>,
    /// The most recent type. Consecutive events with the same type share its allocation.
    last_type: Option<EventType>,
    pub(crate) last_event_id: String,
    pub(crate) retry: Option<Duration>,
}

/// An item completed by a line. An event is built by the caller, because it is expensive to move.
pub(crate) enum Found<'i> {
    /// An event, to be built with [`Block::end_with_data`]. `Some` is its only data line. `None` means that its data
    /// lines are in the block.
    Event(Option<&'i [u8]>),
    Id(EventId),
    Comment(String),
    Retry(Duration),
}

impl Block {
    /// Creates an empty block that accepts at most `data_max` bytes of data.
    pub(crate) fn new(data_max: usize) -> Self {
        Self {
            data: Data { lines: Vec::new(), is_some: false, max: data_max },
            event_type: None,
            id: None,
            own_retry: None,
            last_type: None,
            last_event_id: String::new(),
            retry: None,
        }
    }

    /// Returns `true` if the block has a field that takes effect only at its end. A retry takes effect at once.
    pub(crate) fn has_begun(&self) -> bool {
        self.data.is_some || self.event_type.is_some() || self.id.is_some()
    }

    /// Returns the number of buffered bytes.
    pub(crate) fn bytes(&self) -> usize {
        let event_type = self.event_type.as_ref().map_or(0, |text| text.as_str().len());
        let id = self.id.as_ref().map_or(0, |text| text.as_str().len());
        self.data.lines.len() + event_type + id
    }

    /// Takes a line that is not blank. A comment or a retry completes an item at once.
    pub(crate) fn take_line(&mut self, line: &[u8]) -> Result<Option<Found<'static>>, DecodeError> {
        if let Some(value) = value_of(b"data", line) {
            self.data.begin_line(value)?;
        } else if let Some(value) = value_of(b"id", line) {
            // The standard ignores an id with NUL, so an earlier id of the block stays.
            if let Some(id) = EventId::decoded(text(value.to_vec())) {
                self.id = Some(id);
            }
        } else if let Some(value) = value_of(b"event", line) {
            if self.last_type.as_ref().map_or("", EventType::as_str).as_bytes() != value {
                self.last_type = EventType::decoded(text(value.to_vec()));
            }
            self.event_type.clone_from(&self.last_type);
        } else if let Some(value) = value_of(b"", line) {
            return Ok(Some(Found::Comment(text(value.to_vec()))));
        } else if let Some(retry) = value_of(b"retry", line).and_then(parse_retry) {
            self.own_retry = Some(retry);
            self.retry = Some(retry);
            return Ok(Some(Found::Retry(retry)));
        }
        Ok(None)
    }

    /// Takes the first part of a data line that continues in a later piece. Returns `false` for any other line.
    ///
    /// The value is added to the block's data piece by piece, so the line is not buffered until its end.
    pub(crate) fn begin_data(&mut self, line: &[u8]) -> Result<bool, DecodeError> {
        // One byte after the colon decides if there is a space to strip.
        match value_of(b"data", line) {
            Some(value) if line.len() > "data:".len() => self.data.begin_line(value).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Appends to the current data line.
    pub(crate) fn extend_data(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        self.data.extend(piece)
    }

    /// Returns the value of a data line if the block has no data yet. If a blank line follows, the value is all of
    /// the event's data. Returns `None` for any other line, and for a value over the limit.
    pub(crate) fn only_data<'l>(&self, line: &'l [u8]) -> Option<&'l [u8]> {
        let value = value_of(b"data", line)?;
        (!self.data.is_some && value.len() <= self.data.max).then_some(value)
    }

    /// Returns `true` if the block has data. A blank line then completes an event.
    pub(crate) fn has_data(&self) -> bool {
        self.data.is_some
    }

    /// Ends a block with data: `only_data` if given, otherwise the data lines taken so far.
    pub(crate) fn end_with_data(&mut self, only_data: Option<&[u8]>) -> Event {
        let data = match only_data {
            Some(data) => text(data.to_vec()),
            None => self.data.take(),
        };
        if let Some(id) = &self.id {
            id.as_str().clone_into(&mut self.last_event_id);
        }
        Event::of_block(self.event_type.take(), data, self.id.take(), self.own_retry.take())
    }

    /// Ends a block without data. Returns its id, if it has one.
    pub(crate) fn end_without_data(&mut self) -> Option<EventId> {
        self.event_type = None;
        self.own_retry = None;
        let id = self.id.take()?;
        id.as_str().clone_into(&mut self.last_event_id);
        Some(id)
    }
}

/// The data lines of a block, as received, joined with LF.
#[derive(Debug)]
struct Data {
    lines: Vec<u8>,
    /// `true` after the first data line, even an empty one.
    is_some: bool,
    max: usize,
}

impl Data {
    /// Largest data that is copied out of the buffer, in bytes. Larger data is returned in the buffer itself.
    const COPIED_MAX: usize = 8 * 1024;

    fn begin_line(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        if mem::replace(&mut self.is_some, true) {
            self.lines.push(b'\n');
        }
        self.extend(piece)
    }

    fn extend(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        if self.lines.len() + piece.len() > self.max {
            return Err(DecodeError::TooLong { limit: self.max });
        }
        self.lines.extend_from_slice(piece);
        Ok(())
    }

    fn take(&mut self) -> String {
        self.is_some = false;
        if self.lines.len() > Self::COPIED_MAX {
            let mut lines = mem::take(&mut self.lines);
            lines.shrink_to_fit();
            return text(lines);
        }
        let data = text(self.lines.clone());
        self.lines.clear();
        data
    }
}

/// Returns the value of a line if its field has this name. A line without a colon is a name with an empty value.
fn value_of<'l>(name: &[u8], line: &'l [u8]) -> Option<&'l [u8]> {
    match line.strip_prefix(name)? {
        [b':', b' ', value @ ..] | [b':', value @ ..] | value @ [] => Some(value),
        _ => None,
    }
}

/// Parses ASCII digits, in milliseconds. A value that does not fit becomes the longest duration.
fn parse_retry(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add_digit =
        |millis: u64, digit: &u8| millis.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(Duration::from_millis(value.iter().fold(0, add_digit)))
}

/// Converts bytes to text and replaces invalid UTF-8 with U+FFFD.
///
/// Line ends are ASCII, so converting a line, or joined lines, gives the same text as converting the whole stream.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|malformed| String::from_utf8_lossy(malformed.as_bytes()).into_owned())
}
