//! Lines end with LF, CR or CRLF, mixed as they like (rule shared by both directions).

use std::borrow::Cow;
use std::{iter, mem};

use memchr::memchr2;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// The lines of a whole text: one more than it has line ends, so always at least one.
pub(crate) fn text_lines(text: &str) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text.as_bytes());
    iter::from_fn(move || {
        let text = rest?;
        let (line, end_and_rest) = text.split_at(line_end(text).unwrap_or(text.len()));
        rest = [&b"\r\n"[..], b"\r", b"\n"].iter().find_map(|end| end_and_rest.strip_prefix(*end));
        Some(line)
    })
}

/// Cuts a stream that arrives in pieces into lines, and takes away its byte order mark.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The line that has begun and not ended; at most `max` bytes.
    partial: Vec<u8>,
    max: usize,
    /// The last line ended with CR, which is complete by itself; an LF behind it belongs to it.
    after_cr: bool,
    at_start: bool,
}

/// A line is over the bound.
#[derive(Debug)]
pub(crate) struct LineTooLong;

impl Lines {
    /// Lines of at most `max` bytes without their ends.
    pub(crate) fn new(max: usize) -> Self {
        Self { partial: Vec::new(), max, after_cr: false, at_start: true }
    }

    /// Takes the next line from `input`, or all of `input` if the line does not end in it.
    pub(crate) fn next<'i>(
        &mut self,
        input: &mut &'i [u8],
    ) -> Option<Result<Cow<'i, [u8]>, LineTooLong>> {
        if self.after_cr && !input.is_empty() {
            self.after_cr = false;
            *input = input.strip_prefix(b"\n").unwrap_or(input);
        }
        let end = line_end(input);
        let (piece, end_and_rest) = input.split_at(end.unwrap_or(input.len()));
        if self.partial.len().saturating_add(piece.len()) > self.max {
            return Some(Err(LineTooLong));
        }
        if end.is_none() {
            *input = &[];
            self.partial.extend_from_slice(piece);
            return None;
        }
        if let Some((end, rest)) = end_and_rest.split_first() {
            self.after_cr = *end == b'\r';
            *input = rest;
        }
        Some(Ok(self.whole_line(piece)))
    }

    /// Whether a line has begun and not ended. A byte order mark alone begins none.
    pub(crate) fn is_mid_line(&self) -> bool {
        !(self.partial.is_empty() || self.at_start && self.partial == BOM)
    }

    /// The bytes of the line that has begun and not ended.
    pub(crate) fn partial_bytes(&self) -> usize {
        self.partial.len()
    }

    fn whole_line<'i>(&mut self, last_piece: &'i [u8]) -> Cow<'i, [u8]> {
        let mut line = if self.partial.is_empty() {
            Cow::Borrowed(last_piece)
        } else {
            let mut line = mem::take(&mut self.partial);
            line.extend_from_slice(last_piece);
            Cow::Owned(line)
        };
        // No line end lies within the mark, so it is whole here however the stream was cut.
        if mem::take(&mut self.at_start) && line.starts_with(BOM) {
            line = match line {
                Cow::Borrowed(line) => Cow::Borrowed(line.strip_prefix(BOM).unwrap_or(line)),
                Cow::Owned(mut line) => Cow::Owned(line.split_off(BOM.len())),
            };
        }
        line
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr2(b'\r', b'\n', bytes)
}
