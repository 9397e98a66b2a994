//! What lines come to: the fields since the last blank line, and what outlives them.

use std::mem;
use std::time::Duration;

use crate::{DecodeError, Event, EventId, EventType};

/// The block that is being read, and what the ones before it have left behind.
#[derive(Debug)]
pub(crate) struct Block {
    data: Data,
    event_type: Option<EventType>,
    id: Option<EventId>,
    own_retry: Option<Duration>,
    /// Types are few: the events of a type share it, as long as no other comes between.
    last_type: Option<EventType>,
    pub(crate) last_event_id: String,
    pub(crate) retry: Option<Duration>,
}

/// What a line completes. An event is made only where it is returned, for it is large to move.
pub(crate) enum Found<'i> {
    /// The block, with the data taken so far, or with this alone: [`Block::end_with_data`].
    Event(Option<&'i [u8]>),
    Id(EventId),
    Comment(String),
    Retry(Duration),
}

impl Block {
    /// The first block, whose data may have so many bytes.
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

    /// Whether something would be lost if the block did not end. A retry would not: it has counted.
    pub(crate) fn has_begun(&self) -> bool {
        self.data.is_some || self.event_type.is_some() || self.id.is_some()
    }

    /// How many bytes of the stream it holds.
    pub(crate) fn bytes(&self) -> usize {
        let event_type = self.event_type.as_ref().map_or(0, |text| text.as_str().len());
        let id = self.id.as_ref().map_or(0, |text| text.as_str().len());
        self.data.lines.len() + event_type + id
    }

    /// Takes a line that is not blank. Of a comment and a retry something comes at once.
    pub(crate) fn take_line(&mut self, line: &[u8]) -> Result<Option<Found<'static>>, DecodeError> {
        if let Some(value) = value_of(b"data", line) {
            self.data.begin_line(value)?;
        } else if let Some(value) = value_of(b"id", line) {
            // An id with NUL is none: the field is ignored, an earlier one of the block stays.
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

    /// Takes the first part of a line, which must be longer than this, if it is one of data. Such a
    /// line need not be kept until its end.
    pub(crate) fn begin_data(&mut self, line: &[u8]) -> Result<bool, DecodeError> {
        // With the last byte it is settled whether there is a space to take away.
        match value_of(b"data", line) {
            Some(value) if line.len() > "data:".len() => self.data.begin_line(value).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Goes on with the line of data.
    pub(crate) fn extend_data(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        self.data.extend(piece)
    }

    /// The value of a line of data that is all there is if a blank line follows.
    pub(crate) fn only_data<'l>(&self, line: &'l [u8]) -> Option<&'l [u8]> {
        let value = value_of(b"data", line)?;
        (!self.data.is_some && value.len() <= self.data.max).then_some(value)
    }

    /// Whether a blank line makes an event of it.
    pub(crate) fn has_data(&self) -> bool {
        self.data.is_some
    }

    /// Ends the block, which has data: the lines taken before, or the only one.
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

    /// Ends the block, which has no data.
    pub(crate) fn end_without_data(&mut self) -> Option<EventId> {
        self.event_type = None;
        self.own_retry = None;
        let id = self.id.take()?;
        id.as_str().clone_into(&mut self.last_event_id);
        Some(id)
    }
}

/// The data lines of a block, as they came in, joined with LF. An empty line differs from none.
#[derive(Debug)]
struct Data {
    lines: Vec<u8>,
    is_some: bool,
    max: usize,
}

impl Data {
    /// Up to this size data is copied out of the buffer, which stays; more takes the buffer along.
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

/// The value of the line if its field has this name; a line without a colon is a name alone.
fn value_of<'l>(name: &[u8], line: &'l [u8]) -> Option<&'l [u8]> {
    match line.strip_prefix(name)? {
        [b':', b' ', value @ ..] | [b':', value @ ..] | value @ [] => Some(value),
        _ => None,
    }
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
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|malformed| String::from_utf8_lossy(malformed.as_bytes()).into_owned())
}
